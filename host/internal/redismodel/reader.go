package redismodel

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"eshost/host/event"
	"eshost/host/store"
)

// Reader reads one plugin's read model in Redis, under no lease. Its methods have the contracts of store.State's of the same
// names; which generation they are asked for does not matter, since Redis has one. They fail with store.ErrNotBuilt
// where what is not there may exist: with ErrGone where there is no read model, ErrDamaged where a part of it is missing, ErrForeign
// where it is another database's and, for documents, ErrRebuilding until it is ready.
type Reader struct {
	server   server
	keys     keys
	database string
	log      Log
}

// NewReader returns a Reader of a plugin. Of the options it needs Plugin, Database, Prefix and Timeout.
func NewReader(client redis.UniversalClient, log Log, o Options) Reader {
	o = o.withDefaults()
	return Reader{server: server{client, o.Timeout}, keys: keysOf(o.Prefix, o.Plugin), database: o.Database, log: log}
}

// Look returns how far the read model is. One that is not there, or not whole, is Missing or Broken, which is no error.
func (r *Reader) Look(ctx context.Context) (Progress, error) {
	m, err := r.inspect(ctx)
	switch {
	case errors.Is(err, ErrGone):
		return Progress{State: Missing}, nil
	case errors.Is(err, ErrDamaged):
		p := m.progress()
		p.State = Broken
		return p, nil
	case err != nil:
		return Progress{}, err
	}
	return m.progress(), nil
}

// Documents returns those of the named documents that exist, all as of one moment.
func (r *Reader) Documents(ctx context.Context, _ int64, names []store.DocumentKey) ([]event.Document, error) {
	docs, err := r.documents(ctx, tenure{}, names)
	return docs, notBuilt(err)
}

// Scan returns documents of one collection in byte order of their keys.
func (r *Reader) Scan(ctx context.Context, _ int64, o store.ScanOptions) ([]event.Document, error) {
	docs, err := r.scan(ctx, tenure{}, o)
	return docs, notBuilt(err)
}

// Collections lists the collections that have documents.
func (r *Reader) Collections(ctx context.Context, _ int64) ([]string, error) {
	names, err := r.collections(ctx, tenure{})
	return names, notBuilt(err)
}

// Sequences returns every failing or parked sequence, in order of Position.
func (r *Reader) Sequences(ctx context.Context, _ int64) ([]store.Sequence, error) {
	all, err := r.sequences(ctx, tenure{})
	return all, notBuilt(err)
}

// Queued returns the first events that wait in a sequence.
func (r *Reader) Queued(ctx context.Context, _ int64, key string, limit int) ([]event.Event, error) {
	events, err := r.queued(ctx, tenure{}, key, limit)
	return events, notBuilt(err)
}

// FindSequence returns one sequence, or store.ErrNotFound.
func (r *Reader) FindSequence(ctx context.Context, generation int64, key string) (store.Sequence, error) {
	all, err := r.Sequences(ctx, generation)
	if err != nil {
		return store.Sequence{}, err
	}
	i := slices.IndexFunc(all, func(q store.Sequence) bool { return q.Key == key })
	if i < 0 {
		return store.Sequence{}, fmt.Errorf("sequence %q: %w", key, store.ErrNotFound)
	}
	return all[i], nil
}

// SequenceWith returns the sequence in which an event waits, or store.ErrNotFound.
func (r *Reader) SequenceWith(ctx context.Context, generation int64, p event.Position) (store.Sequence, error) {
	want := member(store.QueuedEvent{Position: p})
	for cursor := uint64(0); ; {
		call, cancel := r.server.bound(ctx)
		page, next, err := r.server.client.ZScan(call, r.keys.waiting(), cursor, "*"+want[1:], 1000).Result()
		err = explain(call, err)
		cancel()
		if err != nil {
			return store.Sequence{}, err
		}
		for i := 0; i+1 < len(page); i += 2 { // members and scores
			if q, err := splitMember(page[i]); err == nil && q.Position == p {
				return r.FindSequence(ctx, generation, q.Key)
			}
		}
		if cursor = next; cursor == 0 {
			return store.Sequence{}, fmt.Errorf("event %d: %w", p, store.ErrNotFound)
		}
	}
}

// ListSequences returns some sequences, in order of Position, without their stacks.
func (r *Reader) ListSequences(ctx context.Context, generation int64, o store.SequenceOptions) ([]store.Sequence, error) {
	all, err := r.Sequences(ctx, generation)
	if err != nil {
		return nil, err
	}
	var list []store.Sequence
	for _, q := range all {
		if q.Position > o.After && (o.State == "" || o.State == q.State) && len(list) < o.Limit {
			q.Stack = ""
			list = append(list, q)
		}
	}
	return list, nil
}

// span is which module made the positions after one.
type span struct {
	Digest string    `json:"digest"`
	Since  time.Time `json:"since"`
}

