package host

import (
	"context"
	"time"
)

// sleep waits, and reports whether the time went by before ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// soon bounds what a loop asks of the store: where that does not answer, the loop goes on to its next look, and does not
// hang beside a lease that is renewed again.
func (h *Host) soon(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, h.conf.Host.LeaseTTL/2)
}

// signal wakes whoever waits for a channel of one place, now or next.
func signal(ch chan<- struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
