package admin

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"eshost/host/event"
	"eshost/host/eventjson"
)

const (
	// feedEvents and feedBytes are how much of the log one client's stream holds in memory.
	feedEvents = 256
	feedBytes  = 1 << 20
	// feedWrite is how long a client may take for what it is sent at once; then it is dropped. It comes back
	// with the last id it has seen.
	feedWrite = 20 * time.Second
	// feedRetry is how long a client waits before it comes back, in milliseconds.
	feedRetry = "1000"
)

// feed is one client's stream of server-sent events. It writes what is due and flushes; nothing is kept for
// a client that does not read.
type feed struct {
	w       http.ResponseWriter
	control *http.ResponseController
	buf     []byte
}

// openFeed begins a stream. It answers false if the request is HEAD, which ends with the headers.
func (s *server) openFeed(w http.ResponseWriter, r *http.Request) (*feed, bool, error) {
	if !s.feeds.take() {
		return nil, false, unavailable("too-many-feeds", 5*time.Second, "try again later, or read pages", "%d streams are open already", s.o.Limits.Feeds)
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no")
	f := &feed{w: w, control: http.NewResponseController(w)}
	if r.Method == http.MethodHead {
		w.WriteHeader(http.StatusOK)
		s.feeds.leave()
		return f, false, nil
	}
	f.buf = append(f.buf, "retry: "+feedRetry+"\n\n"...)
	return f, true, nil
}

// event adds an event to what is sent next. Data is one line; an empty name is the default, "message".
func (f *feed) event(name, id string, data []byte) {
	if id != "" {
		f.buf = append(append(append(f.buf, "id: "...), id...), '\n')
	}
	if name != "" {
		f.buf = append(append(append(f.buf, "event: "...), name...), '\n')
	}
	if data != nil {
		f.buf = append(append(append(f.buf, "data: "...), data...), '\n')
	}
	f.buf = append(f.buf, '\n')
}

// heartbeat shows both sides whether the connection still works.
func (f *feed) heartbeat() { f.buf = append(f.buf, ":\n\n"...) }

// send writes what was added.
func (f *feed) send() error {
	if len(f.buf) == 0 {
		return nil
	}
	err := errors.Join(f.control.SetWriteDeadline(time.Now().Add(feedWrite)), f.control.SetReadDeadline(time.Time{}))
	if errors.Is(err, http.ErrNotSupported) {
		err = nil // a recorder in tests
	}
	if err == nil {
		_, err = f.w.Write(f.buf)
	}
	if err == nil {
		err = f.control.Flush()
	}
	if f.buf = f.buf[:0]; cap(f.buf) > 2*feedBytes {
		f.buf = nil
	}
	return err
}

// lastPosition is where a client's stream goes on: behind the last event it has seen, or where it asks to
// begin, or at the end of the log.
func (s *server) lastPosition(r *http.Request, p *params) event.Position {
	watermark, _ := s.o.Host.Log()
	after := p.position("after", watermark)
	last := r.Header.Get("Last-Event-ID")
	if last == "" {
		return after
	}
	n, err := strconv.ParseInt(last, 10, 64)
	if err != nil || n < 0 {
		p.fail("leave it out to begin at the end of the log", "Last-Event-ID is none of this stream's: %q", shorten(last))
	}
	return event.Position(n)
}

// eventFeed streams the log's events as they become final, each with its position as its id.
func (s *server) eventFeed(w http.ResponseWriter, r *http.Request) error {
	p := query(r, "after", "types")
	types := p.types()
	after := s.lastPosition(r, p)
	if p.err != nil {
		return p.err
	}
	f, live, err := s.openFeed(w, r)
	if !live {
		return err
	}
	defer s.feeds.leave()
	reader := s.o.Host.Follow(types)
	defer reader.Close()
	ctx, cancel := s.untilStop(r.Context())
	defer cancel()
	f.event("", strconv.FormatInt(int64(after), 10), nil) // a client that is cut off before the first event comes back here
	for f.send() == nil {
		next, stop := context.WithTimeout(ctx, s.o.Limits.Heartbeat)
		b, err := reader.Next(next, after, feedEvents, feedBytes)
		stop()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, context.DeadlineExceeded):
			f.heartbeat()
			continue
		case err != nil:
			s.log.Debug("a stream of events ends; its client comes back", "error", err)
			return nil
		}
		var line []byte
		for i := range b.Events {
			line = eventjson.Append(line[:0], &b.Events[i])
			f.event("", strconv.FormatInt(int64(b.Events[i].Position), 10), line)
		}
		if n := len(b.Events); n == 0 || b.Events[n-1].Position < b.UpTo {
			f.event("", strconv.FormatInt(int64(b.UpTo), 10), nil) // no event: only where to go on
		}
		after = b.UpTo
	}
	return nil
}

// untilStop ends with the request or when the host stops.
func (s *server) untilStop(request context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(request)
	stop := context.AfterFunc(s.stopping, cancel)
	return ctx, func() { stop(); cancel() }
}
