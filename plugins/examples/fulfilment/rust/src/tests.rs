//! Holds the plugin to ../testdata.

use crate::{handle, json};
use eshost::testing::{TestEvent, TestHost};
use std::collections::BTreeSet;
use std::fs;

fn lines(file: &str) -> Vec<String> {
    let path = format!("{}/../testdata/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    assert!(text.ends_with('\n'), "{path} is cut");
    text.split_terminator('\n').map(str::to_string).collect()
}

/// The text members of an object.
fn texts<const N: usize>(object: &str, names: [&str; N]) -> [String; N] {
    let values = json::fields(object.as_bytes(), names).unwrap_or_else(|| panic!("not a JSON object: {object}"));
    values.map(|value| value.text().unwrap_or_else(|| panic!("{names:?} are not there: {object}")))
}

/// The raw JSON of the member data, which ends the object or stands before its metadata.
fn data(object: &str) -> &str {
    let (_, raw) = object.split_once(",\"data\":").unwrap_or_else(|| panic!("no data: {object}"));
    raw.split_once(",\"metadata\":").map_or_else(|| raw.strip_suffix('}').unwrap(), |(data, _)| data)
}

#[test]
fn events_make_what_is_expected() {
    let mut host = TestHost::new();
    let (mut failures, mut waiting) = (Vec::new(), BTreeSet::new());
    for line in lines("events.ndjson") {
        let [stream, event_type] = texts(&line, ["stream", "type"]);
        if waiting.contains(&stream) {
            continue;
        }
        if let Err(failure) = host.deliver(handle, &TestEvent::new(&stream, &event_type, data(&line))) {
            failures.push(format!("{stream}: {failure}"));
            waiting.insert(stream);
        }
    }
    let (mut documents, mut emitted, mut expected_failures) = (0, Vec::new(), Vec::new());
    for line in lines("expected.ndjson") {
        let (what, object) = line[2..line.len() - 1].split_once("\":").unwrap();
        match what {
            "document" => {
                let [key] = texts(object, ["key"]);
                assert_eq!(host.document("orders", &key), Some(data(object)), "{key}");
                documents += 1;
            }
            "emitted" => {
                let [stream, event_type] = texts(object, ["stream", "type"]);
                emitted.push((stream, event_type, data(object).to_string()));
            }
            _ => {
                let [stream, kind, error] = texts(object, ["stream", "kind", "error"]);
                expected_failures.push(format!("{stream}: {kind}: {error}"));
            }
        }
    }
    assert_eq!(host.documents("orders").len(), documents);
    let got = host.emitted().iter().map(|e| (e.stream.clone(), e.event_type.clone(), String::from_utf8(e.data.clone()).unwrap()));
    assert_eq!(got.collect::<Vec<_>>(), emitted);
    assert_eq!(failures, expected_failures);
}
