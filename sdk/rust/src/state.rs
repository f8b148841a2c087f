//! The plugin's documents: JSON values in named collections, each under a key.
//!
//! Reads see what this plugin wrote before, in this event or an earlier one. Writes take effect when the handler returns
//! `Ok`. A plugin that uses this module needs `"state"` in its `allow` list.

use crate::errors::{Errno, HostError};
use crate::host;

#[cfg(feature = "serde")]
pub use crate::typed::{get_json, scan_json, set_json};

/// One document that [`scan`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// The key in its collection.
    pub key: String,
    /// The JSON value.
    pub data: Vec<u8>,
}

/// Returns the document under `key`, or `None` if there is none.
pub fn get(collection: &str, key: &str) -> Result<Option<Vec<u8>>, HostError> {
    match host::state_get(collection, key) {
        Ok(data) => Ok(Some(data)),
        Err(Errno::NotFound) => Ok(None),
        Err(errno) => Err(HostError::new("state_get", &[collection, key], errno)),
    }
}

/// Writes the document under `key`: a JSON value of at most 1 MiB. A collection's name has at most 128 bytes, a key 1,024.
pub fn set(collection: &str, key: &str, data: impl AsRef<[u8]>) -> Result<(), HostError> {
    host::state_set(collection, key, data.as_ref()).map_err(|errno| HostError::new("state_set", &[collection, key], errno))
}

/// Deletes the document under `key`. There need not be one.
pub fn delete(collection: &str, key: &str) -> Result<(), HostError> {
    host::state_delete(collection, key).map_err(|errno| HostError::new("state_delete", &[collection, key], errno))
}

/// Returns at most `limit` documents (1 to 1,000) whose keys begin with `prefix` and are greater than `after`, in byte
/// order of their keys. Both may be empty. For the next page, give the last key as `after`.
pub fn scan(collection: &str, prefix: &str, after: &str, limit: usize) -> Result<Vec<Document>, HostError> {
    match host::state_scan(collection, prefix, after, limit) {
        Ok(list) => Ok(decode(&list)),
        Err(errno) => Err(HostError::new("state_scan", &[collection, prefix], errno)),
    }
}

/// Reads what the ABI's `state_scan` returns.
pub(crate) fn decode(mut list: &[u8]) -> Vec<Document> {
    fn take<'a>(list: &mut &'a [u8], len: usize) -> &'a [u8] {
        let (head, tail) = list.split_at(len);
        *list = tail;
        head
    }
    fn number(list: &mut &[u8]) -> usize {
        u32::from_le_bytes(take(list, 4).try_into().unwrap()) as usize
    }
    let count = number(&mut list);
    (0..count)
        .map(|_| {
            let (key_len, data_len) = (number(&mut list), number(&mut list));
            let key = String::from_utf8(take(&mut list, key_len).to_vec()).expect("the host sent a key that is not UTF-8");
            Document { key, data: take(&mut list, data_len).to_vec() }
        })
        .collect()
}
