// The plugin balances keeps the balance of every bank account. The rules are in ../README.md.
package main

import (
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
	var data [2]value
	if !fields(e.Data(), []string{"owner", "currency"}, data[:]) {
		return eshost.Reject("data is not a JSON object")
	}
	a, err := load(e.Stream())
	if err != nil {
		return err
	}
	var given bool
	a.owner, _ = data[0].text()
	if a.currency, given = data[1].text(); !given {
		if a.currency, err = defaultCurrency(); err != nil {
			return err
		}
	}
	return a.save(e.Stream())
}

func moved(e *eshost.Event, change func(balance, amount int64) (int64, bool)) error {
	var data [1]value
	if !fields(e.Data(), []string{"amount"}, data[:]) {
		return eshost.Reject("data is not a JSON object")
	}
	amount, ok := data[0].integer()
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

// add and subtract take an amount above 0.
func add(balance, amount int64) (int64, bool) {
	return balance + amount, balance <= math.MaxInt64-amount
}
func subtract(balance, amount int64) (int64, bool) {
	return balance - amount, balance >= math.MinInt64+amount
}
