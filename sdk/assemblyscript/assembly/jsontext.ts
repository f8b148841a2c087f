/** The two sides of a JSON string: finding its end and undoing its escapes. */

import * as arena from "./arena";
import * as utf8 from "./utf8";

// What `stringEnd` may find in a string.
export const BACKSLASH: u32 = 1;
export const NOT_ASCII: u32 = 2;

/** What the string that `stringEnd` passed last holds: BACKSLASH, NOT_ASCII, both or 0. */
export let found: u32 = 0;
/** Where `stringEnd` stopped when it answered 0: the byte that may not be there, or the end of the text. */
export let stopped: usize = 0;

/** The address of the quote that ends the string whose text begins at `p`, or 0 when it is no JSON string. */
export function stringEnd(p: usize, end: usize): usize {
  found = 0;
  for (;;) {
    p = skipPlain(p, end);
    if (p == end) break;
    const byte = <u32>load<u8>(p);
    if (byte == 0x22) return p;
    if (byte == 0x5c) {
      found |= BACKSLASH;
      const size = escapeSize(p, end);
      if (!size) break;
      p += size;
    } else {
      if (byte < 0x20) break;
      found |= NOT_ASCII;
      const size = utf8.sequence(p, end);
      if (size < 0) break;
      p += size;
    }
  }
  stopped = p;
  return 0;
}

/** Passes ASCII that stands for itself: all but quotes, backslashes and control characters. */
function skipPlain(p: usize, end: usize): usize {
  const ones: u64 = 0x0101010101010101;
  const tops: u64 = 0x8080808080808080;
  while (p + 8 <= end) {
    const eight = load<u64>(p);
    const quote = eight ^ (ones * 0x22);
    const slash = eight ^ (ones * 0x5c);
    // The top bit of a byte is set where the byte is a quote, a backslash, below 0x20 or not ASCII. A borrow can set
    // bits above the first such byte, never below it.
    const stop = (((quote - ones) & ~quote) | ((slash - ones) & ~slash) | (eight - ones * 0x20) | eight) & tops;
    if (stop) return p + ((<usize>ctz(stop)) >> 3);
    p += 8;
  }
  while (p < end) {
    const byte = <u32>load<u8>(p);
    if (byte == 0x22 || byte == 0x5c || byte - 0x20 >= 0x60) break;
    p++;
  }
  return p;
}

/** The length of the escape at `p`, or 0 when there is none. */
function escapeSize(p: usize, end: usize): usize {
  if (p + 1 == end) return 0;
  const byte = load<u8>(p, 1);
  if (byte == 0x75) {
    if (end - p < 6) return 0;
    for (let i = 2; i < 6; i++) if (hexDigit(p + i) < 0) return 0;
    return 6;
  }
  return byte == 0x22 || byte == 0x5c || byte == 0x2f || simpleEscape(byte) ? 2 : 0;
}

/** The control character that \b, \f, \n, \r or \t stands for, or 0. */
function simpleEscape(byte: u32): u32 {
  if (byte == 0x6e) return 0x0a;
  if (byte == 0x74) return 0x09;
  if (byte == 0x72) return 0x0d;
  if (byte == 0x62) return 0x08;
  return byte == 0x66 ? 0x0c : 0;
}

function hexDigit(p: usize): i32 {
  const byte = <i32>load<u8>(p);
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const letter = byte | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}

/** The text of a string that `stringEnd` passed. */
export function unescape(from: usize, to: usize): string {
  const units = arena.reserve((to - from) << 1);
  let out = units;
  while (from < to) {
    let plain = from;
    while (plain < to && load<u8>(plain) != 0x5c) plain++;
    out = utf8.decodeTo(from, <i32>(plain - from), out);
    if (plain == to) break;
    const byte = <u32>load<u8>(plain, 1);
    from = plain + 2;
    let unit = simpleEscape(byte);
    if (byte == 0x75) {
      for (let i = 0; i < 4; i++) unit = (unit << 4) | hexDigit(from + i);
      from += 4;
    } else if (!unit) {
      unit = byte;
    }
    store<u16>(out, unit);
    out += 2;
  }
  return utf8.stringOf(units, out);
}
