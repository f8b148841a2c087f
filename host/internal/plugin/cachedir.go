package plugin

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// cacheDir is the compile cache: a folder with an entry, itself a folder, for each metered module. Its files are executed as
// machine code.
//
// Invariant 6: a folder that somebody else could write to would let them run code in the host, so it is refused. And a
// file that is not, byte for byte, what was put there is not used: a damaged one could end the process.
type cacheDir struct{ path string }

func openCache(dir string) (*cacheDir, error) {
	if err := secureDir(dir); err != nil {
		return nil, err
	}
	c := &cacheDir{dir}
	probe, err := os.MkdirTemp(dir, unfinished+"*")
	if err == nil {
		err = os.Remove(probe)
	}
	if err != nil {
		return nil, cacheUnwritable(dir, err)
	}
	c.tidy()
	return c, nil
}

const (
	unfinished = "new-"   // begins the name of an entry being made
	sumsFile   = "sha256" // in an entry: what its other files must be
)

// tidy removes what hosts left that died while they compiled.
func (c *cacheDir) tidy() {
	left, _ := filepath.Glob(filepath.Join(c.path, unfinished+"*"))
	for _, path := range left {
		if info, err := os.Lstat(path); err == nil && time.Since(info.ModTime()) > 24*time.Hour {
			_ = os.RemoveAll(path) // the next start tries again
		}
	}
}

// cacheEntry is a module's place in the cache while it is compiled.
type cacheEntry struct {
	dir    string
	final  string // where it belongs
	folder string // what the compiler may use
	damage error  // why what was there could not be used
	sums   []byte
}

// entry is the place of a metered module.
func (c *cacheDir) entry(wasm []byte) *cacheEntry {
	sum := sha256.Sum256(wasm)
	return &cacheEntry{dir: c.path, final: filepath.Join(c.path, hex.EncodeToString(sum[:]))}
}

// open finds the entry, or begins a new one beside it: several hosts may use the folder at once.
func (e *cacheEntry) open() error {
	want, err := os.ReadFile(filepath.Join(e.final, sumsFile))
	if err == nil {
		if e.sums, err = sumFiles(e.final); err == nil && bytes.Equal(e.sums, want) {
			e.folder = e.final
			return nil
		}
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		e.damage = err
	default:
		e.damage = fmt.Errorf("%s: the files have changed", e.final)
	}
	e.sums = nil
	e.folder, err = os.MkdirTemp(e.dir, unfinished+"*")
	return err
}

// keep puts what was compiled where it belongs.
func (e *cacheEntry) keep() error {
	sums, err := sumFiles(e.folder)
	if err != nil || bytes.Equal(sums, e.sums) {
		return err
	}
	name := filepath.Join(e.folder, sumsFile)
	if err := os.WriteFile(name+"~", sums, 0o600); err != nil {
		return err
	}
	if err := os.Rename(name+"~", name); err != nil {
		return err
	}
	if e.folder == e.final {
		return nil // another version of the compiler has added its file
	}
	if err := os.RemoveAll(e.final); err != nil {
		return err
	}
	if err := os.Rename(e.folder, e.final); err != nil && !errors.Is(err, fs.ErrExist) { // another host was faster
		return err
	}
	return nil
}

// close removes an entry that was not kept.
func (e *cacheEntry) close() {
	if e.folder != e.final {
		_ = os.RemoveAll(e.folder) // tidy tries again
	}
}

// sumFiles lists the files of an entry with their SHA-256, in order.
func sumFiles(folder string) ([]byte, error) {
	var out []byte
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(folder, path)
		if err != nil || name == sumsFile || name == sumsFile+"~" {
			return err
		}
		if !d.Type().IsRegular() {
			return fmt.Errorf("%s is no file", path)
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		sum := sha256.New()
		if _, err := io.Copy(sum, f); err != nil {
			return err
		}
		out = fmt.Appendf(out, "%x  %s\n", sum.Sum(nil), filepath.ToSlash(name))
		return nil
	})
	return out, err
}

// secureDir makes a folder only its owner can use, or checks the one that is there.
func secureDir(dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return cacheUnwritable(dir, err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return cacheUnwritable(dir, err)
	}
	info, err := os.Lstat(dir)
	switch {
	case err != nil:
		return cacheError(dir, err.Error(), "")
	case info.Mode()&fs.ModeSymlink != 0:
		return cacheError(dir, "it is a symbolic link, which somebody else may turn elsewhere", "name the folder itself")
	case !info.IsDir():
		return cacheError(dir, "it is not a folder", "name a folder that only the host uses")
	case info.Mode().Perm()&0o022 != 0:
		return cacheError(dir, fmt.Sprintf("others may write to it (mode %04o), and what it holds is run as machine code", info.Mode().Perm()),
			"if only you have used it: chmod 700 "+dir+"; otherwise remove it")
	case !ownedByUs(info):
		return cacheError(dir, "it belongs to another user, and what it holds is run as machine code", "name a folder of your own, or remove this one")
	}
	return nil
}

func cacheUnwritable(dir string, err error) error {
	return &Error{Op: "open compile cache", Subject: dir, Err: &reason{err.Error(), ErrCacheWrite}, Hint: "give the host a folder it can write to"}
}

func cacheError(dir, text, hint string) error {
	return &Error{Op: "open compile cache", Subject: dir, Err: &reason{text, ErrCacheDir}, Hint: hint}
}
