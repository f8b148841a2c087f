package admin

import (
	"bufio"
	"context"
	"net/http"
	"strings"
	"testing"
	"time"
)

// eventSource reads a stream of server-sent events.
type eventSource struct{ in *bufio.Reader }

type received struct{ name, id, data string }

func feedOf(t *testing.T, url, lastID string) *eventSource {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	r, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "text/event-stream")
	if lastID != "" {
		r.Header.Set("Last-Event-ID", lastID)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %v %v", url, res, err)
	}
	t.Cleanup(func() { cancel(); _ = res.Body.Close() })
	return &eventSource{bufio.NewReader(res.Body)}
}

// next returns the next event that has data.
func (f *eventSource) next(t *testing.T) received {
	t.Helper()
	var e received
	for {
		line, err := f.in.ReadString('\n')
		if err != nil {
			t.Fatalf("the stream ends: %v", err)
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch {
		case line == "\n" && e.data != "":
			return e
		case line == "\n":
			e = received{}
		case name == "id":
			e.id = value
		case name == "event":
			e.name = value
		case name == "data":
			e.data = value
		}
	}
}

// want returns the id of the next event, which must be as told.
func (f *eventSource) want(t *testing.T, name, part string) string {
	t.Helper()
	e := f.next(t)
	if e.name != name || !strings.Contains(e.data, part) || (e.id == "") != (name == "change") {
		t.Fatalf("got %+v, want %s with %s", e, name, part)
	}
	return e.id
}

// comment waits for a line that is no event.
func (f *eventSource) comment(t *testing.T) {
	t.Helper()
	for {
		line, err := f.in.ReadString('\n')
		if err != nil {
			t.Fatalf("the stream ends: %v", err)
		}
		if strings.HasPrefix(line, ":") {
			return
		}
	}
}
