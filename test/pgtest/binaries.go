package pgtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
)

const (
	envBinaries = "ESHOST_POSTGRES_BIN"
	envServer   = "ESHOST_TEST_POSTGRES"
)

// ErrMissing is returned when this machine has no PostgreSQL server to start.
var ErrMissing = errors.New("PostgreSQL is not installed")

// findBinaries returns the folder that holds initdb and postgres.
func findBinaries() (string, error) {
	if dir := os.Getenv(envBinaries); dir != "" {
		if !hasServer(dir) {
			return "", fmt.Errorf("%w: %s=%s has no initdb and postgres", ErrMissing, envBinaries, dir)
		}
		return dir, nil
	}
	if path, err := exec.LookPath("initdb"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil && hasServer(filepath.Dir(path)) {
			return filepath.Dir(path), nil
		}
	}
	for _, pattern := range []string{"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			return "", err
		}
		slices.SortFunc(found, newestFirst)
		if i := slices.IndexFunc(found, hasServer); i >= 0 {
			return found[i], nil
		}
	}
	return "", fmt.Errorf("%w: initdb and postgres are neither in PATH nor in /usr/lib/postgresql/*/bin; "+
		"install them (Debian, Ubuntu: apt-get install postgresql; macOS: brew install postgresql), "+
		"or set %s to their folder", ErrMissing, envBinaries)
}

func hasServer(dir string) bool {
	for _, name := range []string{"initdb", "postgres"} {
		if _, err := exec.LookPath(filepath.Join(dir, name)); err != nil {
			return false
		}
	}
	return true
}

// newestFirst orders folders by the major version in their path.
func newestFirst(a, b string) int { return majorVersion(b) - majorVersion(a) }

// majorVersion is the first number in a text.
func majorVersion(text string) int {
	n, digits := 0, false
	for _, c := range text {
		if c >= '0' && c <= '9' {
			n, digits = n*10+int(c-'0'), true
		} else if digits {
			break
		}
	}
	return n
}

// account is the operating-system user the server runs as: ours, or postgres when we are root, as
// which PostgreSQL refuses to run.
type account struct {
	credential *syscall.Credential // nil: ours
	uid, gid   int
}

func findAccount() (account, error) {
	if os.Getuid() != 0 {
		return account{uid: os.Getuid(), gid: os.Getgid()}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil {
			return account{}, fmt.Errorf("read the uid of user %s: %w", name, err)
		}
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		if err != nil {
			return account{}, fmt.Errorf("read the gid of user %s: %w", name, err)
		}
		return account{
			credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)},
			uid:        int(uid), gid: int(gid),
		}, nil
	}
	return account{}, errors.New("PostgreSQL does not run as root, and there is no user postgres or nobody to run it as; add one (useradd --system postgres)")
}
