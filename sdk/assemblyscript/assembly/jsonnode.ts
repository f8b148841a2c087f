/**
 * How a parsed JSON text lies in the arena: a row of nodes, one a value, in the order of the text. A Json is the address
 * of one node.
 *
 *     offset  field
 *          0  where the value's text begins, after the quote of a string
 *          4  where it ends, before the quote of a string
 *          8  kind, flags, and the arena's serial in the high 16 bits
 *         12  the size in bytes of this node and all nodes inside it; what the next value's node follows
 *         16  where the member's name begins, after its quote; 0 when the value has no name
 *         20  where it ends
 *
 * Only in the node of an object or array:
 *
 *         24  how many children
 *         28  the index of the child that was asked for last
 *         32  and its address, so that a loop over all children is no square
 *         36  the first child
 */

import * as arena from "./arena";

export const SCALAR: usize = 24;
export const COUNT: usize = 24;
export const SEEN_INDEX: usize = 28;
export const SEEN_CHILD: usize = 32;
export const CONTAINER: usize = 36;

// Kinds, in the low 8 bits of the third field. A kind above INVALID is a value, one from ARRAY on has children.
export const MISSING: u32 = 0;
export const INVALID: u32 = 1;
export const NULL: u32 = 2;
export const BOOL: u32 = 3;
export const NUMBER: u32 = 4;
export const STRING: u32 = 5;
export const ARRAY: u32 = 6;
export const OBJECT: u32 = 7;

// Flags, in the next 8.
export const TRUE: u32 = 1 << 8; // a bool's value
export const ESCAPED: u32 = 1 << 9; // a string with a backslash
export const ODD_NAME: u32 = 1 << 10; // a name that is not plain ASCII as it stands

/** Writes a node without children. */
export function write(at: usize, meta: u32, from: usize, to: usize, name: usize, nameEnd: usize): void {
  store<usize>(at, from);
  store<usize>(at, to, 4);
  store<u32>(at, meta | (arena.serial << 16), 8);
  store<usize>(at, SCALAR, 12);
  store<usize>(at, name, 16);
  store<usize>(at, nameEnd, 20);
}

/** Ends the node of an object or array, whose text ends at `to` and whose `count` children lie between CONTAINER and `next`. */
export function contain(at: usize, to: usize, count: i32, next: usize): void {
  store<usize>(at, to, 4);
  store<usize>(at, next - at, 12);
  store<i32>(at, count, COUNT);
  store<i32>(at, 0, SEEN_INDEX);
  store<usize>(at, at + CONTAINER, SEEN_CHILD);
}
