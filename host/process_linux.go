package host

import (
	"fmt"
	"os"
	"strings"
	"syscall"
)

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
