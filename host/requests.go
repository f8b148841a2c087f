package host

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"eshost/host/event"
	"eshost/host/store"
)

// Ask puts a request about a plugin, one of its sequences or a pause to whichever host owns the plugin,
// and returns it as it was stored. The owner carries it out within about a second and answers it: see
// Await. While no host owns the plugin it stays pending.
//
// What can be told from the store now is refused at once: store.ErrNotFound if there is no such plugin or
// sequence, ErrOtherEvent if Position is not the sequence's failed event any more, an
// *store.InvalidError, store.ErrTooManyRequests. A request about a sequence without Position is about the
// event that is the failed one now; a retry with neither Key nor Position is for all sequences.
func Ask(ctx context.Context, s store.State, r store.Request) (Asked, error) {
	g, err := s.FindPlugin(ctx, r.Plugin)
	if err != nil {
		return Asked{}, fmt.Errorf("plugin %q: %w", r.Plugin, err)
	}
	one := r.Action == store.AskSkip || r.Action == store.AskEdit || r.Action == store.AskRetry && (r.Key != "" || r.Position != 0)
	if one {
		if err := checkSequence(ctx, s, g, &r); err != nil {
			return Asked{}, err
		}
	}
	id, err := s.Ask(ctx, r)
	if err != nil {
		return Asked{}, err
	}
	var a Asked
	if a.Request, err = s.Request(ctx, id); err != nil || r.Action != store.AskRetry || one {
		return a, err
	}
	for r.Partition = 1; r.Partition < g.Partitions; r.Partition++ {
		if id, err = s.Ask(ctx, r); err != nil {
			return a, fmt.Errorf("ask partition %d of %d (those before it are asked): %w", r.Partition, g.Partitions, err)
		}
		a.others = append(a.others, id)
	}
	return a, nil
}

// Asked is a request as it was stored. A retry of all sequences is one request for each of the plugin's partitions,
// since each retries its own: this is the first one's.
type Asked struct {
	store.Request
	others []int64 // the IDs of those for the other partitions
}

// checkSequence holds a request to the sequence as it is now.
func checkSequence(ctx context.Context, s store.State, g store.Generation, r *store.Request) error {
	q, err := s.FindSequence(ctx, g.ID, r.Key)
	if errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("no event of key %q waits in plugin %q: %w", r.Key, r.Plugin, store.ErrNotFound)
	}
	if err != nil {
		return fmt.Errorf("find the sequence: %w", err)
	}
	if r.Position == 0 {
		r.Position = q.Position
	}
	if r.Position != q.Position && r.Action != store.AskRetry {
		return fmt.Errorf("the failed event of key %q is %d, not %d: %w", r.Key, q.Position, r.Position, ErrOtherEvent)
	}
	if r.Action != store.AskEdit {
		return nil
	}
	events, err := s.Queued(ctx, g.ID, r.Key, 1)
	if err != nil {
		return fmt.Errorf("read the event: %w", err)
	}
	if len(events) > 0 && event.IsJSON(events[0].ContentType) && !event.ValidJSON(r.Data) {
		return &store.InvalidError{Field: "data", Reason: fmt.Sprintf("is no JSON, as event %d is (%s)", r.Position, events[0].ContentType)}
	}
	return nil
}

// awaitLook is how often Await looks.
const awaitLook = 50 * time.Millisecond

// Await returns a request once it is answered, by all partitions that were asked. When ctx ends first it returns the
// request as it is, still pending, and no error.
func Await(ctx context.Context, s store.State, a Asked) (store.Request, error) {
	first, err := await(ctx, s, a.ID)
	if err != nil || len(a.others) == 0 {
		return first, err
	}
	all := []store.Request{first}
	for _, id := range a.others {
		r, err := await(ctx, s, id)
		if err != nil {
			return first, err
		}
		all = append(all, r)
	}
	return together(all), nil
}

// together is the first request with the answers of all: pending while one is, refused if one is.
func together(all []store.Request) store.Request {
	r := all[0]
	var answers []string             // each once, in order of the partitions
	partitions := map[string][]int{} // that gave each of them
	for i := range all {
		if all[i].State == store.Pending {
			return all[i]
		}
		if all[i].State == store.Refused {
			r.State = store.Refused
		}
		if partitions[all[i].Answer] == nil {
			answers = append(answers, all[i].Answer)
		}
		partitions[all[i].Answer] = append(partitions[all[i].Answer], all[i].Partition)
	}
	for i, answer := range answers {
		if in := partitions[answer]; len(in) == 1 {
			answers[i] += fmt.Sprintf(" (partition %d)", in[0])
		} else {
			answers[i] += fmt.Sprintf(" (%d partitions)", len(in))
		}
	}
	r.Answer = strings.Join(answers, "; ")
	return r
}

func await(ctx context.Context, s store.State, id int64) (store.Request, error) {
	for {
		r, err := s.Request(context.WithoutCancel(ctx), id)
		if err != nil {
			return r, fmt.Errorf("look for the answer: %w", err)
		}
		if r.State != store.Pending {
			return r, nil
		}
		look := awaitLook
		if r.DataSize > 64<<10 {
			look *= 10 // each look reads it
		}
		if !sleep(ctx, look) {
			return r, nil
		}
	}
}

// Ask is the package's Ask on the host's own store. Its plugins' requests are looked at without delay.
func (h *Host) Ask(ctx context.Context, r store.Request) (Asked, error) {
	a, err := Ask(ctx, h.reads, r)
	if err != nil {
		return a, err
	}
	signal(h.asked)
	h.rang()
	return a, nil
}

// requestLook is how often a host looks for requests that it has not heard the bell of.
const requestLook = 2 * time.Second

// watchRequests forwards what people ask for to this host's plugins until ctx ends: one look for all of them.
// A request is forwarded again and again until it is answered.
func (h *Host) watchRequests(ctx context.Context) {
	ticker := time.NewTicker(requestLook)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-h.asked:
		}
		look, cancel := h.soon(ctx)
		pending, err := h.store.PendingRequests(look)
		cancel()
		if err != nil {
			continue // whoever needs the store says so
		}
		for _, r := range pending {
			if r.Action == store.AskReload {
				h.reloadFor(ctx, r)
				continue
			}
			p := h.find(r.Plugin)
			if p == nil {
				continue
			}
			if r.Action == store.AskRollback {
				h.gatherAll(p.conf.Name)
			}
			if !h.aboutGenerations(ctx, p, r) {
				p.do(r)
			}
		}
	}
}

// do hands a request to the plugin's runner. One that does not own the plugin leaves it to the owner.
func (p *hosted) do(r store.Request) {
	switch r.Action {
	case store.AskRetry, store.AskSkip, store.AskEdit, store.AskPause, store.AskResume:
	default:
		return
	}
	u := p.part(&r)
	p.mu.Lock()
	defer p.mu.Unlock()
	if u != nil && u.runner != nil {
		u.runner.Do(r)
	}
}
