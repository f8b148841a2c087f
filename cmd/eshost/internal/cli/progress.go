package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/term"
)

// progress draws how far an input is read on a terminal, and nothing elsewhere.
type progress struct {
	w     io.Writer // nil where nothing is drawn
	size  int64     // of the input, 0 if unknown
	read  atomic.Int64
	began time.Time
	drawn time.Time
}

func newProgress(w io.Writer, size int64) *progress {
	p := &progress{size: size, began: time.Now()}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		p.w = f
	}
	return p
}

// count returns a reader that counts what is read through it.
func (p *progress) count(r io.Reader) io.Reader {
	return readerFunc(func(b []byte) (int, error) {
		n, err := r.Read(b)
		p.read.Add(int64(n))
		return n, err
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// show draws how far the events are.
func (p *progress) show(events int) {
	p.draw(func() string { return p.line(events, time.Since(p.began)) })
}

// draw replaces the line, at most ten times a second.
func (p *progress) draw(line func() string) {
	if p.w == nil || time.Since(p.drawn) < 100*time.Millisecond {
		return
	}
	p.drawn = time.Now()
	const eraseLine = "\r\x1b[K"
	fmt.Fprint(p.w, eraseLine+line())
}

func (p *progress) line(events int, spent time.Duration) string {
	text := fmt.Sprintf("%s, %.0f/s", plural(events, "event"), float64(events)/max(spent.Seconds(), 1e-3))
	if p.size == 0 {
		return text
	}
	const width = 30
	done := min(float64(p.read.Load())/float64(p.size), 1)
	full := int(done * width)
	return fmt.Sprintf("[%s%s] %3.0f%%  %s", strings.Repeat("#", full), strings.Repeat(".", width-full), 100*done, text)
}

func (p *progress) clear() {
	if p.w != nil && !p.drawn.IsZero() {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}
