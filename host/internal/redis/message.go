package redis

import (
	"encoding/json"

	"eshost/host/event"
)

// message is what hosts say to each other. Every field but Host may be missing.
type message struct {
	Version int    `json:"v"`
	Host    string `json:"host"`
	Head    int64  `json:"head,omitempty"`
	Mark    int64  `json:"mark,omitempty"`
	Bell    int64  `json:"bell,omitempty"`
	// Look asks for a look whatever the receiver has seen.
	Look bool `json:"look,omitempty"`
	// Poll says that the host polls for all, at least so often, in milliseconds.
	Poll int64 `json:"poll,omitempty"`
	// Free says that the host has given the token back.
	Free bool `json:"free,omitempty"`
	// Hello is heard by the sender alone, who finds out that it is heard.
	Hello string `json:"hello,omitempty"`
}

const (
	messageVersion = 1
	maxMessage     = 512 // bytes
)

// with adds what another message of this host says.
func (m message) with(o message) message {
	m.Head, m.Mark, m.Bell = max(m.Head, o.Head), max(m.Mark, o.Mark), max(m.Bell, o.Bell)
	m.Look = m.Look || o.Look
	return m
}

func (m message) end() End {
	return End{Head: event.Position(m.Head), Watermark: event.Position(m.Mark), Bell: m.Bell}
}

func (m message) encode(host string) []byte {
	m.Version, m.Host = messageVersion, host
	b, err := json.Marshal(m)
	if err != nil {
		panic(err) // cannot be: numbers and texts
	}
	return b
}

// decode reads what somebody said. Whatever is no message of a host's is none.
func decode(text string) (message, bool) {
	var m message
	if len(text) > maxMessage || json.Unmarshal([]byte(text), &m) != nil {
		return message{}, false
	}
	return m, m.Version == messageVersion && m.Host != ""
}
