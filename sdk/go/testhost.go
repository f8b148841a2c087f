//go:build !wasip1

package eshost

import (
	"encoding/binary"
	"strconv"
	"sync"
	"time"
)

// TestHost is a host in memory, so that go test runs handlers without WebAssembly. It answers as the real one does,
// with the same errors, and keeps nothing of an event that failed. Only the limits on what one event may do in total are
// not counted. The zero TestHost is ready; it is not in the package when a module is built.
//
//	func TestDeposit(t *testing.T) {
//		var host eshost.TestHost
//		if err := host.Deliver(eshost.TestEvent{Stream: "acc-1", Type: "Deposited", Data: []byte(`{"amount":5}`)}); err != nil {
//			t.Fatal(err)
//		}
//		if got := host.Document("balances", "acc-1"); got != `{"balance":5}` {
//			t.Errorf("document is %s", got)
//		}
//	}
type TestHost struct {
	// Config is the plugin's settings.
	Config map[string]string

	documents map[name]string
	emitted   []NewEvent
	logs      []LogLine
	position  int64
	versions  map[string]int64

	// Of the event being handled.
	written  map[name]*string // nil was deleted
	emits    []NewEvent
	failText string
	kept     []byte
}

type name struct{ collection, key string }

// TestEvent is an event to hand to the handler.
type TestEvent struct {
	Position    int64     // 0 is the one after the last
	Version     int64     // 0 is the one after the stream's last
	Time        time.Time // zero is 1970-01-01T00:00:00Z
	Attempt     int       // 0 is 1
	ID          string    // empty is made from the position
	Type        string
	Stream      string
	StreamType  string
	Data        []byte
	Metadata    string // empty is {}
	ContentType string // empty is application/json
}

// LogLine is a line that the handler logged.
type LogLine struct {
	Level int // 0 debug, 1 info, 2 warn, 3 error
	Text  string
}

// Failure is how a handler failed.
type Failure struct {
	Rejected bool // parked at once; otherwise it would be tried again
	Text     string
}

func (f *Failure) Error() string {
	if f.Rejected {
		return "reject: " + f.Text
	}
	return "retry: " + f.Text
}

var (
	deliverMu sync.Mutex // a module handles one event at a time
	deliverTo *TestHost
)

// delivering is the host that a function of the ABI is called on.
func delivering(function string) *TestHost {
	if deliverTo == nil {
		panic("eshost: " + function + " was called where no host is: build the plugin with GOOS=wasip1 GOARCH=wasm and -buildmode=c-shared" +
			" and have eshost run it, or in a test hand events to TestHost.Deliver")
	}
	return deliverTo
}

// Deliver hands one event to the handler that Handle registered. The event's effects are kept if it returns nil.
// Otherwise the error is a *Failure. A panic goes on to the test.
func (h *TestHost) Deliver(e TestEvent) error {
	deliverMu.Lock()
	defer deliverMu.Unlock()
	deliverTo = h
	defer func() { deliverTo = nil }()

	h.written, h.emits, h.failText = map[name]*string{}, nil, ""
	switch status := run(h.number(e).envelope()); status {
	case statusOK:
		h.commit()
		return nil
	default:
		return &Failure{Rejected: status == statusReject, Text: h.failText}
	}
}

// SetDocument puts a document there, as an earlier event would have.
func (h *TestHost) SetDocument(collection, key, data string) {
	if h.documents == nil {
		h.documents = map[name]string{}
	}
	h.documents[name{collection, key}] = data
}

// Document returns the document under key, or "" if there is none.
func (h *TestHost) Document(collection, key string) string {
	return h.documents[name{collection, key}]
}

// Documents returns all documents of a collection by key.
func (h *TestHost) Documents(collection string) map[string]string {
	docs := map[string]string{}
	for n, data := range h.documents {
		if n.collection == collection {
			docs[n.key] = data
		}
	}
	return docs
}

// Emitted returns what was emitted so far.
func (h *TestHost) Emitted() []NewEvent { return h.emitted }

// Logs returns what was logged so far, by events that failed too.
func (h *TestHost) Logs() []LogLine { return h.logs }

func (h *TestHost) commit() {
	for n, data := range h.written {
		if data == nil {
			delete(h.documents, n)
		} else {
			h.SetDocument(n.collection, n.key, *data)
		}
	}
	h.emitted = append(h.emitted, h.emits...)
}

func (h *TestHost) number(e TestEvent) TestEvent {
	if h.versions == nil {
		h.versions = map[string]int64{}
	}
	if e.Position == 0 {
		e.Position = h.position + 1
	}
	if e.Version == 0 {
		e.Version = h.versions[e.Stream] + 1
	}
	h.position, h.versions[e.Stream] = e.Position, e.Version
	if e.Attempt == 0 {
		e.Attempt = 1
	}
	if e.ID == "" {
		e.ID = "test-" + strconv.FormatInt(e.Position, 10)
	}
	if e.Metadata == "" {
		e.Metadata = "{}"
	}
	if e.ContentType == "" {
		e.ContentType = "application/json"
	}
	if e.Time.IsZero() {
		e.Time = time.Unix(0, 0)
	}
	return e
}

// envelope lays the event out as abi/ABI.md says.
func (e TestEvent) envelope() []byte {
	const header = envelopeFixed + 8*slotCount
	slots := [slotCount]string{e.ID, e.Type, e.Stream, e.StreamType, string(e.Data), e.Metadata, e.ContentType}
	le := binary.LittleEndian
	b := le.AppendUint32(nil, envelopeMagic)
	b = le.AppendUint16(b, header)
	b = le.AppendUint16(b, 0)
	b = le.AppendUint64(b, uint64(e.Position))
	b = le.AppendUint64(b, uint64(e.Version))
	b = le.AppendUint64(b, uint64(e.Time.UnixMicro()))
	b = le.AppendUint32(b, uint32(e.Attempt))
	b = le.AppendUint32(b, slotCount)
	at := header
	for _, s := range slots {
		b = le.AppendUint32(b, uint32(at))
		b = le.AppendUint32(b, uint32(len(s)))
		at += len(s)
	}
	for _, s := range slots {
		b = append(b, s...)
	}
	return b
}
