//! Takes orders from payment to delivery: an order that is paid is shipped, and what was paid too much is given back. The
//! rules are in ../README.md.

mod order;
#[cfg(test)]
mod tests;

use eshost::json::Json;
use eshost::{reject, Event, Result};
use order::Order;

eshost::handler!(handle);
eshost::manifest!(include_str!("../manifest.json"));

/// The plugin: called for every event.
pub fn handle(event: &Event) -> Result {
    match event.event_type() {
        "OrderPlaced" => placed(event),
        "OrderCancelled" => cancelled(event),
        "PaymentReceived" => paid(event),
        "ShipmentDelivered" => delivered(event),
        _ => Ok(()),
    }
}

fn placed(event: &Event) -> Result {
    let total = data(event).number("total").unwrap_or(0);
    if total <= 0 {
        return Err(reject("OrderPlaced needs a total in cents above 0"));
    }
    let mut order = Order::load(event.stream())?;
    if order.state != "unknown" {
        return Err(reject("the order was placed before"));
    }
    order.state = "placed".to_string();
    order.total = total;
    order.settle()?;
    order.save()
}

fn paid(event: &Event) -> Result {
    let data = data(event);
    let key = data.text("order").unwrap_or_default();
    let amount = data.number("amount").unwrap_or(0);
    if key.is_empty() || amount <= 0 {
        return Err(reject("PaymentReceived needs an order and an amount in cents above 0"));
    }
    let mut order = Order::load(key)?;
    if order.state != "unknown" && order.state != "placed" {
        return order.refund(amount, &format!("the order is {}", order.state));
    }
    order.paid = order.paid.checked_add(amount).ok_or_else(|| reject("the order was paid more than can be counted"))?;
    if order.state == "placed" {
        order.settle()?;
    }
    order.save()
}

fn cancelled(event: &Event) -> Result {
    let mut order = Order::load(event.stream())?;
    match order.state.as_str() {
        "cancelled" => return Ok(()),
        "unknown" => return Err(reject("there is no such order")),
        "placed" => {}
        state => return order.emit(&order.key, "CancellationRefused", [("reason", format!("the order is {state}").into())]),
    }
    if order.paid > 0 {
        order.refund(order.paid, "the order is cancelled")?;
    }
    order.state = "cancelled".to_string();
    order.paid = 0;
    order.save()
}

fn delivered(event: &Event) -> Result {
    let data = data(event);
    let key = data.text("order").unwrap_or_default();
    if key.is_empty() {
        return Err(reject("ShipmentDelivered needs an order"));
    }
    let mut order = Order::load(key)?;
    if order.state != "shipping" {
        return Err(reject(format!("no shipment was requested: the order is {}", order.state)));
    }
    order.state = "completed".to_string();
    order.save()?;
    order.emit(&order.key, "OrderCompleted", [("total", order.total.into())])
}

/// The event's data; what is no JSON has no members.
fn data(event: &Event) -> Json {
    Json::parse(event.data()).unwrap_or(Json::Null)
}
