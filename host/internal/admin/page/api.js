// The host's API, as far as the page uses it.

import { elements, members } from "./json.js";

const tokenKey = "eshost.token";

/** Problem is an answer that says what went wrong: RFC 9457. */
export class Problem extends Error {
  constructor(status, { detail, title, hint }) {
    super(detail || title || `the host answered ${status}`);
    [this.status, this.hint] = [status, hint ?? ""];
  }

  /** sentence is what happened and what to do. */
  get sentence() {
    return this.hint ? `${this.message}. What to do: ${this.hint}` : this.message;
  }
}

/** sentence is what to tell of any error. */
export const sentence = (error) => (error instanceof Problem ? error.sentence : error.message);

export const token = {
  get: () => sessionStorage.getItem(tokenKey),
  set: (value) => sessionStorage.setItem(tokenKey, value),
  forget: () => sessionStorage.removeItem(tokenKey),
};

async function call(path, { method = "GET", body = null, signal = AbortSignal.timeout(90_000) } = {}) {
  const headers = {};
  if (token.get()) headers.Authorization = `Bearer ${token.get()}`;
  if (body !== null) headers["Content-Type"] = "application/json";
  const { answer, text } = await reach(path, { method, headers, body, signal, credentials: "omit", cache: "no-store", redirect: "error" });
  if (answer.ok) return { text, status: answer.status };
  let problem = {};
  try {
    problem = JSON.parse(text);
  } catch { /* something before the host has answered: the status must do */ }
  throw new Problem(answer.status, problem);
}

async function reach(path, options) {
  try {
    const answer = await fetch(path, options);
    return { answer, text: await answer.text() };
  } catch (error) {
    throw new Problem(0, { detail: error.name === "TimeoutError" ? "the host does not answer in time" : "the host cannot be reached" });
  }
}

const read = async (path, signal) => JSON.parse((await call(path, { signal })).text);
const part = encodeURIComponent;

export const status = (signal) => read("v1/status", signal);
export const plugins = (signal) => read("v1/plugins", signal);
export const plugin = (name, signal) => read(`v1/plugins/${part(name)}`, signal);
export const parked = (name, after, signal) => read(`v1/plugins/${part(name)}/parked?limit=100&after=${after}`, signal);

export const generations = (name, signal) => read(`v1/plugins/${part(name)}/generations`, signal);

/** sequence reads all about one sequence. The event's data and what replaces it come as they were written. */
export async function sequence(name, key, signal) {
  const { text } = await call(`v1/plugins/${part(name)}/parked/${part(key)}`, { signal });
  const raw = members(text);
  const all = JSON.parse(text);
  all.event = event(raw.get("event"));
  if (all.replaced) all.replaced.raw = members(raw.get("replaced")).get("data");
  return all;
}

/** ask puts a request about a plugin to whoever owns it, and returns the request with its answer. */
export async function ask(name, action, request) {
  return JSON.parse((await call(`v1/plugins/${part(name)}/${action}`, { method: "POST", body: JSON.stringify(request) })).text);
}

/** reload has the host look at hosts.toml and all modules now. */
export const reload = async () => JSON.parse((await call("v1/reload", { method: "POST" })).text);

/** event reads an event; its data and metadata stay as they were written. */
function event(text) {
  const raw = members(text);
  return { ...JSON.parse(text), raw: raw.get("data"), rawMetadata: raw.get("metadata") };
}

/** log reads a page of the log. types is a list with commas, or empty for all. */
export async function log({ after, types, limit }, signal) {
  const query = new URLSearchParams({ after, limit });
  if (types) query.set("types", types);
  return page(await call(`v1/events?${query}`, { signal }));
}

/** stream reads a page of a stream, after a version. One that does not exist is empty. */
export async function stream(name, { after, limit }, signal) {
  try {
    return page(await call(`v1/streams/${part(name)}?${new URLSearchParams({ after, limit })}`, { signal }));
  } catch (error) {
    if (error.status === 404) return { events: [] };
    throw error;
  }
}

function page({ text }) {
  const raw = members(text);
  return { ...JSON.parse(text), events: elements(raw.get("events")).map(event) };
}
