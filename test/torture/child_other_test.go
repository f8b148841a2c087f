//go:build !linux

package torture

import "syscall"

// childAttributes makes a process of a group of its own. It is killed when its test ends.
func childAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
