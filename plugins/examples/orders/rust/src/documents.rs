//! The read model's documents.

use eshost::json::Json;
use eshost::{retry, state, Result};

/// One customer, under the name of the customer's stream.
pub struct Customer {
    pub key: String,
    pub name: String,
    pub open: i64,
}

impl Customer {
    /// The customer, or one who is not registered yet.
    pub fn load(key: &str) -> Result<Customer> {
        let Some(document) = state::get("customers", key)? else {
            return Ok(Customer { key: key.to_string(), name: String::new(), open: 0 });
        };
        Customer::parse(key, &document).map_err(retry)
    }

    fn parse(key: &str, document: &[u8]) -> std::result::Result<Customer, String> {
        let json = Json::parse(document)?;
        Ok(Customer { key: key.to_string(), name: json.text("name")?.to_string(), open: json.number("open")? })
    }

    pub fn save(&self) -> Result {
        let document = Json::object([("name", self.name.as_str().into()), ("open", self.open.into())]);
        Ok(state::set("customers", &self.key, document.to_string())?)
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
        document.map(|document| Order::parse(key, &document).map_err(retry)).transpose()
    }

    fn parse(key: &str, document: &[u8]) -> std::result::Result<Order, String> {
        let json = Json::parse(document)?;
        let text = |name| json.text(name).map(str::to_string);
        let total = json.number("total")?;
        Ok(Order { key: key.to_string(), customer: text("customer")?, name: text("name")?, total, state: text("state")? })
    }

    pub fn save(&self) -> Result {
        let document = Json::object([
            ("customer", self.customer.as_str().into()),
            ("name", self.name.as_str().into()),
            ("total", self.total.into()),
            ("state", self.state.as_str().into()),
        ]);
        Ok(state::set("orders", &self.key, document.to_string())?)
    }

    /// Puts the order into its customer's list.
    pub fn list(&self) -> Result {
        let entry = Json::object([("order", self.key.as_str().into()), ("total", self.total.into())]);
        Ok(state::set("customer_orders", &self.list_key(), entry.to_string())?)
    }

    pub fn unlist(&self) -> Result {
        Ok(state::delete("customer_orders", &self.list_key())?)
    }

    fn list_key(&self) -> String {
        format!("{}/{}/{}", self.customer, self.state, self.key)
    }
}
