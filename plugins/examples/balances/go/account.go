package main

import (
	"errors"
	"strconv"

	eshost "eshost/sdk/go"
)

const collection = "balances"

// account is what is known of one account: the document under its stream's name.
type account struct {
	owner    string
	currency string
	balance  int64
	count    int64
}

// load reads the account, or makes one that was never opened.
func load(stream string) (account, error) {
	document, found, err := eshost.StateGet(collection, stream)
	if err != nil {
		return account{}, err
	}
	if !found {
		currency, err := defaultCurrency()
		return account{currency: currency}, err
	}
	var data [4]value
	ok := fields(document, []string{"owner", "currency", "balance", "count"}, data[:])
	var a account
	var oks [4]bool
	a.owner, oks[0] = data[0].text()
	a.currency, oks[1] = data[1].text()
	a.balance, oks[2] = data[2].integer()
	a.count, oks[3] = data[3].integer()
	if !ok || oks != [4]bool{true, true, true, true} {
		return account{}, errors.New("the stored document is not an account")
	}
	return a, nil
}

// save writes the account, one event further.
func (a *account) save(stream string) error {
	document := make([]byte, 0, 64+len(a.owner)+len(a.currency))
	document = append(document, `{"owner":`...)
	document = appendText(document, a.owner)
	document = append(document, `,"currency":`...)
	document = appendText(document, a.currency)
	document = append(document, `,"balance":`...)
	document = strconv.AppendInt(document, a.balance, 10)
	document = append(document, `,"count":`...)
	document = strconv.AppendInt(document, a.count+1, 10)
	document = append(document, '}')
	return eshost.StateSet(collection, stream, document)
}

// defaultCurrency is the currency of accounts that were opened without one.
func defaultCurrency() (string, error) {
	currency, found, err := eshost.ConfigGet("currency")
	if err != nil || found {
		return currency, err
	}
	return "EUR", nil
}
