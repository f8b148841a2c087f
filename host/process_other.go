//go:build !linux

package host

// processIdentity is empty: this system does not say enough for another process to tell whether this
// one still exists. Its leases expire by the database's clock.
func processIdentity() string { return "" }

func processGone(string, string) bool { return false }
