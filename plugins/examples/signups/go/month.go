package main

import (
	"fmt"
	"time"

	eshost "eshost/sdk/go"
	"eshost/sdk/go/typed"
)

// month is a month of the calendar in UTC, counted from year 0 on.
type month int

func monthOf(t time.Time) month {
	year, m, _ := t.UTC().Date()
	return month(year*12 + int(m) - 1)
}

// String is, for example, 2026-01.
func (m month) String() string { return fmt.Sprintf("%04d-%02d", m/12, m%12+1) }

// MarshalText and UnmarshalText make a month a string in JSON.
func (m month) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

func (m *month) UnmarshalText(text []byte) error {
	t, err := time.Parse("2006-01", string(text))
	*m = monthOf(t)
	return err
}

// span is the months that the report covers.
type span struct {
	First month `json:"first"`
	Last  month `json:"last"`
}

// farthest is the most months that the report grows by at once.
const farthest = 1200

// cover makes the report cover a month: it has no holes, so a month without any event is there too, with zeros.
func cover(m month) error {
	s, found, err := typed.Get[span]("report", "span")
	if err != nil {
		return err
	}
	if !found {
		s = span{First: m, Last: m - 1}
	}
	far := max(s.First-m, m-s.Last)
	if far <= 0 {
		return nil
	}
	if far > farthest {
		return eshost.Reject(fmt.Sprintf("the event is %d months away from the others: is its time right?", far))
	}
	for ; s.First > m; s.First-- {
		if err := typed.Set("months", (s.First - 1).String(), counts{}); err != nil {
			return err
		}
	}
	for ; s.Last < m; s.Last++ {
		if err := typed.Set("months", (s.Last + 1).String(), counts{}); err != nil {
			return err
		}
	}
	return typed.Set("report", "span", s)
}
