package delivery

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"eshost/host/event"
	"eshost/host/store"
)

// fakePlugin is what a plugin's partitions share.
type fakePlugin struct {
	mu     sync.Mutex
	docs   map[string]event.DocumentWrite
	edits  map[event.Position]store.Replacement
	paused *store.Pause
}

// fakeStore keeps the contracts of store.State in memory for one partition of a generation, and is strict about
// what it is asked to do: what no correct caller would ask is an error of the test.
type fakeStore struct {
	*fakePlugin
	t     testing.TB
	fault func(call string) fault // nil: nothing fails

	generation, root int64 // 0: nobody looks which it is asked for
	partition        int

	log       *fakeLog
	position  event.Position
	epoch     int64
	owner     string // "" when released
	expired   bool   // the owner has not renewed: anybody may take over
	dead      map[string]bool
	queues    map[string][]event.Position
	sequences map[string]store.Sequence
	condition store.Condition
	remarks   bool                           // are made, so that one that runs may have a reason
	forbids   func(event.DocumentWrite) bool // as a constraint of the database would
	names     bool                           // and says which event's document it was
	requests  []store.Request

	hosts      map[int64]string // by epoch
	applied    []applied
	committing map[int64]int // by epoch
	calls      map[string]int
	late       sync.WaitGroup // commits that land after their caller was told that they failed
}

// applied is a commit that took effect.
type applied struct {
	store.Commit
	host  string
	began time.Time
}

// fault is what goes wrong with one call.
type fault struct {
	before time.Duration // how long it takes until it takes effect
	after  time.Duration // and until it answers
	kind   faultKind
}

type faultKind int

const (
	noFault      faultKind = iota
	failsBefore            // an error, and nothing happened
	failsAfter             // an error, but it happened
	landsLate              // an error, and it happens some time later
	leaseExpires           // it works, and the lease is free for others now
)

var errFake = errors.New("the database is away")

func newFakeStore(t testing.TB, log *fakeLog) *fakeStore {
	return newFakePartition(t, log, &fakePlugin{docs: make(map[string]event.DocumentWrite), edits: make(map[event.Position]store.Replacement)})
}

// newFakePartitions returns what n partitions of one plugin are stored in.
func newFakePartitions(t testing.TB, log *fakeLog, n int) []*fakeStore {
	plugin := newFakeStore(t, log).fakePlugin
	all := make([]*fakeStore, n)
	for i := range all {
		all[i] = newFakePartition(t, log, plugin)
		all[i].root, all[i].generation, all[i].partition = firstGeneration, firstGeneration+int64(i), i
	}
	return all
}

const firstGeneration = 1 // of partition 0, the root

func newFakePartition(t testing.TB, log *fakeLog, plugin *fakePlugin) *fakeStore {
	return &fakeStore{
		fakePlugin: plugin,
		t:          t,
		log:        log,
		dead:       make(map[string]bool),
		queues:     make(map[string][]event.Position),
		sequences:  make(map[string]store.Sequence),
		hosts:      make(map[int64]string),
		committing: make(map[int64]int),
		calls:      make(map[string]int),
	}
}

// call runs one statement: with its delays, its fault, and never under a context that has ended.
func (s *fakeStore) call(ctx context.Context, name string, do func() error) error {
	var f fault
	s.mu.Lock()
	s.calls[name]++
	if s.fault != nil {
		f = s.fault(name)
	}
	s.mu.Unlock()
	if !pause(ctx, f.before) {
		return ctx.Err()
	}
	switch f.kind {
	case failsBefore:
		return errFake
	case landsLate:
		s.late.Go(func() {
			time.Sleep(f.after)
			s.mu.Lock()
			defer s.mu.Unlock()
			_ = do() // nobody is there to hear of it
		})
		return errFake
	}
	s.mu.Lock()
	err := do()
	if f.kind == leaseExpires {
		s.expired = true
	}
	s.mu.Unlock()
	if !pause(ctx, f.after) && err == nil {
		return ctx.Err() // it happened all the same
	}
	if f.kind == failsAfter && err == nil {
		err = errFake
	}
	return err
}

func pause(ctx context.Context, d time.Duration) bool {
	if d > 0 {
		sleep(ctx, d)
	}
	return ctx.Err() == nil
}

