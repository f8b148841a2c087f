// The list of plugins.

import { el, facts, keyed, setText, show } from "./dom.js";
import { count, plural, rate, seconds, short } from "./format.js";
import { badge, setBadge, why } from "./condition.js";
import { draw, spark } from "./spark.js";

/** pluginsView lists the plugins of the world, which is what app.js knows of the host. */
export function pluginsView() {
  const heading = el("h1", { tabindex: "-1" }, "Plugins");
  const log = el("p", { class: "soft" });
  const empty = el("p", { class: "card", hidden: true }, "There are no plugins yet. hosts.toml declares them: [plugins.NAME] with module = \"FILE.wasm\".");
  const list = el("ul", { class: "rows", "aria-label": "Plugins" });
  const update = (world) => {
    if (!world.plugins) return;
    setText(log, logLine(world));
    show(empty, world.plugins.length === 0);
    keyed(list, world.plugins, (p) => p.name, row, (node, p) => node.update(p, world.rates));
  };
  return { title: "Plugins", nodes: [heading, log, empty, list], heading, update, stop() {} };
}

function logLine({ log }) {
  if (!log) return "";
  const behind = log.head - log.watermark;
  return `The log's watermark is at position ${count(log.watermark)}${behind > 0 ? `, ${count(behind)} below its head` : ", its head"}.`;
}

function row(p) {
  const state = badge();
  const { list, values } = facts([["lag", "Lag"], ["rate", "Rate"], ["errors", "Errors"], ["module", "Generation and module"]]);
  const line = spark();
  const speed = el("span");
  values.rate.append(speed, line);
  const reason = why();
  const node = el("li", { class: "card plugin", "data-plugin": p.name },
    el("div", { class: "head" }, el("h3", {}, el("a", { href: `#/plugins/${encodeURIComponent(p.name)}` }, p.name)), state), list, reason);
  node.update = (now, rates) => {
    setBadge(state, now);
    setText(values.lag, lag(now));
    setText(speed, `${rate(rates.now(now.name))} ${unit(now)}`);
    draw(line, rates.of(now.name));
    setText(values.errors, errors(now));
    setText(values.module, `${now.generation || "–"} · ${short(now.digest)}`);
    reason.update(now);
  };
  return node;
}

/** lag is how far a plugin is behind, in events and in time; in positions where another host runs it. */
export function lag(p) {
  if (!p.lag_positions || p.lag_events === 0) return "none";
  const behind = p.lag_events == null ? plural(p.lag_positions, "position") : plural(p.lag_events, "event");
  return `${behind}${p.age_seconds == null ? "" : ` · ${seconds(p.age_seconds)}`}`;
}

/** unit is what the rate of a plugin counts: another host does not say how many events it handles. */
export const unit = (p) => (p.handled == null ? "positions/s" : "events/s");

/** errors says what is wrong with how many. */
export function errors(p) {
  const parts = [];
  if (p.parked_sequences) parts.push(`${count(p.parked_sequences)} parked`);
  if (p.retrying_sequences) parts.push(`${count(p.retrying_sequences)} retrying`);
  if (p.failed) parts.push(plural(p.failed, "failure"));
  return parts.join(", ") || (p.unknown ? "unknown" : "none");
}
