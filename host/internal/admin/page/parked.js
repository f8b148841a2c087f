// The sequences of a plugin that wait for a retry or a person, and what can be done about them.

import * as api from "./api.js";
import { ask, who, why } from "./dialog.js";
import { el, fillTable, keyed, setClass, setText, show, table } from "./dom.js";
import { base64, dataText, eventBody } from "./event.js";
import { count, moment, plural, short } from "./format.js";
import { pretty } from "./json.js";
import { Poll } from "./poll.js";
import { answer } from "./wish.js";

/** parkedSection shows a plugin's sequences. page has say(text), explain(error) and changed(). */
export function parkedSection(name, page) {
  const heading = el("h2", { id: "parked", tabindex: "-1" }, "Parked and retrying sequences");
  const none = el("p", { class: "soft" }, "None: every event has been handled.");
  const list = el("ul", { class: "rows", "aria-labelledby": "parked" });
  const more = el("p", { class: "soft", hidden: true });
  const all = el("button", { type: "button", hidden: true, click: () => retryAll() }, "Retry all");
  const node = el("section", {}, el("div", { class: "head" }, heading, all), none, list, more);

  const poll = new Poll((signal) => api.parked(name, 0, signal), (found, error) => {
    if (error) return page.failed(error);
    const inside = node.contains(document.activeElement);
    keyed(list, found.sequences, (s) => s.key, (s) => sequence(name, s, { ...page, changed }), (li, s) => li.update(s));
    if (inside && document.activeElement === document.body) heading.focus();
    show(none, found.sequences.length === 0);
    show(all, found.sequences.length > 1);
    show(more, !!found.next);
    setText(more, `Only the first ${count(found.sequences.length)} are shown. “eshost parked list ${name}” shows all.`);
  }, 2000);
  const changed = () => { poll.now(); page.changed(); };
  const retryAll = () => ask({
    title: "Retry all sequences", text: `Every failed event of ${name} is tried again at once, its attempts counted anew.`, fields: [who()], action: "Retry all", explain: page.explain,
    submit: async (values) => { page.say(answer(await api.ask(name, "retry", values))); changed(); },
  });
  return { node, stop: () => poll.stop() };
}

function sequence(name, first, page) {
  let now = first;
  const state = el("span", { class: "badge" });
  const numbers = el("p", { class: "soft" });
  const error = el("p", { class: "mono" });
  const inside = el("div", { class: "stack" });
  const details = el("details", { toggle: () => details.open && load() }, el("summary", {}, "The event, the stack and what waits behind it"), inside);
  const title = first.key === "" ? "(the empty key)" : first.key;
  const button = (text, click) => el("button", { type: "button", click, "aria-label": `${text} ${title}` }, text);
  const about = () => ({ key: now.key, position: now.position });
  const does = (action, values) => api.ask(name, action, { ...about(), ...values }).then((r) => { page.say(answer(r)); page.changed(); });

  const node = el("li", { class: "card stack", "data-key": first.key },
    el("div", { class: "head" }, el("h3", {}, title), state), numbers, error, details,
    el("div", { class: "buttons" }, button("Retry", retry), button("Skip…", skip), button("Edit…", edit)));

  async function retry() {
    try {
      await does("retry", { who: who().value });
    } catch (e) {
      page.say(page.explain(e), "bad");
    }
  }
  function skip() {
    return ask({
      title: `Skip event ${count(now.position)}`, fields: [who(), why(true)], action: "Skip it", explain: page.explain,
      text: `${name} goes on without this event of “${title}”, with the ${now.waiting > 1 ? plural(now.waiting - 1, "event") : "events"} behind it. A rebuild of the read model handles it again. Who did so and why is kept.`,
      submit: (values) => does("skip", values),
    });
  }
  async function edit() {
    let all;
    try {
      all = await api.sequence(name, now.key);
    } catch (e) {
      return page.say(page.explain(e), "bad");
    }
    const text = dataText(all.replaced ? { raw: all.replaced.raw, data_base64: all.replaced.data_base64 } : all.event);
    return ask({
      title: `Edit event ${count(all.position)}`, action: "Use this data and retry", explain: page.explain,
      text: `${name} gets this data in the place of the event's own, now and in every rebuild. The log does not change, and no other plugin sees it.`,
      fields: [{ name: "data", type: "data", label: `Data (${all.event.content_type || "no content type"})`, value: text ?? "" }, who(), why(true)],
      submit: ({ data, ...values }) => does("edit", { ...values, position: all.position, data_base64: base64(data) }),
    });
  }

  let shown = "";
  async function load() {
    const version = `${now.position} ${now.attempts} ${now.waiting} ${now.state}`;
    if (version === shown) return;
    try {
      inside.replaceChildren(...contents(await api.sequence(name, now.key)));
      shown = version;
    } catch (e) {
      inside.replaceChildren(el("p", { class: "wrong" }, page.explain(e)));
    }
  }

  node.update = (s) => {
    now = s;
    setText(state, s.state);
    setClass(state, `badge ${s.state === "parked" ? "bad" : "wait"}`);
    const next = s.next_attempt ? `, next at ${moment(s.next_attempt)}` : "";
    setText(numbers, `Event ${count(s.position)} · ${plural(s.attempts, "attempt")}${next} · ${s.waiting > 1 ? `${plural(s.waiting - 1, "event")} behind it` : "nothing behind it"} · since ${moment(s.since)} · module ${short(s.digest)}`);
    setText(error, `${s.kind}: ${s.error}`);
    if (details.open) load();
  };
  return node;
}

/** contents is all about a sequence. */
function contents(all) {
  const nodes = [eventBody(all.event)];
  if (all.replaced) {
    nodes.push(el("p", {}, `Edited ${moment(all.replaced.at)} by ${all.replaced.who}: ${all.replaced.why}`),
      el("pre", { tabindex: "0", "aria-label": "Data in its place" }, all.replaced.raw ? pretty(all.replaced.raw) : dataText(all.replaced) ?? all.replaced.data_base64));
  }
  if (all.stack) nodes.push(el("p", { class: "soft" }, "Stack"), el("pre", { tabindex: "0", "aria-label": "Stack" }, all.stack));
  nodes.push(el("p", { class: "soft" }, `Module ${all.digest}`));
  if (all.behind.length) {
    const t = table(["Position", "Type", "Stream", "Time"]);
    fillTable(t, all.behind.map((e) => ({ key: e.position, cells: [count(e.position), e.type, e.stream, moment(e.time)] })));
    nodes.push(el("p", { class: "soft" }, all.behind.length < all.waiting - 1 ? `The first ${all.behind.length} of ${plural(all.waiting - 1, "event")} behind it` : "Behind it"), t.node);
  }
  if (all.requests.length) nodes.push(el("p", { class: "soft" }, "What was asked about it"), requestTable(all.requests));
  return nodes;
}

function requestTable(requests) {
  const t = table(["When", "What", "Who", "Why", "Answer"]);
  fillTable(t, requests.map((r) => ({ key: r.id, cells: [moment(r.requested_at), r.action, r.who, r.why ?? "", `${r.state}${r.answer ? `: ${r.answer}` : ""}`] })));
  return t.node;
}
