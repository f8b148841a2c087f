//! Does everything a plugin can do, and fails in every way one can fail. What it does with an event is decided by a
//! hash of the event's stream and version.
//!
//! What it makes is well defined whatever the lanes and batches, in spite of the failures: an event that fails is
//! handled later than the events of other keys that follow it. So events that may fail, the fragile ones, write only
//! documents that are their stream's own or that are sums, and emit only to a stream of their own. The others share
//! documents as they like, and never fail.

use eshost::state;
use eshost::{emit, reject, retry, Event, NewEvent, Result};

eshost::handler!(handle);

fn handle(event: &Event) -> Result {
    let mut dice = Dice::of(event);
    match event.event_type() {
        "Fragile" => fragile(event, &mut dice),
        "Peeking" => peeking(event, &mut dice),
        _ => sturdy(event, &mut dice),
    }
}

/// What an event's hash decides, one number after another.
struct Dice(u64);

impl Dice {
    fn of(event: &Event) -> Self {
        let mut hash = Hash::new();
        hash.add(event.stream().as_bytes());
        hash.add(&event.version().to_le_bytes());
        Dice(hash.0 | 1)
    }

    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// Fails in one of many ways, but only after it has written something.
fn fragile(event: &Event, dice: &mut Dice) -> Result {
    let (how, patience) = (dice.roll(20), 1 + dice.roll(2) as u32);
    add("sums", "all", event.version())?;
    chain("own", event.stream(), event)?;
    if dice.roll(3) == 0 {
        emit_to(&format!("out-{}", event.stream()), event)?;
    }
    match how {
        0 => Err(reject(format!("rejected at {}", event.stream()))),
        1 => panic!("trapped at {}", event.stream()),
        2..=4 if event.attempt() <= patience => Err(retry(format!("attempt {}", event.attempt()))),
        5 if event.attempt() == 1 => panic!("the first attempt traps"),
        _ => Ok(()),
    }
}

/// Reads and writes documents of other streams, so that what comes of it depends on the order of all events.
fn sturdy(event: &Event, dice: &mut Dice) -> Result {
    match dice.roll(8) {
        0 => chain("shared", &dice.roll(5).to_string(), event),
        1 => Ok(state::delete("shared", &dice.roll(5).to_string())?),
        2 => scan(event, "shared", ""),
        3 => scan(event, "own", "sturdy"),
        4 => emit_to(&format!("out-{}", dice.roll(3)), event),
        5 => {
            emit_to("out-0", event)?;
            chain("shared", "emitted", event)
        }
        _ => {
            add("counts", event.event_type(), 1)?;
            chain("own", event.stream(), event)
        }
    }
}

/// Writes nothing that others write, and now and then looks at what they have written.
fn peeking(event: &Event, dice: &mut Dice) -> Result {
    match dice.roll(5) {
        0 => scan(event, "own", "peeking"),
        _ => chain("own", event.stream(), event),
    }
}

/// Replaces a document by the hash of itself and the event.
fn chain(collection: &str, key: &str, event: &Event) -> Result {
    let mut hash = Hash::new();
    hash.add(&state::get(collection, key)?.unwrap_or_default());
    hash.add(event.stream().as_bytes());
    hash.add(&event.position().to_le_bytes());
    hash.add(event.data());
    Ok(state::set(collection, key, hash.0.to_string())?)
}

fn add(collection: &str, key: &str, n: u64) -> Result {
    let sum = match state::get(collection, key)? {
        Some(document) => String::from_utf8_lossy(&document).parse::<u64>().map_err(reject)?,
        None => 0,
    };
    Ok(state::set(collection, key, (sum + n).to_string())?)
}

/// Writes a hash of what a scan finds.
fn scan(event: &Event, collection: &str, prefix: &str) -> Result {
    let mut hash = Hash::new();
    for document in state::scan(collection, prefix, "", 100)? {
        hash.add(document.key.as_bytes());
        hash.add(&document.data);
    }
    Ok(state::set("scans", event.stream(), hash.0.to_string())?)
}

fn emit_to(stream: &str, event: &Event) -> Result {
    let data = format!("{{\"position\":{}}}", event.position());
    Ok(emit(NewEvent::new(stream, "Emitted", &data).stream_type("out").metadata("{\"by\":\"mixed\"}"))?)
}

/// FNV-1a.
struct Hash(u64);

impl Hash {
    fn new() -> Self {
        Hash(0xcbf29ce484222325)
    }

    fn add(&mut self, bytes: &[u8]) {
        for b in bytes {
            self.0 = (self.0 ^ u64::from(*b)).wrapping_mul(0x100000001b3);
        }
    }
}
