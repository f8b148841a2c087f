/**
 * Conversions between the host's text (UTF-8) and AssemblyScript's (UTF-16).
 *
 * Both ways take any input: what is not valid becomes U+FFFD, as the web's TextDecoder and TextEncoder do.
 */

import * as arena from "./arena";

/** The length in bytes of what `encode` returned last. */
export let encodedLength: i32 = 0;

/** Writes a string as UTF-8 into the arena and returns its address. Its length is `encodedLength`. */
export function encode(text: string): usize {
  const at = arena.reserve(<usize>text.length * 3);
  const end = encodeTo(text, at);
  arena.take(end);
  encodedLength = <i32>(end - at);
  return at;
}

/** Writes a string as UTF-8 to an address with room for three bytes a code unit and returns the end. */
export function encodeTo(text: string, at: usize): usize {
  let p = changetype<usize>(text);
  const end = p + ((<usize>text.length) << 1);
  while (p < end) {
    while (p + 8 <= end) {
      let four = load<u64>(p);
      if (four & 0xff80ff80ff80ff80) break;
      four = (four | (four >> 8)) & 0x0000ffff0000ffff;
      store<u32>(at, <u32>(four | (four >> 16)));
      p += 8;
      at += 4;
    }
    if (p == end) break;
    const unit = <u32>load<u16>(p);
    if (unit < 0x80) {
      store<u8>(at++, unit);
      p += 2;
    } else {
      const code = codeAt(p, end);
      at = encodeCode(code, at);
      p += code < 0x10000 ? 2 : 4;
    }
  }
  return at;
}

/** The code point at an address in UTF-16; half of a surrogate pair is U+FFFD. */
export function codeAt(p: usize, end: usize): u32 {
  const unit = <u32>load<u16>(p);
  if ((unit & 0xf800) != 0xd800) return unit;
  const low = p + 2 < end ? <u32>load<u16>(p, 2) : 0;
  if (unit >= 0xdc00 || (low & 0xfc00) != 0xdc00) return 0xfffd;
  return 0x10000 + ((unit & 0x3ff) << 10) + (low & 0x3ff);
}

/** Writes one code point beyond ASCII as UTF-8 and returns the end. */
export function encodeCode(code: u32, at: usize): usize {
  if (code < 0x800) {
    store<u8>(at, 0xc0 | (code >> 6));
  } else {
    if (code < 0x10000) {
      store<u8>(at, 0xe0 | (code >> 12));
    } else {
      store<u8>(at++, 0xf0 | (code >> 18));
      store<u8>(at, 0x80 | ((code >> 12) & 0x3f));
    }
    store<u8>(++at, 0x80 | ((code >> 6) & 0x3f));
  }
  store<u8>(++at, 0x80 | (code & 0x3f));
  return at + 1;
}

/** A new string from UTF-8. */
export function decode(at: usize, length: i32): string {
  if (!length) return "";
  if (isAscii(at, length)) {
    const text = newString(length);
    widen(at, length, changetype<usize>(text));
    return text;
  }
  const units = arena.reserve((<usize>length) << 1);
  return stringOf(units, decodeTo(at, length, units));
}

/** A new string from the UTF-16 code units between two addresses. */
export function stringOf(units: usize, end: usize): string {
  const bytes = end - units;
  if (!bytes) return "";
  const text = newString(<i32>(bytes >> 1));
  memory.copy(changetype<usize>(text), units, bytes);
  return text;
}

function newString(length: i32): string {
  return changetype<string>(__new((<usize>length) << 1, idof<string>()));
}

function isAscii(at: usize, length: i32): bool {
  const end = at + length;
  while (at + 8 <= end) {
    if (load<u64>(at) & 0x8080808080808080) return false;
    at += 8;
  }
  while (at < end) if (load<u8>(at++) & 0x80) return false;
  return true;
}

/** Writes ASCII as UTF-16. */
function widen(at: usize, length: i32, to: usize): void {
  const end = at + length;
  while (at + 4 <= end) {
    store<u64>(to, widened(load<u32>(at)));
    at += 4;
    to += 8;
  }
  while (at < end) {
    store<u16>(to, load<u8>(at++));
    to += 2;
  }
}

/** Four bytes as four code units. */
function widened(bytes: u32): u64 {
  let four = <u64>bytes;
  four = (four | (four << 16)) & 0x0000ffff0000ffff;
  return (four | (four << 8)) & 0x00ff00ff00ff00ff;
}

/** Writes UTF-8 as UTF-16, at most one code unit a byte, and returns the end. */
export function decodeTo(at: usize, length: i32, to: usize): usize {
  const end = at + length;
  while (at < end) {
    const lead = <u32>load<u8>(at);
    if (lead < 0x80) {
      store<u16>(to, lead);
      to += 2;
      at++;
      continue;
    }
    const size = sequence(at, end);
    if (size < 0) {
      store<u16>(to, 0xfffd);
      to += 2;
      at -= size;
      continue;
    }
    if (size == 2) {
      store<u16>(to, ((lead & 0x1f) << 6) | tail(at + 1));
    } else if (size == 3) {
      store<u16>(to, ((lead & 0x0f) << 12) | (tail(at + 1) << 6) | tail(at + 2));
    } else {
      const code = ((lead & 0x07) << 18) | (tail(at + 1) << 12) | (tail(at + 2) << 6) | tail(at + 3);
      store<u16>(to, 0xd7c0 + (code >> 10));
      store<u16>(to, 0xdc00 | (code & 0x3ff), 2);
      to += 2;
    }
    to += 2;
    at += size;
  }
  return to;
}

function tail(at: usize): u32 {
  return (<u32>load<u8>(at)) & 0x3f;
}

/**
 * The length of the multi-byte sequence at `at`, 2 to 4. When it is not valid: minus the number of bytes to replace
 * with one U+FFFD.
 */
export function sequence(at: usize, end: usize): i32 {
  const lead = <u32>load<u8>(at);
  // Only the second byte has bounds of its own: they exclude long forms, surrogates and what is above U+10FFFF.
  let low: u32 = 0x80;
  let high: u32 = 0xbf;
  let size: i32;
  if (lead < 0xc2) return -1;
  if (lead < 0xe0) {
    size = 2;
  } else if (lead < 0xf0) {
    size = 3;
    if (lead == 0xe0) low = 0xa0;
    if (lead == 0xed) high = 0x9f;
  } else if (lead < 0xf5) {
    size = 4;
    if (lead == 0xf0) low = 0x90;
    if (lead == 0xf4) high = 0x8f;
  } else {
    return -1;
  }
  for (let i = 1; i < size; i++) {
    if (at + i >= end) return -i;
    const byte = <u32>load<u8>(at + i);
    if (byte < low || byte > high) return -i;
    low = 0x80;
    high = 0xbf;
  }
  return size;
}

/** Whether a string's code units are the bytes at `at`, as many as the string is long. One of the two must be ASCII. */
export function equalsAscii(text: string, at: usize): bool {
  let p = changetype<usize>(text);
  const end = p + ((<usize>text.length) << 1);
  while (p + 8 <= end) {
    if (load<u64>(p) != widened(load<u32>(at))) return false;
    p += 8;
    at += 4;
  }
  while (p < end) {
    if (<u32>load<u16>(p) != <u32>load<u8>(at)) return false;
    p += 2;
    at++;
  }
  return true;
}