func (s *fakeStore) Acquire(ctx context.Context, generation int64, hostID string) (l store.Lease, err error) {
	s.ofRow(generation)
	s.checkQuiet(hostID)
	err = s.call(ctx, "Acquire", func() error {
		if s.dead[hostID] {
			return errFake
		}
		if s.owner != "" && s.owner != hostID && !s.expired {
			return &store.LeaseHeldError{Owner: store.Host{ID: s.owner, Name: s.owner}, ExpiresIn: time.Second}
		}
		s.epoch++
		s.owner, s.expired = hostID, false
		s.hosts[s.epoch] = hostID
		l = store.Lease{Epoch: s.epoch, Position: s.position}
		return nil
	})
	return l, err
}

func (s *fakeStore) Release(ctx context.Context, generation, epoch int64) error {
	s.ofRow(generation)
	return s.call(ctx, "Release", func() error {
		if epoch != s.epoch {
			return store.ErrLeaseLost
		}
		s.owner = ""
		return nil
	})
}

func (s *fakeStore) SetCondition(ctx context.Context, generation, epoch int64, c store.Condition) error {
	s.ofRow(generation)
	return s.call(ctx, "SetCondition", func() error {
		if epoch != s.epoch || s.dead[s.owner] {
			return store.ErrLeaseLost
		}
		if !s.remarks && (c.State == store.Running) != (c.Reason == "") {
			s.t.Errorf("condition %+v: a reason belongs to a plugin that stands still", c)
		}
		s.condition = c
		return nil
	})
}

func (s *fakeStore) Documents(ctx context.Context, generation int64, keys []store.DocumentKey) (docs []event.Document, err error) {
	s.ofRoot(generation)
	err = s.call(ctx, "Documents", func() error {
		seen := make(map[store.DocumentKey]bool)
		for _, k := range keys {
			if seen[k] {
				s.t.Errorf("document %v is asked for twice in one read", k)
			}
			seen[k] = true
			if d, ok := s.docs[k.Collection+"\x00"+k.Key]; ok {
				docs = append(docs, event.Document{Collection: k.Collection, Key: k.Key, Data: slices.Clone(d.Data)})
			}
		}
		return nil
	})
	return docs, err
}

func (s *fakeStore) Scan(ctx context.Context, generation int64, o store.ScanOptions) (docs []event.Document, err error) {
	s.ofRoot(generation)
	err = s.call(ctx, "Scan", func() error {
		if o.Limit < 1 {
			s.t.Errorf("scan with limit %d", o.Limit)
		}
		for _, d := range s.docs {
			if d.Collection == o.Collection && strings.HasPrefix(d.Key, o.Prefix) && d.Key > o.After {
				docs = append(docs, event.Document{Collection: d.Collection, Key: d.Key, Data: slices.Clone(d.Data)})
			}
		}
		slices.SortFunc(docs, func(a, b event.Document) int { return strings.Compare(a.Key, b.Key) })
		docs = docs[:min(len(docs), o.Limit)]
		return nil
	})
	return docs, err
}

func (s *fakeStore) Collections(ctx context.Context, generation int64) (names []string, err error) {
	s.ofRoot(generation)
	err = s.call(ctx, "Collections", func() error {
		for _, d := range s.docs {
			if !slices.Contains(names, d.Collection) {
				names = append(names, d.Collection)
			}
		}
		return nil
	})
	return names, err
}

func (s *fakeStore) Sequences(ctx context.Context, generation int64) (out []store.Sequence, err error) {
	s.ofRow(generation)
	err = s.call(ctx, "Sequences", func() error {
		for key, q := range s.sequences {
			q.Waiting = len(s.queues[key])
			out = append(out, q)
		}
		slices.SortFunc(out, func(a, b store.Sequence) int { return int(a.Position - b.Position) })
		return nil
	})
	return out, err
}

func (s *fakeStore) Queued(ctx context.Context, generation int64, key string, limit int) (events []event.Event, err error) {
	s.ofRow(generation)
	err = s.call(ctx, "Queued", func() error {
		if limit < 1 {
			s.t.Errorf("queued with limit %d", limit)
		}
		for _, p := range s.queues[key][:min(limit, len(s.queues[key]))] {
			events = append(events, *s.log.at(p))
		}
		return nil
	})
	return events, err
}

func (s *fakeStore) Request(ctx context.Context, id int64) (r store.Request, err error) {
	err = s.call(ctx, "Request", func() error { r = s.requests[id-1]; return nil })
	return r, err
}

func (s *fakeStore) Replacements(ctx context.Context, plugin string) (list []store.Replacement, err error) {
	err = s.call(ctx, "Replacements", func() error {
		for _, r := range s.edits {
			r.Data = nil
			list = append(list, r)
		}
		return nil
	})
	return list, err
}

