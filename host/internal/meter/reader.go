package meter

import (
	"fmt"
	"unicode/utf8"
)

// reader walks the input with every access checked. The first failure sticks: the offset stops moving and every later
// read returns zero, so parsing code reads straight on and looks at err at the end of each item.
type reader struct {
	in      []byte
	off     int
	end     int // exclusive; a section or a function body ends here
	section string
	fn      int
	err     *Error
}

func (r *reader) fail(kind error, format string, args ...any) {
	r.failAt(kind, r.off, format, args...)
}

func (r *reader) failAt(kind error, off int, format string, args ...any) {
	if r.err == nil {
		r.err = &Error{Kind: kind, Section: r.section, Func: r.fn, Offset: off, Detail: fmt.Sprintf(format, args...)}
		r.end = r.off
	}
}

func (r *reader) left() int { return r.end - r.off }

func (r *reader) byte() byte {
	if r.off >= r.end {
		r.fail(ErrMalformed, "unexpected end")
		return 0
	}
	b := r.in[r.off]
	r.off++
	return b
}

// bytes returns the next n bytes as a view of the input.
func (r *reader) bytes(n uint32) []byte {
	if uint64(n) > uint64(r.left()) {
		r.fail(ErrMalformed, "unexpected end: %d bytes declared, %d left", n, r.left())
		return nil
	}
	b := r.in[r.off : r.off+int(n)]
	r.off += int(n)
	return b
}

func (r *reader) skip(n int) {
	if n > r.left() {
		r.fail(ErrMalformed, "unexpected end")
		return
	}
	r.off += n
}

// u32 reads an unsigned LEB128 of at most 32 bits.
func (r *reader) u32() uint32 {
	if r.off < r.end && r.in[r.off] < 0x80 { // nearly always
		r.off++
		return uint32(r.in[r.off-1])
	}
	return uint32(r.leb(32, false))
}

// leb reads a LEB128 of the given width and refuses encodings that are too long or carry bits beyond the width, exactly
// as the format demands: the engine behind must never see other instruction boundaries than we do.
func (r *reader) leb(width int, signed bool) int64 {
	var v uint64
	for shift := 0; ; shift += 7 {
		if r.off >= r.end {
			r.fail(ErrMalformed, "unexpected end of a number")
			return 0
		}
		b := r.in[r.off]
		r.off++
		v |= uint64(b&0x7f) << shift
		if rest := width - shift; rest <= 7 && !lastByteOK(b, rest, signed) {
			r.fail(ErrMalformed, "number longer than %d bits", width)
			return 0
		}
		if b < 0x80 {
			if shift += 7; signed && b&0x40 != 0 && shift < 64 {
				v |= ^uint64(0) << shift
			}
			return int64(v)
		}
	}
}

// lastByteOK checks the byte that holds the topmost bits of a number: no continuation, and the unused bits zero, or
// copies of the sign.
func lastByteOK(b byte, bits int, signed bool) bool {
	if b >= 0x80 {
		return false
	}
	if !signed {
		return b>>bits == 0
	}
	sign := b >> (bits - 1)
	return sign == 0 || sign == 0x7f>>(bits-1)
}

func (r *reader) name() string {
	at := r.off
	b := r.bytes(r.u32())
	if !utf8.Valid(b) {
		r.failAt(ErrMalformed, at, "name is not valid UTF-8")
		return ""
	}
	return string(b)
}

// count reads the length of a vector and holds it against a limit and against the bytes that are left, each element
// needing at least one, so that no declared count can make us allocate.
func (r *reader) count(limit int, what string) int {
	at := r.off
	n := r.u32()
	if uint64(n) > uint64(limit) {
		r.failAt(ErrLimit, at, "%d %s, the limit is %d", n, what, limit)
		return 0
	}
	if int(n) > r.left() {
		r.failAt(ErrMalformed, at, "%d %s declared in %d bytes", n, what, r.left())
		return 0
	}
	return int(n)
}

func appendU32(b []byte, v uint32) []byte {
	for v >= 0x80 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v))
}

func appendI64(b []byte, v int64) []byte {
	for v < -64 || v > 63 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v)&0x7f)
}

func appendName(b []byte, s string) []byte {
	return append(appendU32(b, uint32(len(s))), s...)
}
