// What people ask of a plugin as a whole, and what became of it.

import * as api from "./api.js";
import { ask, who, why } from "./dialog.js";

/** wish makes the listener of a button that asks for something about a plugin, after a dialog. */
export function wish(name, page, { title, text, action, label, ...more }) {
  return () => ask({
    title, text, fields: [who(), why(false)], action: label, explain: page.explain,
    submit: async (values) => { page.say(answer(await api.ask(name, action, { ...values, ...more }))); page.changed(); },
  });
}

/** answer says what became of a request. */
export function answer(r) {
  const after = r.answer ? `: ${r.answer}` : "";
  if (r.state === "pending") return `Asked for ${r.action}. The plugin's owner has not answered yet; the request waits for it.`;
  return `${r.action} ${r.state}${after}`;
}
