//! From an envelope to the handler and back to a status.

use crate::errors::STATUS_OK;
use crate::{host, Event, Result};

/// Runs the handler and reports its failure's text to the host.
pub fn run(envelope: &[u8], handler: fn(&Event) -> Result) -> i32 {
    match handler(&Event::new(envelope)) {
        Ok(()) => STATUS_OK,
        Err(error) => {
            host::fail(&error.text);
            error.status
        }
    }
}

#[cfg(target_arch = "wasm32")]
pub use module::{handle, inbox};

#[cfg(target_arch = "wasm32")]
mod module {
    use super::run;
    use crate::{host, Event, Result};
    use std::cell::UnsafeCell;

    /// The buffer that the host writes envelopes into.
    struct Inbox(UnsafeCell<Vec<u8>>);

    // Safety: a module has one thread, and the host never calls it while it runs.
    unsafe impl Sync for Inbox {}

    static INBOX: Inbox = Inbox(UnsafeCell::new(Vec::new()));

    /// Hands the host a buffer of at least `min` bytes. It is called before the first event, so the panic hook is set here.
    pub fn inbox(min: usize) -> *mut u8 {
        std::panic::set_hook(Box::new(|panic| report(panic.location(), panic.payload())));
        // Safety: no handler is running, so nothing borrows from the inbox.
        let buffer = unsafe { &mut *INBOX.0.get() };
        if buffer.len() < min {
            *buffer = Vec::new(); // freed before the larger one is made
            *buffer = vec![0; min];
        }
        buffer.as_mut_ptr()
    }

    /// Handles the event whose envelope is the inbox's first `len` bytes.
    pub fn handle(len: usize, handler: fn(&Event) -> Result) -> i32 {
        // Safety: the host calls `inbox` for another buffer only after this has returned.
        let buffer = unsafe { &*INBOX.0.get() };
        run(&buffer[..len], handler)
    }

    /// Tells the host where and why the module is about to trap: a bare trap says neither.
    fn report(location: Option<&std::panic::Location>, payload: &(dyn std::any::Any + Send)) {
        let message = match payload.downcast_ref::<&str>() {
            Some(message) => message,
            None => payload.downcast_ref::<String>().map_or("no message", |message| message),
        };
        match location {
            Some(at) => host::fail(&format!("panic at {}:{}:{}: {message}", at.file(), at.line(), at.column())),
            None => host::fail(&format!("panic: {message}")),
        }
    }
}
