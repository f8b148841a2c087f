//! The benchmark's plugin in Rust. Every language has the same: see ../README.md.

use eshost::{reject, state, Event, Result};
use serde::{Deserialize, Serialize};

eshost::handler!(handle);

#[derive(Deserialize)]
struct Moved {
    amount: i64,
    #[allow(dead_code)]
    note: String,
    by: Person,
    tags: Vec<String>,
}

#[derive(Deserialize)]
struct Person {
    #[allow(dead_code)]
    id: String,
    name: String,
}

#[derive(Default, Serialize, Deserialize)]
struct Account {
    owner: String,
    currency: String,
    balance: i64,
    count: i64,
}

fn handle(event: &Event) -> Result {
    match event.event_type() {
        "Parsed" => {
            let data: Moved = event.json()?;
            if data.amount <= 0 || data.by.name.is_empty() || data.tags.len() != 2 {
                return Err(reject("the data was not read"));
            }
            Ok(())
        }
        "Touched" => {
            let mut account: Account = state::get_json("accounts", event.stream())?.unwrap_or_default();
            account.balance += 5;
            account.count += 1;
            state::set_json("accounts", event.stream(), &account)
        }
        _ => Ok(()),
    }
}
