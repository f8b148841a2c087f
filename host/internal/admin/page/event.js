// One event, laid out.

import { el, facts, setText } from "./dom.js";
import { count, moment, textOf } from "./format.js";
import { pretty } from "./json.js";

/** bytesOf are the bytes that base64 stands for. */
const bytesOf = (base64) => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));

/** base64 of bytes. */
export function base64(bytes) {
  let text = "";
  for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
  return btoa(text);
}

/** dataText is an event's data as a text, or null if its bytes are none. */
export function dataText({ raw, data_base64: encoded }) {
  if (raw !== undefined) return pretty(raw);
  return textOf(bytesOf(encoded ?? ""));
}

const labels = [["position", "Position"], ["stream", "Stream"], ["version", "Version"], ["type", "Type"], ["time", "Time"], ["content", "Content type"], ["kind", "Stream type"], ["id", "Id", true]];

/** eventBody shows all of an event. */
export function eventBody(e) {
  const { list, values } = facts(labels.filter(([name]) => name !== "kind" || e.stream_type));
  const texts = { position: count(e.position), stream: e.stream, version: count(e.version), type: e.type, time: moment(e.time), content: e.content_type || "none", kind: e.stream_type, id: e.id };
  for (const [name, dd] of Object.entries(values)) setText(dd, texts[name]);
  values.stream.replaceChildren(el("a", { href: `#/events?${new URLSearchParams({ stream: e.stream })}` }, e.stream));
  const node = el("div", { class: "stack body" }, list, el("pre", { tabindex: "0", "aria-label": "Data" }, dataText(e) ?? `${e.data_base64}\n(base64 of bytes that are no text)`));
  if (e.rawMetadata && e.rawMetadata !== "{}") {
    node.append(el("p", { class: "soft" }, "Metadata"), el("pre", { tabindex: "0", "aria-label": "Metadata" }, pretty(e.rawMetadata)));
  }
  return node;
}
