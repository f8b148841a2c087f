// The plugin signups counts new registered users per month. The rules are in ../README.md.
package main

import (
	eshost "eshost/sdk/go"
	"eshost/sdk/go/typed"
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
	u, known, err := typed.Get[user]("users", e.Stream())
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
	return typed.Set("users", e.Stream(), u)
}

// count adds to a month of the report.
func count(m month, more counts) error {
	if err := cover(m); err != nil {
		return err
	}
	c, _, err := typed.Get[counts]("months", m.String())
	if err != nil {
		return err
	}
	c.New += more.New
	c.Returned += more.Returned
	c.Left += more.Left
	return typed.Set("months", m.String(), c)
}
