package host

import (
	"context"
	"time"
)

// keepLease renews the host's registration until ctx ends. Nothing else may keep it waiting.
func (h *Host) keepLease(ctx context.Context) {
	ttl := h.conf.Host.LeaseTTL
	ticker := time.NewTicker(ttl / 4)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		renew, cancel := context.WithTimeout(ctx, ttl/2)
		err := h.store.RegisterHost(renew, h.self, ttl)
		cancel()
		if err != nil && ctx.Err() == nil {
			h.log.Warn("cannot renew the lease; another host may take over until it can be renewed", "error", err)
		}
	}
}

// watchLeases looks for plugins that have become free, until ctx ends: one look for all of them, and
// none while this host has what it wants. A restart after a crash need not wait for the expiry.
func (h *Host) watchLeases(ctx context.Context) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if !h.anyWaiting() {
			continue
		}
		h.removeDead(ctx)
		plugins, err := h.store.Plugins(ctx)
		if err != nil {
			continue // whoever needs the store says so
		}
		free := make(map[string]bool)
		for _, p := range plugins {
			free[p.Plugin] = p.Owner == nil || !p.Owner.Live
		}
		for _, p := range h.list() {
			if free[p.conf.Name] {
				p.wake()
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
	for _, p := range h.list() {
		if p.waiting() {
			return true
		}
	}
	return false
}
