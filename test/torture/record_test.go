package torture

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"eshost/host"
	"eshost/host/event"
	"eshost/host/store"
)

// headOf is the end of the log, once all of it is final.
func headOf(ctx context.Context, s store.Store) (event.Position, error) {
	floor, err := host.Floor(ctx, s)
	if err != nil {
		return 0, err
	}
	tail := s.Tail(floor)
	defer tail.Close()
	for range 100 {
		state, err := tail.Poll(ctx, 1)
		if err != nil {
			return 0, err
		}
		if state.Watermark == state.Head {
			return state.Head, nil
		}
		pause(ctx, 20*time.Millisecond)
	}
	return 0, fmt.Errorf("the log's end does not become final")
}

// read reads all that the run has left behind.
func (w *world) read(ctx context.Context) (*record, error) {
	head, err := headOf(ctx, w.store)
	if err != nil {
		return nil, err
	}
	r := &record{fates: w.sent.fates}
	for after := event.Position(0); after < head; {
		b, err := w.store.Read(ctx, store.ReadOptions{After: after, UpTo: head, Limit: 5000})
		if err != nil {
			return nil, fmt.Errorf("read the log: %w", err)
		}
		r.log = append(r.log, b.Events...)
		after = b.UpTo
	}
	for _, spec := range w.plugins() {
		p, err := w.readPlugin(ctx, spec, head)
		if err != nil {
			return nil, fmt.Errorf("read plugin %s: %w", spec.name, err)
		}
		r.plugins = append(r.plugins, p)
	}
	if err := w.readAudit(ctx, r); err != nil {
		return nil, fmt.Errorf("read what the triggers have recorded: %w", err)
	}
	return r, nil
}

func (w *world) readPlugin(ctx context.Context, spec pluginSpec, head event.Position) (pluginRecord, error) {
	p := pluginRecord{pluginSpec: spec, documents: map[string]map[string]document{}, parked: map[string]parked{}, gone: map[event.Position]bool{}}
	g, err := w.store.FindPlugin(ctx, spec.name)
	if err != nil {
		return p, err
	}
	if spec.inRedis {
		err = w.readRedis(ctx, g.ID, &p)
	} else if err = w.readDocuments(ctx, g.ID, &p); err == nil {
		err = w.readSequences(ctx, g.ID, &p)
	}
	if err != nil {
		return p, err
	}
	if !spec.skipped {
		p.replayed, err = w.replay(ctx, spec.name, head)
		return p, err
	}
	requests, err := w.store.RequestLog(ctx, spec.name, store.MaxPending)
	for _, q := range requests {
		if q.Action == store.AskSkip && q.State == store.Done {
			p.gone[q.Position] = true
		}
	}
	return p, err
}

func (w *world) readSequences(ctx context.Context, generation int64, p *pluginRecord) error {
	parts, err := w.store.Partitions(ctx, generation)
	if err != nil {
		return err
	}
	for _, part := range parts {
		sequences, err := w.store.Sequences(ctx, part.ID)
		if err != nil {
			return err
		}
		for _, q := range sequences {
			p.parked[q.Key] = parked{q.Position, q.Waiting}
		}
	}
	return nil
}

func (w *world) readDocuments(ctx context.Context, generation int64, p *pluginRecord) error {
	collections, err := w.store.Collections(ctx, generation)
	if err != nil {
		return err
	}
	positions, err := w.positions(ctx, generation)
	if err != nil {
		return err
	}
	for _, c := range collections {
		p.documents[c] = map[string]document{}
		for o := (store.ScanOptions{Collection: c, Limit: 1000}); ; {
			page, err := w.store.Scan(ctx, generation, o)
			if err != nil {
				return err
			}
			for _, d := range page {
				p.documents[c][d.Key] = document{string(d.Data), positions[c+"/"+d.Key]}
				o.After = d.Key
			}
			if len(page) < o.Limit {
				break
			}
		}
	}
	return nil
}

// replay is what one instance makes of the log, one event at a time, by a binary that is trusted.
func (w *world) replay(ctx context.Context, plugin string, head event.Position) (map[string]map[string]string, error) {
	out, err := w.command(ctx, "project", "--plugin", plugin, "--until", strconv.FormatInt(int64(head), 10), "--json")
	if err != nil {
		return nil, err
	}
	made := map[string]map[string]string{}
	for line := range strings.Lines(out) {
		var d struct {
			Collection, Key string
			Data            json.RawMessage
		}
		if err := json.Unmarshal([]byte(line), &d); err != nil {
			return nil, fmt.Errorf("eshost project printed %.200q: %w", line, err)
		}
		if made[d.Collection] == nil {
			made[d.Collection] = map[string]string{}
		}
		made[d.Collection][d.Key] = string(d.Data)
	}
	return made, nil
}
