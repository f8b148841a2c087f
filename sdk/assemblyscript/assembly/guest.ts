/** What the host calls. exports.ts makes these functions the module's exports. */

import * as arena from "./arena";
import { Event } from "./event";
import { resetStatus, status } from "./outcome";
import { decimal } from "./integer";

const event = new Event();
let registered: ((event: Event) => void) | null = null;
let inbox: usize = 0;
let capacity: u32 = 0;

/**
 * Registers the plugin's handler: what it does with each event. Call it once, at the top level of the plugin's file.
 *
 *     handle((event) => {
 *       state.set("last", event.stream, event.data);
 *     });
 *
 * The handler gets one event at a time, in the order of the log. What it writes and emits takes effect together when it
 * returns, and only then: exactly once, whatever crashes. `return retry("…")` and `return reject("…")` end an event
 * otherwise; an error that is thrown counts as a failed attempt. A failed event leaves nothing behind.
 *
 * Variables outside the handler may be gone at the next event, and several instances of a plugin run side by side:
 * what must last goes into `state`.
 */
export function handle(handler: (event: Event) => void): void {
  if (registered !== null) throw new Error("handle is called twice; a plugin has one handler");
  registered = handler;
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
export function handleEvent(length: u32): i32 {
  const handler = registered;
  if (handler === null) throw new Error("the plugin has no handler: it never calls handle");
  if (length > capacity)
    throw new Error("an event of " + decimal(length) + " bytes for an inbox of " + decimal(capacity));
  arena.reset();
  resetStatus();
  event.open(inbox, length);
  handler(event);
  collect();
  return status;
}

/** How long garbage is left alone, in events times pages of memory: looking for it costs time, leaving it costs memory. */
const PATIENCE: i32 = 1024;
const MINIMAL: i32 = 1; // --runtime minimal
let untilCollect: i32 = 0;
let pages: i32 = 0;

/** Frees what handlers left behind, from time to time and whenever memory had to grow for it. */
function collect(): void {
  if (ASC_RUNTIME != MINIMAL) return; // another runtime does it by itself
  if (--untilCollect > 0 && memory.size() == pages) return;
  __collect();
  pages = memory.size();
  untilCollect = PATIENCE / pages;
}
