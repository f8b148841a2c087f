// The event browser.

import * as api from "./api.js";
import { el, keyed, setText, show } from "./dom.js";
import { eventBody } from "./event.js";
import { count, moment, plural } from "./format.js";
import { Poll } from "./poll.js";

const shown = 50;
const mostPages = 10;

/** eventsView shows events: the newest of the log, or those after a position or of a stream. query is the route's. */
export function eventsView(query, page) {
  const want = { stream: query.get("stream") ?? "", types: clean(query.get("types") ?? ""), after: query.get("after") ?? "", version: Number(query.get("version") ?? 0) };
  const newest = want.stream === "" && want.after === "";
  const heading = el("h1", { tabindex: "-1" }, "Events");
  const field = (name, label, value, more) => {
    const input = el("input", { id: `filter-${name}`, name, autocomplete: "off", spellcheck: "false", ...more });
    input.value = value;
    return [input, el("div", {}, el("label", { for: input.id }, label), input)];
  };
  const [stream, streamField] = field("stream", "Stream", want.stream);
  const [types, typesField] = field("types", "Types, with commas between", want.types);
  const [after, afterField] = field("after", "After position", want.after, { inputmode: "numeric", pattern: "[0-9]*" });
  const form = el("form", { class: "card filter", role: "search", "aria-label": "Filter events", submit: (e) => {
    e.preventDefault();
    go({ stream: stream.value, types: clean(types.value), after: after.value });
  } }, streamField, typesField, afterField, el("div", { class: "buttons" },
    el("button", { type: "submit", class: "primary" }, "Show"), el("button", { type: "button", click: () => go({}) }, "Newest of all")));
  const what = el("p", { class: "soft" });
  const list = el("div", { class: "card", id: "events", role: "region", "aria-label": "Events" });
  const next = el("a", { class: "button", hidden: true }, "Next page");
  const wrong = el("p", { class: "notice bad", hidden: true });

  const told = (found, error) => {
    show(wrong, !!error);
    if (error) return setText(wrong, page.explain(error));
    keyed(list, found.events, (e) => e.position, row, () => {});
    show(list, found.events.length > 0);
    setText(what, found.text);
    show(next, !!found.next);
    if (found.next) next.setAttribute("href", route({ ...want, ...found.next }));
  };
  const read = newest ? (signal) => readNewest(want.types, signal) : want.stream ? (signal) => readStream(want, signal) : (signal) => readLog(want, signal);
  const poll = new Poll(read, told, newest ? 1500 : 5000);
  return { title: "Events", nodes: [heading, form, what, wrong, list, el("p", {}, next)], heading, update() {}, stop: () => poll.stop() };
}

const clean = (types) => types.split(",").map((t) => t.trim()).filter(Boolean).join(",");

function route(want) {
  const query = new URLSearchParams(Object.entries(want).filter(([, v]) => v));
  if (want.after === "0" || want.after === 0) query.set("after", "0");
  return `#/events${query.size ? `?${query}` : ""}`;
}

const go = (want) => { location.hash = route(want); };

function row(e) {
  const node = el("details", { class: "event", toggle: () => { if (node.open && node.children.length === 1) node.append(eventBody(e)); } },
    el("summary", {}, el("span", { class: "position" }, count(e.position)), el("span", { class: "type" }, e.type),
      el("span", {}, e.stream), el("span", { class: "soft" }, `version ${count(e.version)} · ${moment(e.time)}`)));
  return node;
}

/** readNewest looks back from the watermark, further and further until there are enough. */
async function readNewest(types, signal) {
  const { watermark } = (await api.status(signal)).log;
  let found = [];
  let back = shown;
  for (;; back *= 20) {
    const after = Math.max(0, watermark - back);
    const page = await api.log({ after, types, limit: 1000 }, signal);
    if (page.up_to < watermark && found.length) break; // too many, or it takes too long: what was found must do
    found = page.events;
    if (after === 0 || found.length >= shown || page.up_to < watermark) break;
  }
  const events = found.slice(-shown).reverse();
  const of = types ? ` of type ${types}` : "";
  const text = events.length ? `The newest events${of}, the newest first, as they come.` : `There is no event${of} in the last ${count(Math.min(back, watermark))} positions.`;
  return { events, text };
}

async function readLog({ types, after }, signal) {
  const page = await api.log({ after: after || 0, types, limit: shown }, signal);
  const more = page.up_to < page.watermark;
  const text = page.events.length ? `${plural(page.events.length, "event")} after position ${count(Number(after))}${types ? ` of type ${types}` : ""}.`
    : `There is none after position ${count(Number(after))}, up to ${count(page.up_to)}.`;
  return { events: page.events, text, next: more ? { after: String(page.up_to) } : null };
}

/** readStream reads a stream by version; the types and the position are looked at here. */
async function readStream({ stream, types, after, version }, signal) {
  const wanted = types ? new Set(types.split(",")) : null;
  const events = [];
  let last = version;
  let more = true;
  for (let i = 0; i < mostPages && more && events.length < shown; i++) {
    const page = await api.stream(stream, { after: last, limit: 200 }, signal);
    more = page.events.length === 200;
    for (const e of page.events) {
      if (events.length === shown) { more = true; break; }
      last = e.version;
      if (e.position > Number(after) && (!wanted || wanted.has(e.type))) events.push(e);
    }
  }
  const about = `stream “${stream}”${types ? ` of type ${types}` : ""}${after ? ` after position ${count(Number(after))}` : ""}`;
  return { events, text: events.length ? `${plural(events.length, "event")} of ${about}, by version.` : `There is no event of ${about}.`, next: more ? { version: String(last) } : null };
}
