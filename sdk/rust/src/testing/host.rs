use super::TestEvent;
use crate::errors::{Errno, STATUS_OK, STATUS_REJECT};
use crate::json::Json;
use crate::{Event, Result as Handled};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;

pub(crate) type Answer = Result<Vec<u8>, Errno>;

// The limits of abi/ABI.md.
const MAX_COLLECTION: usize = 128;
const MAX_KEY: usize = 1024;
const MAX_DOCUMENT: usize = 1 << 20;
const MAX_SCAN: usize = 1000;
const MAX_EMIT_DATA: usize = 1 << 20;
const MAX_METADATA: usize = 256 << 10;
const MAX_EVENT_NAME: usize = 512;

/// The fake host: documents, settings, and what handlers logged and emitted.
#[derive(Debug, Clone, Default)]
pub struct TestHost {
    config: BTreeMap<String, String>,
    documents: BTreeMap<(String, String), String>,
    emitted: Vec<Emitted>,
    logs: Vec<LogLine>,
    position: u64,
    versions: BTreeMap<String, u64>,
    effects: Effects,
    pub(crate) fail_text: String,
    pub(crate) kept: Vec<u8>,
}

/// What the event being handled did so far. A document that is `None` was deleted.
#[derive(Debug, Clone, Default)]
struct Effects {
    documents: BTreeMap<(String, String), Option<String>>,
    emitted: Vec<Emitted>,
}

/// An event that a handler emitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Emitted {
    /// The stream it was appended to.
    pub stream: String,
    /// The stream's kind, or empty.
    pub stream_type: String,
    /// What happened.
    pub event_type: String,
    /// What it says.
    pub data: Vec<u8>,
    /// A JSON object, or empty.
    pub metadata: String,
    /// What `data` is, as a media type; empty is `application/json`.
    pub content_type: String,
}

/// A line that a handler logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// 0 debug, 1 info, 2 warn, 3 error.
    pub level: i32,
    /// The line.
    pub text: String,
}

/// How a handler failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Whether the event was rejected for good. Otherwise it would be tried again.
    pub rejected: bool,
    /// What the handler said.
    pub text: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", if self.rejected { "reject" } else { "retry" }, self.text)
    }
}

impl std::error::Error for Failure {}

impl TestHost {
    /// A host with no documents and no settings.
    pub fn new() -> Self {
        TestHost::default()
    }

    /// Gives a setting, as `[plugins.NAME.config]` in `hosts.toml` does.
    pub fn set_config(&mut self, key: &str, value: &str) {
        self.config.insert(key.to_string(), value.to_string());
    }

    /// Puts a document there, as an earlier event would have.
    pub fn set_document(&mut self, collection: &str, key: &str, data: &str) {
        self.documents.insert((collection.to_string(), key.to_string()), data.to_string());
    }

    /// Hands one event to the handler. Its effects are kept if it returns `Ok`. A panic goes on to the test.
    pub fn deliver(&mut self, handler: fn(&Event) -> Handled, event: &TestEvent) -> Result<(), Failure> {
        let envelope = self.number(event).envelope();
        self.effects = Effects::default();
        self.fail_text.clear();

        let entered = Entered::new(std::mem::take(self));
        let status = crate::run::run(&envelope, handler);
        *self = entered.leave();

        if status == STATUS_OK {
            self.commit();
            return Ok(());
        }
        Err(Failure { rejected: status == STATUS_REJECT, text: self.fail_text.clone() })
    }

    /// The document under `key`.
    pub fn document(&self, collection: &str, key: &str) -> Option<&str> {
        self.documents.get(&(collection.to_string(), key.to_string())).map(String::as_str)
    }

    /// All documents of a collection, by key.
    pub fn documents(&self, collection: &str) -> BTreeMap<&str, &str> {
        self.documents.iter().filter(|((c, _), _)| c == collection).map(|((_, key), data)| (key.as_str(), data.as_str())).collect()
    }

    /// What was emitted so far.
    pub fn emitted(&self) -> &[Emitted] {
        &self.emitted
    }

    /// What was logged so far, by events that failed too.
    pub fn logs(&self) -> &[LogLine] {
        &self.logs
    }

    fn commit(&mut self) {
        let effects = std::mem::take(&mut self.effects);
        for (name, data) in effects.documents {
            match data {
                Some(data) => self.documents.insert(name, data),
                None => self.documents.remove(&name),
            };
        }
        self.emitted.extend(effects.emitted);
    }

    fn number(&mut self, event: &TestEvent) -> TestEvent {
        let mut event = event.clone();
        if event.position == 0 {
            event.position = self.position + 1;
        }
        self.position = event.position;
        let version = self.versions.entry(event.stream.clone()).or_default();
        if event.version == 0 {
            event.version = *version + 1;
        }
        *version = event.version;
        if event.id.is_empty() {
            event.id = format!("test-{}", event.position);
        }
        event
    }
}

/// The ABI's functions.
impl TestHost {
    pub(crate) fn state_get(&self, collection: &str, key: &str) -> Answer {
        check_names(collection, key)?;
        let name = (collection.to_string(), key.to_string());
        let data = match self.effects.documents.get(&name) {
            Some(written) => written.as_ref(),
            None => self.documents.get(&name),
        };
        data.map(|data| data.clone().into_bytes()).ok_or(Errno::NotFound)
    }

