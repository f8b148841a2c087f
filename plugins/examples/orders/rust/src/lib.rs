//! Joins two kinds of streams: orders with their customer's current name, customers with their open orders. The rules are
//! in ../README.md.

mod documents;
#[path = "../../../balances/rust/src/json.rs"] // where it says why
mod json;
#[cfg(test)]
mod tests;

use documents::{Customer, Order};
use eshost::{reject, state, Event, Result};
use json::Value;

eshost::handler!(handle);
eshost::manifest!(include_str!("../manifest.json"));

/// The plugin: called for every event.
pub fn handle(event: &Event) -> Result {
    match event.event_type() {
        "CustomerRegistered" | "CustomerRenamed" => named(event),
        "OrderPlaced" => placed(event),
        "OrderShipped" => closed(event, "shipped"),
        "OrderCancelled" => closed(event, "cancelled"),
        _ => Ok(()),
    }
}

/// Gives the name to the customer and to every order that the customer has so far.
fn named(event: &Event) -> Result {
    let [name] = fields(event, ["name"]);
    let name = name.text().filter(|name| !name.is_empty()).ok_or_else(|| reject(format!("{} needs a name", event.event_type())))?;
    let mut customer = Customer::load(event.stream())?;
    customer.name = name;
    customer.save()?;

    let prefix = format!("{}/", customer.key);
    let mut after = String::new();
    loop {
        let page = state::scan("customer_orders", &prefix, &after, 1000)?;
        for entry in &page {
            // The orders of a customer called "customer-1/x" are listed below "customer-1/" too.
            if let Some(mut order) = Order::load(&documents::listed(&entry.data)?)?.filter(|order| order.customer == customer.key) {
                order.name.clone_from(&customer.name);
                order.save()?;
            }
        }
        match page.last() {
            Some(last) => after.clone_from(&last.key),
            None => return Ok(()),
        }
    }
}

fn placed(event: &Event) -> Result {
    let [customer, total] = fields(event, ["customer", "total"]);
    let (key, total) = match (customer.text(), total.integer()) {
        (Some(customer), Some(total)) if !customer.is_empty() && total > 0 => (customer, total),
        _ => return Err(reject("OrderPlaced needs a customer and a total in cents above 0")),
    };
    if Order::load(event.stream())?.is_some() {
        return Err(reject("the order was placed before"));
    }
    let mut customer = Customer::load(&key)?; // without a name until the customer is registered
    customer.open += 1;
    customer.save()?;
    let order = Order { key: event.stream().to_string(), customer: key, name: customer.name, total, state: "open".to_string() };
    order.save()?;
    order.list()
}

fn closed(event: &Event, how: &str) -> Result {
    let mut order = Order::load(event.stream())?.ok_or_else(|| reject("there is no such order"))?;
    if order.state != "open" {
        return Err(reject(format!("the order is {} already", order.state)));
    }
    let mut customer = Customer::load(&order.customer)?;
    customer.open -= 1;
    customer.save()?;
    order.unlist()?;
    order.state = how.to_string();
    order.save()?;
    order.list()
}

/// The members of the event's data, none of them if it is no JSON object.
fn fields<'a, const N: usize>(event: &Event<'a>, names: [&str; N]) -> [Value<'a>; N] {
    json::fields(event.data(), names).unwrap_or([Value::Other; N])
}
