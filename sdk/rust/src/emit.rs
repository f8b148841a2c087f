use crate::errors::HostError;
use crate::host;

/// An event to append: see [`emit`].
#[derive(Debug, Clone)]
pub struct NewEvent<'a> {
    slots: [&'a [u8]; 6],
    stream: &'a str,
    event_type: &'a str,
}

impl<'a> NewEvent<'a> {
    /// An event of `event_type` at the end of `stream`, with `data` in JSON unless [`content_type`](Self::content_type) says otherwise.
    pub fn new(stream: &'a str, event_type: &'a str, data: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        NewEvent { slots: [stream.as_bytes(), b"", event_type.as_bytes(), data.as_ref(), b"", b""], stream, event_type }
    }

    /// The kind of stream. Left out, it is what the stream has.
    pub fn stream_type(mut self, stream_type: &'a str) -> Self {
        self.slots[1] = stream_type.as_bytes();
        self
    }

    /// A JSON object about the event.
    pub fn metadata(mut self, metadata: &'a str) -> Self {
        self.slots[4] = metadata.as_bytes();
        self
    }

    /// What `data` is, as a media type. Defaults to `application/json`.
    pub fn content_type(mut self, content_type: &'a str) -> Self {
        self.slots[5] = content_type.as_bytes();
        self
    }

    /// The argument of the ABI's `emit`.
    pub(crate) fn encode(&self) -> Vec<u8> {
        const MAGIC: u32 = 0x3154_4d45; // "EMT1"
        const HEADER: usize = 16 + 8 * 6;
        let mut out = Vec::with_capacity(HEADER + self.slots.iter().map(|slot| slot.len()).sum::<usize>());
        out.extend(MAGIC.to_le_bytes());
        out.extend((HEADER as u16).to_le_bytes());
        out.extend(0u16.to_le_bytes());
        out.extend((self.slots.len() as u32).to_le_bytes());
        out.extend(0u32.to_le_bytes());
        let mut at = HEADER;
        for slot in self.slots {
            out.extend((at as u32).to_le_bytes());
            out.extend((slot.len() as u32).to_le_bytes());
            at += slot.len();
        }
        for slot in self.slots {
            out.extend_from_slice(slot);
        }
        out
    }
}

/// Appends an event to the log, if and when the handler returns `Ok`. It happens once, however often the handled event is
/// tried or replayed. The plugin needs `"emit"` in its `allow` list.
pub fn emit(event: NewEvent) -> Result<(), HostError> {
    host::emit(&event.encode()).map_err(|errno| HostError::new("emit", &[event.stream, event.event_type], errno))
}