    pub(crate) fn state_set(&mut self, collection: &str, key: &str, data: &[u8]) -> Result<(), Errno> {
        check_names(collection, key)?;
        if data.len() > MAX_DOCUMENT {
            return Err(Errno::TooLarge);
        }
        let text = json_text(data)?;
        self.effects.documents.insert((collection.to_string(), key.to_string()), Some(text.to_string()));
        Ok(())
    }

    pub(crate) fn state_delete(&mut self, collection: &str, key: &str) -> Result<(), Errno> {
        check_names(collection, key)?;
        self.effects.documents.insert((collection.to_string(), key.to_string()), None);
        Ok(())
    }

    pub(crate) fn state_scan(&self, collection: &str, prefix: &str, after: &str, limit: usize) -> Answer {
        if collection.len() > MAX_COLLECTION || prefix.len() > MAX_KEY || after.len() > MAX_KEY || limit > MAX_SCAN {
            return Err(Errno::TooLarge);
        }
        if collection.is_empty() || limit == 0 || [collection, prefix, after].iter().any(|name| name.contains('\0')) {
            return Err(Errno::Invalid);
        }
        let mut found: BTreeMap<&str, &str> = self.documents(collection);
        for ((_, key), data) in self.effects.documents.iter().filter(|((c, _), _)| c == collection) {
            match data {
                Some(data) => found.insert(key, data),
                None => found.remove(key.as_str()),
            };
        }
        found.retain(|key, _| key.starts_with(prefix) && *key > after);
        let mut list = (found.len().min(limit) as u32).to_le_bytes().to_vec();
        for (key, data) in found.iter().take(limit) {
            list.extend((key.len() as u32).to_le_bytes());
            list.extend((data.len() as u32).to_le_bytes());
            list.extend(key.as_bytes());
            list.extend(data.as_bytes());
        }
        Ok(list)
    }

    pub(crate) fn emit(&mut self, argument: &[u8]) -> Result<(), Errno> {
        let u32_at = |at: usize| u32::from_le_bytes(argument[at..at + 4].try_into().unwrap()) as usize;
        let slot = |i: usize| &argument[u32_at(16 + 8 * i)..][..u32_at(20 + 8 * i)];
        let text = |i: usize| String::from_utf8(slot(i).to_vec()).map_err(|_| Errno::Invalid);
        let emitted = Emitted {
            stream: text(0)?,
            stream_type: text(1)?,
            event_type: text(2)?,
            data: slot(3).to_vec(),
            metadata: text(4)?,
            content_type: text(5)?,
        };
        check_emitted(&emitted)?;
        self.effects.emitted.push(emitted);
        Ok(())
    }

    #[cfg(test)]
    pub(crate) fn pending_emits(&self) -> &[Emitted] {
        &self.effects.emitted
    }

    pub(crate) fn log(&mut self, level: i32, text: &str) {
        self.logs.push(LogLine { level, text: text.to_string() });
    }

    pub(crate) fn config_get(&self, key: &str) -> Answer {
        if key.len() > MAX_KEY {
            return Err(Errno::TooLarge);
        }
        self.config.get(key).map(|value| value.clone().into_bytes()).ok_or(Errno::NotFound)
    }
}

fn check_names(collection: &str, key: &str) -> Result<(), Errno> {
    if collection.len() > MAX_COLLECTION || key.len() > MAX_KEY {
        return Err(Errno::TooLarge);
    }
    if collection.is_empty() || key.is_empty() || collection.contains('\0') || key.contains('\0') {
        return Err(Errno::Invalid);
    }
    Ok(())
}

fn check_emitted(event: &Emitted) -> Result<(), Errno> {
    let names = [&event.stream, &event.stream_type, &event.event_type, &event.content_type];
    if names.iter().any(|name| name.len() > MAX_EVENT_NAME)
        || event.data.len() > MAX_EMIT_DATA
        || event.metadata.len() > MAX_METADATA
    {
        return Err(Errno::TooLarge);
    }
    if event.stream.is_empty() || event.event_type.is_empty() || names.iter().any(|name| name.contains('\0')) {
        return Err(Errno::Invalid);
    }
    if ["", "application/json"].contains(&event.content_type.as_str()) {
        json_text(&event.data)?;
    }
    let is_object = event.metadata.is_empty() || json_text(event.metadata.as_bytes())?.trim_start().starts_with('{');
    if is_object {
        Ok(())
    } else {
        Err(Errno::Invalid)
    }
}

fn json_text(data: &[u8]) -> Result<&str, Errno> {
    std::str::from_utf8(data).ok().filter(|text| Json::parse(text.as_bytes()).is_ok()).ok_or(Errno::Invalid)
}

thread_local! {
    static CURRENT: RefCell<Option<TestHost>> = const { RefCell::new(None) };
}

/// The host is the thread's current one while a handler runs; a panic takes it away again.
struct Entered;

impl Entered {
    fn new(host: TestHost) -> Self {
        CURRENT.with(|current| current.replace(Some(host)));
        Entered
    }

    fn leave(self) -> TestHost {
        CURRENT.with(|current| current.take()).expect("the handler delivered an event itself")
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.with(|current| current.take());
    }
}

/// Calls the host that is delivering an event. `function` is what the plugin called.
pub(crate) fn with_current<T>(function: &str, call: impl FnOnce(&mut TestHost) -> T) -> T {
    CURRENT.with(|current| match current.borrow_mut().as_mut() {
        Some(host) => call(host),
        None => panic!(
            "eshost: {function} was called where no host is: build the plugin for wasm32-unknown-unknown and have eshost run it, \
             or in a test hand events to TestHost::deliver"
        ),
    })
}
