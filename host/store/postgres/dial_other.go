//go:build !linux

package postgres

import (
	"net"
	"time"
)

// limitUnacknowledged does nothing: this system has keepalive alone.
func limitUnacknowledged(*net.TCPConn, time.Duration) {}
