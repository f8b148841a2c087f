/** The numbers of a JSON text, whose grammar the parser has checked. */

import * as arena from "./arena";
import { isAboveHalf } from "./bignum";

/** Whether the number that was parsed last has a value of its type. */
export let parsed: bool = false;

/** The value of an integer; `parsed` is false when it has a fraction or an exponent or does not fit. */
export function parseI64(p: usize, end: usize): i64 {
  parsed = false;
  const negative = load<u8>(p) == 0x2d;
  if (negative) p++;
  if (end - p > 19) return 0; // 19 digits fit a u64, and no number begins with 0
  let value: u64 = 0;
  for (; p < end; p++) {
    const digit = <u32>load<u8>(p) - 0x30;
    if (digit > 9) return 0;
    value = value * 10 + digit;
  }
  parsed = value <= <u64>i64.MAX_VALUE + <u64>negative;
  return negative ? -(<i64>value) : <i64>value;
}

/** More digits than this decide nothing but whether the rest is 0. */
const MOST_DIGITS: i32 = 800;

/** The f64 nearest to a number, ties to even; `parsed` is false when it is too large. */
export function parseF64(p: usize, end: usize): f64 {
  const negative = load<u8>(p) == 0x2d;
  if (negative) p++;

  // The number is the integer of its digits times ten to the power of `exponent`. The first 19 are in `mantissa`.
  const digits = arena.reserve(MOST_DIGITS + 1);
  let count = 0;
  let mantissa: u64 = 0;
  let exponent: i32 = 0;
  let fraction = 0;
  let rest = false;
  for (; p < end; p++) {
    const byte = <u32>load<u8>(p);
    if (byte == 0x2e) {
      fraction = 1;
      continue;
    }
    const digit = byte - 0x30;
    if (digit > 9) break;
    exponent -= fraction;
    if (!count && !digit) continue;
    if (count < 19) mantissa = mantissa * 10 + digit;
    if (count < MOST_DIGITS) {
      store<u8>(digits + count++, digit);
    } else {
      exponent++;
      if (digit) rest = true;
    }
  }
  if (rest) {
    store<u8>(digits + count++, 1);
    exponent--;
  }
  if (p < end) exponent += readExponent(p + 1, end);

  const size = nearest(digits, count, mantissa, exponent);
  parsed = size < Infinity;
  return negative ? -size : size;
}

function readExponent(p: usize, end: usize): i32 {
  const sign = load<u8>(p);
  if (sign == 0x2b || sign == 0x2d) p++;
  let value = 0;
  for (; p < end; p++) if (value < 100_000_000) value = value * 10 + (<i32>load<u8>(p) - 0x30);
  return sign == 0x2d ? -value : value;
}

function nearest(digits: usize, count: i32, mantissa: u64, exponent: i32): f64 {
  if (!count) return 0;
  // Two exact values and one rounding: right at once, for all that people write.
  if (count <= 15 && exponent >= -22 && exponent <= 22) {
    return exponent < 0 ? <f64>mantissa / power10(-exponent) : <f64>mantissa * power10(exponent);
  }
  if (count + exponent > 310) return Infinity;
  if (count + exponent < -330) return 0;

  // A near value in ordinary arithmetic, then exact arithmetic says in which direction it is off, step by step.
  const scale = exponent + max(0, count - 19);
  let guess = <f64>mantissa;
  guess = scale < 0 ? guess / power10(min(-scale, 300)) / power10(max(-scale - 300, 0)) : guess * power10(scale);
  let bits = reinterpret<u64>(min(guess, f64.MAX_VALUE));
  arena.take(digits + count);
  while (bits < reinterpret<u64>(Infinity) && isAboveHalf(digits, count, exponent, bits)) bits++;
  while (bits && !isAboveHalf(digits, count, exponent, bits - 1)) bits--;
  return reinterpret<f64>(bits);
}

/** Ten to the power of n, 0 to 308; exact up to 22. */
function power10(n: i32): f64 {
  let power: f64 = 1;
  let base: f64 = 10;
  for (; n; n >>= 1) {
    if (n & 1) power *= base;
    base *= base;
  }
  return power;
}
