/**
 * Memory that lives as long as one event is handled: what the host answered, parsed JSON, text on its way to the host.
 *
 * Taking some moves an address forward; all of it is given back at once when the next event begins. Nothing here is
 * seen by the garbage collector, so handling an event costs it nothing.
 *
 * A value that a plugin keeps too long is no danger, but it would be wrong. So each carries the serial of its event, and
 * one event begins where the last one ended, as far as there is room: the kept value is not overwritten at once, and the
 * first use of it stops the plugin.
 */

import { decimal } from "./integer";

/** The size of a block in bytes. The first block is kept for good; more exist only while an event needs them. */
const BLOCK: usize = 64 << 10;
/** The bytes in front of an extra block that hold the address of the one before. */
const LINK: usize = 16;

let first: usize = 0;
let extra: usize = 0;
let top: usize = 0;
let limit: usize = 0;

/** A number that changes with every event, so that a value kept from an earlier event can be told. Never 0. */
export let serial: u32 = 1;

/** Gives everything back. */
export function reset(): void {
  serial = serial < 0xffff ? serial + 1 : 1;
  while (extra) {
    const before = load<usize>(extra);
    heap.free(extra);
    extra = before;
  }
  if (!first) first = heap.alloc(BLOCK);
  const end = first + BLOCK;
  if (limit != end || top > end - BLOCK / 2) top = first;
  limit = end;
}

/** Makes sure that `size` bytes are free and returns where they begin, without taking them. */
export function reserve(size: usize): usize {
  if (size > limit - top) grow(size);
  return top;
}

/** How many bytes are free where `reserve` said, at least as many as it was asked for. */
export function room(): usize {
  return limit - top;
}

/** Takes the bytes up to `end`, which lies within what was reserved. */
export function take(end: usize): void {
  top = min((end + 7) & ~7, limit);
}

/** Takes `size` bytes and returns where they begin, a multiple of 8. */
export function alloc(size: usize): usize {
  const at = reserve(size);
  take(at + size);
  return at;
}

function grow(size: usize): void {
  if (size > 1 << 29) throw new Error("out of memory: one value of " + decimal(size) + " bytes");
  const bytes = max(BLOCK, ((size + 7) & ~7) + LINK);
  const block = heap.alloc(bytes);
  store<usize>(block, extra);
  extra = block;
  top = block + LINK;
  limit = block + bytes;
}

/** Stops a plugin that uses a value of an event after that event was handled. */
export function assertFresh(stamp: u32): void {
  if (stamp != serial) {
    throw new Error("this value belongs to an event that was handled before; keep .text() or .copy() of it instead");
  }
}
