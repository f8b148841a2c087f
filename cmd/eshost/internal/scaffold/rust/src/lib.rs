//! Keeps a document for each stream: who was greeted last, and how often there was a greeting.

use eshost::json::Json;
use eshost::{log, reject, retry, state, Event, Result};

eshost::handler!(handle);
eshost::manifest!(include_str!("../manifest.json"));

/// The data of an event of type Greeted.
struct Greeted {
    name: String,
}

/// The document of a stream.
#[derive(Default)]
struct Greeting {
    name: String,
    count: u64,
}

fn handle(event: &Event) -> Result {
    if event.event_type() != "Greeted" {
        return Ok(()); // not ours
    }
    let data = Greeted::read(event.data()).map_err(reject)?; // it will never be right
    let mut greeting = Greeting::load(event.stream())?;
    greeting.name = data.name;
    greeting.count += 1;
    log::info(format!("greeted {}", greeting.name));
    greeting.save(event.stream())
}

impl Greeted {
    fn read(data: &[u8]) -> std::result::Result<Self, String> {
        Ok(Self {
            name: Json::parse(data)?.text("name")?.to_string(),
        })
    }
}

impl Greeting {
    fn load(stream: &str) -> Result<Self> {
        match state::get("greetings", stream)? {
            Some(document) => Self::read(&document).map_err(retry), // it may be better next time
            None => Ok(Self::default()),
        }
    }

    fn read(document: &[u8]) -> std::result::Result<Self, String> {
        let json = Json::parse(document)?;
        Ok(Self {
            name: json.text("name")?.to_string(),
            count: json.number("count")?,
        })
    }

    fn save(&self, stream: &str) -> Result {
        let document = Json::object([
            ("name", self.name.clone().into()),
            ("count", self.count.into()),
        ]);
        state::set("greetings", stream, document.to_string())?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::handle;
    use eshost::testing::{TestEvent, TestHost};

    #[test]
    fn greetings_are_counted() {
        let mut host = TestHost::new();
        for event in [
            TestEvent::new("ada", "Greeted", r#"{"name":"Ada"}"#),
            TestEvent::new("grace", "Greeted", r#"{"name":"Grace"}"#),
            TestEvent::new("ada", "Left", "{}"), // does not count
            TestEvent::new("ada", "Greeted", r#"{"name":"Countess Ada"}"#),
        ] {
            host.deliver(handle, &event).unwrap();
        }
        assert_eq!(
            host.document("greetings", "ada"),
            Some(r#"{"name":"Countess Ada","count":2}"#)
        );
        assert_eq!(
            host.document("greetings", "grace"),
            Some(r#"{"name":"Grace","count":1}"#)
        );
    }

    #[test]
    fn what_is_no_greeting_is_rejected() {
        for data in [r#"{"name":7}"#, "hey"] {
            let mut host = TestHost::new();
            let event = TestEvent::new("ada", "Greeted", data);
            assert!(host.deliver(handle, &event).unwrap_err().rejected);
            assert_eq!(host.document("greetings", "ada"), None);
        }
    }
}
