// Keeps a document for each stream: who was greeted last, and how often there was a greeting.
package main

import (
	eshost "eshost/sdk/go"
	"eshost/sdk/go/typed"
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
	data, err := typed.Data[greeted](e)
	if err != nil {
		return err // data that does not fit rejects the event: it will never be right
	}
	g, _, err := typed.Get[greeting]("greetings", e.Stream())
	if err != nil {
		return err // it may be better next time
	}
	g.Name = data.Name
	g.Count++
	eshost.LogInfo("greeted " + g.Name)
	return typed.Set("greetings", e.Stream(), g)
}
