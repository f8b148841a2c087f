package host

import (
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"
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

// processIdentity describes this process so that another process on the same machine can tell whether
// it still exists: boot, process-id namespace, id, and start time. Empty where the system does not say.
func processIdentity() string {
	boot, err1 := os.ReadFile("/proc/sys/kernel/random/boot_id")
	space, err2 := os.Readlink("/proc/self/ns/pid")
	started, err3 := processStart(os.Getpid())
	if err1 != nil || err2 != nil || err3 != nil {
		return ""
	}
	return fmt.Sprintf("%s %s %d %s", strings.TrimSpace(string(boot)), space, os.Getpid(), started)
}

// processGone reports whether other, as seen by self, certainly no longer exists.
func processGone(self, other string) bool {
	var boot, space, started, boot2, space2, started2 string
	var pid, pid2 int
	if n, _ := fmt.Sscanf(self, "%s %s %d %s", &boot, &space, &pid, &started); n != 4 {
		return false
	}
	if n, _ := fmt.Sscanf(other, "%s %s %d %s", &boot2, &space2, &pid2, &started2); n != 4 || boot != boot2 || space != space2 {
		return false
	}
	if err := syscall.Kill(pid2, 0); err == syscall.ESRCH {
		return true
	}
	now, err := processStart(pid2)
	return err == nil && now != started2 // the id has been given to another process
}

// processStart returns when a process started, in the kernel's ticks since boot.
func processStart(pid int) (string, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", err
	}
	// The second field is the name in parentheses and may hold anything; the start time is field 22.
	_, rest, _ := strings.Cut(string(stat[max(0, strings.LastIndex(string(stat), ")")):]), " ")
	fields := strings.Fields(rest)
	if len(fields) < 20 {
		return "", fmt.Errorf("unexpected /proc/%d/stat", pid)
	}
	return fields[19], nil
}

func (h *Host) anyWaiting() bool {
	for _, p := range h.plugins {
		if p.waiting() {
			return true
		}
	}
	return false
}
