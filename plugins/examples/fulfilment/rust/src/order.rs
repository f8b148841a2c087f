//! What the plugin knows of an order, and what it says about it.

use crate::json;
use eshost::{emit, retry, state, NewEvent, Result};
use std::fmt::Write;

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
        match state::get("orders", key)? {
            Some(document) => Order::parse(key, &document).ok_or_else(|| retry("the stored document is not an order")),
            None => Ok(Order { key: key.to_string(), state: "unknown".to_string(), total: 0, paid: 0 }),
        }
    }

    fn parse(key: &str, document: &[u8]) -> Option<Order> {
        let [state, total, paid] = json::fields(document, ["state", "total", "paid"])?;
        Some(Order { key: key.to_string(), state: state.text()?, total: total.integer()?, paid: paid.integer()? })
    }

    pub fn save(&self) -> Result {
        let mut document = String::from(r#"{"state":"#);
        json::push_text(&mut document, &self.state);
        write!(document, r#","total":{},"paid":{}}}"#, self.total, self.paid)?;
        Ok(state::set("orders", &self.key, document)?)
    }

    /// Ships an order that is paid; asks for the rest if a part of it is.
    pub fn settle(&mut self) -> Result {
        let missing = self.total - self.paid;
        if missing > 0 {
            if self.paid == 0 {
                return Ok(());
            }
            return Message::about(self).number("amount", missing).emit(&format!("payment-{}", self.key), "PaymentMissing");
        }
        if missing < 0 {
            self.refund(-missing, "more was paid than the order's total")?;
        }
        self.state = "shipping".to_string();
        self.paid = self.total;
        Message::about(self).emit(&format!("shipment-{}", self.key), "ShipmentRequested")
    }

    pub fn refund(&self, amount: i64, reason: &str) -> Result {
        let message = Message::about(self).number("amount", amount).text("reason", reason);
        message.emit(&format!("payment-{}", self.key), "RefundRequested")
    }
}

/// The data of what the plugin emits: a JSON object that is not closed yet.
pub struct Message(String);

impl Message {
    pub fn about(order: &Order) -> Message {
        Message("{".to_string()).text("order", &order.key)
    }

    pub fn text(mut self, name: &str, text: &str) -> Message {
        self.begin(name);
        json::push_text(&mut self.0, text);
        self
    }

    pub fn number(mut self, name: &str, number: i64) -> Message {
        self.begin(name);
        self.0.push_str(&number.to_string());
        self
    }

    fn begin(&mut self, name: &str) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        json::push_text(&mut self.0, name);
        self.0.push(':');
    }

    pub fn emit(mut self, stream: &str, event_type: &str) -> Result {
        self.0.push('}');
        Ok(emit(NewEvent::new(stream, event_type, &self.0))?)
    }
}
