package event

import (
	"bytes"
	"fmt"
	"strings"
)

// Reach is which documents one event may read, write and scan. The zero Reach is for a plugin without partitions: all
// of them. In a plugin with partitions an event reaches the documents whose key has the segment of its ordering key: they
// are in the hands of one partition, as all events that reach them are.
type Reach struct {
	limited      bool
	key, segment string
}

// ReachOf is the reach of the events of an ordering key, in a plugin with partitions.
func ReachOf(orderingKey string) Reach {
	return Reach{limited: true, key: orderingKey, segment: Segment(orderingKey)}
}

// Document returns nil if the event may read and write a document, else a *Failure that is final.
func (r Reach) Document(collection, key []byte) error {
	if !r.limited || r.has(key) {
		return nil
	}
	return r.failure("document %s of collection %s is not of ordering key %s: with partitions, a handler reaches only documents whose key is %[4]s or begins with %[5]s",
		key, collection)
}

// Scan is Document for a list: every key that begins with prefix must be within reach.
func (r Reach) Scan(collection, prefix []byte) error {
	if !r.limited || r.has(prefix) && len(prefix) > len(r.segment) {
		return nil
	}
	return r.failure("a scan for keys that begin with %s in collection %s is not of ordering key %s: with partitions, a handler scans only for keys that begin with %[5]s",
		prefix, collection)
}

func (r Reach) has(key []byte) bool {
	segment, _, _ := bytes.Cut(key, []byte("/"))
	return string(segment) == r.segment
}

func (r Reach) failure(text string, key, collection []byte) *Failure {
	return &Failure{Kind: FailPartition, Message: fmt.Sprintf(text,
		quoted(string(key)), quoted(string(collection)), quoted(r.key), quoted(r.segment), quoted(r.segment+"/"))}
}

// quoted makes a name printable, and shows the beginning of a long one.
func quoted(name string) string {
	const longest = 200
	if len(name) <= longest {
		return fmt.Sprintf("%q", name)
	}
	return fmt.Sprintf("%q…", strings.ToValidUTF8(name[:longest], ""))
}
