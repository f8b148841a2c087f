// Faulty fails where the event says so, and counts events in memory, which a plugin must not do.
package main

import (
	"strconv"

	eshost "eshost/sdk/go"
)

func init() { eshost.Handle(handle) }

func main() {} // not called: a plugin is called by its host

var seen int

func handle(e *eshost.Event) error {
	switch e.Type() {
	case "Broken":
		return broken(e)
	case "Refused":
		return eshost.Reject("no such account")
	case "Counted":
		seen++
	}
	eshost.LogInfo("handled " + e.Stream())
	return eshost.StateSet("seen", e.Stream(), []byte(`{"count":`+strconv.Itoa(seen)+`}`))
}

//go:noinline
func broken(e *eshost.Event) error {
	if err := eshost.StateSet("seen", e.Stream(), []byte(`"half done"`)); err != nil {
		return err
	}
	panic("nothing is there")
}
