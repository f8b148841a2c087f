//! Takes orders from payment to delivery: an order that is paid is shipped, and what was paid too much is given back. The
//! rules are in ../README.md.

#[path = "../../../balances/rust/src/json.rs"] // where it says why
mod json;
mod order;
#[cfg(test)]
mod tests;

use eshost::{reject, Event, Result};
use json::Value;
use order::{Message, Order};

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
    let [total] = fields(event, ["total"]);
    let total = cents(total).ok_or_else(|| reject("OrderPlaced needs a total in cents above 0"))?;
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
    let [key, amount] = fields(event, ["order", "amount"]);
    let (Some(key), Some(amount)) = (name(key), cents(amount)) else {
        return Err(reject("PaymentReceived needs an order and an amount in cents above 0"));
    };
    let mut order = Order::load(&key)?;
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
        state => {
            return Message::about(&order).text("reason", &format!("the order is {state}")).emit(&order.key, "CancellationRefused")
        }
    }
    if order.paid > 0 {
        order.refund(order.paid, "the order is cancelled")?;
    }
    order.state = "cancelled".to_string();
    order.paid = 0;
    order.save()
}

fn delivered(event: &Event) -> Result {
    let [key] = fields(event, ["order"]);
    let key = name(key).ok_or_else(|| reject("ShipmentDelivered needs an order"))?;
    let mut order = Order::load(&key)?;
    if order.state != "shipping" {
        return Err(reject(format!("no shipment was requested: the order is {}", order.state)));
    }
    order.state = "completed".to_string();
    order.save()?;
    Message::about(&order).number("total", order.total).emit(&order.key, "OrderCompleted")
}

/// The members of the event's data, none of them if it is no JSON object.
fn fields<'a, const N: usize>(event: &Event<'a>, names: [&str; N]) -> [Value<'a>; N] {
    json::fields(event.data(), names).unwrap_or([Value::Other; N])
}

/// A text that is not empty.
fn name(value: Value) -> Option<String> {
    value.text().filter(|text| !text.is_empty())
}

/// An amount above 0.
fn cents(value: Value) -> Option<i64> {
    value.integer().filter(|cents| *cents > 0)
}
