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

/// The raw JSON of an object's last member.
fn last<'a>(object: &'a str, name: &str) -> &'a str {
    let (_, raw) = object.split_once(&format!(",\"{name}\":")).unwrap_or_else(|| panic!("no {name}: {object}"));
    raw.strip_suffix('}').unwrap()
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
        if let Err(failure) = host.deliver(handle, &TestEvent::new(&stream, &event_type, last(&line, "data"))) {
            failures.push(format!("{stream}: {failure}"));
            waiting.insert(stream);
        }
    }
    let (mut documents, mut expected_failures) = (0, Vec::new());
    for line in lines("expected.ndjson") {
        let (what, object) = line[2..line.len() - 1].split_once("\":").unwrap();
        if what == "failure" {
            let [stream, kind, error] = texts(object, ["stream", "kind", "error"]);
            expected_failures.push(format!("{stream}: {kind}: {error}"));
            continue;
        }
        let [collection, key] = texts(object, ["collection", "key"]);
        assert_eq!(host.document(&collection, &key), Some(last(object, "data")), "{collection}/{key}");
        documents += 1;
    }
    assert_eq!(failures, expected_failures);
    let made: usize = ["customers", "orders", "customer_orders"].iter().map(|collection| host.documents(collection).len()).sum();
    assert_eq!(made, documents);
    assert!(host.emitted().is_empty() && host.logs().is_empty());
}

#[test]
fn a_customer_with_many_orders_is_renamed_in_all_of_them() {
    let mut host = TestHost::new();
    let count = 2500; // more than two pages of the list
    for i in 0..count {
        let order = TestEvent::new(&format!("order-{i}"), "OrderPlaced", r#"{"customer":"customer-1","total":1}"#);
        host.deliver(handle, &order).unwrap();
    }
    host.deliver(handle, &TestEvent::new("customer-1", "CustomerRegistered", r#"{"name":"Ada"}"#)).unwrap();
    assert_eq!(host.document("customers", "customer-1"), Some(r#"{"name":"Ada","open":2500}"#));
    let orders = host.documents("orders");
    assert_eq!(orders.len(), count);
    assert!(orders.values().all(|document| document.contains(r#""name":"Ada""#)));
}
