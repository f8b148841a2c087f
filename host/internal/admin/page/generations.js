// The builds of a plugin's read model: the live one, one that is being built, those that are kept.

import * as api from "./api.js";
import { el, keyed, setClass, setText, show } from "./dom.js";
import { count, moment, plural, rate, seconds, short } from "./format.js";
import { Poll } from "./poll.js";
import { Rates } from "./spark.js";
import { wish } from "./wish.js";

const tones = { live: "good", building: "wait", retired: "idle" };

/** generationsSection shows a plugin's generations. */
export function generationsSection(name, page) {
  const rates = new Rates();
  const list = el("ul", { class: "rows" });
  const wrong = el("p", { class: "wrong", hidden: true });
  const node = el("section", { class: "card", "aria-labelledby": "generations" }, el("h2", { id: "generations" }, "Generations"), wrong, list);
  const poll = new Poll((signal) => api.generations(name, signal), (found, error) => {
    show(wrong, !!error);
    if (error) return setText(wrong, page.explain(error));
    const at = performance.now();
    for (const g of found.generations) rates.note(g.generation, g.checkpoint, at);
    keyed(list, found.generations, (g) => g.generation, (g) => row(name, g, page), (li, g) => li.update(g, rates.now(g.generation)));
  }, 2000);
  return { node, stop: () => poll.stop() };
}

function row(name, { generation }, page) {
  const state = el("span", { class: "badge" });
  const text = el("p", { class: "soft" });
  const bar = el("progress", { max: "1", "aria-label": `Generation ${generation}`, hidden: true });
  const button = (label, more) => el("button", { type: "button", "aria-label": `${label} generation ${generation}`, click: wish(name, page, { generation, ...more }) }, label);
  const back = button("Go back to it…", { title: `Go back to generation ${generation}`, action: "rollback", label: "Go back",
    text: "It takes over from the live one at one moment for all readers, with the module that made it. The live one is kept." });
  const drop = button("Drop…", { title: `Drop generation ${generation}`, action: "drop", label: "Drop", text: "Its documents are deleted. That cannot be undone, but it can be built again." });
  const give = button("Give up…", { title: `Give up building generation ${generation}`, action: "drop", label: "Give up", text: "What it has built is deleted. The live generation stays as it is." });
  const node = el("li", {}, el("div", { class: "head" }, el("h3", {}, `Generation ${generation}`), state, el("div", { class: "buttons push" }, back, drop, give)), text, bar);
  node.update = (g, speed) => {
    setText(state, g.state);
    setClass(state, `badge ${tones[g.state] ?? "idle"}`);
    setText(text, [`at position ${count(g.checkpoint)}`, g.state === "building" ? progress(g, speed) : "", `module ${short(g.digest)}`,
      g.retired_at ? `kept since ${moment(g.retired_at)}` : g.created_at ? `begun ${moment(g.created_at)}` : "", g.parked_sequences ? plural(g.parked_sequences, "parked sequence") : "", g.reason ?? ""].filter(Boolean).join(" · "));
    show(bar, g.state === "building");
    bar.value = g.checkpoint / Math.max(1, g.checkpoint + g.lag_positions);
    show(back, g.state === "retired");
    show(drop, g.state === "retired");
    show(give, g.state === "building");
  };
  return node;
}

/** progress says how far a build is, how fast it gets on, and how long it takes yet. */
function progress(g, speed) {
  if (!g.lag_positions) return "caught up";
  const left = speed > 0 ? `, ${seconds(g.lag_positions / speed)} left` : "";
  return `${count(g.lag_positions)} to go, ${rate(speed)} positions/s${left}`;
}
