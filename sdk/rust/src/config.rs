//! The plugin's own settings: the table `[plugins.NAME.config]` in `hosts.toml`.

use crate::errors::{Errno, HostError};
use crate::host;

/// Returns the setting, or `None` if `hosts.toml` does not have it.
pub fn get(key: &str) -> Result<Option<String>, HostError> {
    match host::config_get(key) {
        Ok(value) => Ok(Some(String::from_utf8(value).expect("the host sent a setting that is not UTF-8"))),
        Err(Errno::NotFound) => Ok(None),
        Err(errno) => Err(HostError::new("config_get", &[key], errno)),
    }
}
