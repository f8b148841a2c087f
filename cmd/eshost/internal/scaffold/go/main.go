// Keeps a document for each stream: who was greeted last, and how often there was a greeting.
package main

import (
	"encoding/json"

	eshost "eshost/sdk/go"
)

func init() { eshost.Handle(handle) }

func main() {} // the host calls the handler; main is not called

// greeted is the data of an event of type Greeted.
type greeted struct {
	Name string `json:"name"`
}

// greeting is the document of a stream.
type greeting struct {
	Name  string `json:"name"`
	Count int    `json:"count"`
}

func handle(e *eshost.Event) error {
	if e.Type() != "Greeted" {
		return nil // not ours
	}
	var data greeted
	if err := json.Unmarshal(e.Data(), &data); err != nil {
		return eshost.Reject("data: " + err.Error()) // it will never be right
	}
	if data.Name == "" {
		return eshost.Reject("data: there is no name")
	}
	g, err := load(e.Stream())
	if err != nil {
		return err // it may be better next time
	}
	g.Name = data.Name
	g.Count++
	eshost.LogInfo("greeted " + g.Name)
	return g.save(e.Stream())
}

func load(stream string) (greeting, error) {
	var g greeting
	document, found, err := eshost.StateGet("greetings", stream)
	if err != nil || !found {
		return g, err
	}
	err = json.Unmarshal(document, &g)
	return g, err
}

func (g greeting) save(stream string) error {
	document, err := json.Marshal(g)
	if err != nil {
		return err
	}
	return eshost.StateSet("greetings", stream, document)
}
