/** What the host calls. exports.ts makes these functions the module's exports. */

import * as abi from "./abi";
import * as arena from "./arena";
import { Event } from "./event";
import { resetStatus, status } from "./outcome";
import { decimal } from "./decimal";

const event = new Event();
let handler: ((event: Event) => void) | null = null;
let inbox: usize = 0;
let capacity: u32 = 0;

/**
 * Says what the plugin does with each event. Call it once, at the top level of the plugin's file.
 *
 *     onEvent((event) => {
 *       …
 *     });
 *
 * The handler is called for one event at a time, in the order of the log. What it writes is stored when it returns. It
 * ends an event otherwise with `return retry("…")` or `return reject("…")`; an error thrown counts as a failed attempt.
 *
 * Variables outside the handler may be lost between any two events, and several instances of a plugin may run side by
 * side: what shall last goes into `state`.
 */
export function onEvent(handle: (event: Event) => void): void {
  if (handler !== null) throw new Error("onEvent is called twice");
  handler = handle;
}

/** Says which ABI the module speaks. The host only looks whether it is there. */
export function eshost_abi_v1(): void {}

/** A buffer of at least `min` bytes that the host writes the next event into. */
export function eshost_inbox(min: u32): usize {
  if (min > capacity) {
    if (inbox) heap.free(inbox);
    inbox = heap.alloc(min);
    capacity = min;
  }
  return inbox;
}

/** Handles the event whose envelope is the first `length` bytes of the inbox. */
export function handle(length: u32): i32 {
  const handle = handler;
  if (handle === null) throw new Error("the plugin has no handler: it never calls onEvent");
  if (length > capacity)
    throw new Error("an event of " + decimal(length) + " bytes for an inbox of " + decimal(capacity));
  arena.reset();
  resetStatus();
  event.open(inbox, length);
  handle(event);
  collect();
  return status;
}

/** Garbage is left for this many events, as looking for it costs about 200 ns. */
const COLLECT_EVERY: i32 = 64;
let untilCollect: i32 = COLLECT_EVERY;
let pages: i32 = 0;

/** Frees what handlers left behind, from time to time and whenever memory had to grow for it. */
function collect(): void {
  if (--untilCollect && memory.size() == pages) return;
  __collect();
  untilCollect = COLLECT_EVERY;
  pages = memory.size();
}
