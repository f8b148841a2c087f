//! Holds the plugin to ../testdata.

use crate::{handle, json};
use eshost::testing::{TestEvent, TestHost};
use std::fs;

fn lines(file: &str) -> Vec<String> {
    let path = format!("{}/../testdata/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    assert!(text.ends_with('\n'), "{path} is cut");
    text.split_terminator('\n').map(str::to_string).collect()
}

/// The text fields of a line. A field that is no text is `None`.
fn texts<const N: usize>(line: &str, names: [&str; N]) -> [Option<String>; N] {
    json::fields(line.as_bytes(), names).unwrap_or_else(|| panic!("not a JSON object: {line}")).map(json::Value::text)
}

/// The raw JSON of a line's last field.
fn last_field<'a>(line: &'a str, name: &str) -> &'a str {
    let (_, raw) = line.split_once(&format!(",\"{name}\":")).unwrap_or_else(|| panic!("no {name}: {line}"));
    raw.strip_suffix('}').unwrap()
}

#[test]
fn events_make_the_expected_documents() {
    let mut host = TestHost::new();
    for line in lines("events.ndjson") {
        let [Some(stream), Some(event_type)] = texts(&line, ["stream", "type"]) else { panic!("{line}") };
        let event = TestEvent::new(&stream, &event_type, last_field(&line, "data"));
        host.deliver(handle, &event).unwrap_or_else(|failure| panic!("{failure}: {line}"));
    }
    let expected = lines("documents.ndjson");
    for line in &expected {
        let [Some(key)] = texts(line, ["key"]) else { panic!("{line}") };
        assert_eq!(host.document("balances", &key), Some(last_field(line, "document")), "{key}");
    }
    assert_eq!(host.documents("balances").len(), expected.len());
}

#[test]
fn single_events_end_as_expected() {
    let cases = lines("cases.ndjson");
    assert!(cases.len() > 100);
    for line in cases {
        let [name, event_type, data, base64] = texts(&line, ["name", "type", "data", "data_base64"]);
        let [before, after, reject, retry] = texts(&line, ["before", "after", "reject", "retry"]);
        let name = name.unwrap();
        let data = data.map(String::into_bytes).unwrap_or_else(|| unbase64(&base64.unwrap()));

        let mut host = TestHost::new();
        if let Some((_, config)) = line.split_once("\"config\": ") {
            let [Some(currency)] = texts(&config[..=config.find('}').unwrap()], ["currency"]) else { panic!("{line}") };
            host.set_config("currency", &currency);
        }
        if let Some(before) = &before {
            host.set_document("balances", "acc", before);
        }
        let result = host.deliver(handle, &TestEvent::new("acc", &event_type.unwrap(), data));

        let failed = result.err().map(|failure| failure.to_string());
        let expected = reject.map(|text| format!("reject: {text}")).or(retry.map(|text| format!("retry: {text}")));
        assert_eq!(failed, expected, "{name}");
        assert_eq!(host.document("balances", "acc"), after.or(before).as_deref(), "{name}");
    }
}

fn unbase64(text: &str) -> Vec<u8> {
    const DIGITS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0u32, 0);
    for digit in text.trim_end_matches('=').chars() {
        bits = bits << 6 | DIGITS.find(digit).unwrap() as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    bytes
}
