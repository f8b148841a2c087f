package redismodel

import (
	"fmt"
	"strconv"
	"strings"

	"eshost/host/event"
	"eshost/host/store"
)

// keys names what a plugin has in Redis. The braces put all of it into one slot of a cluster.
type keys string

func keysOf(prefix, plugin string) keys { return keys(prefix + ":{" + plugin + "}:") }

func (k keys) meta() string                       { return string(k) + "meta" }
func (k keys) collections() string                { return string(k) + "collections" }
func (k keys) documents(collection string) string { return string(k) + "documents:" + collection }
func (k keys) index(collection string) string     { return string(k) + "index:" + collection }
func (k keys) sequences() string                  { return string(k) + "sequences" }
func (k keys) waiting() string                    { return string(k) + "waiting" }
func (k keys) answers() string                    { return string(k) + "answers" }
func (k keys) modules() string                    { return string(k) + "modules" }

// pattern matches all of them.
func (k keys) pattern() string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(string(k)) + "*"
}

// member is a waiting event in the index of all that wait: in byte order those of a sequence are neighbours, in order of
// position. Neither part has a zero byte.
func member(q store.QueuedEvent) string { return fmt.Sprintf("%s\x00%019d", q.Key, q.Position) }

func splitMember(m string) (store.QueuedEvent, error) {
	key, digits, ok := strings.Cut(m, "\x00")
	p, err := strconv.ParseInt(digits, 10, 64)
	if !ok || err != nil {
		return store.QueuedEvent{}, fmt.Errorf("%w: %q is no waiting event", ErrDamaged, m)
	}
	return store.QueuedEvent{Key: key, Position: event.Position(p)}, nil
}

// lexRange selects keys of an index.
func lexRange(prefix, after string) (first, last string) {
	first, last = "-", "+"
	if prefix != "" {
		first = "[" + prefix
		if end := prefixEnd(prefix); end != "" {
			last = "(" + end
		}
	}
	if after != "" && after >= prefix {
		first = "(" + after
	}
	return first, last
}

// prefixEnd is the first string above all that begin with the prefix, "" if there is none.
func prefixEnd(prefix string) string {
	b := []byte(prefix)
	for i := len(b) - 1; i >= 0; i-- {
		if b[i]++; b[i] != 0 {
			return string(b[:i+1])
		}
	}
	return ""
}
