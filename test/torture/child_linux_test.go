package torture

import "syscall"

// childAttributes makes a process of a group of its own that does not outlive the tests, however they end.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
