/** Whole numbers as decimal digits; AssemblyScript's own toString would bring in tables for every base. */

import * as arena from "./arena";
import * as utf8 from "./utf8";

/** Writes a number's digits, up to 20 bytes, and returns their end. */
export function writeDecimal(size: u64, at: usize): usize {
  let digits = 1;
  for (let bound: u64 = 10; digits < 20 && size >= bound; bound *= 10) digits++;
  const end = at + digits;
  let p = end;
  for (; size > u32.MAX_VALUE; size /= 10) store<u8>(--p, 0x30 + (size % 10));
  for (let rest = <u32>size; p > at; rest /= 10) store<u8>(--p, 0x30 + (rest % 10));
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
