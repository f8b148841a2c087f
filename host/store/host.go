package store

import (
	"encoding/json"
	"fmt"
	"time"
)

// Host is one running eshost process.
type Host struct {
	ID   string // unique per process start
	Name string // from hosts.toml
	// Process identifies the operating-system process to others on the same machine; empty if unknown.
	Process   string
	StartedAt time.Time
	// Weight is the host's share of all plugins, against that of the others.
	Weight float64
	// Declares is what the host's hosts.toml has it run.
	Declares []Declared
	// DeclaredAt is when Weight or Declares last changed, by the database's clock. Only Hosts reads it.
	DeclaredAt time.Time
	// Live reports whether the registration has not expired, by the database's clock. Set on reading.
	Live bool
	// ExpiresIn is how much longer the registration holds, by the database's clock. Set on reading.
	ExpiresIn time.Duration
}

// Declared is one plugin as a host's hosts.toml has it.
type Declared struct {
	Plugin     string  `json:"plugin"`
	Partitions int     `json:"partitions"`
	OrderBy    string  `json:"order_by"`
	Weight     float64 `json:"weight"`
}

// EncodeDeclares is how drivers keep what a host declares.
func EncodeDeclares(d []Declared) (string, error) {
	if len(d) == 0 {
		return "[]", nil
	}
	text, err := json.Marshal(d)
	if err != nil {
		return "", fmt.Errorf("write down what the host declares: %w", err)
	}
	return string(text), nil
}

// DecodeDeclares reads what EncodeDeclares has written.
func DecodeDeclares(text string) ([]Declared, error) {
	var d []Declared
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		return nil, fmt.Errorf("read what a host declares: %w", err)
	}
	if len(d) == 0 {
		return nil, nil
	}
	return d, nil
}
