package host

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

func TestProcessGone(t *testing.T) {
	self := processIdentity()
	child := exec.Command("sleep", "60")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	living := identityOf(t, self, child.Process.Pid)
	if processGone(self, living) {
		t.Error("a living process is gone")
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // it was killed
	if !processGone(self, living) {
		t.Error("a dead process is not gone")
	}

	fields := strings.Fields(self)
	reused := fmt.Sprintf("%s %s %d %s", fields[0], fields[1], os.Getpid(), "1")
	if !processGone(self, reused) {
		t.Error("a process whose id was given to another one is not gone")
	}
	for name, other := range map[string]string{
		"itself":             self,
		"another boot":       strings.Replace(reused, fields[0], "00000000-0000-0000-0000-000000000000", 1),
		"another name space": strings.Replace(reused, fields[1], "pid:[1]", 1),
		"unknown":            "",
		"nonsense":           "a b c d",
	} {
		if processGone(self, other) {
			t.Errorf("%s: gone, though nobody here can tell", name)
		}
	}
}

// identityOf is what a process with that id would say of itself.
func identityOf(t *testing.T, self string, pid int) string {
	t.Helper()
	started, err := processStart(pid)
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(self)
	return fmt.Sprintf("%s %s %d %s", fields[0], fields[1], pid, started)
}
