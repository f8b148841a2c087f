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
    let (mut documents, mut expected_failures) = (0, Vec::new());
    for line in lines("expected.ndjson") {
        if let Some(f) = line.get("failure") {
            expected_failures.push(format!("{}: {}: {}", text(f, "stream"), text(f, "kind"), text(f, "error")));
        }
        if let Some(d) = line.get("document") {
            assert_eq!(host.document(text(d, "collection"), text(d, "key")), Some(data(d).as_str()), "{d}");
            documents += 1;
        }
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
