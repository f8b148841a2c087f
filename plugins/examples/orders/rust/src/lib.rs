//! Joins two kinds of streams: orders with their customer's current name, customers with their open orders. The rules are
//! in ../README.md.

mod documents;
#[cfg(test)]
mod tests;

use documents::{Customer, Order};
use eshost::json::Json;
use eshost::{reject, retry, state, Event, Result};

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
    let data = Json::parse(event.data()).unwrap_or(Json::Null);
    let name = data.text("name").unwrap_or_default();
    if name.is_empty() {
        return Err(reject(format!("{} needs a name", event.event_type())));
    }
    let mut customer = Customer::load(event.stream())?;
    customer.name = name.to_string();
    customer.save()?;

    let prefix = format!("{}/", customer.key);
    let mut after = String::new();
    loop {
        let page = state::scan("customer_orders", &prefix, &after, 1000)?;
        for entry in &page {
            let entry = Json::parse(&entry.data).map_err(retry)?;
            // The orders of a customer called "customer-1/x" are listed below "customer-1/" too.
            if let Some(mut order) =
                Order::load(entry.text("order").map_err(retry)?)?.filter(|order| order.customer == customer.key)
            {
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
    let data = Json::parse(event.data()).unwrap_or(Json::Null);
    let key = data.text("customer").unwrap_or_default();
    let total = data.number("total").unwrap_or(0);
    if key.is_empty() || total <= 0 {
        return Err(reject("OrderPlaced needs a customer and a total in cents above 0"));
    }
    if Order::load(event.stream())?.is_some() {
        return Err(reject("the order was placed before"));
    }
    let mut customer = Customer::load(key)?; // without a name until the customer is registered
    customer.open += 1;
    customer.save()?;
    let order =
        Order { key: event.stream().to_string(), customer: key.to_string(), name: customer.name, total, state: "open".to_string() };
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
