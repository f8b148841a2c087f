//! Lines in the host's log, with the plugin's name. A plugin that uses this module needs `"log"` in its `allow` list. A line
//! over 1 KiB is cut, and so is a plugin that floods.

use crate::host;

/// For whoever writes the plugin.
pub fn debug(text: impl AsRef<str>) {
    host::log(0, text.as_ref());
}

/// For whoever runs it.
pub fn info(text: impl AsRef<str>) {
    host::log(1, text.as_ref());
}

/// Something is odd, but the event was handled.
pub fn warn(text: impl AsRef<str>) {
    host::log(2, text.as_ref());
}

/// Something is wrong. A handler that fails needs no such line: what it returns is logged.
pub fn error(text: impl AsRef<str>) {
    host::log(3, text.as_ref());
}
