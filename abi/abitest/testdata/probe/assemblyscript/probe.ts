// See abi/abitest/README.md.

import { config, emit, Event, handle, Json, log, reject, retry, state } from "eshost";

handle((event) => {
  const type = event.type;
  const data = event.data.text();
  if (type == "set") write(event, data);
  else if (type == "get") get(event, data);
  else if (type == "delete") state.delete("docs", event.stream);
  else if (type == "scan") scan(event, data.split(","));
  else if (type == "emit") emit("out", "Emitted", event.data, "kind", Json.parse('{"n":1}').toBytes(), "text/plain");
  else if (type == "log") logAll(data);
  else if (type == "config") setting(event, data);
  else if (type == "event") write(event, describe(event));
  else if (type == "clock" || type == "random") write(event, '"none"');
  else if (type == "bounds") write(event, [data][data.length]);
  else fail(event, type, data);
});

function get(event: Event, key: string): void {
  const document = state.get("source", key);
  if (document === null) write(event, '"none"');
  else state.set("docs", event.stream, document);
}

function scan(event: Event, parts: string[]): void {
  const documents = state.scan("source", parts[0], parts[1], I32.parseInt(parts[2]));
  let keys = "";
  for (let i = 0; i < documents.length; i++) keys += documents[i].key + ":" + documents[i].data.length.toString() + " ";
  write(event, '"' + keys + '"');
}

function logAll(text: string): void {
  log.debug(text);
  log.info(text);
  log.warn(text);
  log.error(text);
}

function setting(event: Event, key: string): void {
  const value = config.get(key);
  write(event, '"' + (value === null ? "none" : value) + '"');
}

function fail(event: Event, how: string, text: string): void {
  write(event, "1");
  if (how == "retry") return retry(text);
  if (how == "reject") return reject(text);
  throw new Error(text); // panics here
}

function write(event: Event, document: string): void {
  state.set("docs", event.stream, document);
}

function describe(event: Event): string {
  const texts = [
    event.id,
    event.type,
    event.stream,
    event.streamType,
    event.data.text(),
    event.metadata.text(),
    event.contentType,
  ];
  const numbers = [event.position, event.version, event.time, <i64>event.attempt];
  return '["' + texts.join('","') + '",' + numbers.join(",") + "]";
}
