//! Events and documents as types of the plugin's own, by serde. Cargo's feature `serde`.

use crate::errors::{reject, retry};
use crate::{state, Event, NewEvent, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

impl<'a> Event<'a> {
    /// The event's data as a `T`. Data that is no `T` is an error that rejects the event, since it will never be one:
    /// `data: missing field "name" at line 1 column 2`. Strings may be borrowed from the event.
    ///
    /// ```
    /// # use eshost::{Event, Result};
    /// #[derive(serde::Deserialize)]
    /// struct Deposited<'a> {
    ///     amount: u64,
    ///     note: Option<&'a str>,
    /// }
    ///
    /// fn handle(event: &Event) -> Result {
    ///     let data: Deposited = event.json()?;
    /// #   let _ = (data.amount, data.note);
    ///     Ok(())
    /// }
    /// ```
    pub fn json<T: Deserialize<'a>>(&self) -> Result<T> {
        serde_json::from_slice(self.data()).map_err(|error| reject(format!("data: {error}")))
    }

    /// The event's metadata as a `T`, with errors like those of [`json`](Self::json).
    pub fn metadata_json<T: Deserialize<'a>>(&self) -> Result<T> {
        serde_json::from_str(self.metadata()).map_err(|error| reject(format!("metadata: {error}")))
    }
}

/// Returns the document under `key` as a `T`, or `None` if there is none. A document that is no `T` is an error that names it,
/// and the event is tried again. Cargo's feature `serde`.
pub fn get_json<T: DeserializeOwned>(collection: &str, key: &str) -> Result<Option<T>> {
    match state::get(collection, key)? {
        Some(data) => read(collection, key, &data).map(Some),
        None => Ok(None),
    }
}

/// Writes `value` as the document under `key`, up to 1 MiB of JSON. Cargo's feature `serde`.
///
/// The same value must make the same bytes whenever the event is handled again, so let it hold a `BTreeMap` where you would
/// take a `HashMap`.
pub fn set_json<T: Serialize + ?Sized>(collection: &str, key: &str, value: &T) -> Result<()> {
    let data = serde_json::to_vec(value).map_err(|error| retry(format!("document \"{collection}\" \"{key}\": {error}")))?;
    Ok(state::set(collection, key, data)?)
}

/// Returns the keys and documents that [`state::scan`] finds, as `T`s. Cargo's feature `serde`.
pub fn scan_json<T: DeserializeOwned>(collection: &str, prefix: &str, after: &str, limit: usize) -> Result<Vec<(String, T)>> {
    let mut all = Vec::new();
    for document in state::scan(collection, prefix, after, limit)? {
        let value = read(collection, &document.key, &document.data)?;
        all.push((document.key, value));
    }
    Ok(all)
}

/// Appends an event with `data` as its JSON, as [`emit`](crate::emit()) does. Cargo's feature `serde`.
pub fn emit_json<T: Serialize + ?Sized>(stream: &str, event_type: &str, data: &T) -> Result<()> {
    let data = serde_json::to_vec(data).map_err(|error| retry(format!("event \"{event_type}\" for \"{stream}\": {error}")))?;
    Ok(crate::emit(NewEvent::new(stream, event_type, &data))?)
}

fn read<T: DeserializeOwned>(collection: &str, key: &str, data: &[u8]) -> Result<T> {
    serde_json::from_slice(data).map_err(|error| retry(format!("document \"{collection}\" \"{key}\": {error}")))
}
