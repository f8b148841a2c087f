// The page: what is known of the host, the views, and the way between them.

import * as api from "./api.js";
import { ask } from "./dialog.js";
import { el, keyed, setClass, setText, show } from "./dom.js";
import { eventsView } from "./events.js";
import { count, moment } from "./format.js";
import { pluginView } from "./plugin.js";
import { pluginsView, unit } from "./plugins.js";
import { Poll } from "./poll.js";
import { Rates } from "./spark.js";
import { held, watermark } from "./watermark.js";

const $ = (id) => document.getElementById(id);

/** world is what is known of the host, from its own view and from the store's. */
const world = { log: null, plugins: null, rates: new Rates(), status: null, views: null, wrong: {} };
let view = null;
const hold = watermark();

const page = {
  say(text, tone = "") {
    const box = el("span", { class: tone }, text);
    $("said").replaceChildren(box);
    setTimeout(() => box.remove(), 12_000);
  },
  explain(error) {
    if (error.status === 401) needToken();
    return api.sentence(error);
  },
  changed() { polls.forEach((p) => p.now()); },
};

/** hear takes what a poll has found. */
function hear(what, value, error) {
  const before = world.wrong[what];
  world.wrong[what] = error ? { error, since: before?.since ?? Date.now() } : null;
  if (error?.status === 401) needToken();
  if (value) {
    world[what] = value;
    if (what === "status") world.log = value.log;
    note(what, value);
  }
  const old = world.plugins;
  world.plugins = merge(world);
  if (old) announce(old, world.plugins);
  update();
}

/** note takes the readings for the rates: events where this host handles them, else positions. */
function note(what, value) {
  const at = performance.now();
  for (const p of value.plugins) {
    const own = owns(p.name);
    if (what === "status" ? own : !own) world.rates.note(p.name, what === "status" ? p.handled : p.checkpoint, at);
  }
}

function owns(name) {
  const v = world.views?.plugins.find((p) => p.name === name);
  return v ? v.owner?.id === world.status?.id : true;
}

