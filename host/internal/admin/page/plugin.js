// One plugin: all that is known of it, and what can be done.

import * as api from "./api.js";
import { badge, setBadge, why as whyBox } from "./condition.js";
import { el, facts, fillTable, setText, show, table } from "./dom.js";
import { count, moment, rate, seconds, short } from "./format.js";
import { generationsSection } from "./generations.js";
import { parkedSection } from "./parked.js";
import { lag, unit } from "./plugins.js";
import { Poll } from "./poll.js";
import { draw, spark } from "./spark.js";
import { wish } from "./wish.js";

const labels = [["lag", "Lag"], ["rate", "Rate"], ["checkpoint", "Checkpoint"], ["age", "Age of the read model"], ["generation", "Generation"],
  ["handled", "Handled"], ["failed", "Failures"], ["retrying", "Retrying"], ["parked", "Parked"], ["waiting", "Events waiting"],
  ["owner", "Run by"], ["since", "In this state since"], ["module", "Module", true], ["digest", "Digest (SHA-256)", true]];

/** pluginView shows a plugin. page has say(text), explain(error) and changed(). */
export function pluginView(name, page) {
  const heading = el("h1", { tabindex: "-1" }, name);
  const state = badge();
  const reason = whyBox();
  const { list, values } = facts(labels);
  const speed = el("span");
  const line = spark();
  values.rate.append(speed, line);
  const missing = el("p", { class: "notice wait", hidden: true });
  const parked = parkedSection(name, { ...page, failed: () => {} });
  const buttons = actions(name, page);
  const builds = generationsSection(name, page);
  const parts = section("partitions", "Partitions", ["Partition", "State", "Checkpoint", "Lag", "Events waiting", "Run by"], "");
  show(parts.node, false);
  const spans = section("modules", "Modules of this generation", ["From", "Up to", "Digest", "Since"], "No module has handled an event yet.");
  const reloads = section("reloads", "Reload history", ["When", "Position", "Digest", "Host", "What became of it"], "Its module has not changed yet.");

  const poll = new Poll((signal) => api.plugin(name, signal), (p, error) => {
    show(missing, !!error);
    if (error) return setText(missing, `The store's view of this plugin cannot be read: ${page.explain(error)}`);
    spans.fill(p.modules.map((m) => ({ key: `${m.partition} ${m.from}`, cells: [m.partition == null ? count(m.from + 1) : `${count(m.from + 1)} (partition ${m.partition})`, count(m.to), m.digest, moment(m.since)] })));
    reloads.fill(p.reloads.map((r) => ({ key: `${r.at} ${r.position} ${r.digest} ${r.refused}`, cells: [moment(r.at), count(r.position), r.digest ? short(r.digest) : r.refused ? "unreadable" : "–", r.host, r.refused ? `refused: ${r.refused}` : r.digest ? "took over" : "taken out of hosts.toml"] })));
  }, 2000);

  const update = (world) => {
    const p = world.plugins?.find((q) => q.name === name);
    if (!p) return;
    setBadge(state, p);
    reason.update(p);
    buttons.update(p);
    setText(speed, `${rate(world.rates.now(name))} ${unit(p)}`);
    draw(line, world.rates.of(name));
    const texts = {
      lag: lag(p), checkpoint: count(p.checkpoint), age: seconds(p.age_seconds), generation: p.generation ? count(p.generation) : "none yet",
      handled: p.handled == null ? "unknown here" : count(p.handled), failed: p.failed == null ? "unknown here" : count(p.failed),
      retrying: number(p, p.retrying_sequences), parked: number(p, p.parked_sequences), waiting: number(p, p.waiting_events),
      owner: p.partitions ? "see its partitions" : p.owner ? `${p.owner.name}${p.owner.live ? "" : " (gone)"}` : "no host", since: moment(p.since) || "unknown",
      module: p.module ?? "unknown here", digest: p.digest || "none",
    };
    for (const [field, text] of Object.entries(texts)) setText(values[field], text);
    parts.fill((p.partitions ?? []).map((q) => ({ key: q.partition, cells: [count(q.partition), q.reason ? `${q.state}: ${q.reason}` : q.state, count(q.checkpoint),
      count(q.lag_positions), count(q.waiting_events), q.owner ? `${q.owner.name}${q.owner.live ? "" : " (gone)"}` : "no host"] })));
    show(parts.node, !!p.partitions);
  };
  return {
    title: name, heading, update,
    nodes: [el("div", { class: "head" }, heading, state, buttons.node), reason, missing, el("section", { class: "card", "aria-label": "Numbers" }, list), parts.node, parked.node, builds.node, spans.node, reloads.node],
    stop() { poll.stop(); parked.stop(); builds.stop(); },
  };
}

/** number is how many of something wait. */
const number = (p, n) => (p.unknown ? "unknown" : count(n));

function section(id, title, columns, empty) {
  const t = table(columns);
  const none = el("p", { class: "soft" }, empty);
  const node = el("section", { class: "card", "aria-labelledby": id }, el("h2", { id }, title), none, t.node);
  return { node, fill(rows) { fillTable(t, rows); show(none, rows.length === 0); show(t.node, rows.length > 0); } };
}

/** actions are the buttons for the plugin as a whole. */
function actions(name, page) {
  const button = (text, click) => el("button", { type: "button", click }, text);
  const pause = button("Pause…", wish(name, page, { title: `Pause ${name}`, action: "pause", label: "Pause",
    text: "It stands still after the batch it is handling, until somebody resumes it. Its read model stays as it is then." }));
  const resume = button("Resume…", wish(name, page, { title: `Resume ${name}`, action: "resume", label: "Resume", text: "It goes on at its checkpoint." }));
  const rebuild = button("Rebuild…", wish(name, page, { title: `Rebuild ${name}`, action: "rebuild", label: "Rebuild",
    text: "Its module handles all events again, into a new generation of the read model, while this one keeps serving. The new one takes over when it has caught up; this one is kept to go back to." }));
  const reload = button("Reload", async () => {
    try {
      page.say(reloaded(name, await api.reload()));
    } catch (e) {
      page.say(page.explain(e), "bad");
    }
    page.changed();
  });
  return {
    node: el("div", { class: "buttons push" }, pause, resume, rebuild, reload),
    update(p) {
      const paused = p.state === "paused";
      if (paused !== !resume.hidden || paused === !pause.hidden) {
        const focused = [pause, resume].includes(document.activeElement);
        show(resume, paused);
        show(pause, !paused);
        if (focused) (paused ? resume : pause).focus();
      }
    },
  };
}

function reloaded(name, { reloads }) {
  const mine = (reloads ?? []).find((r) => r.plugin === name);
  const what = mine && mine.result !== "unchanged" ? `${name} is ${mine.result}` : `nothing has changed for ${name}`;
  return `The host has looked at hosts.toml and the modules: ${what}${mine?.reason ? `: ${mine.reason}` : ""}.`;
}
