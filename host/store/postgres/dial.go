package postgres

import (
	"context"
	"net"
	"time"
)

// silence is how long a server may say nothing where it owes us a word, before its connection is given up. It is longer than
// any wait for a lock: a server that waits reads nothing, and what it has no room for counts as unacknowledged, too.
const silence = 15 * time.Second

// dialer makes connections of which it is found out, after some silence, that the peer is gone without a word: by keepalive
// where nothing is under way, and by a limit to unacknowledged data where something is. Keepalive does nothing then, and the
// system sends the data again for a quarter of an hour, ever more rarely, so that a statement without a deadline would
// hang for long after the network is well again.
func dialer(patience time.Duration) func(ctx context.Context, network, address string) (net.Conn, error) {
	d := &net.Dialer{
		Timeout:         patience, // of a request to cancel too, which keeps a place in its pool until it is through
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: silence / 3, Interval: silence / 3, Count: 2},
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := d.DialContext(ctx, network, address)
		if tcp, ok := conn.(*net.TCPConn); ok && err == nil {
			limitUnacknowledged(tcp, silence)
		}
		return conn, err
	}
}
