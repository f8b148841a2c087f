//! What the plugin knows of an order, and what it says about it.

use eshost::json::Json;
use eshost::{emit, retry, state, NewEvent, Result};

pub struct Order {
    /// The name of the order's stream, which is the document's key.
    pub key: String,
    /// unknown, placed, shipping, completed or cancelled.
    pub state: String,
    /// In cents; 0 while the order is unknown.
    pub total: i64,
    /// What was received and not given back, in cents.
    pub paid: i64,
}

impl Order {
    /// The order; an unknown one is one that was not placed yet, whatever has been paid for it.
    pub fn load(key: &str) -> Result<Order> {
        let Some(document) = state::get("orders", key)? else {
            return Ok(Order { key: key.to_string(), state: "unknown".to_string(), total: 0, paid: 0 });
        };
        Order::parse(key, &document).map_err(retry)
    }

    fn parse(key: &str, document: &[u8]) -> std::result::Result<Order, String> {
        let json = Json::parse(document)?;
        let state = json.text("state")?.to_string();
        Ok(Order { key: key.to_string(), state, total: json.number("total")?, paid: json.number("paid")? })
    }

    pub fn save(&self) -> Result {
        let document =
            Json::object([("state", self.state.as_str().into()), ("total", self.total.into()), ("paid", self.paid.into())]);
        Ok(state::set("orders", &self.key, document.to_string())?)
    }

    /// Ships an order that is paid; asks for the rest if a part of it is.
    pub fn settle(&mut self) -> Result {
        let missing = self.total - self.paid;
        if missing > 0 {
            if self.paid == 0 {
                return Ok(());
            }
            return self.emit(&format!("payment-{}", self.key), "PaymentMissing", [("amount", missing.into())]);
        }
        if missing < 0 {
            self.refund(-missing, "more was paid than the order's total")?;
        }
        self.state = "shipping".to_string();
        self.paid = self.total;
        self.emit(&format!("shipment-{}", self.key), "ShipmentRequested", [])
    }

    pub fn refund(&self, amount: i64, reason: &str) -> Result {
        let members = [("amount", amount.into()), ("reason", reason.into())];
        self.emit(&format!("payment-{}", self.key), "RefundRequested", members)
    }

    /// Says something about the order: appends an event that names it and has some more members.
    pub fn emit<const N: usize>(&self, stream: &str, event_type: &str, members: [(&str, Json); N]) -> Result {
        let mut data = vec![("order".to_string(), self.key.as_str().into())];
        data.extend(members.map(|(name, value)| (name.to_string(), value)));
        Ok(emit(NewEvent::new(stream, event_type, &Json::Object(data).to_string()))?)
    }
}
