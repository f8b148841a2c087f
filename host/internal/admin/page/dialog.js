// One dialog for everything the page asks of a person. The browser keeps the focus in it, closes it with
// Escape, and gives the focus back.

import { el, setText } from "./dom.js";
import { textOf } from "./format.js";

const $ = (id) => document.getElementById(id);
const nameKey = "eshost.who";

/** who and why are fields that most requests have. */
export const who = () => ({ name: "who", label: "Your name", value: sessionStorage.getItem(nameKey) ?? "", required: true, maxlength: 150, autocomplete: "name" });
export const why = (required) => ({ name: "why", label: required ? "Why" : "Why (optional)", value: "", required, maxlength: 2000, autocomplete: "off" });

/** finishLast ends what the dialog was last shown for. */
let finishLast = null;

/**
 * ask shows the dialog until it is cancelled or what it is for has been done: submit(values) does it, and
 * what it throws is shown in the dialog. A field is {name, label, value, type, required, …}; the type "data" is
 * bytes: a text, or a file.
 */
export function ask({ title, text = "", fields = [], action, explain, submit }) {
  const dialog = $("dialog");
  finishLast?.();
  if (dialog.open) dialog.close();
  setText($("dialog-title"), title);
  setText($("dialog-text"), text);
  setText($("dialog-error"), "");
  setText($("dialog-submit"), action);
  const inputs = fields.map(input);
  $("dialog-fields").replaceChildren(...inputs.map((i) => i.node));
  const end = new AbortController();
  const on = (node, name, listener) => node.addEventListener(name, listener, { signal: end.signal });
  return new Promise((done) => {
    const finish = finishLast = () => { end.abort(); done(); };
    on(dialog, "close", () => { if (!dialog.open) finish(); }); // else it is what the dialog before has left behind
    on($("dialog-cancel"), "click", () => dialog.close());
    on($("dialog-form"), "submit", async (e) => {
      e.preventDefault();
      const values = Object.fromEntries(inputs.map((i) => [i.name, i.read()]));
      if (values.who) sessionStorage.setItem(nameKey, values.who);
      $("dialog-submit").disabled = true;
      setText($("dialog-error"), "");
      try {
        await submit(values);
        dialog.close();
      } catch (error) {
        setText($("dialog-error"), explain(error));
      } finally {
        $("dialog-submit").disabled = false;
      }
    });
    dialog.showModal();
    (inputs.find((i) => !i.control.value) ?? inputs[0])?.control.focus();
  });
}

function input({ name, label, value, type = "text", ...more }) {
  const id = `field-${name}`;
  if (type !== "data") {
    const control = el("input", { id, name, type, spellcheck: "false", ...more });
    control.value = value;
    return { name, control, read: () => control.value, node: el("div", {}, el("label", { for: id }, label), control) };
  }
  const control = el("textarea", { id, name, spellcheck: "false", ...more });
  control.value = value;
  let bytes = null; // of a file that is no text
  const file = el("input", { id: `${id}-file`, type: "file", change: async () => {
    if (!file.files[0]) return;
    bytes = new Uint8Array(await file.files[0].arrayBuffer());
    const text = textOf(bytes);
    if (text !== null) bytes = null;
    control.value = text ?? `${file.files[0].size} bytes that are no text`;
  } });
  control.addEventListener("input", () => { bytes = null; });
  return {
    name, control, read: () => bytes ?? new TextEncoder().encode(control.value),
    node: el("div", {}, el("label", { for: id }, label), control, el("label", { for: file.id }, "or take it from a file"), file),
  };
}
