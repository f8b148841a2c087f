// The plugin journal keeps the last version of every stream, in the collection journal under the
// stream's name, and rejects an event that is not exactly the next one: whatever is skipped, repeated or
// turned round parks the stream.
//
// An event of type FailsOnce fails the first time it is tried; one of type Slow takes some time.
package main

import (
	"strconv"

	eshost "eshost/sdk/go"
)

func init() { eshost.Handle(handle) }

func main() {} // not called: a plugin is called by its host

func handle(e *eshost.Event) error {
	switch e.Type() {
	case "FailsOnce":
		if e.Attempt() == 1 {
			return eshost.Retry("the first attempt fails")
		}
	case "Slow":
		compute()
	}
	last, err := load(e.Stream())
	if err != nil {
		return err
	}
	if e.Version() != last+1 {
		return eshost.Reject("version " + strconv.FormatInt(e.Version(), 10) + " follows " + strconv.FormatInt(last, 10))
	}
	return eshost.StateSet("journal", e.Stream(), strconv.AppendInt(nil, e.Version(), 10))
}

func load(stream string) (int64, error) {
	document, found, err := eshost.StateGet("journal", stream)
	if err != nil || !found {
		return 0, err
	}
	return strconv.ParseInt(string(document), 10, 64)
}

// sum keeps the compiler from leaving compute out.
var sum uint32

func compute() {
	for i := range uint32(4_000_000) {
		sum = sum*31 + i
	}
}
