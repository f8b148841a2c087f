//! The read model's documents.

use crate::json;
use eshost::{retry, state, Error, Result};
use std::fmt::Write;

/// One customer, under the name of the customer's stream.
pub struct Customer {
    pub key: String,
    pub name: String,
    pub open: i64,
}

impl Customer {
    /// The customer, or one who is not registered yet.
    pub fn load(key: &str) -> Result<Customer> {
        match state::get("customers", key)? {
            Some(document) => Customer::parse(key, &document).ok_or_else(odd),
            None => Ok(Customer { key: key.to_string(), name: String::new(), open: 0 }),
        }
    }

    fn parse(key: &str, document: &[u8]) -> Option<Customer> {
        let [name, open] = json::fields(document, ["name", "open"])?;
        Some(Customer { key: key.to_string(), name: name.text()?, open: open.integer()? })
    }

    pub fn save(&self) -> Result {
        let mut document = String::from(r#"{"name":"#);
        json::push_text(&mut document, &self.name);
        write!(document, r#","open":{}}}"#, self.open)?;
        Ok(state::set("customers", &self.key, document)?)
    }
}

/// One order, under the name of its stream.
pub struct Order {
    pub key: String,
    pub customer: String,
    pub name: String,
    pub total: i64,
    pub state: String,
}

impl Order {
    pub fn load(key: &str) -> Result<Option<Order>> {
        let document = state::get("orders", key)?;
        document.map(|document| Order::parse(key, &document).ok_or_else(odd)).transpose()
    }

    fn parse(key: &str, document: &[u8]) -> Option<Order> {
        let [customer, name, total, state] = json::fields(document, ["customer", "name", "total", "state"])?;
        let key = key.to_string();
        Some(Order { key, customer: customer.text()?, name: name.text()?, total: total.integer()?, state: state.text()? })
    }

    pub fn save(&self) -> Result {
        let mut document = String::from(r#"{"customer":"#);
        json::push_text(&mut document, &self.customer);
        document.push_str(r#","name":"#);
        json::push_text(&mut document, &self.name);
        write!(document, r#","total":{},"state":"#, self.total)?;
        json::push_text(&mut document, &self.state);
        document.push('}');
        Ok(state::set("orders", &self.key, document)?)
    }

    /// Puts the order into its customer's list.
    pub fn list(&self) -> Result {
        let mut document = String::from(r#"{"order":"#);
        json::push_text(&mut document, &self.key);
        write!(document, r#","total":{}}}"#, self.total)?;
        Ok(state::set("customer_orders", &self.list_key(), document)?)
    }

    pub fn unlist(&self) -> Result {
        Ok(state::delete("customer_orders", &self.list_key())?)
    }

    fn list_key(&self) -> String {
        format!("{}/{}/{}", self.customer, self.state, self.key)
    }
}

/// The order that an entry of a customer's list names.
pub fn listed(entry: &[u8]) -> Result<String> {
    json::fields(entry, ["order"]).and_then(|[order]| order.text()).ok_or_else(odd)
}

fn odd() -> Error {
    retry("a stored document is not what this plugin writes")
}
