//! Answers each event with one of the configured type, at the end of the same stream and with the same data. Two of it can
//! play a warehouse, or feed each other.

use eshost::{config, emit, reject, Event, NewEvent, Result};

eshost::handler!(handle);

fn handle(event: &Event) -> Result {
    let event_type = config::get("type")?.ok_or_else(|| reject("no type is configured"))?;
    Ok(emit(NewEvent::new(event.stream(), &event_type, event.data()))?)
}
