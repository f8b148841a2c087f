package plugin

import (
	"bytes"
	"log/slog"
	"strings"

	"eshost/abi"
)

// output takes what a guest writes to its standard output and error: lines for the log, and the text of a crash, which
// the runtimes of several languages print before they end.
type output struct {
	partial [2][]byte // the lines begun on 1 and 2
	last    string    // the last line of this job, made printable
	crash   []byte    // from the line that says what happened; empty unless there was one
}

const maxCrash = 8 << 10

// crashWords begin the lines that say why a runtime gives up: Go's and TinyGo's.
var crashWords = [][]byte{[]byte("panic: "), []byte("fatal error: ")}

func (o *output) write(in *Instance, fd int, b []byte) {
	line := &o.partial[fd-1]
	for len(b) > 0 {
		end := bytes.IndexByte(b, '\n')
		part := b
		if end >= 0 {
			part, b = b[:end], b[end+1:]
		} else {
			b = nil
		}
		// One byte more than a line may have lets the log see that it was cut.
		if room := abi.MaxLogLine + 1 - len(*line); room > 0 {
			*line = append(*line, part[:min(room, len(part))]...)
		}
		if end >= 0 {
			o.line(in, *line)
			*line = (*line)[:0]
		}
	}
}

func (o *output) line(in *Instance, line []byte) {
	if len(o.crash) == 0 {
		for _, word := range crashWords {
			if bytes.HasPrefix(line, word) {
				o.crash = append(o.crash[:0], line...)
				break
			}
		}
	} else if len(o.crash)+1+len(line) <= maxCrash {
		o.crash = append(append(o.crash, '\n'), line...)
	}
	if len(bytes.TrimSpace(line)) == 0 {
		return
	}
	o.last = printable(line, maxName)
	in.log(slog.LevelInfo, line)
}

// begin forgets the last job.
func (o *output) begin() {
	o.last, o.crash = "", o.crash[:0]
}

// flush ends the lines that the guest left open.
func (o *output) flush(in *Instance) {
	for i := range o.partial {
		if len(o.partial[i]) > 0 {
			o.line(in, o.partial[i])
			o.partial[i] = o.partial[i][:0]
		}
	}
}

// crashMessage is the text up to the first blank line, and where in the source it happened.
func (o *output) crashMessage() string {
	if len(o.crash) == 0 {
		return ""
	}
	message, _, _ := bytes.Cut(o.crash, []byte("\n\n"))
	text := printable(bytes.ReplaceAll(message, []byte("\n"), []byte(" ")), maxMessage)
	if at := o.crashPlace(); at != "" {
		text += " (" + at + ")"
	}
	return text
}

// crashStack lists Go's frames, innermost first: "main.handle (main.go:12)".
func (o *output) crashStack() string {
	var out strings.Builder
	for name, place := range o.frames {
		if out.Len() > 0 {
			out.WriteByte('\n')
		}
		out.WriteString(name + " (" + place + ")")
	}
	return out.String()
}

// crashPlace is the innermost frame that is not the language's runtime.
func (o *output) crashPlace() string {
	for name, place := range o.frames {
		if !strings.HasPrefix(name, "runtime.") && name != "panic" {
			return place
		}
	}
	return ""
}

// frames yields the functions and places of a Go traceback's first goroutine.
func (o *output) frames(yield func(name, place string) bool) {
	_, trace, ok := bytes.Cut(o.crash, []byte("\ngoroutine "))
	if !ok {
		return
	}
	trace, _, _ = bytes.Cut(trace, []byte("\n\n"))
	lines := bytes.Split(trace, []byte("\n"))[1:]
	for n := 0; len(lines) >= 2 && n < maxFrames; n++ {
		name, place := lines[0], bytes.TrimSpace(lines[1])
		lines = lines[2:]
		if at := bytes.LastIndexByte(name, '('); at > 0 {
			name = name[:at]
		}
		place, _, _ = bytes.Cut(place, []byte(" ")) // what follows are addresses
		if at := bytes.LastIndexByte(place, '/'); at >= 0 {
			place = place[at+1:]
		}
		if !yield(printable(name, maxName), printable(place, maxName)) {
			return
		}
	}
}
