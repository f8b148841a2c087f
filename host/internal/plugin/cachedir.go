package plugin

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/tetratelabs/wazero"
)

// openCache opens the compile cache. Its files are executed as machine code without further proof.
//
// Invariant 6: a folder that somebody else could write to would let them run code in the host.
func openCache(dir string) (wazero.CompilationCache, error) {
	if err := secureDir(dir); err != nil {
		return nil, err
	}
	cache, err := wazero.NewCompilationCacheWithDir(dir)
	if err != nil {
		return nil, cacheUnwritable(dir, err)
	}
	return cache, nil
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
