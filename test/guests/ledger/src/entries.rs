//! The documents of a ledger, and how its events fail. The plugin book has the same ones.

use eshost::{reject, retry, state, Event, Result};

/// Reports whether the event fails this time.
pub fn fails(event: &Event) -> bool {
    let attempts = match event.event_type() {
        "FailsOnce" | "TrapsOnce" | "AskFails" => 1,
        "FailsTwice" => 2,
        "Poison" => u32::MAX,
        _ => 0,
    };
    event.attempt() <= attempts
}

/// Leaves documents behind that nothing may remain of.
pub fn spoil(event: &Event) -> Result {
    enter("ledger", event.stream(), event)?;
    Ok(state::set("junk", event.stream(), "true")?)
}

/// Fails as the event's type says.
pub fn fail(event: &Event) -> Result {
    let text = format!("{}, attempt {}", event.event_type(), event.attempt());
    match event.event_type() {
        "TrapsOnce" => panic!("{}", text),
        "Poison" => Err(reject(text)),
        _ => Err(retry(text)),
    }
}

/// Enters the event into the documents that it belongs to.
pub fn book(event: &Event) -> Result {
    match event.event_type() {
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
