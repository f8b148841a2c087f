package torture

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// disk is a folder that can be filled up, where we may mount one: a file system in memory of a size of its own.
type disk struct {
	dir     string
	mounted bool
	why     string // it could not be mounted
	// The watchdog unmounts it when its standard input ends, however this process does.
	watchdog *exec.Cmd
	pipe     io.Closer
}

func newDisk(dir string) (*disk, error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	d := &disk{dir: dir}
	if err := syscall.Mount("torture", dir, "tmpfs", 0, "size=64m"); err != nil {
		d.why = fmt.Sprintf("mount tmpfs: %v", err)
		return d, nil
	}
	d.mounted = true
	d.watchdog = exec.Command("/bin/sh", "-c", `read -r _; umount -l "$1"`, "watchdog", dir)
	d.watchdog.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	pipe, err := d.watchdog.StdinPipe()
	if err == nil {
		err = d.watchdog.Start()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the disk's watchdog: %w", err), syscall.Unmount(dir, syscall.MNT_DETACH))
	}
	d.pipe = pipe
	return d, nil
}

func (d *disk) path(name string) string { return filepath.Join(d.dir, name) }

// fill leaves no room, or as good as none, until empty is called.
func (d *disk) fill() error {
	f, err := os.Create(d.path("ballast"))
	if err != nil && !errors.Is(err, syscall.ENOSPC) {
		return err
	}
	if err != nil {
		return nil
	}
	defer f.Close()
	for size := 1 << 20; size >= 512; {
		if _, err := f.Write(make([]byte, size)); errors.Is(err, syscall.ENOSPC) {
			size /= 2
		} else if err != nil {
			return err
		}
	}
	return nil
}

func (d *disk) empty() error {
	if err := os.Remove(d.path("ballast")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// close has the disk unmounted, after what is on it was copied if it is not to be lost.
func (d *disk) close(worthless bool) error {
	if !d.mounted {
		return nil
	}
	if !worthless {
		kept := d.dir + "-kept"
		if err := os.CopyFS(kept, os.DirFS(d.dir)); err != nil {
			return err
		}
	}
	err := d.pipe.Close()
	return errors.Join(err, d.watchdog.Wait())
}
