//! Keeps a ledger: a document for each stream that lists the positions of its events in the order in which they were
//! applied. So the documents alone show what was lost, applied twice, or applied out of order.
//!
//! An event that fails does so after it has written and emitted; nothing of that may remain.

use eshost::{emit, reject, retry, state, Event, NewEvent, Result};

eshost::handler!(handle);

fn handle(event: &Event) -> Result {
    let kind = event.event_type();
    let attempts = match kind {
        "FailsOnce" | "TrapsOnce" | "AskFails" => 1,
        "FailsTwice" => 2,
        _ => 0,
    };
    if event.attempt() <= attempts || kind == "Poison" {
        return fail(event);
    }
    match kind {
        "Ask" | "AskFails" => answer(event)?,
        "Shared" => enter("shared", &(event.version() % 3).to_string(), event)?,
        "Slow" => work(),
        _ => {}
    }
    enter("ledger", event.stream(), event)
}

/// Adds the event's position to a list.
fn enter(collection: &str, key: &str, event: &Event) -> Result {
    let mut list = match state::get(collection, key)? {
        Some(document) => String::from_utf8(document).map_err(reject)?,
        None => String::from("[]"),
    };
    list.pop();
    if list.len() > 1 {
        list.push(',');
    }
    list.push_str(&event.position().to_string());
    list.push(']');
    Ok(state::set(collection, key, list)?)
}

fn answer(event: &Event) -> Result {
    let data = format!("{{\"position\":{}}}", event.position());
    Ok(emit(NewEvent::new(&format!("echo-{}", event.stream()), "Echo", &data))?)
}

/// Leaves as much behind as an event can, and fails.
fn fail(event: &Event) -> Result {
    enter("ledger", event.stream(), event)?;
    state::set("junk", event.stream(), "true")?;
    if event.event_type() == "AskFails" {
        answer(event)?;
    }
    let text = format!("{}, attempt {}", event.event_type(), event.attempt());
    match event.event_type() {
        "TrapsOnce" => panic!("{}", text),
        "Poison" => Err(reject(text)),
        _ => Err(retry(text)),
    }
}

/// Takes a few milliseconds: long enough for a batch to be split into lanes, or to be interrupted.
fn work() {
    let mut x: u64 = 88172645463325252;
    for _ in 0..1_000_000 {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        core::hint::black_box(x);
    }
}
