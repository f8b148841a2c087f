// JSON as it was written: numbers keep all their digits, members their order, repeated ones included.
// JSON.parse would round and sort.

const tokens = /"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\],:]|[^\s{}[\],:"]+/g;

/** parts are the texts between the commas of an object or an array. */
function parts(text) {
  const found = [];
  let depth = 0;
  let start = -1;
  let end = -1;
  for (const m of text.matchAll(tokens)) {
    const t = m[0];
    const closes = t === "}" || t === "]";
    if (closes) depth--;
    if (depth === 0 && closes || depth === 1 && t === ",") {
      if (start >= 0) found.push(text.slice(start, end));
      start = -1;
    } else if (depth > 0) {
      if (start < 0) start = m.index;
      end = m.index + t.length;
    }
    if (t === "{" || t === "[") depth++;
  }
  return found;
}

/** elements are the texts of an array's values. */
export const elements = (text) => parts(text);

/** members are the texts of an object's values by name. */
export function members(text) {
  return new Map(parts(text).map((part) => {
    const [name] = part.match(tokens);
    return [JSON.parse(name), part.slice(part.indexOf(":", name.length) + 1).trim()];
  }));
}

const mostShown = 200_000;

/** pretty lays a JSON text out, a member a line. */
export function pretty(text) {
  let out = "";
  let depth = 0;
  let before = "";
  const line = () => "\n" + "  ".repeat(depth);
  for (const [t] of text.matchAll(tokens)) {
    const opened = before === "{" || before === "[";
    if (t === "}" || t === "]") {
      depth--;
      out += opened ? t : line() + t;
    } else {
      out += opened || before === "," ? line() + t : t;
    }
    if (t === ":") out += " ";
    if (t === "{" || t === "[") depth++;
    before = t;
    if (out.length > mostShown) return `${out}\n… and more: ${text.length} characters in all`;
  }
  return out;
}
