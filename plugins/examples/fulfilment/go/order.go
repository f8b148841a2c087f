package main

import (
	eshost "eshost/sdk/go"
	"eshost/sdk/go/typed"
)

// order is what the plugin knows of an order.
type order struct {
	key   string // the name of the order's stream, which is the document's key
	State string `json:"state"` // unknown, placed, shipping, completed or cancelled
	Total int64  `json:"total"` // in cents; 0 while the order is unknown
	Paid  int64  `json:"paid"`  // what was received and not given back, in cents
}

// load reads an order. An unknown one is one that was not placed yet, whatever has been paid for it.
func load(key string) (*order, error) {
	o, found, err := typed.Get[order]("orders", key)
	if !found {
		o.State = "unknown"
	}
	o.key = key
	return &o, err
}

func (o *order) save() error {
	return typed.Set("orders", o.key, o)
}

// settle ships an order that is paid, and asks for the rest if a part of it is.
func (o *order) settle() error {
	missing := o.Total - o.Paid
	if missing > 0 {
		if o.Paid == 0 {
			return nil
		}
		return emit("payment-"+o.key, "PaymentMissing", message{Order: o.key, Amount: missing})
	}
	if missing < 0 {
		if err := o.refund(-missing, "more was paid than the order's total"); err != nil {
			return err
		}
	}
	o.State, o.Paid = "shipping", o.Total
	return emit("shipment-"+o.key, "ShipmentRequested", message{Order: o.key})
}

func (o *order) refund(amount int64, reason string) error {
	return emit("payment-"+o.key, "RefundRequested", message{Order: o.key, Amount: amount, Reason: reason})
}

// message is the data of what the plugin emits.
type message struct {
	Order  string `json:"order"`
	Amount int64  `json:"amount,omitempty"`
	Total  int64  `json:"total,omitempty"`
	Reason string `json:"reason,omitempty"`
}

func emit(stream, eventType string, m message) error {
	return typed.Emit(eshost.NewEvent{Stream: stream, Type: eventType}, m)
}
