// How numbers, times and digests are written.

const whole = new Intl.NumberFormat("en");

/** count writes a whole number with its thousands apart. */
export const count = (n) => whole.format(n ?? 0);

/** plural writes a number of things. */
export const plural = (n, thing) => `${count(n)} ${thing}${n === 1 ? "" : "s"}`;

/** seconds writes a length of time in the unit that fits. */
export function seconds(s) {
  if (s == null) return "unknown";
  if (s < 0.05) return "0 s";
  if (s < 10) return `${s.toFixed(1)} s`;
  if (s < 120) return `${Math.round(s)} s`;
  if (s < 7200) return `${Math.round(s / 60)} min`;
  if (s < 172800) return `${Math.round(s / 3600)} h`;
  return `${Math.round(s / 86400)} days`;
}

/** rate writes how many there are a second. */
export const rate = (r) => (r == null ? "…" : r < 10 && r > 0 ? r.toFixed(1) : count(Math.round(r)));

/** moment writes a point in time as a clock here shows it, with the date if it is not of today. */
export function moment(time) {
  if (!time) return "";
  const t = new Date(time);
  const two = (n) => String(n).padStart(2, "0");
  const clock = `${two(t.getHours())}:${two(t.getMinutes())}:${two(t.getSeconds())}`;
  if (t.toDateString() === new Date().toDateString()) return clock;
  return `${t.getFullYear()}-${two(t.getMonth() + 1)}-${two(t.getDate())} ${clock}`;
}

/** short is the part of a digest that people compare. */
export const short = (digest) => (digest ? digest.slice(0, 12) : "none");

/** textOf is what bytes say, or null if they are no text. */
export function textOf(bytes) {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return null;
  }
}
