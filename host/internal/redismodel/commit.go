package redismodel

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"eshost/host/event"
	"eshost/host/store"
)

// Commit applies a batch's outcome to the read model in one script, or nothing of it. It fails with store.ErrLeaseLost if
// Redis has seen a later epoch, with store.ErrCheckpointMoved if the checkpoint is not at Expected, with ErrGone or
// ErrDamaged if Redis has lost the read model or a part of it, and with store.ErrAnswered. After any other error it may
// have been applied: Acquire again, which settles it.
//
// What people ask for is partly the database's. Replaced data is written there before the script and answers after it, so
// that whatever ends in between leaves a request that is still pending, or one that the next session answers as the script
// has recorded it.
//
// Invariant 2: documents, sequences, checkpoint and the module's digest change together, under the session.
func (m *Model) Commit(ctx context.Context, c store.Commit) error {
	if err := m.mayCommit(ctx, &c); err != nil {
		return fmt.Errorf("commit to Redis: %w", err)
	}
	if len(c.Replacements) > 0 {
		if err := m.State.Commit(ctx, m.beside(&c, store.Commit{Replacements: c.Replacements})); err != nil {
			return fmt.Errorf("keep the data that replaces an event's: %w", err)
		}
	}
	if changes(&c) {
		if err := m.apply(ctx, &c); err != nil {
			return fmt.Errorf("commit to Redis: %w", err)
		}
	}
	if c.Pause != nil || len(c.Answers) > 0 {
		if err := m.State.Commit(ctx, m.beside(&c, store.Commit{Pause: c.Pause, Answers: c.Answers})); err != nil {
			return fmt.Errorf("answer a request: %w", err)
		}
		for _, a := range c.Answers {
			if changes(&c) {
				m.forgetAnswer(ctx, strconv.FormatInt(a.Request, 10))
			}
		}
	}
	return m.tell(ctx, &c)
}

// mayCommit refuses what cannot be done, before anything is.
func (m *Model) mayCommit(ctx context.Context, c *store.Commit) error {
	m.mu.Lock()
	lost, epoch := m.lost, m.epoch
	m.mu.Unlock()
	switch {
	case len(c.Emitted) > 0:
		return errors.New("a plugin whose read model is in Redis cannot emit events: they would not be appended in one transaction with it")
	case lost || c.Epoch != epoch:
		return store.ErrLeaseLost
	}
	for _, a := range c.Answers {
		r, err := m.Request(ctx, a.Request)
		if err != nil {
			return fmt.Errorf("look for request %d: %w", a.Request, err)
		}
		if r.State != store.Pending {
			return store.ErrAnswered
		}
	}
	return nil
}

// beside is a part of a commit that the database keeps, at the checkpoint that it has on record.
func (m *Model) beside(c *store.Commit, part store.Commit) store.Commit {
	m.mu.Lock()
	defer m.mu.Unlock()
	part.Generation, part.Root, part.Owner, part.Epoch = c.Generation, c.Root, c.Owner, c.Epoch
	part.Expected, part.Position = m.noted, m.noted
	return part
}

// changes reports whether there is anything in a commit for Redis.
func changes(c *store.Commit) bool {
	return c.Position != c.Expected || len(c.Documents)+len(c.Queue)+len(c.Dequeue)+len(c.Sequences) > 0
}

// apply runs the script.
func (m *Model) apply(ctx context.Context, c *store.Commit) error {
	keys, args, err := m.script(c)
	if err != nil {
		return err
	}
	answer, err := m.server.run(ctx, commitScript, keys, args)
	if err == nil {
		err = m.verdict(answer, c.Epoch)
	}
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.serial++
	m.progress.State, m.progress.Position, m.progress.Updated = ReadState(text(answer, 1)), c.Position, time.Now()
	return nil
}

// script is what commit.lua takes.
func (m *Model) script(c *store.Commit) (keys []string, args []any, err error) {
	tie := ""
	if c.Position != c.Expected {
		if a := m.anchorAt(c.Position); a != nil {
			tie = a.String()
		}
	}
	m.mu.Lock()
	session, serial := m.session, m.serial
	m.mu.Unlock()
	now := time.Now()
	since, err := json.Marshal(span{Digest: c.Digest, Since: now})
	if err != nil {
		return nil, nil, fmt.Errorf("encode the module's digest: %w", err)
	}
	k := m.keys
	keys = []string{k.meta(), k.collections(), k.sequences(), k.waiting(), k.answers(), k.modules()}
	args = []any{session, c.Epoch, serial, int64(c.Expected), int64(c.Position), c.Digest, since, tie, stamp(now), m.o.Database}
	byCollection := make(map[string][]event.DocumentWrite)
	for _, w := range c.Documents {
		byCollection[w.Collection] = append(byCollection[w.Collection], w)
	}
	args = append(args, len(byCollection))
	for _, name := range slices.Sorted(maps.Keys(byCollection)) {
		keys = append(keys, k.documents(name), k.index(name))
		args = appendWrites(args, name, byCollection[name])
	}
	args = appendQueue(args, c.Queue)
	args = appendQueue(args, c.Dequeue)
	if args, err = appendSequences(args, c.Sequences); err != nil {
		return nil, nil, err
	}
	args, err = m.appendAnswers(args, c.Answers)
	return keys, args, err
}

