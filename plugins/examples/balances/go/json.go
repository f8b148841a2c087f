package main

import (
	"bytes"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// The little JSON that the plugin needs. A plugin of your own would use encoding/json; this one is held to rules that no
// library has exactly, so that three languages write the same bytes.

const maxDepth = 256

// value is a field of an object as it is written, a string with its quotes. Empty means that there is no such field.
type value []byte

// text returns a string without its escapes.
func (v value) text() (string, bool) {
	if len(v) == 0 || v[0] != '"' {
		return "", false
	}
	return string(unescape(v[1 : len(v)-1])), true
}

// integer returns a number that is written as an integer and has 64 bits.
func (v value) integer() (int64, bool) {
	n, err := strconv.ParseInt(string(v), 10, 64)
	return n, err == nil
}

// fields sets values[i] to the last field called names[i] of a JSON object. False means that data is no JSON object.
func fields(data []byte, names []string, values []value) bool {
	r := reader{data: data}
	r.space()
	ok := utf8.Valid(data) && r.object(maxDepth, names, values)
	r.space()
	return ok && r.at == len(data)
}

// reader reads JSON from its beginning. Every method stands at what it reads and goes behind it; false means that it
// is not there.
type reader struct {
	data []byte
	at   int
}

func (r *reader) object(depth int, names []string, values []value) bool {
	return r.items(depth, '{', '}', func(depth int) bool {
		start := r.at
		if !r.str() {
			return false
		}
		key := r.data[start+1 : r.at-1]
		if r.space(); !r.byte(':') {
			return false
		}
		r.space()
		start = r.at
		if !r.value(depth) {
			return false
		}
		for i, name := range names {
			if string(unescape(key)) == name {
				values[i] = r.data[start:r.at]
			}
		}
		return true
	})
}

func (r *reader) items(depth int, begin, end byte, item func(depth int) bool) bool {
	if depth == 0 || !r.byte(begin) {
		return false
	}
	if r.space(); r.byte(end) {
		return true
	}
	for {
		if r.space(); !item(depth - 1) {
			return false
		}
		if r.space(); r.byte(end) {
			return true
		}
		if !r.byte(',') {
			return false
		}
	}
}

func (r *reader) value(depth int) bool {
	switch c := r.peek(); c {
	case '"':
		return r.str()
	case '{':
		return r.object(depth, nil, nil)
	case '[':
		return r.items(depth, '[', ']', r.value)
	case 't':
		return r.word("true")
	case 'f':
		return r.word("false")
	case 'n':
		return r.word("null")
	default:
		return r.number()
	}
}

func (r *reader) str() bool {
	if !r.byte('"') {
		return false
	}
	for r.at < len(r.data) {
		switch c := r.data[r.at]; {
		case c == '"':
			r.at++
			return true
		case c == '\\':
			if !r.escape() {
				return false
			}
		case c < 0x20:
			return false
		default:
			r.at++
		}
	}
	return false
}

func (r *reader) escape() bool {
	switch r.at++; r.peek() {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		r.at++
		return true
	case 'u':
		_, ok := unit(r.data[r.at-1:])
		r.at += 5
		return ok
	}
	return false
}

func (r *reader) number() bool {
	r.byte('-')
	if !r.byte('0') && !r.digits() {
		return false
	}
	if r.byte('.') && !r.digits() {
		return false
	}
	if r.byte('e') || r.byte('E') {
		if !r.byte('+') {
			r.byte('-')
		}
		return r.digits()
	}
	return true
}

func (r *reader) digits() bool {
	start := r.at
	for '0' <= r.peek() && r.peek() <= '9' {
		r.at++
	}
	return r.at > start
}

func (r *reader) word(word string) bool {
	if !bytes.HasPrefix(r.data[r.at:], []byte(word)) {
		return false
	}
	r.at += len(word)
	return true
}

func (r *reader) byte(c byte) bool {
	if r.at >= len(r.data) || r.data[r.at] != c {
		return false
	}
	r.at++
	return true
}

func (r *reader) space() {
	for r.at < len(r.data) && (r.data[r.at] == ' ' || r.data[r.at] == '\n' || r.data[r.at] == '\r' || r.data[r.at] == '\t') {
		r.at++
	}
}

// peek returns the next byte, or 0 at the end: a zero byte is nowhere allowed.
func (r *reader) peek() byte {
	if r.at >= len(r.data) {
		return 0
	}
	return r.data[r.at]
}

// unescape resolves the escapes of a string that a reader has checked. Half a surrogate pair becomes U+FFFD.
func unescape(raw []byte) []byte {
	at := bytes.IndexByte(raw, '\\')
	if at < 0 {
		return raw
	}
	out := make([]byte, 0, len(raw))
	for ; at >= 0; at = bytes.IndexByte(raw, '\\') {
		out = append(out, raw[:at]...)
		raw = raw[at:]
		size := 2
		switch c := raw[1]; c {
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			var r rune
			r, size = unicodeEscape(raw)
			out = utf8.AppendRune(out, r)
		default: // " \ /
			out = append(out, c)
		}
		raw = raw[size:]
	}
	return append(out, raw...)
}

// unicodeEscape resolves the \uXXXX, or the pair of them, that b begins with, and says how long it was.
func unicodeEscape(b []byte) (rune, int) {
	first, _ := unit(b)
	if second, ok := unit(b[6:]); ok {
		if r := utf16.DecodeRune(first, second); r != utf8.RuneError {
			return r, 12
		}
	}
	return first, 6 // AppendRune writes half a pair as U+FFFD
}

// unit reads \uXXXX.
func unit(b []byte) (rune, bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	n := rune(0)
	for _, c := range b[2:6] {
		switch {
		case '0' <= c && c <= '9':
			n = n<<4 | rune(c-'0')
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			n = n<<4 | rune(c|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	return n, true
}

// appendText appends a string in JSON, with no more escapes than JSON asks for.
func appendText(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\b':
			b = append(b, `\b`...)
		case '\f':
			b = append(b, `\f`...)
		case '\n':
			b = append(b, `\n`...)
		case '\r':
			b = append(b, `\r`...)
		case '\t':
			b = append(b, `\t`...)
		default:
			if c < 0x20 {
				b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			} else {
				b = append(b, c)
			}
		}
	}
	return append(b, '"')
}
