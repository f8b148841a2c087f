// The plugin signups counts new registered users per month. The rules are in ../README.md.
package main

import (
	"encoding/json"
	"fmt"

	eshost "eshost/sdk/go"
)

func init() { eshost.Handle(handle) }

func main() {} // not called: a plugin is called by its host

// user is what is known of a user, under the name of the user's stream.
type user struct {
	Since      string `json:"since"` // the month of the first registration
	Registered bool   `json:"registered"`
}

// counts is one month of the report, under the month.
type counts struct {
	New      int64 `json:"new"`
	Returned int64 `json:"returned"`
	Left     int64 `json:"left"`
}

func handle(e *eshost.Event) error {
	registers := e.Type() == "UserRegistered"
	if !registers && e.Type() != "UserDeregistered" {
		return nil
	}
	var u user
	known, err := load("users", e.Stream(), &u)
	if err != nil || registers == u.Registered {
		return err // nil where nothing changes
	}
	month := monthOf(e.Time())
	switch {
	case !registers:
		err = count(month, counts{Left: 1})
	case known:
		err = count(month, counts{Returned: 1})
	default:
		u.Since = month.String()
		err = count(month, counts{New: 1})
	}
	if err != nil {
		return err
	}
	u.Registered = registers
	return save("users", e.Stream(), u)
}

// count adds to a month of the report.
func count(m month, more counts) error {
	if err := cover(m); err != nil {
		return err
	}
	var c counts
	if _, err := load("months", m.String(), &c); err != nil {
		return err
	}
	c.New += more.New
	c.Returned += more.Returned
	c.Left += more.Left
	return save("months", m.String(), c)
}

func load(collection, key string, into any) (found bool, err error) {
	document, found, err := eshost.StateGet(collection, key)
	if err != nil || !found {
		return false, err
	}
	if err := json.Unmarshal(document, into); err != nil {
		return false, fmt.Errorf("read %s/%s: %w", collection, key, err)
	}
	return true, nil
}

func save(collection, key string, document any) error {
	data, err := json.Marshal(document)
	if err != nil {
		return err
	}
	return eshost.StateSet(collection, key, data)
}
