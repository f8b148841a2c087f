package eventjson

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"eshost/host/store"
)

// MaxObject is the longest text of one event, in bytes: room for the largest data in base64 and the
// largest metadata.
const MaxObject = 24 << 20

// Item is one event of the input.
type Item struct {
	Line   int // where its text begins, from 1
	Size   int // of its text, in bytes
	Append store.StreamAppend
}

// LineError says what is wrong with which line of the input.
type LineError struct {
	Line int
	Err  error
}

func (e *LineError) Error() string { return fmt.Sprintf("line %d: %v", e.Line, e.Err) }

func (e *LineError) Unwrap() error { return e.Err }

// Reader reads events one by one, in memory that does not grow with their number.
type Reader struct {
	in   *bufio.Reader
	d    Decoder
	next func() ([]byte, error) // the text of the next event, which began at r.began
	line int                    // the line that is read now
	// began is the line on which the last text began.
	began int
}

// NewReader returns a reader of the input. Reading begins with the first Next.
func NewReader(in io.Reader) *Reader { return Decoder{}.NewReader(in) }

// NewReader is the package's for events that the Decoder reads.
func (d Decoder) NewReader(in io.Reader) *Reader {
	return &Reader{in: bufio.NewReaderSize(in, 256<<10), d: d, line: 1}
}

// Next returns the next event. It fails with io.EOF at the end of the input, with a *LineError for a
// text that is no event, and otherwise with what the input failed with.
func (r *Reader) Next() (Item, error) {
	if r.next == nil {
		if err := r.open(); err != nil {
			return Item{}, err
		}
	}
	text, err := r.next()
	if err != nil {
		return Item{}, err
	}
	s, err := r.d.Decode(text)
	if err != nil {
		return Item{}, &LineError{r.began, err}
	}
	return Item{Line: r.began, Size: len(text), Append: s}, nil
}

// open finds out whether the input is lines or an array.
func (r *Reader) open() error {
	if mark, err := r.in.Peek(3); err == nil && string(mark) == "\xef\xbb\xbf" {
		if _, err := r.in.Discard(3); err != nil {
			return err
		}
	}
	first, err := r.skipSpace()
	if err != nil {
		return err
	}
	r.next = r.nextLine
	if first == '[' {
		r.next = r.firstElement
	}
	return nil
}

// nextLine returns the next line that is not blank.
func (r *Reader) nextLine() ([]byte, error) {
	for {
		r.began = r.line
		var text []byte
		for {
			part, err := r.in.ReadSlice('\n')
			if len(text)+len(part) > MaxObject {
				return nil, r.tooLong()
			}
			text = append(text, part...)
			if errors.Is(err, bufio.ErrBufferFull) {
				continue
			}
			if err != nil && (!errors.Is(err, io.EOF) || len(bytes.TrimSpace(text)) == 0) {
				return nil, err
			}
			break
		}
		r.line++
		if text = bytes.TrimSpace(text); len(text) > 0 {
			return text, nil
		}
	}
}

func (r *Reader) tooLong() error {
	return &LineError{r.began, fmt.Errorf("an event's text has at most %d bytes", MaxObject)}
}

func (r *Reader) firstElement() ([]byte, error) {
	if _, err := r.in.Discard(1); err != nil { // the bracket
		return nil, err
	}
	if c, err := r.skipSpace(); err == nil && c == ']' {
		return nil, r.endArray()
	}
	r.next = r.nextElement
	return r.element()
}

// nextElement returns the element after the next comma.
func (r *Reader) nextElement() ([]byte, error) {
	c, err := r.skipSpace()
	switch {
	case errors.Is(err, io.EOF):
		return nil, &LineError{r.line, errors.New("the array has no end")}
	case err != nil:
		return nil, err
	case c == ']':
		return nil, r.endArray()
	case c != ',':
		return nil, &LineError{r.line, fmt.Errorf("expected a comma or the array's end, found %q", c)}
	}
	if _, err := r.in.Discard(1); err != nil {
		return nil, err
	}
	return r.element()
}

// endArray takes the closing bracket. Nothing may follow it.
func (r *Reader) endArray() error {
	if _, err := r.in.Discard(1); err != nil {
		return err
	}
	switch c, err := r.skipSpace(); {
	case err == nil:
		return &LineError{r.line, fmt.Errorf("expected nothing after the array, found %q", c)}
	default:
		return err
	}
}

// element reads one object by its brackets. What is between them is for Decode to judge.
func (r *Reader) element() ([]byte, error) {
	c, err := r.skipSpace()
	r.began = r.line
	if err == nil && c != '{' {
		return nil, &LineError{r.line, fmt.Errorf("expected an object, found %q", c)}
	}
	var text []byte
	depth, inString, escaped := 0, false, false
	for err == nil {
		if c, err = r.in.ReadByte(); err != nil {
			break
		}
		if text = append(text, c); len(text) > MaxObject {
			return nil, r.tooLong()
		}
		switch {
		case c == '\n':
			r.line++
		case escaped:
			escaped = false
		case inString:
			escaped, inString = c == '\\', c != '"'
		case c == '"':
			inString = true
		case c == '{':
			depth++
		case c == '}':
			if depth--; depth == 0 {
				return text, nil
			}
		}
	}
	if errors.Is(err, io.EOF) {
		err = &LineError{r.began, errors.New("the object has no end")}
	}
	return nil, err
}

// skipSpace returns the first byte that is no white space and leaves it where it is.
func (r *Reader) skipSpace() (byte, error) {
	for {
		c, err := r.in.ReadByte()
		if err != nil {
			return 0, err
		}
		switch c {
		case '\n':
			r.line++
		case ' ', '\t', '\r':
		default:
			return c, r.in.UnreadByte()
		}
	}
}
