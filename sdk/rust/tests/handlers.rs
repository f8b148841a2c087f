//! What a handler can do and how it can fail, on the fake host.

use eshost::testing::{TestEvent, TestHost};
use eshost::{config, emit, log, reject, retry, state, Errno, Event, NewEvent, Result};

fn event(data: &str) -> TestEvent {
    TestEvent::new("acc-1", "Deposited", data)
}

#[test]
fn documents_are_written_read_and_deleted() {
    fn handle(event: &Event) -> Result {
        match event.data_text()? {
            "delete" => state::delete("last", event.stream())?,
            data => {
                let before = state::get("last", event.stream())?;
                state::set("last", event.stream(), data)?;
                assert_eq!(state::get("last", event.stream())?.as_deref(), Some(data.as_bytes()), "own writes are seen");
                state::set("before", event.stream(), before.unwrap_or_else(|| b"null".to_vec()))?;
            }
        }
        Ok(())
    }
    let mut host = TestHost::new();
    host.deliver(handle, &event("1")).unwrap();
    assert_eq!((host.document("last", "acc-1"), host.document("before", "acc-1")), (Some("1"), Some("null")));
    host.deliver(handle, &event("2")).unwrap();
    assert_eq!((host.document("last", "acc-1"), host.document("before", "acc-1")), (Some("2"), Some("1")));
    host.deliver(handle, &event("delete")).unwrap();
    host.deliver(handle, &event("delete")).unwrap();
    assert_eq!(host.documents("last").len(), 0);
}

#[test]
fn a_failed_event_leaves_nothing() {
    fn handle(event: &Event) -> Result {
        state::set("c", "new", "1")?;
        state::delete("c", "old")?;
        emit(NewEvent::new("s", "T", "{}"))?;
        log::info("was here");
        match event.data_text()? {
            "retry" => Err(retry("later")),
            "reject" => Err(reject("never")),
            _ => Ok(()),
        }
    }
    let mut host = TestHost::new();
    host.set_document("c", "old", "0");
    for (data, text) in [("retry", "retry: later"), ("reject", "reject: never")] {
        let failure = host.deliver(handle, &event(data)).unwrap_err();
        assert_eq!(failure.to_string(), text);
        assert_eq!(host.document("c", "new"), None);
        assert_eq!(host.document("c", "old"), Some("0"));
        assert_eq!(host.emitted(), []);
    }
    assert_eq!(host.logs().len(), 2, "logs are not effects");
    host.deliver(handle, &event("ok")).unwrap();
    assert_eq!((host.document("c", "new"), host.document("c", "old")), (Some("1"), None));
    assert_eq!(host.emitted().len(), 1);
}

#[derive(Debug)]
struct Outer(std::num::ParseIntError);

impl std::fmt::Display for Outer {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("read the amount")
    }
}

