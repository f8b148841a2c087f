//! Keeps the balance of every bank account. The rules are in ../README.md.

mod account;
mod json;
#[cfg(test)]
mod tests;

use account::{default_currency, Account};
use eshost::{reject, Event, Result};
use json::Value;

eshost::handler!(handle);
eshost::manifest!(include_str!("../manifest.json"));

/// The plugin: called for every event.
pub fn handle(event: &Event) -> Result {
    match event.event_type() {
        "AccountOpened" => opened(event),
        "Deposited" => moved(event, i64::checked_add),
        "Withdrawn" => moved(event, i64::checked_sub),
        _ => Ok(()),
    }
}

fn opened(event: &Event) -> Result {
    let [owner, currency] = fields(event, ["owner", "currency"])?;
    let mut account = Account::load(event.stream())?;
    account.owner = owner.text().unwrap_or_default();
    account.currency = match currency.text() {
        Some(currency) => currency,
        None => default_currency()?,
    };
    account.save(event.stream())
}

fn moved(event: &Event, change: fn(i64, i64) -> Option<i64>) -> Result {
    let [amount] = fields(event, ["amount"])?;
    let amount = match amount.integer() {
        Some(amount) if amount > 0 => amount,
        _ => return Err(reject("amount must be a positive integer of cents")),
    };
    let mut account = Account::load(event.stream())?;
    account.balance = change(account.balance, amount).ok_or_else(|| reject("balance overflow"))?;
    account.save(event.stream())
}

fn fields<'a, const N: usize>(event: &Event<'a>, names: [&str; N]) -> Result<[Value<'a>; N]> {
    json::fields(event.data(), names).ok_or_else(|| reject("data is not a JSON object"))
}
