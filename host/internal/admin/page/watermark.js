// What holds the log's watermark, in words. Invariant 9: nothing waits in silence.

import { el, keyed, setText, show } from "./dom.js";
import { count, moment, seconds } from "./format.js";

/** shown is how long it is held before anybody is told: every transaction that writes holds it for a moment. */
const shown = 1;

/** held reports whether the watermark stands still long enough to say so. */
export const held = (log) => log.watermark < log.head && (log.held_seconds ?? 0) >= shown;

/** watermark makes the explanation; its update takes the log as /v1/status has it. */
export function watermark() {
  const heading = el("h2");
  const what = el("p");
  const holders = el("ul");
  const todo = el("p");
  const node = el("section", { class: "notice wait", id: "held", hidden: true }, heading, what, holders, todo);
  const update = (log) => {
    show(node, held(log));
    if (!held(log)) return;
    const since = moment(Date.now() - log.held_seconds * 1000);
    setText(heading, `The watermark is held at position ${count(log.watermark)}`);
    setText(what, `Since ${since} (${seconds(log.held_seconds)}) a transaction that may still add an event below position ${count(log.head)} has been open. ` +
      `Events above the watermark wait until it ends, for all plugins: what came after it must not be handled before it.`);
    const list = log.holders ?? [];
    keyed(holders, list.map((h, i) => ({ ...h, key: `${h.pid ?? 0} ${h.application} ${i}` })), (h) => h.key, () => el("li"), (li, h) => setText(li, describe(h)));
    setText(todo, `What to do: ${wayOut(list)}`);
  };
  return { node, update };
}

function describe(h) {
  let text = h.pid ? `backend ${h.pid}` : "a prepared transaction";
  if (h.application) text += ` “${h.application}”`;
  if (h.user) text += ` of user ${h.user}`;
  if (h.state && h.pid) text += `, ${h.state}`;
  return `${text}, open for ${seconds(h.age_seconds)}`;
}

function wayOut(holders) {
  if (!holders.length) return "commit or roll back the transaction that writes to the events table.";
  const pids = holders.filter((h) => h.pid).map((h) => h.pid);
  const ways = [];
  if (pids.length) {
    ways.push(`commit or roll back in ${pids.length === 1 ? "that program" : "those programs"}; if nobody is behind ` +
      `${pids.length === 1 ? "it any more, end it" : "them any more, end them"} with ` + pids.map((p) => `SELECT pg_terminate_backend(${p})`).join(" and "));
  }
  if (pids.length < holders.length) ways.push("COMMIT PREPARED or ROLLBACK PREPARED what pg_prepared_xacts lists");
  return `${ways.join("; ")}. Nothing is lost meanwhile, and nothing is done out of order.`;
}
