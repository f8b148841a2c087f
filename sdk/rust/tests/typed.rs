//! Typed events and documents: the feature `serde`.
#![cfg(feature = "serde")]

use eshost::testing::{TestEvent, TestHost};
use eshost::{emit_json, state, Event, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Greeted<'a> {
    name: &'a str,
    #[serde(default)]
    times: u32,
}

#[derive(Default, Serialize, Deserialize)]
struct Greeting {
    name: String,
    count: u64,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    by_language: BTreeMap<String, u32>,
}

fn handle(event: &Event) -> Result {
    match event.event_type() {
        "Greeted" => {
            let data: Greeted = event.json()?;
            let mut greeting: Greeting = state::get_json("greetings", event.stream())?.unwrap_or_default();
            greeting.name = data.name.to_string();
            greeting.count += u64::from(data.times.max(1));
            state::set_json("greetings", event.stream(), &greeting)?;
            emit_json("audit", "Counted", &greeting.count)
        }
        "Listed" => {
            let all: Vec<(String, Greeting)> = state::scan_json("greetings", "a", "", 10)?;
            let counts: BTreeMap<String, u64> = all.into_iter().map(|(key, greeting)| (key, greeting.count)).collect();
            state::set_json("lists", "counts", &counts)
        }
        "By" => {
            let metadata: BTreeMap<String, String> = event.metadata_json()?;
            state::set_json("by", event.stream(), &metadata["by"])
        }
        _ => state::set_json("nan", event.stream(), &BTreeMap::from([(vec![1], 1)])),
    }
}

#[test]
fn documents_and_events_are_types() {
    let mut host = TestHost::new();
    for (stream, data) in
        [("ada", r#"{"name":"Ada"}"#), ("ada", r#"{"name":"Ada","times":2,"more":[]}"#), ("bob", r#"{"name":"Bo\u0062"}"#)]
    {
        let outcome = host.deliver(handle, &TestEvent::new(stream, "Greeted", data));
        assert_eq!(outcome.is_ok(), stream == "ada", "a name with an escape cannot be borrowed: {outcome:?}");
    }
    assert_eq!(host.document("greetings", "ada"), Some(r#"{"name":"Ada","count":3}"#));
    assert_eq!(host.emitted()[1].data, b"3");
    host.set_document("greetings", "abe", r#"{"name":"Abe","count":7,"by_language":{"en":7}}"#);
    host.deliver(handle, &TestEvent::new("s", "Listed", "")).unwrap();
    assert_eq!(host.document("lists", "counts"), Some(r#"{"abe":7,"ada":3}"#));
    let event = TestEvent { metadata: r#"{"by":"grace"}"#.into(), ..TestEvent::new("s", "By", "") };
    host.deliver(handle, &event).unwrap();
    assert_eq!(host.document("by", "s"), Some(r#""grace""#));
}

#[test]
fn what_does_not_fit_is_told() {
    let failure = |host: &mut TestHost, event_type: &str, data: &str| {
        host.deliver(handle, &TestEvent::new("ada", event_type, data)).unwrap_err().to_string()
    };
    let mut host = TestHost::new();
    assert_eq!(failure(&mut host, "Greeted", "{}"), "reject: data: missing field `name` at line 1 column 2");
    assert_eq!(failure(&mut host, "Greeted", "no"), "reject: data: expected ident at line 1 column 2");
    host.set_document("greetings", "ada", r#"{"name":1}"#);
    let text = r#"retry: document "greetings" "ada": invalid type: integer `1`, expected a string at line 1 column 9"#;
    assert_eq!(failure(&mut host, "Greeted", r#"{"name":"Ada"}"#), text);
    assert_eq!(failure(&mut host, "Listed", ""), text);
    assert_eq!(failure(&mut host, "Other", ""), r#"retry: document "nan" "ada": key must be a string"#);
}
