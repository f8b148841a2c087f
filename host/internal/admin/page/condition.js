// A plugin's state in a colour, a sentence and a way out.

import { el, setClass, setText, show } from "./dom.js";
import { count, plural } from "./format.js";

const tones = { running: "good", starting: "wait", "backing off": "wait", waiting: "idle", paused: "wait", quarantined: "bad", stopped: "idle", refused: "bad" };

const waysOut = {
  "backing off": "the host tries again by itself; mend what the reason names.",
  quarantined: "replace the module; the host tries it as soon as its file changes.",
  stopped: "start a host that runs it: eshost run.",
  refused: "mend its section in hosts.toml; the host looks again as soon as it is written.",
};

/** badge shows a state. */
export function badge() {
  return el("span", { class: "badge" });
}

export function setBadge(node, p) {
  setText(node, p.state);
  setClass(node, `badge ${p.state === "running" && p.parked_sequences ? "wait" : tones[p.state] ?? "idle"}`);
}

/** why makes a box for what is wrong with a plugin, empty if nothing is. */
export function why() {
  const [reason, refused, parked, unknown] = [el("p"), el("p"), el("p"), el("p")];
  const node = el("div", { class: "why" }, reason, refused, parked, unknown);
  node.update = (p) => {
    setText(reason, p.reason ? `${capital(p.state)}: ${p.reason}${/[.!?]$/.test(p.reason) ? "" : "."}${wayOut(p)}` : "");
    setText(refused, p.refused ? `A new ${p.refused.digest ? `module (${p.refused.digest.slice(0, 12)})` : "section of hosts.toml"} is refused: ` +
      `${p.refused.reason}. The old one goes on until that is mended.` : "");
    setText(parked, p.parked_sequences ? `${plural(p.parked_sequences, "parked sequence")}, ${count(p.waiting_events)} events waiting: ` +
      `${p.first_failure?.state === "parked" ? `“${p.first_failure.error}” at position ${count(p.first_failure.position)}. ` : ""}Retry, edit or skip the failed event; all other keys go on.` : "");
    setText(unknown, p.unknown ? `What waits behind failed events is not known: ${p.unknown}.` : "");
    for (const line of [reason, refused, parked, unknown]) show(line, line.textContent !== "");
    show(node, [reason, refused, parked, unknown].some((l) => !l.hidden));
    setClass(node, `why ${p.refused || tones[p.state] === "bad" ? "bad" : p.parked_sequences || p.state !== "waiting" && p.state !== "stopped" ? "wait" : "idle"}`);
  };
  return node;
}

function wayOut(p) {
  if (p.state === "paused") return p.reason.includes("resume") ? "" : " What to do: mend what the reason names, then resume it.";
  return waysOut[p.state] && !p.reason.includes("replace the module") ? ` What to do: ${waysOut[p.state]}` : "";
}

const capital = (s) => s.charAt(0).toUpperCase() + s.slice(1);
