package cli

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"eshost/host/config"
)

func (a *app) healthCommand() *cobra.Command {
	c := a.command(&cobra.Command{
		Use:   "health",
		Short: "Ask the host that runs on this machine whether it is ready",
		Long: `health asks the listener of hosts.toml's host for /readyz, on this machine, and says what it answers. It is for
containers and supervisors where there is no other HTTP client. It exits with 0 if the host is ready, else with 1.
Of hosts.toml it needs [host] alone: what is wrong in other sections does not stop a host that runs.`,
		Example: `  eshost health
  eshost health --config /etc/eshost/hosts.toml`,
		ValidArgsFunction: completeNothing,
	}, func(ctx context.Context, _ []string) error { return a.health(ctx) })
	a.jsonFlag(c)
	return c
}

// healthPatience is how long a host may take to answer. What it answers it knows without asking anybody.
const healthPatience = 5 * time.Second

// health is what the command prints as JSON.
type health struct {
	URL   string `json:"url"`
	Ready bool   `json:"ready"`
}

func (a *app) health(ctx context.Context) error {
	h, err := config.LoadHost(a.configPath(), a.getenv)
	if err != nil {
		return a.explainMissing(err)
	}
	if h.Listen == "" {
		return badInput(`set host.listen in hosts.toml, or look at the store with: eshost status`, "the host has no listener to ask")
	}
	url := readinessURL(*h)
	ctx, cancel := context.WithTimeout(ctx, healthPatience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("ask %s: %w", url, err)
	}
	// The certificate is for the host's name, not for this address. Nothing secret is sent, and an answer is believed
	// no more than the port it comes from.
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		return failed("start it with: eshost run", "no host answers: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		said, _ := io.ReadAll(io.LimitReader(res.Body, 4<<10)) // as much as there is
		return failed("eshost status shows what the store knows", "the host is not ready: %s", strings.TrimSpace(string(said)))
	}
	if a.json {
		return writeJSON(a.out, health{URL: url, Ready: true})
	}
	_, err = fmt.Fprintln(a.out, "ready")
	return err
}

// readinessURL is where a host's listener is asked on its own machine.
func readinessURL(h config.Host) string {
	at := netip.MustParseAddrPort(h.Listen) // as it was checked to be
	host := at.Addr()
	if host.IsUnspecified() {
		host = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	scheme := "http"
	if h.TLSCert != "" {
		scheme = "https"
	}
	return scheme + "://" + net.JoinHostPort(host.String(), fmt.Sprint(at.Port())) + "/readyz"
}
