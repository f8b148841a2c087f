package torture

import (
	"context"
	"errors"
	"fmt"
	"time"

	"eshost/host/store"
)

// settle waits until the hosts have done all there is to do. It reports a plugin that does not get there.
func (w *world) settle(ctx context.Context) error {
	deadline := time.Now().Add(w.o.patience)
	for {
		err := w.settled(ctx)
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return err
		}
		pause(ctx, 50*time.Millisecond)
	}
}

func (w *world) settled(ctx context.Context) error {
	s := w.store
	head, err := headOf(ctx, s)
	if err != nil {
		return err
	}
	pending, err := s.PendingRequests(ctx)
	if err != nil {
		return err
	}
	if len(pending) > 0 {
		return fmt.Errorf("request %d, %s of %s, is still pending", pending[0].ID, pending[0].Action, pending[0].Plugin)
	}
	others, err := s.NotLive(ctx)
	if err != nil {
		return err
	}
	for _, g := range others {
		if g.State == store.Building {
			return fmt.Errorf("generation %d of %s is still being built, at %d of %d: %s %s", g.Number, g.Plugin, g.Position, head, g.Condition.State, g.Condition.Reason)
		}
	}
	all, err := s.Plugins(ctx)
	if err != nil {
		return err
	}
	if len(all) < len(w.plugins()) {
		return fmt.Errorf("only %d plugins have started", len(all))
	}
	for _, p := range all {
		if p.Position < head || p.Retrying > 0 {
			return fmt.Errorf("%s is at %d of %d, retries %d sequences, is %s: %s; its owner is %v", p.Plugin, p.Position, head, p.Retrying, p.Condition.State, p.Condition.Reason, p.Owner)
		}
	}
	for _, p := range w.plugins() {
		if !p.inRedis {
			continue
		}
		if err := w.settledInRedis(ctx, p.name, head); err != nil {
			return err
		}
	}
	for _, n := range w.nodes {
		if err := n.usesRedis(ctx); err != nil {
			return err
		}
	}
	// What a plugin has just emitted is behind nobody's back.
	if again, err := headOf(ctx, s); err != nil || again != head {
		return errors.Join(err, fmt.Errorf("the log grows: %d, now %d", head, again))
	}
	return nil
}
