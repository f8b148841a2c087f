//! Holds this crate to the host's bytes: the golden vectors of abi/testdata.

use crate::testing::{TestEvent, TestHost};
use crate::{state, Event, NewEvent};
use std::fs;
use std::path::{Path, PathBuf};

/// The JSON beside a vector. It is written with one field a line, which is all that is understood here.
struct Description {
    text: String,
    bin: Vec<u8>,
    path: PathBuf,
}

impl Description {
    fn all(kind: &str) -> Vec<Description> {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../abi/testdata");
        let mut found = Vec::new();
        for entry in fs::read_dir(&dir).expect("abi/testdata is missing") {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "json") {
                let text = fs::read_to_string(&path).unwrap();
                let bin = fs::read(path.with_extension("bin")).unwrap();
                found.push(Description { text, bin, path });
            }
        }
        found.retain(|description| description.get("kind") == kind);
        assert!(!found.is_empty(), "no vectors of kind {kind}");
        found
    }

    fn values<'a>(&'a self, key: &'a str) -> impl Iterator<Item = String> + 'a {
        let values = self.text.lines().filter_map(move |line| {
            let value = line.trim().strip_prefix('"')?.strip_prefix(key)?.strip_prefix("\": ")?;
            Some(value.strip_suffix(',').unwrap_or(value))
        });
        values.map(|value| {
            let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
            assert!(!value.replace("\\\"", "").contains('\\'), "an escape that this reader does not know: {value}");
            value.replace("\\\"", "\"")
        })
    }

    fn get(&self, key: &str) -> String {
        let mut values = self.values(key);
        let value = values.next().unwrap_or_else(|| panic!("{} has no {key}", self.path.display()));
        assert!(values.next().is_none(), "{} has {key} twice", self.path.display());
        value
    }

    fn number<T: std::str::FromStr>(&self, key: &str) -> T {
        self.get(key).parse().unwrap_or_else(|_| panic!("{}: {key} is no number", self.path.display()))
    }
}

fn unhex(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

#[test]
fn events_are_read() {
    for vector in Description::all("envelope") {
        let event = Event::new(&vector.bin);
        assert_eq!(event.position(), vector.number::<u64>("position"));
        assert_eq!(event.version(), vector.number::<u64>("version"));
        assert_eq!(event.time(), vector.number::<i64>("time_micros"));
        assert_eq!(event.attempt(), vector.number::<u32>("attempt"));
        assert_eq!(event.id(), vector.get("id"));
        assert_eq!(event.event_type(), vector.get("type"));
        assert_eq!(event.stream(), vector.get("stream"));
        assert_eq!(event.stream_type(), vector.get("stream_type"));
        assert_eq!(event.data(), unhex(&vector.get("data_hex")));
        assert_eq!(event.metadata(), vector.get("metadata"));
        assert_eq!(event.content_type(), vector.get("content_type"));
    }
}

#[test]
fn data_is_text_only_if_it_is_utf8() {
    let texts: Vec<bool> = ["envelope-bank", "envelope-binary"]
        .iter()
        .map(|name| {
            let all = Description::all("envelope");
            let vector = all.iter().find(|vector| vector.path.ends_with(format!("{name}.json"))).unwrap();
            Event::new(&vector.bin).data_text().is_ok()
        })
        .collect();
    assert_eq!(texts, [true, false]);
}

#[test]
fn the_fake_host_writes_events_as_the_host_does() {
    for vector in Description::all("envelope").iter().filter(|vector| vector.get("decode_only") == "false") {
        let event = TestEvent {
            position: vector.number("position"),
            version: vector.number("version"),
            time: vector.number("time_micros"),
            attempt: vector.number("attempt"),
            id: vector.get("id"),
            event_type: vector.get("type"),
            stream: vector.get("stream"),
            stream_type: vector.get("stream_type"),
            data: unhex(&vector.get("data_hex")),
            metadata: vector.get("metadata"),
            content_type: vector.get("content_type"),
        };
        assert_eq!(event.envelope(), vector.bin, "{}", vector.path.display());
    }
}

#[test]
fn emitted_events_are_written() {
    for vector in Description::all("emit") {
        let (stream, stream_type, event_type) = (vector.get("stream"), vector.get("stream_type"), vector.get("type"));
        let (data, metadata, content_type) = (unhex(&vector.get("data_hex")), vector.get("metadata"), vector.get("content_type"));
        let event =
            NewEvent::new(&stream, &event_type, &data).stream_type(&stream_type).metadata(&metadata).content_type(&content_type);
        assert_eq!(event.encode(), vector.bin, "{}", vector.path.display());
    }
}

#[test]
fn the_fake_host_reads_emitted_events() {
    for vector in Description::all("emit") {
        let mut host = TestHost::new();
        host.emit(&vector.bin).unwrap();
        let emitted = host.pending_emits().last().unwrap();
        assert_eq!(emitted.stream, vector.get("stream"));
        assert_eq!(emitted.stream_type, vector.get("stream_type"));
        assert_eq!(emitted.event_type, vector.get("type"));
        assert_eq!(emitted.data, unhex(&vector.get("data_hex")));
        assert_eq!(emitted.metadata, vector.get("metadata"));
        assert_eq!(emitted.content_type, vector.get("content_type"));
    }
}

#[test]
fn scans_are_read() {
    for vector in Description::all("scan") {
        let documents = state::decode(&vector.bin);
        let keys: Vec<String> = documents.iter().map(|document| document.key.clone()).collect();
        let values: Vec<Vec<u8>> = documents.into_iter().map(|document| document.data).collect();
        assert_eq!(keys, vector.values("key").collect::<Vec<_>>());
        assert_eq!(values, vector.values("value_hex").map(|hex| unhex(&hex)).collect::<Vec<_>>());
    }
}
