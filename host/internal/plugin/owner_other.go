//go:build !unix

package plugin

import "io/fs"

// ownedByUs trusts the system's own rules where files have no numeric owner.
func ownedByUs(fs.FileInfo) bool { return true }
