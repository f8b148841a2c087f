//! Holds the plugin to ../testdata.

use crate::handle;
use eshost::json::Json;
use eshost::testing::{TestEvent, TestHost};
use std::collections::BTreeSet;
use std::fs;

fn lines(file: &str) -> Vec<Json> {
    let path = format!("{}/../testdata/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let lines = text.split_inclusive(|byte| *byte == b'\n');
    lines.map(|line| Json::parse(line).unwrap_or_else(|error| panic!("{path}: {error}"))).collect()
}

fn text<'a>(line: &'a Json, name: &str) -> &'a str {
    line.text(name).unwrap_or_else(|error| panic!("{error}: {line}"))
}

/// The JSON of an event or a document.
fn data(line: &Json) -> String {
    line.get("data").unwrap_or_else(|| panic!("no data: {line}")).to_string()
}

#[test]
fn events_make_what_is_expected() {
    let mut host = TestHost::new();
    let (mut failures, mut waiting) = (Vec::new(), BTreeSet::new());
    for line in lines("events.ndjson") {
        let stream = text(&line, "stream");
        if waiting.contains(stream) {
            continue;
        }
        if let Err(failure) = host.deliver(handle, &TestEvent::new(stream, text(&line, "type"), data(&line))) {
            failures.push(format!("{stream}: {failure}"));
            waiting.insert(stream.to_string());
        }
    }
    let (mut documents, mut emitted, mut expected_failures) = (0, Vec::new(), Vec::new());
    for line in lines("expected.ndjson") {
        if let Some(f) = line.get("failure") {
            expected_failures.push(format!("{}: {}: {}", text(f, "stream"), text(f, "kind"), text(f, "error")));
        }
        if let Some(e) = line.get("emitted") {
            emitted.push(format!("{} to {}: {}", text(e, "type"), text(e, "stream"), data(e)));
        }
        if let Some(d) = line.get("document") {
            assert_eq!(host.document("orders", text(d, "key")), Some(data(d).as_str()), "{d}");
            documents += 1;
        }
    }
    assert_eq!(host.documents("orders").len(), documents);
    let got = host.emitted().iter().map(|e| format!("{} to {}: {}", e.event_type, e.stream, String::from_utf8_lossy(&e.data)));
    assert_eq!(got.collect::<Vec<_>>(), emitted);
    assert_eq!(failures, expected_failures);
}
