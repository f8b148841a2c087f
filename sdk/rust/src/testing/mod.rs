//! A host in memory, so that `cargo test` runs handlers without WebAssembly. It answers as the real one does, with the same
//! errors, and keeps nothing of an event that failed. Only the limits on what one event may do in total are not counted.
//!
//! ```
//! use eshost::testing::{TestEvent, TestHost};
//! # use eshost::{state, Event, Result};
//! # fn handle(event: &Event) -> Result { state::set("last", event.stream(), event.data())?; Ok(()) }
//!
//! let mut host = TestHost::new();
//! host.deliver(handle, &TestEvent::new("acc-1", "Deposited", r#"{"amount":5}"#)).unwrap();
//! assert_eq!(host.document("last", "acc-1"), Some(r#"{"amount":5}"#));
//! ```

mod host;

pub(crate) use host::{with_current, Answer};
pub use host::{Emitted, Failure, LogLine, TestHost};

/// An event to hand to a handler. What is left out is filled in: the next position and version, an id, attempt 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestEvent {
    /// Place in the log; 0 is the one after the last.
    pub position: u64,
    /// Place in the stream; 0 is the one after the last.
    pub version: u64,
    /// Microseconds since 1970.
    pub time: i64,
    /// From 1.
    pub attempt: u32,
    /// Empty is made from the position.
    pub id: String,
    /// For example `Deposited`.
    pub event_type: String,
    /// The aggregate.
    pub stream: String,
    /// The aggregate's kind.
    pub stream_type: String,
    /// Any bytes.
    pub data: Vec<u8>,
    /// A JSON object.
    pub metadata: String,
    /// What `data` is.
    pub content_type: String,
}

impl TestEvent {
    /// An event of `event_type` in `stream` with JSON `data`.
    pub fn new(stream: &str, event_type: &str, data: impl AsRef<[u8]>) -> Self {
        TestEvent {
            position: 0,
            version: 0,
            time: 0,
            attempt: 1,
            id: String::new(),
            event_type: event_type.to_string(),
            stream: stream.to_string(),
            stream_type: String::new(),
            data: data.as_ref().to_vec(),
            metadata: "{}".to_string(),
            content_type: "application/json".to_string(),
        }
    }

    /// The event's envelope, as abi/ABI.md lays it out.
    pub fn envelope(&self) -> Vec<u8> {
        const HEADER: usize = 40 + 8 * 7;
        let slots: [&[u8]; 7] = [
            self.id.as_bytes(),
            self.event_type.as_bytes(),
            self.stream.as_bytes(),
            self.stream_type.as_bytes(),
            &self.data,
            self.metadata.as_bytes(),
            self.content_type.as_bytes(),
        ];
        let mut out = b"ESH1".to_vec();
        out.extend((HEADER as u16).to_le_bytes());
        out.extend(0u16.to_le_bytes());
        out.extend(self.position.to_le_bytes());
        out.extend(self.version.to_le_bytes());
        out.extend(self.time.to_le_bytes());
        out.extend(self.attempt.to_le_bytes());
        out.extend((slots.len() as u32).to_le_bytes());
        let mut at = HEADER;
        for slot in slots {
            out.extend((at as u32).to_le_bytes());
            out.extend((slot.len() as u32).to_le_bytes());
            at += slot.len();
        }
        out.extend(slots.concat());
        out
    }
}
