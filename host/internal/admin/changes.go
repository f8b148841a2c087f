package admin

import (
	"crypto/rand"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"eshost/host/event"
	"eshost/host/store"
)

// Changes hears of every commit of this host's plugins, wakes those that wait for one, and keeps the newest
// of the generations that somebody looks at, so that a client that was away for a moment misses nothing. It
// is safe for concurrent use; the zero Changes is ready.
type Changes struct {
	mu   sync.Mutex
	logs map[int64]*changeLog // by generation
}

const (
	// keptWrites and keptBytes bound what is kept of one generation.
	keptWrites = 4096
	keptBytes  = 1 << 20
)

// changeLog is an unbroken run of one generation's commits.
type changeLog struct {
	waiting chan struct{} // closed by the next commit; nil while nobody waits
	watched bool          // somebody has looked at it: commits are kept from then on

	run     string // names the run, so that a client of another one is not taken for one of this
	first   int    // number in the run of the first of kept
	kept    []change
	upTo    event.Position // of the last commit; valid if begun
	begun   bool
	writes  int
	bytes   int
	expects event.Position // checkpoint before the first of kept
}

// change is what one commit did to the documents.
type change struct {
	position event.Position
	writes   []event.DocumentWrite
}

// cursor is a client's place in a run: the number of the next change it wants.
type cursor struct {
	run  string
	next int
}

func (c *Changes) log(generation int64) *changeLog {
	if c.logs == nil {
		c.logs = make(map[int64]*changeLog)
	}
	l := c.logs[generation]
	if l == nil {
		l = &changeLog{}
		c.logs[generation] = l
	}
	return l
}

// Committed tells of a commit that was applied. It does not block.
func (c *Changes) Committed(commit *store.Commit) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.log(commit.Generation)
	l.wake()
	if !l.watched {
		return
	}
	if l.begun && commit.Expected != l.upTo {
		l.restart() // another host was the owner in between
	}
	if len(l.kept) == 0 {
		l.expects = commit.Expected
	}
	l.begun, l.upTo = true, commit.Position
	l.kept = append(l.kept, change{commit.Position, commit.Documents})
	l.writes += len(commit.Documents)
	for i := range commit.Documents {
		l.bytes += writeSize(&commit.Documents[i])
	}
	for len(l.kept) > 0 && (l.writes > keptWrites || l.bytes > keptBytes || len(l.kept) > keptWrites) {
		l.forgetFirst()
	}
}

// Moved tells of a commit to a partition of a generation. Nothing of it is kept: partitions commit out of order, and on
// several hosts.
func (c *Changes) Moved(generation int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.log(generation).wake()
}

// Unsure tells of a commit of which nobody knows whether it was applied.
func (c *Changes) Unsure(generation int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.log(generation)
	l.wake()
	l.restart()
}

func writeSize(w *event.DocumentWrite) int { return len(w.Collection) + len(w.Key) + len(w.Data) }

func (l *changeLog) wake() {
	if l.waiting != nil {
		close(l.waiting)
		l.waiting = nil
	}
}

func (l *changeLog) restart() {
	l.run, l.first, l.kept, l.writes, l.bytes, l.begun = strings.ToLower(rand.Text()[:10]), 0, nil, 0, 0, false
}

func (l *changeLog) forgetFirst() {
	gone := l.kept[0]
	l.kept[0] = change{}
	l.kept = l.kept[1:]
	l.first++
	l.expects = gone.position
	l.writes -= len(gone.writes)
	for i := range gone.writes {
		l.bytes -= writeSize(&gone.writes[i])
	}
}

// moved returns a channel that is closed at the generation's next commit by this host.
func (c *Changes) moved(generation int64) <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.log(generation)
	if l.waiting == nil {
		l.waiting = make(chan struct{})
	}
	return l.waiting
}

// end returns the place behind the last commit. From now on commits are kept.
func (c *Changes) end(generation int64) cursor {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.log(generation)
	if !l.watched {
		l.watched = true
		l.restart()
	}
	return cursor{l.run, l.first + len(l.kept)}
}

// from returns the place of the first commit at or above a position, if all of them are kept. One at the
// position itself may be repeated.
func (c *Changes) from(generation int64, position event.Position) (cursor, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.log(generation)
	if !l.watched || len(l.kept) == 0 || l.expects >= position {
		return cursor{}, false
	}
	for i := range l.kept {
		if l.kept[i].position >= position {
			return cursor{l.run, l.first + i}, true
		}
	}
	return cursor{}, false
}

// since returns the commits from a place on, and the place behind them; false if some of them are not kept.
func (c *Changes) since(generation int64, at cursor) ([]change, cursor, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.log(generation)
	i := at.next - l.first
	if !l.watched || at.run != l.run || i < 0 || i > len(l.kept) {
		return nil, at, false
	}
	return append([]change(nil), l.kept[i:]...), cursor{l.run, l.first + len(l.kept)}, true
}

// id is a cursor as the id of a server-sent event, with the position for people.
func (at cursor) id(position event.Position) string {
	return fmt.Sprintf("%d-%s-%d", position, at.run, at.next)
}

// parseCursor reads an id.
func parseCursor(id string) (cursor, event.Position, bool) {
	parts := strings.Split(id, "-")
	if len(parts) != 3 {
		return cursor{}, 0, false
	}
	position, err := strconv.ParseInt(parts[0], 10, 64)
	n, err2 := strconv.Atoi(parts[2])
	return cursor{parts[1], n}, event.Position(position), err == nil && position >= 0 && err2 == nil && n >= 0 && parts[1] != ""
}
