//! See abi/abitest/README.md.

use eshost::{config, emit, log, reject, retry, state, Event, NewEvent, Result};

eshost::handler!(handle);

fn handle(event: &Event) -> Result {
    let data = event.data_text()?;
    match event.event_type() {
        "set" => write(event, data),
        "get" => match state::get("source", data)? {
            Some(document) => Ok(state::set("docs", event.stream(), document)?),
            None => write(event, "\"none\""),
        },
        "delete" => Ok(state::delete("docs", event.stream())?),
        "scan" => scan(event, data),
        "emit" => {
            let new = NewEvent::new("out", "Emitted", data).stream_type("kind").metadata(r#"{"n":1}"#).content_type("text/plain");
            Ok(emit(new)?)
        }
        "log" => {
            log::debug(data);
            log::info(data);
            log::warn(data);
            log::error(data);
            Ok(())
        }
        "config" => write(event, &format!("\"{}\"", config::get(data)?.as_deref().unwrap_or("none"))),
        "event" => write(event, &describe(event)),
        "clock" | "random" => write(event, "\"none\""),
        "bounds" => write(event, ["1", "2"][data.len()]),
        failure => {
            write(event, "1")?;
            match failure {
                "retry" => Err(retry(data)),
                "reject" => Err(reject(data)),
                "error" => Err(std::io::Error::other(data.to_string()))?,
                _ => panic!("{data}"), // panics here
            }
        }
    }
}

fn write(event: &Event, document: &str) -> Result {
    Ok(state::set("docs", event.stream(), document)?)
}

fn scan(event: &Event, data: &str) -> Result {
    let parts: Vec<&str> = data.split(',').collect();
    let mut keys = String::new();
    for document in state::scan("source", parts[0], parts[1], parts[2].parse()?)? {
        keys += &format!("{}:{} ", document.key, document.data.len());
    }
    write(event, &format!("\"{keys}\""))
}

fn describe(event: &Event) -> String {
    format!(
        r#"["{}","{}","{}","{}","{}","{}","{}",{},{},{},{}]"#,
        event.id(),
        event.event_type(),
        event.stream(),
        event.stream_type(),
        event.data_text().unwrap(),
        event.metadata(),
        event.content_type(),
        event.position(),
        event.version(),
        event.time(),
        event.attempt()
    )
}
