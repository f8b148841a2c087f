use std::fmt;
use std::str::{self, Utf8Error};

/// The event that is being handled. It reads from the buffer that the host wrote: nothing is copied, and nothing of it may
/// be kept when the handler returns.
#[derive(Clone, Copy)]
pub struct Event<'a> {
    envelope: &'a [u8],
}

const MAGIC: u32 = 0x3148_5345; // "ESH1"
const FIXED: usize = 40;
const SLOTS: usize = 7;

impl<'a> Event<'a> {
    /// Reads an envelope. Its slots are looked at when they are asked for.
    pub(crate) fn new(envelope: &'a [u8]) -> Self {
        let event = Event { envelope };
        assert!(
            envelope.len() >= FIXED + 8 * SLOTS && event.u32_at(0) == MAGIC && event.u32_at(36) as usize >= SLOTS,
            "the host sent an event that this version of the SDK does not understand"
        );
        event
    }

    /// The event's place in the whole log. It grows from event to event, with holes.
    pub fn position(&self) -> u64 {
        self.u64_at(8)
    }

    /// The event's place in its stream, from 1, without holes.
    pub fn version(&self) -> u64 {
        self.u64_at(16)
    }

    /// When the event was recorded, in microseconds since 1970-01-01T00:00:00Z.
    pub fn time(&self) -> i64 {
        self.u64_at(24) as i64
    }

    /// How often this event was handed to the plugin, this time included: 1, unless it failed before.
    pub fn attempt(&self) -> u32 {
        self.u32_at(32)
    }

    /// The event's identity, unique in the log.
    pub fn id(&self) -> &'a str {
        self.text(0)
    }

    /// The event's type, for example `Deposited`.
    pub fn event_type(&self) -> &'a str {
        self.text(1)
    }

    /// The stream, which is to say the aggregate, that the event belongs to.
    pub fn stream(&self) -> &'a str {
        self.text(2)
    }

    /// The kind of stream. May be empty.
    pub fn stream_type(&self) -> &'a str {
        self.text(3)
    }

    /// The event's data, exactly the bytes that were appended.
    pub fn data(&self) -> &'a [u8] {
        self.slot(4)
    }

    /// [`data`](Self::data) as text, unless it is not UTF-8.
    pub fn data_text(&self) -> Result<&'a str, Utf8Error> {
        str::from_utf8(self.data())
    }

    /// The event's metadata, a JSON object.
    pub fn metadata(&self) -> &'a str {
        self.text(5)
    }

    /// What `data` is, as a media type, for example `application/json`.
    pub fn content_type(&self) -> &'a str {
        self.text(6)
    }

    fn text(&self, slot: usize) -> &'a str {
        str::from_utf8(self.slot(slot)).expect("the host sent text that is not UTF-8")
    }

    fn slot(&self, slot: usize) -> &'a [u8] {
        let at = FIXED + 8 * slot;
        let (offset, len) = (self.u32_at(at) as usize, self.u32_at(at + 4) as usize);
        &self.envelope[offset..][..len]
    }

    fn u32_at(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.envelope[at..at + 4].try_into().unwrap())
    }

    fn u64_at(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.envelope[at..at + 8].try_into().unwrap())
    }
}

impl fmt::Debug for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("position", &self.position())
            .field("version", &self.version())
            .field("time", &self.time())
            .field("attempt", &self.attempt())
            .field("id", &self.id())
            .field("event_type", &self.event_type())
            .field("stream", &self.stream())
            .field("stream_type", &self.stream_type())
            .field("data", &String::from_utf8_lossy(self.data()))
            .field("metadata", &self.metadata())
            .field("content_type", &self.content_type())
            .finish()
    }
}
