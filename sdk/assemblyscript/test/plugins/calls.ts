// Calls the host in the way that the event's type names.

import { Bytes, config, emit, Event, handle, Json, JsonArray, JsonObject, log, reject, retry, state } from "eshost";

let kept: Bytes | null = null;
let keptJson: Json | null = null;
const words = new Map<string, i32>();

handle((event) => {
  const type = event.type;
  if (type == "copy") copy(event);
  else if (type == "delete") state.delete("documents", event.data.text());
  else if (type == "scan") scan(event.data.json());
  else if (type == "write") write(event.data.json());
  else if (type == "config") readConfig(event.data.text());
  else if (type == "log") writeLog();
  else if (type == "emit") emit(event.stream, event.data.text(), "[]");
  else if (type == "fail") fail(event.data.text());
  else if (type == "keep") keep(event);
  else if (type == "use") use(event.data.text());
  else if (type == "litter") litter(event);
  else throw new Error("call what?");
});

/** Copies the document that the data names, twice. */
function copy(event: Event): void {
  const key = event.data.text();
  const first = state.get("documents", key);
  const second = state.get("documents", key);
  if (first === null || second === null) return state.set("documents", "copy", "null");
  state.set("documents", "copy", new JsonArray().add(first.json()).add(second.json()));
}

function scan(wanted: Json): void {
  const limit = <i32>wanted.get("limit").i64Or(1000);
  const found = state.scan("documents", wanted.get("prefix").stringOr(""), wanted.get("after").stringOr(""), limit);
  const list = new JsonArray();
  for (let i = 0; i < found.length; i++) list.add(found[i].key).add(found[i].data.json());
  state.set("scanned", "list", list);
}

function write(wanted: Json): void {
  state.set(wanted.get("collection").string(), wanted.get("key").string(), wanted.get("document").string());
}

function readConfig(key: string): void {
  const value = config.get(key);
  const found = new JsonObject().set("value", value).set("isSet", value !== null);
  state.set("documents", "config", found);
}

function writeLog(): void {
  log.debug("a");
  log.info("é 🏦");
  log.warn("");
  log.error("x".repeat(3000));
}

function fail(how: string): void {
  state.set("documents", "failed", "true");
  if (how == "retry") return retry("later, 口座");
  if (how == "reject") return reject("never");
  if (how == "both") {
    retry("the first counts");
    return reject("the second does not");
  }
  if (how == "throw") throw new Error("thrown, é");
  if (how == "index") unchecked(new Array<i32>(1))[i32(how.length)] = [1][how.length];
  if (how == "twice") handle((event) => {});
  if (how == "name") new JsonObject().set("a", NaN);
  if (how == "null") state.set("documents", "x", kept);
}

function keep(event: Event): void {
  kept = event.data;
  keptJson = event.data.json();
}

function use(what: string): void {
  if (what == "bytes") kept!.text();
  if (what == "json") keptJson!.get("a");
  if (what == "byte") Bytes.ofText("abc")[3];
}

/** Leaves garbage behind, and some that is not. */
function litter(event: Event): void {
  let text = event.stream;
  for (let i = 0; i < 20; i++) text += "-" + i.toString();
  words.set(event.stream, text.length);
  state.set("documents", event.stream, new JsonObject().set("words", words.size).set("text", text));
}
