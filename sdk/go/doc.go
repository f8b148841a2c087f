// Package eshost lets you write event-store subscribers for eshost in Go.
//
// A plugin is one function that is called for every event, in order, and writes documents:
//
//	package main
//
//	import eshost "eshost/sdk/go"
//
//	func init() { eshost.Handle(handle) }
//
//	func handle(e *eshost.Event) error {
//		return eshost.StateSet("last_event", e.Stream(), []byte(`{"last":"`+e.Type()+`"}`))
//	}
//
//	func main() {} // not called
//
// Build it with
//
//	GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -trimpath -ldflags="-s -w" -o plugin.wasm
//
// and name the file in hosts.toml. The README beside this file goes there from nothing.
//
// # What holds for every handler
//
// An event's writes take effect together when the handler returns nil, and only then: exactly once, whatever crashes.
//
// Memory is scratch. Variables may be gone at the next event, and several copies of the module run side by side. What must
// last is written with [StateSet].
//
// There is no file, no network and no other thread. [time.Now] is the event's time and the bytes of crypto/rand come from the
// event's id, so that a replay gives the same documents. The order of a range over a map, and math/rand without a source of
// your own, differ from instance to instance: let no document depend on them. A goroutine that is still running when the handler returns stands still; a
// handler that waits for what never comes is a failure.
//
// # Failing
//
// What the handler returns decides:
//
//   - [Reject]("text"), also wrapped: the event is parked at once, because it will never succeed.
//   - [Retry]("text") or any other error: the event is tried again after a pause, and parked after the last attempt.
//   - A panic is as any other error, in a new copy of the module.
//
// The error's text, for a panic with file, line and stack, is shown to people. A failed event leaves nothing behind.
//
// # Typed JSON
//
// The package eshost/sdk/go/typed reads and writes events and documents as types of your own, with encoding/json's struct tags.
//
// # Tests
//
// On your own machine the package talks to a fake host in memory, so go test runs handlers without WebAssembly: see TestHost.
package eshost
