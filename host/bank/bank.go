// Package bank makes the events of bank accounts that the demo, the benchmark and the tests share,
// and says what the balances example must make of them.
package bank

import (
	"fmt"
	"math/rand/v2"

	"eshost/host/store"
)

// Account is what the events so far amount to.
type Account struct {
	Owner   string
	Balance int64 // cents
	Count   int   // events
}

// Document is the account as the balances example writes it.
func (a Account) Document() string {
	return fmt.Sprintf(`{"owner":"%s","currency":"EUR","balance":%d,"count":%d}`, a.Owner, a.Balance, a.Count)
}

// Bank makes events, the same ones for the same seed.
type Bank struct {
	rng      *rand.Rand
	accounts int
	made     int
	books    []Account
}

// New returns a bank with a number of accounts. Its first events open them, one each.
func New(accounts int, seed uint64) *Bank {
	return &Bank{rng: rand.New(rand.NewPCG(seed, 0x62616e6b)), accounts: accounts, books: make([]Account, accounts)}
}

var owners = []string{"Ada", "Grace", "Edsger", "Barbara", "Donald", "Frances", "Niklaus", "Radia", "Tony", "Shafi"}

var notes = []string{"salary for the month, paid on time", "rent and heating, third quarter 26", "groceries at the market square 4", "train ticket and a seat reserved"}

// Next makes an event: about 125 bytes of data once the accounts are open. Accounts take turns, so an
// account's events lie as many positions apart as there are accounts.
func (b *Bank) Next() store.StreamAppend {
	i := b.made % b.accounts
	a := &b.books[i]
	a.Count++
	b.made++
	var e store.NewEvent
	switch {
	case a.Count == 1:
		a.Owner = fmt.Sprintf("%s %d", owners[b.rng.IntN(len(owners))], i)
		e = store.NewEvent{Type: "AccountOpened", Data: fmt.Appendf(nil,
			`{"owner":"%s","currency":"EUR","branch":"Amsterdam Centraal","kind":"current","terms":"2026-01","reference":"%016x"}`, a.Owner, b.rng.Uint64())}
	case b.rng.IntN(3) == 0:
		amount := b.rng.Int64N(5_000) + 1
		a.Balance -= amount
		e = store.NewEvent{Type: "Withdrawn", Data: b.movement(amount)}
	default:
		amount := b.rng.Int64N(20_000) + 1
		a.Balance += amount
		e = store.NewEvent{Type: "Deposited", Data: b.movement(amount)}
	}
	return store.StreamAppend{Stream: Stream(i), StreamType: "account", Expected: store.AnyVersion, Events: []store.NewEvent{e}}
}

func (b *Bank) movement(amount int64) []byte {
	return fmt.Appendf(nil, `{"amount":%d,"note":"%s","currency":"EUR","channel":"online","reference":"%016x"}`,
		amount, notes[b.rng.IntN(len(notes))], b.rng.Uint64())
}

// Stream names an account's stream.
func Stream(account int) string { return fmt.Sprintf("account-%05d", account) }

// Accounts returns what the events made so far amount to, by stream.
func (b *Bank) Accounts() map[string]Account {
	out := make(map[string]Account, b.accounts)
	for i, a := range b.books {
		if a.Count > 0 {
			out[Stream(i)] = a
		}
	}
	return out
}
