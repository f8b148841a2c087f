//go:build !linux

package torture

import (
	"os"
	"path/filepath"
)

// disk is a folder. There is no way here to fill it up without filling what others need.
type disk struct {
	dir     string
	mounted bool
	why     string
}

func newDisk(dir string) (*disk, error) {
	return &disk{dir: dir, why: "only Linux mounts a file system in memory"}, os.Mkdir(dir, 0o755)
}

func (d *disk) path(name string) string { return filepath.Join(d.dir, name) }
func (d *disk) fill() error             { return nil }
func (d *disk) empty() error            { return nil }
func (d *disk) close(bool) error        { return nil }
