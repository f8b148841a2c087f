package delivery

import (
	"slices"
	"strings"
)

// conflict reports whether a lane read or wrote what another lane wrote. Reads of events that failed
// count, as do documents that were looked for and not there, and everything below a scanned prefix.
//
// Invariant 5: without a conflict the outcome is that of one lane. Suppose that it is not, and take the
// first event, in position order, that would have read something else in one lane. All events before
// it did the same in both, so the document's last writer before it is the same event, and has written
// it here too: in its own lane, or the reader would have seen it; and that is a conflict.
func conflict(ls []*lane) bool {
	return meetInDocuments(ls) || meetInScans(ls)
}

func meetInDocuments(ls []*lane) bool {
	writers := make(map[string]*lane)
	for _, l := range ls {
		for _, s := range l.written {
			if writers[s.id] != nil {
				return true
			}
			writers[s.id] = l
		}
	}
	for _, l := range ls {
		for id := range l.overlay {
			if w := writers[id]; w != nil && w != l {
				return true
			}
		}
	}
	return false
}

func meetInScans(ls []*lane) bool {
	if !slices.ContainsFunc(ls, func(l *lane) bool { return len(l.scans) > 0 }) {
		return false
	}
	for _, w := range ls {
		ids := make([]string, len(w.written))
		for i, s := range w.written {
			ids[i] = s.id
		}
		slices.Sort(ids)
		for _, l := range ls {
			if l == w {
				continue
			}
			for prefix := range l.scans {
				if i, _ := slices.BinarySearch(ids, prefix); i < len(ids) && strings.HasPrefix(ids[i], prefix) {
					return true
				}
			}
		}
	}
	return false
}
