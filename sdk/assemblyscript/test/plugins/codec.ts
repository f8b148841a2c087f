// Does with its inputs and outputs what config "do" says, so that a test can compare bytes.

import { Bytes, config, emit, Event, handle, JsonArray, JsonObject, state } from "eshost";

handle((event) => {
  const what = config.get("do");
  if (what == "describe") describe(event);
  else if (what == "emit") emitDescribed(event);
  else if (what == "scan") scan();
  else throw new Error("do what?");
});

/** Writes down everything that an event has. */
function describe(event: Event): void {
  const document = new JsonObject()
    .set("position", event.position.toString())
    .set("version", event.version.toString())
    .set("time_micros", event.time.toString())
    .set("attempt", event.attempt)
    .set("id", event.id)
    .set("type", event.type)
    .set("stream", event.stream)
    .set("stream_type", event.streamType)
    .set("data_hex", hex(event.data))
    .set("metadata", event.metadata.text())
    .set("content_type", event.contentType);
  state.set("described", "event", document);
}

function emitDescribed(event: Event): void {
  const wanted = event.data.json();
  emit(
    wanted.get("stream").string(),
    wanted.get("type").string(),
    Bytes.ofArray(unhex(wanted.get("data_hex").string())),
    wanted.get("stream_type").string(),
    Bytes.ofText(wanted.get("metadata").string()),
    wanted.get("content_type").string(),
  );
}

function scan(): void {
  const found = state.scan("documents");
  const list = new JsonArray();
  for (let i = 0; i < found.length; i++) {
    list.add(new JsonObject().set("key", found[i].key).set("value_hex", hex(found[i].data)));
  }
  state.set("described", "scan", list);
}

function hex(bytes: Bytes): string {
  let text = "";
  for (let i = 0; i < bytes.length; i++) text += (bytes[i] < 16 ? "0" : "") + bytes[i].toString(16);
  return text;
}

function unhex(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length / 2);
  for (let i = 0; i < bytes.length; i++) bytes[i] = u8(parseInt(text.substr(2 * i, 2), 16));
  return bytes;
}
