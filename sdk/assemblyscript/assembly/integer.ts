/** Whole numbers and their decimal digits; AssemblyScript's own toString would bring in tables for every base. */

import * as arena from "./arena";
import * as utf8 from "./utf8";

/** Whether the text that `parseI64` was given is an integer that fits. */
export let isI64: bool = false;

/** The value of a JSON number; `isI64` is false when it has a fraction or an exponent or does not fit. */
export function parseI64(p: usize, end: usize): i64 {
  isI64 = false;
  const negative = load<u8>(p) == 0x2d;
  if (negative) p++;
  if (end - p > 19) return 0; // 19 digits fit a u64, and no number begins with a 0 that it could do without
  let value: u64 = 0;
  for (; p < end; p++) {
    const digit = <u32>load<u8>(p) - 0x30;
    if (digit > 9) return 0;
    value = value * 10 + digit;
  }
  isI64 = value <= <u64>i64.MAX_VALUE + <u64>negative;
  return negative ? -(<i64>value) : <i64>value;
}

/** Writes a number's digits, up to 20 bytes, and returns their end. */
export function writeDecimal(size: u64, at: usize): usize {
  let digits = 1;
  for (let bound: u64 = 10; digits < 20 && size >= bound; bound *= 10) digits++;
  const end = at + digits;
  let p = end;
  for (; size > u32.MAX_VALUE; size /= 10) store<u8>(--p, 0x30 + (size % 10));
  while (p > at) {
    const tenth = (size * 0xcccccccd) >> 35; // size / 10 for 32 bits, without a division
    store<u8>(--p, 0x30 + (size - tenth * 10));
    size = tenth;
  }
  return end;
}

/** A number as text. */
export function decimal(value: i64): string {
  const at = arena.reserve(21);
  const negative = value < 0;
  if (negative) store<u8>(at, 0x2d);
  const end = writeDecimal(negative ? -(<u64>value) : <u64>value, at + <usize>negative);
  return utf8.decode(at, <i32>(end - at));
}