impl std::error::Error for Outer {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

#[test]
fn any_other_error_is_tried_again_with_its_causes() {
    fn handle(event: &Event) -> Result {
        event.data_text()?.parse::<i64>().map_err(Outer)?;
        Ok(())
    }
    let failure = TestHost::new().deliver(handle, &event("x")).unwrap_err();
    assert_eq!(failure.to_string(), "retry: read the amount: invalid digit found in string");
}

#[test]
fn another_error_can_be_made_a_rejection() {
    fn handle(event: &Event) -> Result {
        event.data_text()?.parse::<i64>().map_err(reject)?;
        Ok(())
    }
    let failure = TestHost::new().deliver(handle, &event("x")).unwrap_err();
    assert_eq!(failure.to_string(), "reject: invalid digit found in string");
}

#[test]
fn errors_of_the_host_name_function_collection_and_key() {
    fn handle(event: &Event) -> Result {
        match event.event_type() {
            "not json" => state::set("balances", "acc-1", "{")?,
            "empty key" => drop(state::get("balances", "")?),
            "long key" => state::delete("balances", &"k".repeat(1025))?,
            "no limit" => drop(state::scan("balances", "acc-", "", 0)?),
            "no type" => emit(NewEvent::new("alerts", "", "{}"))?,
            "long setting's name" => drop(config::get(&"k".repeat(1025))?),
            _ => unreachable!(),
        }
        Ok(())
    }
    let invalid = "invalid: not JSON, not UTF-8, or a name that is empty or holds a zero byte";
    for (event_type, text) in [
        ("not json", format!(r#"state_set "balances" "acc-1": {invalid}"#)),
        ("empty key", format!(r#"state_get "balances" "": {invalid}"#)),
        (
            "long key",
            format!(r#"state_delete "balances" "{}…": too large: a name, key, value or list is over its limit"#, "k".repeat(80)),
        ),
        ("no limit", format!(r#"state_scan "balances" "acc-": {invalid}"#)),
        ("no type", format!(r#"emit "alerts" "": {invalid}"#)),
        (
            "long setting's name",
            format!(r#"config_get "{}…": too large: a name, key, value or list is over its limit"#, "k".repeat(80)),
        ),
    ] {
        let failure = TestHost::new().deliver(handle, &TestEvent::new("s", event_type, "{}")).unwrap_err();
        assert_eq!(failure.to_string(), format!("retry: {text}"));
    }
}

#[test]
fn a_handler_can_look_at_the_reason() {
    fn handle(_: &Event) -> Result {
        let error = state::set("c", "k", "no json").unwrap_err();
        assert_eq!((error.function(), error.errno()), ("state_set", Errno::Invalid));
        Ok(())
    }
    TestHost::new().deliver(handle, &event("")).unwrap();
}

#[test]
fn documents_larger_than_the_first_buffer_are_read_whole() {
    fn handle(event: &Event) -> Result {
        for len in [0, 509, 510, 511, 512, 513, 100_000] {
            let document = format!("\"{}\"", "x".repeat(len));
            state::set("c", event.stream(), &document)?;
            assert_eq!(state::get("c", event.stream())?.unwrap(), document.as_bytes());
        }
        Ok(())
    }
    TestHost::new().deliver(handle, &event("")).unwrap();
}

#[test]
fn scans_page_through_keys_in_byte_order() {
    fn handle(_: &Event) -> Result {
        state::set("c", "a-new", "9")?;
        state::delete("c", "a-2")?;
        let keys = |prefix, after, limit| -> Result<Vec<String>> {
            Ok(state::scan("c", prefix, after, limit)?.into_iter().map(|document| document.key).collect())
        };
        assert_eq!(keys("", "", 1000)?, ["a-1", "a-10", "a-3", "a-new", "b-1"]);
        assert_eq!(keys("a-", "", 2)?, ["a-1", "a-10"]);
        assert_eq!(keys("a-", "a-10", 2)?, ["a-3", "a-new"]);
        assert_eq!(keys("a-", "a-new", 2)?, [""; 0]);
        assert_eq!(state::scan("c", "a-n", "", 1)?[0].data, b"9");
        Ok(())
    }
    let mut host = TestHost::new();
    for key in ["b-1", "a-10", "a-1", "a-2", "a-3"] {
        host.set_document("c", key, &"1".repeat(300));
    }
    host.set_document("other", "a-0", "0");
    host.deliver(handle, &event("")).unwrap();
}

#[test]
fn settings_are_read() {
    fn handle(_: &Event) -> Result {
        assert_eq!(config::get("currency")?.as_deref(), Some("EUR"));
        assert_eq!(config::get("empty")?.as_deref(), Some(""));
        assert_eq!(config::get("long")?.unwrap().len(), 5000);
        assert_eq!(config::get("missing")?, None);
        Ok(())
    }
    let mut host = TestHost::new();
    host.set_config("currency", "EUR");
    host.set_config("empty", "");
    host.set_config("long", &"é".repeat(2500));
    host.deliver(handle, &event("")).unwrap();
}

#[test]
fn lines_are_logged_with_their_level() {
    fn handle(_: &Event) -> Result {
        log::debug("a");
        log::info(String::from("b"));
        log::warn(format!("c{}", 1));
        log::error("");
        Ok(())
    }
    let mut host = TestHost::new();
    host.deliver(handle, &event("")).unwrap();
    let lines: Vec<_> = host.logs().iter().map(|line| (line.level, line.text.as_str())).collect();
    assert_eq!(lines, [(0, "a"), (1, "b"), (2, "c1"), (3, "")]);
}

#[test]
fn emitted_events_arrive_in_order() {
    fn handle(event: &Event) -> Result {
        emit(NewEvent::new("alerts", "Low", event.data()))?;
        emit(NewEvent::new("alerts", "Text", "hello").stream_type("alert").content_type("text/plain").metadata(r#"{"a":1}"#))?;
        Ok(())
    }
    let mut host = TestHost::new();
    host.deliver(handle, &event(r#"{"x":1}"#)).unwrap();
    let [low, text] = host.emitted() else { panic!("{:?}", host.emitted()) };
    assert_eq!((low.event_type.as_str(), low.data.as_slice(), low.stream_type.as_str()), ("Low", &br#"{"x":1}"#[..], ""));
    assert_eq!((text.event_type.as_str(), text.data.as_slice(), text.stream_type.as_str()), ("Text", &b"hello"[..], "alert"));
    assert_eq!((text.content_type.as_str(), text.metadata.as_str()), ("text/plain", r#"{"a":1}"#));
}

#[test]
fn the_fake_host_numbers_events() {
    fn handle(event: &Event) -> Result {
        let numbers = format!("[{},{},{},\"{}\"]", event.position(), event.version(), event.attempt(), event.id());
        state::set("numbers", &event.position().to_string(), numbers)?;
        Ok(())
    }
    let mut host = TestHost::new();
    host.deliver(handle, &TestEvent::new("a", "T", "")).unwrap();
    host.deliver(handle, &TestEvent::new("b", "T", "")).unwrap();
    host.deliver(handle, &TestEvent::new("a", "T", "")).unwrap();
    host.deliver(handle, &TestEvent { position: 10, version: 7, attempt: 3, id: "x".into(), ..TestEvent::new("a", "T", "") })
        .unwrap();
    host.deliver(handle, &TestEvent::new("a", "T", "")).unwrap();
    let numbers: Vec<_> = host.documents("numbers").into_values().collect();
    assert_eq!(
        numbers,
        [r#"[1,1,1,"test-1"]"#, r#"[10,7,3,"x"]"#, r#"[11,8,1,"test-11"]"#, r#"[2,1,1,"test-2"]"#, r#"[3,2,1,"test-3"]"#]
    );
}
