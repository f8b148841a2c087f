// The benchmark's plugin in Go. Every language has the same: see ../README.md.
package main

import (
	eshost "eshost/sdk/go"
	"eshost/sdk/go/typed"
)

func init() { eshost.Handle(handle) }

func main() {}

type moved struct {
	Amount int64    `json:"amount"`
	Note   string   `json:"note"`
	By     person   `json:"by"`
	Tags   []string `json:"tags"`
}

type person struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

type account struct {
	Owner    string `json:"owner"`
	Currency string `json:"currency"`
	Balance  int64  `json:"balance"`
	Count    int64  `json:"count"`
}

func handle(e *eshost.Event) error {
	switch e.Type() {
	case "Parsed":
		data, err := typed.Data[moved](e)
		if err != nil {
			return err
		}
		if data.Amount <= 0 || data.By.Name == "" || len(data.Tags) != 2 {
			return eshost.Reject("the data was not read")
		}
	case "Touched":
		a, _, err := typed.Get[account]("accounts", e.Stream())
		if err != nil {
			return err
		}
		a.Balance += 5
		a.Count++
		return typed.Set("accounts", e.Stream(), a)
	}
	return nil
}
