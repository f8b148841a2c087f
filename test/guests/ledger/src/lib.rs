//! Keeps a ledger: a document for each stream that lists the positions of its events in the order in which they were
//! applied. So the documents alone show what was lost, applied twice, or applied out of order.
//!
//! An event that fails does so after it has written and emitted; nothing of that may remain.

mod entries;

use eshost::{emit, Event, NewEvent, Result};

eshost::handler!(handle);

fn handle(event: &Event) -> Result {
    let kind = event.event_type();
    if entries::fails(event) {
        entries::spoil(event)?;
        if kind == "AskFails" {
            answer(event)?;
        }
        return entries::fail(event);
    }
    if kind == "Ask" || kind == "AskFails" {
        answer(event)?;
    }
    entries::book(event)
}

fn answer(event: &Event) -> Result {
    let data = format!("{{\"position\":{}}}", event.position());
    Ok(emit(NewEvent::new(&format!("echo-{}", event.stream()), "Echo", &data))?)
}