/** merge puts the store's view of the plugins and the host's own of those it runs together. */
function merge({ status, views, wrong }) {
  if (!status && !views) return null;
  const own = new Map((status?.plugins ?? []).map((p) => [p.name, p]));
  const list = (views?.plugins ?? []).map((v) => {
    const here = own.get(v.name);
    own.delete(v.name);
    if (!here) return v;
    const { handled, failed, module, refused } = here;
    if (wrong.views) return { ...v, ...here, age_seconds: null }; // the store's view is old
    return owns(v.name) ? { ...v, handled, failed, module, refused, digest: here.digest || v.digest } : { ...v, module, refused };
  });
  return [...list, ...own.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** announce tells those who do not see the page what has changed. */
function announce(before, now) {
  const old = new Map(before.map((p) => [p.name, p]));
  const news = now.flatMap((p) => {
    const was = old.get(p.name);
    if (!was) return [`${p.name} is new`];
    const said = [];
    if (was.state !== p.state) said.push(`${p.name} is ${p.state}`);
    if ((was.parked_sequences ?? 0) !== (p.parked_sequences ?? 0)) said.push(`${p.name} has ${count(p.parked_sequences)} parked`);
    if (!was.refused && p.refused) said.push(`a new module of ${p.name} is refused`);
    return said;
  });
  if (news.length) setText($("changes"), news.join(". "));
}

/** banners are what concerns the whole page. */
function banners() {
  const list = [];
  const { status: lost, views } = world.wrong;
  if (lost && (lost.error.status === 401 || lost.error.status === 403)) {
    list.push({ key: "token", tone: "wait", text: api.sentence(lost.error), button: "Enter a token" });
  } else if (lost) {
    list.push({ key: "lost", tone: "bad", text: `The host does not answer since ${moment(lost.since)}: ${api.sentence(lost.error)}. ` +
      `${world.status ? "What is below is from before that. " : ""}The page tries again by itself; see whether “eshost run” still runs.` });
  } else if (world.log?.error) {
    list.push({ key: "log", tone: "bad", text: `The event log cannot be read: ${world.log.error}. Nothing is handled meanwhile and nothing is lost; the host goes on by itself when the database answers again.` });
  } else if (world.log?.overdue) {
    list.push({ key: "log", tone: "bad", text: "The database should have answered by now, and has not. Nothing is handled meanwhile and nothing is lost; the host goes on by itself." });
  } else if (views && views.error.status !== 401) {
    list.push({ key: "views", tone: "wait", text: `The store's view cannot be read since ${moment(views.since)}: ${api.sentence(views.error)}. What is below is this host's own view.` });
  }
  if (world.status?.hosts_toml_refused) {
    list.push({ key: "toml", tone: "bad", text: `hosts.toml, as it is now, is refused: ${world.status.hosts_toml_refused}. The host goes on with what it had; mend the file.` });
  }
  const redis = world.status?.redis;
  if (redis?.reason) {
    list.push({ key: "redis", tone: "wait", text: `Redis is ${redis.state}: ${redis.reason}. This host polls the database instead, and no event is lost. To do: ${redis.hint || "see the host's log"}.` });
  }
  keyed($("banners"), list, (b) => b.key, (b) => {
    const text = el("p");
    const node = el("div", {}, text, b.button ? el("button", { type: "button", click: () => needToken(true) }, b.button) : null);
    node.update = (now) => { setText(text, now.text); setClass(node, `notice ${now.tone}`); };
    return node;
  }, (node, b) => node.update(b));
}

function update() {
  banners();
  if (world.log) hold.update(world.log);
  if (world.status) setText($("host"), `${world.status.host} · ${world.status.store}`);
  show($("forget"), !!api.token.get());
  view?.update(world);
}

let asking = false;
let declined = false;

/** needToken asks for a token; once refused, only when it is wanted. */
async function needToken(wanted = false) {
  if (asking || declined && !wanted) return;
  asking = true;
  const before = api.token.get();
  await ask({
    title: "A token is needed", action: "Go on", explain: page.explain,
    text: `${before ? "The host does not know the token. " : ""}hosts.toml names them in [[host.tokens]]. This one is kept in this tab only, until it is closed.`,
    fields: [{ name: "token", label: "Token", value: "", type: "password", required: true, autocomplete: "off" }],
    submit: async ({ token }) => api.token.set(token.trim()),
  });
  asking = false;
  declined = api.token.get() === before;
  if (!declined) page.changed();
}

/** open shows the view that the address names. */
function open() {
  const [path, query] = location.hash.replace(/^#/, "").split("?");
  const name = path.match(/^\/plugins\/(.+)$/)?.[1];
  const first = view === null;
  view?.stop();
  if (name) view = pluginView(decode(name), page);
  else if (path === "/events") view = eventsView(new URLSearchParams(query), page);
  else view = pluginsView();
  $("main").replaceChildren(hold.node, ...view.nodes);
  document.title = `${view.title} · eshost`;
  for (const a of document.querySelectorAll("nav a")) {
    const current = a.dataset.view === (path === "/events" ? "events" : "plugins");
    if (current) a.setAttribute("aria-current", name ? "true" : "page");
    else a.removeAttribute("aria-current");
  }
  update();
  if (!first) {
    scrollTo(0, 0);
    view.heading.focus();
  }
}

function decode(name) {
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}

$("skip").addEventListener("click", (e) => { e.preventDefault(); $("main").focus(); });
$("forget").addEventListener("click", () => { api.token.forget(); declined = false; page.changed(); });
addEventListener("hashchange", open);
const polls = [
  new Poll(api.status, (value, error) => hear("status", value, error)),
  new Poll(api.plugins, (value, error) => hear("views", value, error)),
];
open();
