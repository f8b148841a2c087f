// The plugin balances keeps the balance of every bank account. The rules are in ../README.md.
package main

import (
	"encoding/json"
	"math"

	eshost "eshost/sdk/go"
)

func init() { eshost.Handle(handle) }

func main() {} // not called: a plugin is called by its host

func handle(e *eshost.Event) error {
	switch e.Type() {
	case "AccountOpened":
		return opened(e)
	case "Deposited":
		return moved(e, add)
	case "Withdrawn":
		return moved(e, subtract)
	}
	return nil
}

func opened(e *eshost.Event) error {
	data, err := parse(e)
	if err != nil {
		return err
	}
	a, err := load(e.Stream())
	if err != nil {
		return err
	}
	a.owner, _ = text(data["owner"])
	var given bool
	if a.currency, given = text(data["currency"]); !given {
		if a.currency, err = defaultCurrency(); err != nil {
			return err
		}
	}
	return a.save(e.Stream())
}

func moved(e *eshost.Event, change func(balance, amount int64) (int64, bool)) error {
	data, err := parse(e)
	if err != nil {
		return err
	}
	amount, ok := integer(data["amount"])
	if !ok || amount <= 0 {
		return eshost.Reject("amount must be a positive integer of cents")
	}
	a, err := load(e.Stream())
	if err != nil {
		return err
	}
	if a.balance, ok = change(a.balance, amount); !ok {
		return eshost.Reject("balance overflow")
	}
	return a.save(e.Stream())
}

func parse(e *eshost.Event) (map[string]json.RawMessage, error) {
	data, ok := object(e.Data())
	if !ok {
		return nil, eshost.Reject("data is not a JSON object")
	}
	return data, nil
}

// add and subtract take an amount above 0.
func add(balance, amount int64) (int64, bool) {
	return balance + amount, balance <= math.MaxInt64-amount
}
func subtract(balance, amount int64) (int64, bool) {
	return balance - amount, balance >= math.MinInt64+amount
}
