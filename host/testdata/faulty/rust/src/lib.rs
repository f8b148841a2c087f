//! Fails where the event says so, and counts events in memory, which a plugin must not do.

use std::sync::atomic::{AtomicU32, Ordering};

use eshost::{log, reject, state, Event, Result};

eshost::handler!(handle);

static SEEN: AtomicU32 = AtomicU32::new(0);

fn handle(event: &Event) -> Result {
    let seen = match event.event_type() {
        "Broken" => return broken(event),
        "Refused" => return Err(reject("no such account")),
        "Counted" => SEEN.fetch_add(1, Ordering::Relaxed) + 1,
        _ => SEEN.load(Ordering::Relaxed),
    };
    log::info(format!("handled {}", event.stream()));
    state::set("seen", event.stream(), format!(r#"{{"count":{seen}}}"#))?;
    Ok(())
}

#[inline(never)]
fn broken(event: &Event) -> Result {
    state::set("seen", event.stream(), r#""half done""#)?;
    let none: Vec<u32> = Vec::new();
    assert!(!none.is_empty(), "nothing is there");
    Ok(())
}