// Spans returns which module made which positions, in order.
func (r *Reader) Spans(ctx context.Context, _ int64) ([]store.ModuleSpan, error) {
	var head *redis.SliceCmd
	var modules *redis.MapStringStringCmd
	err := r.server.together(ctx, func(p redis.Pipeliner) {
		head, modules = p.HMGet(ctx, r.keys.meta(), "position", "database"), p.HGetAll(ctx, r.keys.modules())
	})
	if err != nil {
		return nil, err
	}
	switch database := text(head.Val(), 1); {
	case text(head.Val(), 0) == "":
		return nil, ErrGone
	case database != r.database:
		return nil, r.foreign(database)
	}
	var spans []store.ModuleSpan
	for from, encoded := range modules.Val() {
		var s span
		if err := json.Unmarshal([]byte(encoded), &s); err != nil {
			return nil, fmt.Errorf("%w: the record of modules: %w", ErrDamaged, err)
		}
		spans = append(spans, store.ModuleSpan{Digest: s.Digest, From: event.Position(number(from)), Since: s.Since})
	}
	sort.Slice(spans, func(i, j int) bool { return spans[i].From < spans[j].From })
	to := event.Position(number(text(head.Val(), 0)))
	for i := len(spans) - 1; i >= 0; i-- {
		spans[i].To, to = to, spans[i].From
	}
	return spans, nil
}

// tenure is whose read model is read. The zero tenure is anybody's.
type tenure struct {
	session string
	epoch   int64
}

// mayRead is what the scripts that read look at first, for who runs none: session, state, position, head and database.
func (r *Reader) mayRead(t tenure, head []any) error {
	state := ReadState(text(head, 1))
	switch {
	case text(head, 0) == "":
		return ErrGone
	case text(head, 4) != r.database:
		return r.foreign(text(head, 4))
	case t.session != "" && text(head, 0) != t.session:
		return errTaken
	case state != Ready && state != Rebuilding:
		return fmt.Errorf("%w: a commit was left half applied", ErrDamaged)
	case t.session == "" && state == Rebuilding:
		return r.verdict([]any{"rebuilding", head[2], head[3]}, 0)
	}
	return nil
}

// ask runs a script that reads, and returns what follows the first word.
func (r *Reader) ask(ctx context.Context, t tenure, script *redis.Script, keys []string, args ...any) ([]any, error) {
	answer, err := r.server.run(ctx, script, append([]string{r.keys.meta()}, keys...), append([]any{t.session, r.database}, args...))
	if err == nil {
		err = r.verdict(answer, t.epoch)
	}
	if err != nil {
		return nil, err
	}
	return answer[1:], nil
}

func (r *Reader) documents(ctx context.Context, t tenure, names []store.DocumentKey) ([]event.Document, error) {
	if len(names) == 0 {
		return nil, nil
	}
	sorted := slices.Clone(names)
	slices.SortFunc(sorted, func(a, b store.DocumentKey) int { return strings.Compare(a.Collection, b.Collection) })
	keys, args := []string{r.keys.collections()}, []any{}
	for i := 0; i < len(sorted); {
		collection, from := sorted[i].Collection, i
		for i < len(sorted) && sorted[i].Collection == collection {
			i++
		}
		keys = append(keys, r.keys.documents(collection))
		args = append(args, collection, i-from)
		for _, name := range sorted[from:i] {
			args = append(args, name.Key)
		}
	}
	values, err := r.ask(ctx, t, documentsScript, keys, args...)
	if err != nil {
		return nil, fmt.Errorf("read %d documents: %w", len(names), err)
	}
	if len(values) != len(sorted) {
		return nil, fmt.Errorf("read %d documents: got %d answers", len(sorted), len(values))
	}
	docs := make([]event.Document, 0, len(sorted))
	for i, v := range values {
		if data, ok := v.(string); ok {
			docs = append(docs, event.Document{Collection: sorted[i].Collection, Key: sorted[i].Key, Data: []byte(data)})
		}
	}
	return docs, nil
}

func (r *Reader) scan(ctx context.Context, t tenure, o store.ScanOptions) ([]event.Document, error) {
	first, last := lexRange(o.Prefix, o.After)
	keys := []string{r.keys.collections(), r.keys.documents(o.Collection), r.keys.index(o.Collection)}
	found, err := r.ask(ctx, t, scanScript, keys, o.Collection, first, last, o.Limit)
	if err != nil {
		return nil, fmt.Errorf("scan collection %q: %w", o.Collection, err)
	}
	docs := make([]event.Document, 0, len(found)/2)
	for i := 0; i+1 < len(found); i += 2 {
		docs = append(docs, event.Document{Collection: o.Collection, Key: text(found, i), Data: []byte(text(found, i+1))})
	}
	return docs, nil
}

func (r *Reader) collections(ctx context.Context, t tenure) ([]string, error) {
	var head *redis.SliceCmd
	var counts *redis.MapStringStringCmd
	err := r.server.together(ctx, func(p redis.Pipeliner) {
		head, counts = p.HMGet(ctx, r.keys.meta(), "session", "state", "position", "head", "database"), p.HGetAll(ctx, r.keys.collections())
	})
	if err == nil {
		err = r.mayRead(t, head.Val())
	}
	if err != nil {
		return nil, fmt.Errorf("list collections: %w", err)
	}
	names := make([]string, 0, len(counts.Val()))
	for name := range counts.Val() {
		names = append(names, name)
	}
	slices.Sort(names)
	return names, nil
}