func (s *fakeStore) Replacement(ctx context.Context, plugin string, p event.Position) (r store.Replacement, err error) {
	err = s.call(ctx, "Replacement", func() error {
		var ok bool
		if r, ok = s.edits[p]; !ok {
			s.t.Errorf("nobody has replaced event %d", p)
		}
		return nil
	})
	return r, err
}

func (s *fakeStore) Paused(ctx context.Context, plugin string) (p *store.Pause, err error) {
	err = s.call(ctx, "Paused", func() error { p = s.paused; return nil })
	return p, err
}

// ask keeps a request, which a host sees at its next look.
func (s *fakeStore) ask(r store.Request) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.ID, r.Plugin, r.Partition, r.State, r.DataSize = int64(len(s.requests)+1), "p", s.partition, store.Pending, len(r.Data)
	s.requests = append(s.requests, r)
	return r.ID
}

func (s *fakeStore) pausedBy() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.paused == nil {
		return ""
	}
	return s.paused.Who
}

// pending is what a host reads every second.
func (s *fakeStore) pending() (list []store.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.requests {
		if r.State == store.Pending {
			r.Data = nil
			list = append(list, r)
		}
	}
	return list
}

// answered reports whether nothing is pending. The caller has the lock.
func (s *fakeStore) answered() bool {
	return !slices.ContainsFunc(s.requests, func(r store.Request) bool { return r.State == store.Pending })
}

// Commit applies everything or nothing.
func (s *fakeStore) Commit(ctx context.Context, c store.Commit) error {
	began := time.Now()
	s.ofRow(c.Generation)
	s.ofRoot(c.Root)
	s.mu.Lock()
	if c.Owner != s.hosts[c.Epoch] {
		s.t.Errorf("%q commits under epoch %d of %q", c.Owner, c.Epoch, s.hosts[c.Epoch])
	}
	if s.committing[c.Epoch]++; s.committing[c.Epoch] > 1 {
		s.t.Errorf("two commits at once under epoch %d", c.Epoch)
	}
	s.mu.Unlock()
	defer func() { s.mu.Lock(); s.committing[c.Epoch]--; s.mu.Unlock() }()
	return s.call(ctx, "Commit", func() error {
		switch {
		case s.dead[s.hosts[c.Epoch]]:
			return errFake
		case c.Epoch != s.epoch:
			return store.ErrLeaseLost
		case c.Expected != s.position:
			return store.ErrCheckpointMoved
		}
		if err := s.log.refuses(c.Emitted); err != nil {
			return err
		}
		for _, d := range c.Documents {
			if s.forbids != nil && s.forbids(d) {
				return s.refuse(d)
			}
		}
		for _, a := range c.Answers {
			if s.requests[a.Request-1].State != store.Pending {
				return store.ErrAnswered
			}
		}
		if err := s.check(c); err != nil {
			s.t.Errorf("commit %d to %d: %v", c.Expected, c.Position, err)
			return err
		}
		s.apply(c)
		s.applied = append(s.applied, applied{Commit: c, host: s.hosts[c.Epoch], began: began})
		return nil
	})
}

func (s *fakeStore) refuse(d event.DocumentWrite) error {
	err := error(&store.InvalidError{Field: "data", Reason: "is forbidden"})
	if s.names {
		err = &store.RefusedError{Position: d.Position, Err: err}
	}
	return err
}

func (s *fakeStore) apply(c store.Commit) {
	s.position = c.Position
	for _, d := range c.Documents {
		if id := d.Collection + "\x00" + d.Key; d.Data == nil {
			delete(s.docs, id)
		} else {
			s.docs[id] = d
		}
	}
	s.log.emit(c.Emitted)
	for _, q := range c.Queue {
		s.queues[q.Key] = append(s.queues[q.Key], q.Position)
		slices.Sort(s.queues[q.Key])
	}
	for _, q := range c.Dequeue {
		s.queues[q.Key] = slices.DeleteFunc(s.queues[q.Key], func(p event.Position) bool { return p == q.Position })
	}
	for _, q := range c.Sequences {
		if q.State == "" {
			delete(s.sequences, q.Key)
			continue
		}
		// A database keeps microseconds.
		q.NextAttempt, q.Since = q.NextAttempt.Truncate(time.Microsecond), q.Since.Truncate(time.Microsecond)
		s.sequences[q.Key] = q
	}
	for _, a := range c.Answers {
		s.requests[a.Request-1].State, s.requests[a.Request-1].Answer = a.State, a.Text
	}
	for _, r := range c.Replacements {
		s.edits[r.Position] = r
	}
	if c.Pause != nil {
		s.paused = c.Pause
		if s.paused.Who == "" {
			s.paused = nil
		}
	}
	s.checkSequences()
}
