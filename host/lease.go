package host

import (
	"context"
	"time"
)

// leaseTTL is how long a host that stops renewing keeps its plugins: long enough for a pause of the
// machine or the database, short enough to wait for after a crash.
const leaseTTL = 10 * time.Second

// keepLease renews the host's registration until ctx ends. When a runner waits for a lease it also
// looks for owners whose process is gone, so that a restart after a crash need not wait.
func (h *Host) keepLease(ctx context.Context) {
	ticker := time.NewTicker(leaseTTL / 4)
	defer ticker.Stop()
	check := time.NewTicker(time.Second)
	defer check.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-check.C:
			if h.anyWaiting() {
				h.removeDead(ctx)
			}
		case <-ticker.C:
			if err := h.store.RegisterHost(ctx, h.self, leaseTTL); err != nil && ctx.Err() == nil {
				h.log.Warn("cannot renew the lease; another host may take over until it can be renewed", "error", err)
			}
		}
	}
}

// removeDead removes the registrations of hosts whose process on this machine no longer exists.
// A wrong guess could not corrupt anything, since commits are guarded by the epoch.
func (h *Host) removeDead(ctx context.Context) {
	hosts, err := h.store.Hosts(ctx)
	if err != nil {
		return // whoever needs the store says so
	}
	for _, other := range hosts {
		if other.ID == h.self.ID || !processGone(h.self.Process, other.Process) {
			continue
		}
		if err := h.store.RemoveHost(ctx, other.ID); err == nil {
			h.log.Info("took the leases of a host whose process is gone", "host", other.Name, "host_id", other.ID)
		}
	}
}

func (h *Host) anyWaiting() bool {
	for _, p := range h.plugins {
		if p.waiting() {
			return true
		}
	}
	return false
}
