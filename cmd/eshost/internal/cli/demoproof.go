package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"eshost/host/bank"
)

// demoProof is what the demo found when everything was handled.
type demoProof struct {
	Events   int                `json:"events"`
	Accounts int                `json:"accounts"`
	Seconds  float64            `json:"seconds"`
	Plugins  []demoPlugin       `json:"plugins"`
	Left     string             `json:"left_out,omitempty"`
	Top      []demoAccount      `json:"top"`
	books    map[string]balance // of the first plugin
}

type demoPlugin struct {
	Name string `json:"name"`
	// Applied is the sum of the documents' counts: how many events changed them.
	Applied   int `json:"events_applied"`
	Documents int `json:"documents"`
	// Wrong counts documents that are missing, too many, or not what the events add up to.
	Wrong int `json:"wrong_documents"`
}

type demoAccount struct {
	Account string `json:"account"`
	balance
}

type balance struct {
	Owner    string `json:"owner"`
	Currency string `json:"currency"`
	Balance  int64  `json:"balance"`
	Count    int    `json:"count"`
}

// prove compares every read model with what the events add up to. If all are right, they agree.
func (d *demo) prove(ctx context.Context) (*demoProof, error) {
	want := d.bank.Accounts()
	proof := &demoProof{Events: d.events, Accounts: len(want), Left: d.missing}
	for _, language := range d.languages {
		docs, err := d.documents(ctx, d.plugin(language))
		if err != nil {
			return nil, fmt.Errorf("read the documents of %s: %w", d.plugin(language), err)
		}
		p, books, err := examine(docs, want)
		if err != nil {
			return nil, fmt.Errorf("read the documents of %s: %w", d.plugin(language), err)
		}
		p.Name = d.plugin(language)
		proof.Plugins = append(proof.Plugins, p)
		if proof.books == nil {
			proof.books = books
		}
	}
	proof.Top = top(proof.books, 5)
	for _, p := range proof.Plugins {
		if p.Wrong > 0 || p.Applied != d.events {
			return nil, failed("this is a bug in eshost: please report it", "plugin %s applied %d of %d events, %d documents are wrong",
				p.Name, p.Applied, d.events, p.Wrong)
		}
	}
	return proof, nil
}

func examine(docs map[string]string, want map[string]bank.Account) (demoPlugin, map[string]balance, error) {
	p := demoPlugin{Documents: len(docs)}
	books := make(map[string]balance, len(docs))
	for key, doc := range docs {
		var b balance
		if err := json.Unmarshal([]byte(doc), &b); err != nil {
			return p, nil, fmt.Errorf("document %s: %w", key, err)
		}
		books[key] = b
		p.Applied += b.Count
		if doc != want[key].Document() {
			p.Wrong++
		}
	}
	for key := range want {
		if _, ok := docs[key]; !ok {
			p.Wrong++
		}
	}
	return p, books, nil
}

func top(books map[string]balance, n int) []demoAccount {
	var all []demoAccount
	for key, b := range books {
		all = append(all, demoAccount{key, b})
	}
	slices.SortFunc(all, func(a, b demoAccount) int {
		if a.Balance != b.Balance {
			return int(max(-1, min(1, b.Balance-a.Balance)))
		}
		return strings.Compare(a.Account, b.Account)
	})
	return all[:min(n, len(all))]
}

func (d *demo) show(p *demoProof) error {
	if d.json {
		return writeJSON(d.out, p)
	}
	t := newTable(d.out)
	fmt.Fprintf(t, "\naccount\towner\tbalance\tevents\n")
	for _, a := range p.Top {
		fmt.Fprintf(t, "%s\t%s\t%s %s\t%d\n", a.Account, printable(a.Owner), cents(a.balance.Balance), a.Currency, a.Count)
	}
	fmt.Fprintf(t, "… and %d more\n\nplugin\tevents applied\tdocuments\twrong\n", max(0, p.Accounts-len(p.Top)))
	for _, q := range p.Plugins {
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\n", q.Name, q.Applied, q.Documents, q.Wrong)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	d.say("\nproven: %d events appended, each applied exactly once by every plugin, and %d read models agree byte for byte",
		p.Events, len(p.Plugins))
	d.say("        with what the events add up to (%.1f s, %.0f events/s a plugin)", p.Seconds, float64(p.Events)/p.Seconds)
	if p.Left != "" {
		d.say("note:   %s", p.Left)
	}
	d.sayNext()
	return nil
}

func (d *demo) sayNext() {
	d.say("\nwhere to look next")
	if d.keep {
		d.say("  eshost --config %s/hosts.toml status", d.folder)
		d.say("  eshost --config %s/hosts.toml read balances-rust balances %s", d.folder, bank.Stream(0))
		d.say("  http://%s/v1/status and /metrics", d.address)
		return
	}
	d.say("  eshost demo --keep          look around while it runs")
	d.say("  plugins/examples/balances   the handler, in each language")
	d.say("  hosts.toml                  how a plugin is declared; then: eshost run")
}

func cents(n int64) string {
	sign := ""
	if n < 0 {
		sign, n = "-", -n
	}
	return fmt.Sprintf("%s%d.%02d", sign, n/100, n%100)
}