// appendWrites adds a collection's writes and deletions, in order of their keys: neighbours are added to the index faster.
func appendWrites(args []any, name string, writes []event.DocumentWrite) []any {
	slices.SortFunc(writes, func(a, b event.DocumentWrite) int { return cmp.Compare(a.Key, b.Key) })
	var deleted []any
	at := len(args) + 1
	args = append(args, name, 0, 0)
	for i := range writes {
		w := &writes[i]
		if w.Data == nil {
			deleted = append(deleted, w.Key)
			continue
		}
		args = append(args, w.Key, w.Data)
	}
	args[at], args[at+1] = len(writes)-len(deleted), len(deleted)
	return append(args, deleted...)
}

func appendQueue(args []any, events []store.QueuedEvent) []any {
	args = append(args, len(events))
	for _, q := range events {
		args = append(args, member(q))
	}
	return args
}

func appendSequences(args []any, sequences []store.Sequence) ([]any, error) {
	var ended []any
	at := len(args)
	args = append(args, 0)
	for i := range sequences {
		q := &sequences[i]
		if q.State == "" {
			ended = append(ended, q.Key)
			continue
		}
		encoded, err := encodeSequence(q)
		if err != nil {
			return nil, err
		}
		args = append(args, q.Key, encoded)
	}
	args[at] = len(sequences) - len(ended)
	return append(append(args, len(ended)), ended...), nil
}

func (m *Model) appendAnswers(args []any, answers []store.Answer) ([]any, error) {
	args = append(args, len(answers))
	for _, a := range answers {
		encoded, err := json.Marshal(answer{State: a.State, Text: a.Text, Database: m.o.Database})
		if err != nil {
			return nil, fmt.Errorf("encode an answer: %w", err)
		}
		args = append(args, strconv.FormatInt(a.Request, 10), encoded)
	}
	return args, nil
}

// answer is a store.Answer as Redis keeps it until the database has it.
type answer struct {
	State    store.RequestState `json:"state"`
	Text     string             `json:"text"`
	Database string             `json:"database"` // whose request it is
}

// errOther is returned for an answer to another database's request.
var errOther = errors.New("the answer is to another database's request")

func decodeAnswer(id, encoded, database string) (store.Answer, error) {
	var a answer
	n, err := strconv.ParseInt(id, 10, 64)
	if err == nil {
		err = json.Unmarshal([]byte(encoded), &a)
	}
	if err == nil && a.State != store.Done && a.State != store.Refused {
		err = fmt.Errorf("state %q", a.State)
	}
	if err != nil {
		return store.Answer{}, fmt.Errorf("%w: answer %q: %w", ErrDamaged, id, err)
	}
	if a.Database != database {
		return store.Answer{}, errOther
	}
	return store.Answer{Request: n, State: a.State, Text: a.Text}, nil
}

// tell has the database know of a commit: status, and whoever waits for a position, look there. What is in Redis stays
// whatever comes of it, and an error only makes the next session begin with that.
func (m *Model) tell(ctx context.Context, c *store.Commit) error {
	m.mu.Lock()
	moved := c.Position != m.noted
	m.mu.Unlock()
	if moved {
		if err := m.note(ctx, c.Generation, c.Position, c.Digest); err != nil {
			return fmt.Errorf("record the checkpoint of a commit that is applied: %w", err)
		}
	}
	m.mu.Lock()
	now := m.progress.Describe()
	due := m.condition == store.Running && now != m.said && (now == "" || time.Since(m.saidAt) > time.Second)
	m.mu.Unlock()
	if !due {
		return nil
	}
	if now == "" {
		m.o.Logger.Info("the read model in Redis is ready", "plugin", m.o.Plugin, "position", c.Position)
	}
	condition := store.Condition{State: store.Running, Since: time.Now()}
	if err := m.SetCondition(ctx, c.Generation, c.Epoch, condition); err != nil {
		return fmt.Errorf("record how far a rebuild is: %w", err)
	}
	return nil
}

// note has the database know the checkpoint.
func (m *Model) note(ctx context.Context, generation int64, p event.Position, digest string) error {
	m.mu.Lock()
	n := store.Note{Generation: generation, Epoch: m.epoch, Owner: m.owner, Position: p, Digest: digest}
	m.mu.Unlock()
	err := m.NotePosition(ctx, n)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err == nil {
		m.noted = p
	}
	m.lost = m.lost || errors.Is(err, store.ErrLeaseLost)
	return err
}
