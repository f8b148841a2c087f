package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"eshost/host"
	"eshost/host/store"
)

// settle polls a new tail until everything that had been handed out when it began is final, or until
// patience is at an end: writers come and go, but one that stays open holds the watermark back. The
// caller closes the tail.
func settle(ctx context.Context, s store.Store, patience time.Duration) (store.Tail, store.TailState, error) {
	floor, err := host.Floor(ctx, s)
	if err != nil {
		return nil, store.TailState{}, err
	}
	tail := s.Tail(floor)
	first, err := poll(ctx, tail)
	state := first
	deadline := time.Now().Add(patience)
	for err == nil && state.Watermark < first.Head && time.Now().Before(deadline) {
		if err = pause(ctx, 10*time.Millisecond); err == nil {
			state, err = poll(ctx, tail)
		}
	}
	if err != nil {
		tail.Close()
		return nil, state, err
	}
	return tail, state, nil
}

// poll looks at the log's end; events are read with Read.
func poll(ctx context.Context, tail store.Tail) (store.TailState, error) {
	state, err := tail.Poll(ctx, 1)
	if errors.Is(err, store.ErrLogWentBack) {
		return state, failed(host.WentBackHint, "read the end of the log: %w", err)
	}
	if err != nil {
		return state, fmt.Errorf("read the end of the log: %w", err)
	}
	return state, nil
}

// pause waits, or fails when ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
