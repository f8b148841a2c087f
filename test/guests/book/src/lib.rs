//! Keeps the documents of the ledger and emits nothing, not even on paper: a plugin whose read model is in Redis may not,
//! and a module that imports the function would be refused.

#[path = "../../ledger/src/entries.rs"]
mod entries;

use eshost::{Event, Result};

eshost::handler!(handle);

fn handle(event: &Event) -> Result {
    if entries::fails(event) {
        entries::spoil(event)?;
        return entries::fail(event);
    }
    entries::book(event)
}
