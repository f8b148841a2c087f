//! What happens where there is no host.

use eshost::testing::{TestEvent, TestHost};
use eshost::{config, emit, log, state, NewEvent};
use std::panic::catch_unwind;

#[test]
fn a_call_without_a_host_says_what_to_do() {
    let calls: [(&str, fn()); 7] = [
        ("state_get", || drop(state::get("c", "k"))),
        ("state_set", || drop(state::set("c", "k", "1"))),
        ("state_delete", || drop(state::delete("c", "k"))),
        ("state_scan", || drop(state::scan("c", "", "", 1))),
        ("emit", || drop(emit(NewEvent::new("s", "T", "{}")))),
        ("log", || log::info("text")),
        ("config_get", || drop(config::get("k"))),
    ];
    for (function, call) in calls {
        let panic = catch_unwind(call).unwrap_err();
        assert_eq!(
            panic.downcast_ref::<String>().unwrap(),
            &format!(
                "eshost: {function} was called where no host is: build the plugin for wasm32-unknown-unknown and have eshost run it, \
                 or in a test hand events to TestHost::deliver"
            )
        );
    }
}

#[test]
fn a_host_is_gone_when_its_handler_panicked() {
    let event = TestEvent::new("s", "T", "{}");
    assert!(catch_unwind(|| TestHost::new().deliver(|_| panic!("in the handler"), &event)).is_err());
    assert!(catch_unwind(|| log::info("text")).is_err());
    TestHost::new().deliver(|_| Ok(()), &event).unwrap();
}
