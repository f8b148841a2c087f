package redismodel

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"eshost/host/event"
	"eshost/host/store"
)

// Model delivers to one plugin's read model in Redis. It is delivery's State: what it does not do itself is the
// database's.
type Model struct {
	State
	Reader
	o Options

	mu        sync.Mutex
	owner     string // the host
	epoch     int64
	session   string
	serial    int64          // commits of the session
	noted     event.Position // the checkpoint as the database has it
	lost      bool           // the database says that another host is the owner
	read      []place        // events fetched and not committed, in order
	progress  Progress
	condition store.ConditionState // as last recorded
	said      string               // what was recorded of the progress
	saidAt    time.Time
	warned    bool // that nobody knows what Redis evicts
}

// New returns a Model of one plugin.
func New(state State, log Log, client redis.UniversalClient, o Options) *Model {
	o = o.withDefaults()
	return &Model{State: state, Reader: NewReader(client, log, o), o: o}
}

// Acquire takes the lease and opens the read model in Redis under its epoch, or begins it anew. The position it returns is
// the one in Redis. Where Redis cannot be reached it returns the lease, which is taken, beside the error.
//
// Invariant 2: the lease is the database's. From here on Redis refuses every commit of an earlier epoch or session.
func (m *Model) Acquire(ctx context.Context, generation int64, hostID string) (store.Lease, error) {
	lease, err := m.State.Acquire(ctx, generation, hostID)
	if err != nil {
		return lease, err
	}
	if err := m.open(ctx, generation, hostID, &lease); err != nil {
		if errors.Is(err, store.ErrLeaseLost) {
			lease = store.Lease{}
		}
		return lease, fmt.Errorf("open the read model in Redis: %w", err)
	}
	return lease, nil
}

func (m *Model) open(ctx context.Context, generation int64, hostID string, lease *store.Lease) error {
	if err := m.checkEviction(ctx); err != nil {
		return err
	}
	if err := m.settleAnswers(ctx, generation, lease.Epoch); err != nil {
		return err
	}
	seen, err := m.inspect(ctx)
	if err != nil && !errors.Is(err, ErrGone) && !errors.Is(err, ErrDamaged) {
		return err
	}
	if err == nil {
		err = m.vouch(ctx, generation, lease, &seen)
	}
	var unusable *unusableError
	switch {
	case err == nil:
		err = m.goOn(ctx, lease.Epoch, &seen)
	case errors.Is(err, ErrGone), errors.Is(err, ErrDamaged), errors.As(err, &unusable):
		seen, err = m.begin(ctx, generation, lease.Epoch, seen, err)
	}
	if err != nil {
		return err
	}
	m.adopt(hostID, lease, &seen)
	// It also finds out, before anything is handled, whether the lease is still this host's.
	if err := m.note(ctx, generation, seen.position, seen.digest); err != nil {
		return err
	}
	lease.Position = seen.position
	return nil
}

// adopt begins the session in memory.
func (m *Model) adopt(hostID string, lease *store.Lease, seen *meta) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.owner = hostID
	m.epoch, m.session, m.serial, m.lost = lease.Epoch, seen.session, 0, false
	m.noted, m.read = lease.Position, nil
	m.progress = seen.progress()
}

func (m *meta) progress() Progress {
	return Progress{State: m.state, Position: m.position, Head: m.head, Documents: m.documents, Updated: m.updated}
}

// Progress is how far the read model is, as far as this host has brought it.
func (m *Model) Progress() Progress {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.progress
}

// checkEviction refuses a server that may drop any key at all when its memory is full.
func (m *Model) checkEviction(ctx context.Context) error {
	policy, known, err := m.server.evicts(ctx, m.keys.meta())
	if err != nil {
		return err
	}
	if policy != "" {
		return fmt.Errorf("its server drops any key when memory is full (maxmemory-policy %s), a part of a read model included: set maxmemory-policy to noeviction, or to one of volatile-*", policy)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !known && !m.warned {
		m.warned = true
		m.o.Logger.Warn("Redis does not say what it drops when its memory is full: its maxmemory-policy must be noeviction or one of volatile-*")
	}
	return nil
}

// goOn opens a session on the read model as it was seen.
func (m *Model) goOn(ctx context.Context, epoch int64, seen *meta) error {
	session := newSession()
	answer, err := m.server.run(ctx, openScript, []string{m.keys.meta()}, []any{seen.session, seen.serial, session, epoch})
	if err == nil {
		err = m.verdict(answer, epoch)
	}
	seen.session, seen.serial, seen.epoch = session, "0", epoch
	return err
}

// begin puts an empty read model in the place of what was seen.
func (m *Model) begin(ctx context.Context, generation, epoch int64, seen meta, why error) (meta, error) {
	_, head, err := m.o.End(ctx)
	if err != nil {
		return meta{}, fmt.Errorf("find the end of the log: %w", err)
	}
	start, err := m.o.Start(ctx)
	if err != nil {
		return meta{}, fmt.Errorf("find where it begins: %w", err)
	}
	there, err := m.server.find(ctx, m.keys.meta(), m.keys.pattern())
	if err != nil {
		return meta{}, err
	}
	fresh := meta{
		format: format, state: Rebuilding, position: start, head: head, epoch: epoch, session: newSession(), serial: "0",
		database: m.o.Database, generation: generation, anchor: anchor{Position: start, Types: m.o.Filter.Types}, updated: time.Now(),
	}
	if fresh.position >= head {
		fresh.state = Ready
	}
	args := append([]any{seen.session, seen.serial}, fresh.fields()...)
	answer, err := m.server.run(ctx, beginScript, append([]string{m.keys.meta()}, there...), args)
	if err == nil {
		err = m.verdict(answer, epoch)
	}
	if err != nil {
		return meta{}, err
	}
	m.o.Logger.Warn("building the read model in Redis anew", "plugin", m.o.Plugin, "from", fresh.position, "to", head, "reason", why)
	m.o.BegunAnew(generation)
	return fresh, nil
}

// Reset gives the read model up under a lease that was just taken: whoever acquires the next one builds it anew. It must be
// called between sessions. It fails with store.ErrLeaseLost, and changes nothing, if Redis has seen a later epoch: a host that
// stood still since must not take what another one has.
func (m *Model) Reset(ctx context.Context, epoch int64) error {
	answer, err := m.server.run(ctx, resetScript, []string{m.keys.meta()}, []any{epoch, m.o.Database})
	if err == nil {
		err = m.verdict(answer, epoch)
	}
	return err
}

// SetCondition is the database's. Invariant 9: a plugin that runs says so if it rebuilds.
func (m *Model) SetCondition(ctx context.Context, generation, epoch int64, c store.Condition) error {
	m.mu.Lock()
	m.condition = c.State
	if c.State == store.Running && c.Reason == "" {
		m.said, m.saidAt = m.progress.Describe(), time.Now()
		c.Reason = m.said
	}
	m.mu.Unlock()
	return m.State.SetCondition(ctx, generation, epoch, c)
}

// Describe says in a few words how far a read model is that is not ready; it is empty for one that is.
func (p Progress) Describe() string {
	switch p.State {
	case Rebuilding:
		return fmt.Sprintf("rebuilding: %s of %s", grouped(int64(p.Position)), grouped(int64(p.Head)))
	case Missing:
		return "not built, or lost by Redis"
	case Broken:
		return "broken: it is built anew when its owner next writes to it"
	}
	return ""
}

// grouped writes 1234567 as 1,234,567.
func grouped(n int64) string {
	digits := strconv.FormatInt(n, 10)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
