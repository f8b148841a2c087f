// Months, and which of them the report covers.

import { JsonObject, state } from "eshost";

/** A month of the calendar in UTC. */
export class Month {
  /** The index counts months from year 0 on. */
  constructor(readonly index: i32) {}

  /** The month of a time in microseconds since 1970. */
  static of(time: i64): Month {
    const ms = time / 1000;
    const date = new Date(ms * 1000 > time ? ms - 1 : ms); // rounded down, before 1970 too
    return new Month(date.getUTCFullYear() * 12 + date.getUTCMonth());
  }

  static parse(text: string): Month {
    const year = I32.parseInt(text.substring(0, 4));
    return new Month(year * 12 + I32.parseInt(text.substring(5)) - 1);
  }

  /** For example "2026-01". */
  get text(): string {
    const year = (this.index / 12).toString().padStart(4, "0");
    const month = ((this.index % 12) + 1).toString().padStart(2, "0");
    return year + "-" + month;
  }
}

/** The most months that the report grows by at once. */
const FARTHEST: i32 = 1200;

/**
 * Makes the report cover the month: it has no holes, so a month without any event is there too, with zeros. Returns 0, or
 * how many months away the month is if that is too far.
 */
export function cover(month: Month): i32 {
  let first = month.index;
  let last = first - 1; // no month yet
  const span = state.get("report", "span");
  if (span !== null) {
    first = Month.parse(span.json().get("first").string()).index;
    last = Month.parse(span.json().get("last").string()).index;
  }
  const far = max(first - month.index, month.index - last);
  if (far <= 0) return 0;
  if (far > FARTHEST) return far;
  while (first > month.index) empty(--first);
  while (last < month.index) empty(++last);
  const document = new JsonObject().set("first", new Month(first).text).set("last", new Month(last).text);
  state.set("report", "span", document);
  return 0;
}

function empty(index: i32): void {
  state.set("months", new Month(index).text, new JsonObject().set("new", 0).set("returned", 0).set("left", 0));
}
