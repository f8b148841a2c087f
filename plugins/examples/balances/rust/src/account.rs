use crate::json;
use eshost::{config, retry, state, Result};
use std::fmt::Write;

const COLLECTION: &str = "balances";

/// What is known of one account: the document under its stream's name.
pub struct Account {
    pub owner: String,
    pub currency: String,
    pub balance: i64,
    pub count: i64,
}

impl Account {
    /// Reads the account, or makes one that was never opened.
    pub fn load(stream: &str) -> Result<Account> {
        match state::get(COLLECTION, stream)? {
            Some(document) => Account::parse(&document).ok_or_else(|| retry("the stored document is not an account")),
            None => Ok(Account { owner: String::new(), currency: default_currency()?, balance: 0, count: 0 }),
        }
    }

    fn parse(document: &[u8]) -> Option<Account> {
        let [owner, currency, balance, count] = json::fields(document, ["owner", "currency", "balance", "count"])?;
        Some(Account { owner: owner.text()?, currency: currency.text()?, balance: balance.integer()?, count: count.integer()? })
    }

    /// Writes the account, one event further.
    pub fn save(&self, stream: &str) -> Result {
        let mut document = String::with_capacity(64 + self.owner.len() + self.currency.len());
        document.push_str(r#"{"owner":"#);
        json::push_text(&mut document, &self.owner);
        document.push_str(r#","currency":"#);
        json::push_text(&mut document, &self.currency);
        write!(document, r#","balance":{},"count":{}}}"#, self.balance, self.count + 1)?;
        Ok(state::set(COLLECTION, stream, document)?)
    }
}

/// The currency of accounts that were opened without one.
pub fn default_currency() -> Result<String> {
    Ok(config::get("currency")?.unwrap_or_else(|| "EUR".to_string()))
}
