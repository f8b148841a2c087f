//! Write event-store subscribers for eshost in Rust.
//!
//! A plugin is one function that is called for every event, in order, and writes documents:
//!
//! ```
//! use eshost::{state, Event, Result};
//!
//! fn handle(event: &Event) -> Result {
//!     let document = format!(r#"{{"last":"{}"}}"#, event.event_type());
//!     state::set("last_event", event.stream(), document)?;
//!     Ok(())
//! }
//!
//! eshost::handler!(handle);
//! # fn main() {}
//! ```
//!
//! Build it as a `cdylib` for the target `wasm32-unknown-unknown` and name the file in `hosts.toml`.
//! The crate's README goes there from nothing.
//!
//! # What holds for every handler
//!
//! - An event's writes take effect together when the handler returns `Ok`, and only then: exactly once, whatever crashes.
//! - Memory is scratch. Statics may be gone at the next event, and several copies of the module run side by side. What must
//!   last is written with [`state::set`].
//! - There is no clock, no randomness, no file and no network. The time is the event's: [`Event::time`].
//!
//! # Failing
//!
//! | the handler | the host |
//! | --- | --- |
//! | returns [`reject`]`("text")` | parks the event at once: it will never succeed |
//! | returns [`retry`]`("text")`, or any other error by `?` | tries again after a pause, and parks it after the last attempt |
//! | panics | as for retry, in a new copy of the module |
//!
//! The text, for a panic with file and line, is shown to people. A failed event leaves nothing behind.
//!
//! # Typed JSON
//!
//! With Cargo's feature `serde`, events and documents are read into and written from types of your own: `event.json()`,
//! `state::get_json`, `state::set_json`, `state::scan_json`, `emit_json`. Without it, [`json`] has a little JSON that needs no other
//! crate.
//!
//! # Tests
//!
//! On your own machine the crate talks to a fake host in memory, so `cargo test` runs handlers without WebAssembly: see
//! `testing::TestHost`.

#![warn(missing_docs)]

#[cfg_attr(not(target_arch = "wasm32"), path = "stub_abi.rs")]
mod abi;
mod emit;
mod errors;
mod event;
#[cfg(test)]
mod golden;
mod host;
mod run;
#[cfg(feature = "serde")]
mod typed;

pub mod config;
pub mod json;
pub mod log;
pub mod state;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

pub use emit::{emit, NewEvent};
pub use errors::{reject, retry, Errno, Error, HostError};
pub use event::Event;
#[cfg(feature = "serde")]
pub use typed::emit_json;

/// What a handler returns.
pub type Result<T = ()> = std::result::Result<T, Error>;

/// Registers the plugin's handler, a `fn(&Event) -> Result`. A crate has one.
#[macro_export]
macro_rules! handler {
    ($handler:path) => {
        // On any target, so that a wrong signature is told by the tests too.
        const _: fn(&$crate::Event) -> $crate::Result = $handler;

        const _: () = {
            #[cfg(target_arch = "wasm32")]
            #[no_mangle]
            extern "C" fn eshost_abi_v1() {}

            #[cfg(target_arch = "wasm32")]
            #[no_mangle]
            extern "C" fn eshost_inbox(min: usize) -> *mut u8 {
                $crate::exports::inbox(min)
            }

            #[cfg(target_arch = "wasm32")]
            #[export_name = "handle"]
            extern "C" fn exported_handle(len: usize) -> i32 {
                $crate::exports::handle(len, $handler)
            }
        };
    };
}

/// Describes the plugin in the module, where it can be read without running it. The argument is a
/// JSON object in a string literal, or a file with one by `include_str!`; every key is optional:
///
/// ```
/// eshost::manifest!(r#"{"name":"balances","version":"1.0.0","events":["Deposited"],"collections":["balances"]}"#);
/// ```
#[macro_export]
macro_rules! manifest {
    ($json:expr) => {
        const _: () = {
            const JSON: &str = $json;

            #[cfg(target_arch = "wasm32")]
            #[used]
            #[link_section = "eshost.manifest"]
            static MANIFEST: [u8; JSON.len()] = {
                let mut bytes = [0; JSON.len()];
                let mut i = 0;
                while i < bytes.len() {
                    bytes[i] = JSON.as_bytes()[i];
                    i += 1;
                }
                bytes
            };
        };
    };
}

/// What [`handler!`] exports from the module. Not for plugins.
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod exports {
    pub use crate::run::{handle, inbox};
}
