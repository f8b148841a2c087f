// The plugin fulfilment takes orders from payment to delivery: an order that is paid is shipped, and what was paid too much
// is given back. The rules are in ../README.md.
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
	case "OrderPlaced":
		return placed(e)
	case "OrderCancelled":
		return cancelled(e)
	case "PaymentReceived":
		return paid(e)
	case "ShipmentDelivered":
		return delivered(e)
	}
	return nil
}

func placed(e *eshost.Event) error {
	var data struct{ Total int64 }
	if json.Unmarshal(e.Data(), &data) != nil || data.Total <= 0 {
		return eshost.Reject("OrderPlaced needs a total in cents above 0")
	}
	o, err := load(e.Stream())
	if err != nil {
		return err
	}
	if o.State != "unknown" {
		return eshost.Reject("the order was placed before")
	}
	o.State, o.Total = "placed", data.Total
	if err := o.settle(); err != nil {
		return err
	}
	return o.save()
}

func paid(e *eshost.Event) error {
	var data struct {
		Order  string
		Amount int64
	}
	if json.Unmarshal(e.Data(), &data) != nil || data.Order == "" || data.Amount <= 0 {
		return eshost.Reject("PaymentReceived needs an order and an amount in cents above 0")
	}
	o, err := load(data.Order)
	if err != nil {
		return err
	}
	if o.State != "unknown" && o.State != "placed" {
		return o.refund(data.Amount, "the order is "+o.State)
	}
	if data.Amount > math.MaxInt64-o.Paid {
		return eshost.Reject("the order was paid more than can be counted")
	}
	o.Paid += data.Amount
	if o.State == "placed" {
		if err := o.settle(); err != nil {
			return err
		}
	}
	return o.save()
}

func cancelled(e *eshost.Event) error {
	o, err := load(e.Stream())
	if err != nil {
		return err
	}
	switch o.State {
	case "cancelled":
		return nil
	case "unknown":
		return eshost.Reject("there is no such order")
	case "placed":
	default:
		return emit(o.key, "CancellationRefused", message{Order: o.key, Reason: "the order is " + o.State})
	}
	if o.Paid > 0 {
		if err := o.refund(o.Paid, "the order is cancelled"); err != nil {
			return err
		}
	}
	o.State, o.Paid = "cancelled", 0
	return o.save()
}

func delivered(e *eshost.Event) error {
	var data struct{ Order string }
	if json.Unmarshal(e.Data(), &data) != nil || data.Order == "" {
		return eshost.Reject("ShipmentDelivered needs an order")
	}
	o, err := load(data.Order)
	if err != nil {
		return err
	}
	if o.State != "shipping" {
		return eshost.Reject("no shipment was requested: the order is " + o.State)
	}
	o.State = "completed"
	if err := o.save(); err != nil {
		return err
	}
	return emit(o.key, "OrderCompleted", message{Order: o.key, Total: o.Total})
}
