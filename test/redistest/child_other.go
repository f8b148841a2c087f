//go:build !linux

package redistest

import "syscall"

// attributes keep the terminal's interrupt from the server: the tests stop it.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
