package host

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"eshost/host/config"
)

// lookAtCertificate is how often the listener's certificate is looked at, when a client comes.
const lookAtCertificate = 30 * time.Second

// certificate is what the listener shows. A new one in the place of the old is taken while the host runs;
// one that cannot be used is not, and the old one goes on.
type certificate struct {
	cert, key string // files
	log       *slog.Logger

	mu      sync.Mutex
	current *tls.Certificate
	stamps  [2]os.FileInfo
	looked  time.Time
}

// listenerTLS is the listener's TLS, nil where hosts.toml has no certificate.
func listenerTLS(conf config.Host, log *slog.Logger) (*tls.Config, error) {
	if conf.TLSCert == "" {
		return nil, nil
	}
	c := &certificate{cert: conf.TLSCert, key: conf.TLSKey, log: log, looked: time.Now()}
	c.stamps = c.stat()
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return nil, &Error{Subject: "listener", Err: fmt.Errorf("load its certificate: %w", err),
			hint: "host.tls_cert and host.tls_key name PEM files that belong together"}
	}
	c.current = &pair
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.get, NextProtos: []string{"h2", "http/1.1"}}, nil
}

func (c *certificate) stat() (stamps [2]os.FileInfo) {
	for i, file := range []string{c.cert, c.key} {
		stamps[i], _ = os.Stat(file) // what is not there now is nothing to load
	}
	return stamps
}

// get returns the certificate, after a look at the files when one is due.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.looked) >= lookAtCertificate {
		c.looked = time.Now()
		if err := c.reload(); err != nil {
			c.log.Warn("cannot use the listener's new certificate, the one before goes on", "error", err)
		}
	}
	return c.current, nil
}

func (c *certificate) reload() error {
	now := c.stat()
	if sameFile(now[0], c.stamps[0]) && sameFile(now[1], c.stamps[1]) {
		return nil
	}
	if now[0] == nil || now[1] == nil {
		return errors.New("its files are gone")
	}
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return err
	}
	c.current, c.stamps = &pair, now
	c.log.Info("took the listener's new certificate")
	return nil
}
