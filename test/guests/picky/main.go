// The plugin picky handles what it likes. Data with a member "reject" is rejected with its text, with a member "trap" it
// panics with it; everything else is counted.
package main

import (
	"encoding/json"
	"strconv"

	eshost "eshost/sdk/go"
)

func init() { eshost.Handle(handle) }

func main() {} // not called: a plugin is called by its host

func handle(e *eshost.Event) error {
	var data struct{ Reject, Trap string }
	if err := json.Unmarshal(e.Data(), &data); err != nil {
		return eshost.Reject("data: " + err.Error())
	}
	if data.Trap != "" {
		panic(data.Trap)
	}
	if data.Reject != "" {
		return eshost.Reject(data.Reject)
	}
	n, _, err := eshost.StateGet("counts", e.Stream())
	if err != nil {
		return err
	}
	count, _ := strconv.Atoi(string(n)) // none is 0
	return eshost.StateSet("counts", e.Stream(), []byte(strconv.Itoa(count+1)))
}
