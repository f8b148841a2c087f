package host

import (
	"os"
	"time"
)

const (
	// lookEvery is how often files are looked at where the operating system says nothing about them.
	lookEvery = time.Second
	// lookAgain is the pause between two looks at a file that is changing.
	lookAgain = 50 * time.Millisecond
	// quiet is how long a file must have stayed as it is: a build that writes in several steps is not read
	// half done.
	quiet = 300 * time.Millisecond
	// settled is how long one must have that looks as if it were half done: the rest may take longer to come.
	settled = 3 * time.Second
)

// watched is a file: how it looks, since when, and how it looked when it was read.
type watched struct {
	info, read os.FileInfo // nil if there is none
	since      time.Time
	half       bool // it was read and looks half done: it is read again when it has settled
}

// see takes note of how the file looks now.
func (w *watched) see(info os.FileInfo) {
	if !sameFile(info, w.info) {
		w.info, w.since, w.half = info, time.Now(), false
	}
}

// still reports whether the file has stayed as it is for a time.
func (w *watched) still(d time.Duration) bool { return time.Since(w.since) >= d }

// shrunk reports whether the file is smaller than when it was read last.
func (w *watched) shrunk() bool {
	return w.read != nil && w.info != nil && w.info.Size() < w.read.Size()
}

// stat says how a file looks, nil if there is none.
func stat(path string) os.FileInfo {
	info, err := os.Stat(path)
	if err != nil {
		return nil
	}
	return info
}

// sameFile reports whether a file is as it was, as far as can be told without reading it.
func sameFile(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}
