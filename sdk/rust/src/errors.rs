use std::fmt;

/// Why a handler failed: a status and a text for people. Made by [`retry`] and [`reject`]; the `?` operator turns any other
/// error into one that is tried again, with that error's text and its causes'.
pub struct Error {
    pub(crate) status: i32,
    pub(crate) text: String,
}

pub(crate) const STATUS_OK: i32 = 0;
pub(crate) const STATUS_RETRY: i32 = 1;
pub(crate) const STATUS_REJECT: i32 = 2;

/// Fails the event so that it is tried again after a pause, and parked after the last attempt. For what may be
/// better next time.
pub fn retry(text: impl fmt::Display) -> Error {
    Error { status: STATUS_RETRY, text: text.to_string() }
}

/// Refuses the event for good: it is parked at once. For what can never succeed.
///
/// Anything with a text will do, so `.map_err(eshost::reject)?` refuses an event for another function's error.
pub fn reject(text: impl fmt::Display) -> Error {
    Error { status: STATUS_REJECT, text: text.to_string() }
}

impl<E: std::error::Error> From<E> for Error {
    fn from(error: E) -> Self {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        retry(text)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = if self.status == STATUS_REJECT { "reject" } else { "retry" };
        write!(f, "{status}: {}", self.text)
    }
}

/// The host's answer to a call that it did not carry out, for example
/// `state_set "balances" "acc-1": too large: a name, key, value or list is over its limit`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostError {
    pub(crate) function: &'static str,
    pub(crate) subject: Vec<String>,
    pub(crate) errno: Errno,
}

impl HostError {
    pub(crate) fn new(function: &'static str, subject: &[&str], errno: Errno) -> Self {
        HostError { function, subject: subject.iter().map(|name| shorten(name)).collect(), errno }
    }

    /// The function of the ABI, for example `state_set`.
    pub fn function(&self) -> &'static str {
        self.function
    }

    /// The reason.
    pub fn errno(&self) -> Errno {
        self.errno
    }
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.function)?;
        for name in &self.subject {
            write!(f, " \"{name}\"")?;
        }
        write!(f, ": {}", self.errno)
    }
}

impl std::error::Error for HostError {}

/// Cuts a name that may be what was too large.
fn shorten(name: &str) -> String {
    const MAX: usize = 80;
    match name.char_indices().nth(MAX) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_string(),
    }
}

/// Why the host did not carry out a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Errno {
    /// No such document or key.
    NotFound,
    /// Not allowed here.
    Denied,
    /// A name, key, value or list is over its limit.
    TooLarge,
    /// This event has done too much of it.
    Quota,
    /// Not JSON, not UTF-8, or a name that is empty or holds a zero byte.
    Invalid,
    /// A code that this version of the SDK does not know.
    Other(i32),
}

impl Errno {
    pub(crate) fn from_code(code: i32) -> Self {
        match code {
            -1 => Errno::NotFound,
            -2 => Errno::Denied,
            -3 => Errno::TooLarge,
            -5 => Errno::Quota,
            -7 => Errno::Invalid,
            other => Errno::Other(other),
        }
    }

    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn code(self) -> i32 {
        match self {
            Errno::NotFound => -1,
            Errno::Denied => -2,
            Errno::TooLarge => -3,
            Errno::Quota => -5,
            Errno::Invalid => -7,
            Errno::Other(code) => code,
        }
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Errno::NotFound => "not found",
            Errno::Denied => "denied: not allowed here",
            Errno::TooLarge => "too large: a name, key, value or list is over its limit",
            Errno::Quota => "quota: this event has done too much of it",
            Errno::Invalid => "invalid: not JSON, not UTF-8, or a name that is empty or holds a zero byte",
            Errno::Other(code) => return write!(f, "error {code}"),
        })
    }
}
