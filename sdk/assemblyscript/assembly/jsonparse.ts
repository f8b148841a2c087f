/**
 * Reads a JSON text into nodes (see jsonnode.ts), by the rules of RFC 8259: one value, UTF-8, nested at most 256 deep.
 *
 * A step is given where it begins and returns where it ended, or 0 when the text is not JSON. None reads at or beyond
 * `end`.
 */

import * as arena from "./arena";
import * as node from "./jsonnode";
import { MAX_DEPTH } from "./abi";
import { Json } from "./json";
import { BACKSLASH, found, stopped, stringEnd } from "./jsontext";
import { decimal } from "./integer";

let end: usize = 0; // of the text
let next: usize = 0; // where the next node goes
let depth: i32 = 0;

// Why and where the text is not JSON.
let why: u32 = 0;
let where: usize = 0;
const UNEXPECTED: u32 = 0;
const ENDS: u32 = 1;
const DEEP: u32 = 2;

/** Reads a text that stays where it is until the event is handled. */
export function parse(text: usize, length: i32): Json {
  end = text + length;
  depth = 0;
  const root = (next = arena.reserve(mostNodes(text) * node.CONTAINER));
  let p = value(space(text), 0, 0, 0);
  if (p && (p = space(p)) != end) p = bad(p);
  if (!p) {
    node.write(root, node.INVALID, text, where, 0, why);
    next = root + node.SCALAR;
  }
  arena.take(next);
  return changetype<Json>(root);
}

/** Says what the parser found, for a text whose node is INVALID. */
export function complaint(why: usize, offset: usize): string {
  if (why == ENDS) return "not JSON: it ends too early, after " + decimal(offset) + " bytes";
  const what = why == DEEP ? "nested deeper than " + decimal(MAX_DEPTH) : "unexpected";
  return "not JSON: byte " + decimal(offset) + " is " + what;
}

/** No text has more values than this: each but the first follows a bracket or a comma. */
function mostNodes(text: usize): usize {
  if (end - text < 256) return end - text + 1;
  let most: usize = 1;
  for (let p = text; p < end; p++) {
    const byte = <u32>load<u8>(p);
    most += <usize>(byte == 0x2c) + <usize>((byte | 0x20) == 0x7b);
  }
  return most;
}

/** A value, and the name it has as a member. */
function value(p: usize, name: usize, nameEnd: usize, flags: u32): usize {
  if (p == end) return bad(p);
  const byte = <u32>load<u8>(p);
  if (byte == 0x7b || byte == 0x5b) return container(p, name, nameEnd, flags);
  const quote = <usize>(byte == 0x22);
  const from = p + quote;
  let to: usize;
  if (quote) {
    to = stringEnd(from, end);
    if (!to) return bad(stopped);
    flags |= found & BACKSLASH ? node.STRING | node.ESCAPED : node.STRING;
  } else if (byte == 0x74) {
    flags |= node.BOOL | node.TRUE;
    to = word(p, 0x65757274); // true
  } else if (byte == 0x66) {
    flags |= node.BOOL;
    to = word(p + 1, 0x65736c61); // f-alse
  } else if (byte == 0x6e) {
    flags |= node.NULL;
    to = word(p, 0x6c6c756e); // null
  } else {
    flags |= node.NUMBER;
    to = number(p);
  }
  if (!to) return 0;
  node.write(next, flags, from, to, name, nameEnd);
  next += node.SCALAR;
  return to + quote;
}

/** An object or array. */
function container(p: usize, name: usize, nameEnd: usize, flags: u32): usize {
  if (++depth > MAX_DEPTH) return bad(p, DEEP);
  const isObject = load<u8>(p) == 0x7b;
  const closing: u32 = isObject ? 0x7d : 0x5d;
  const at = next;
  node.write(at, flags | (isObject ? node.OBJECT : node.ARRAY), p, 0, name, nameEnd);
  next = at + node.CONTAINER;

  let count = 0;
  p = space(p + 1);
  if (p == end || load<u8>(p) != closing) {
    for (;;) {
      p = isObject ? member(p) : value(p, 0, 0, 0);
      if (!p) return 0;
      count++;
      p = space(p);
      if (p == end) return bad(p);
      const byte = load<u8>(p);
      if (byte == closing) break;
      if (byte != 0x2c) return bad(p);
      p = space(p + 1);
    }
  }
  depth--;
  node.contain(at, p + 1, count, next);
  return p + 1;
}

/** A member of an object: a name, a colon and a value. */
function member(p: usize): usize {
  if (p == end || load<u8>(p) != 0x22) return bad(p);
  const name = p + 1;
  const nameEnd = stringEnd(name, end);
  if (!nameEnd) return bad(stopped);
  const flags = found ? node.ODD_NAME : 0;
  p = space(nameEnd + 1);
  if (p == end || load<u8>(p) != 0x3a) return bad(p);
  return value(space(p + 1), name, nameEnd, flags);
}

/** Passes four bytes that must be `letters`. */
function word(p: usize, letters: u32): usize {
  for (let i = 0; i < 4; i++, letters >>= 8, p++) if (p == end || load<u8>(p) != (letters & 0xff)) return bad(p);
  return p;
}

/** Passes a number: -? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)? */
function number(p: usize): usize {
  if (load<u8>(p) == 0x2d) p++;
  const whole = p;
  p = digits(p);
  if (p == whole) return bad(p);
  if (load<u8>(whole) == 0x30 && p > whole + 1) return bad(whole + 1);
  if (p < end && load<u8>(p) == 0x2e) {
    const fraction = p + 1;
    p = digits(fraction);
    if (p == fraction) return bad(p);
  }
  if (p < end && (load<u8>(p) | 0x20) == 0x65) {
    p++;
    if (p < end && (load<u8>(p) == 0x2b || load<u8>(p) == 0x2d)) p++;
    const exponent = p;
    p = digits(p);
    if (p == exponent) return bad(p);
  }
  return p;
}

function digits(p: usize): usize {
  while (p < end && <u32>load<u8>(p) - 0x30 < 10) p++;
  return p;
}

/** Passes white space. */
function space(p: usize): usize {
  return p < end && load<u8>(p) <= 0x20 ? spaces(p) : p;
}

function spaces(p: usize): usize {
  while (p < end) {
    const byte = <u32>load<u8>(p);
    if (byte != 0x20 && byte != 0x0a && byte != 0x0d && byte != 0x09) break;
    p++;
  }
  return p;
}

function bad(p: usize, reason: u32 = UNEXPECTED): usize {
  why = reason == UNEXPECTED && p == end ? ENDS : reason;
  where = p;
  return 0;
}
