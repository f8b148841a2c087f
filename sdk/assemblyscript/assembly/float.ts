/** The numbers of JSON as f64: read as the nearest one, written in the shortest form that reads as the same. */

import * as arena from "./arena";
import { compare } from "./bignum";
import { writeDecimal } from "./integer";

/** More digits than this decide nothing but whether the rest is 0. */
const MOST_DIGITS: i32 = 800;

/** The f64 nearest to a JSON number, ties to even; infinite when the number is too large. */
export function parseF64(p: usize, end: usize): f64 {
  const negative = load<u8>(p) == 0x2d;
  if (negative) p++;

  // The number is the integer of its digits times ten to the power of `exponent`. The first 19 are in `leading`.
  const digits = arena.reserve(MOST_DIGITS + 1);
  let count = 0;
  let leading: u64 = 0;
  let exponent: i32 = 0;
  let fraction = 0;
  let rest = false;
  for (; p < end; p++) {
    const byte = <u32>load<u8>(p);
    if (byte == 0x2e) {
      fraction = 1;
      continue;
    }
    if (byte - 0x30 > 9) break;
    exponent -= fraction;
    if (!count && byte == 0x30) continue;
    if (count < 19) leading = leading * 10 + (byte - 0x30);
    if (count < MOST_DIGITS) {
      store<u8>(digits + count++, byte);
    } else {
      exponent++;
      if (byte != 0x30) rest = true;
    }
  }
  if (rest) {
    store<u8>(digits + count++, 0x31);
    exponent--;
  }
  if (p < end) exponent += parseExponent(p + 1, end);

  const size = nearest(digits, count, leading, exponent);
  return negative ? -size : size;
}

function parseExponent(p: usize, end: usize): i32 {
  const sign = load<u8>(p);
  if (sign == 0x2b || sign == 0x2d) p++;
  let value = 0;
  for (; p < end; p++) if (value < 100_000_000) value = value * 10 + (<i32>load<u8>(p) - 0x30);
  return sign == 0x2d ? -value : value;
}

/** The f64 nearest to digits × 10^exponent. The digits are in `digits`, the first 19 of them also in `leading`. */
function nearest(digits: usize, count: i32, leading: u64, exponent: i32): f64 {
  if (!count) return 0;
  // Two exact values and one rounding: right at once, for all that people write.
  if (count <= 15 && exponent >= -22 && exponent <= 22) {
    return exponent < 0 ? <f64>leading / power10(-exponent) : <f64>leading * power10(exponent);
  }
  if (count + exponent > 310) return Infinity;
  if (count + exponent < -330) return 0;

  // A near value in ordinary arithmetic, then exact arithmetic says in which direction it is off, step by step.
  const scale = exponent + max(0, count - 19);
  let guess = <f64>leading;
  guess = scale < 0 ? guess / power10(min(-scale, 300)) / power10(max(-scale - 300, 0)) : guess * power10(scale);
  let bits = reinterpret<u64>(min(guess, f64.MAX_VALUE));
  arena.take(digits + count);
  while (bits < reinterpret<u64>(Infinity) && isAboveMiddle(digits, count, exponent, bits)) bits++;
  while (bits && !isAboveMiddle(digits, count, exponent, bits - 1)) bits--;
  return reinterpret<f64>(bits);
}

/** Whether digits × 10^exponent is nearer to the f64 after the one with these bits, or as near and that one is even. */
function isAboveMiddle(digits: usize, count: i32, exponent: i32, bits: u64): bool {
  const order = compare(digits, count, exponent, mantissaOf(bits) * 2 + 1, powerOf(bits) - 1);
  return order > 0 || (order == 0 && <bool>(bits & 1));
}

// An f64 is mantissaOf × 2^powerOf.

function mantissaOf(bits: u64): u64 {
  const fraction = bits & 0xfffffffffffff;
  return bits >> 52 ? fraction | 0x10000000000000 : fraction;
}

function powerOf(bits: u64): i32 {
  return max(<i32>(bits >> 52), 1) - 1075;
}

/** Ten to the power of n, 0 to 310; exact up to 22. */
function power10(n: i32): f64 {
  let power: f64 = 1;
  let base: f64 = 10;
  for (; n; n >>= 1) {
    if (n & 1) power *= base;
    base *= base;
  }
  return power;
}

/** Writes a finite f64 as JavaScript does (0.1, 5, 1e+21), in up to 32 bytes, and returns the end. */
export function writeF64(value: f64, at: usize): usize {
  if (value < 0) {
    store<u8>(at++, 0x2d);
    value = -value;
  }
  if (value == 0) {
    store<u8>(at, 0x30);
    return at + 1;
  }
  // AssemblyScript's digits read as the same value, but there may be fewer or nearer ones.
  readDigits(value.toString());
  if (decimal >= 1_000_000_000_000_000) improve(value);
  return writeDigits(at);
}

/** What is being written: decimal × 10^decimalExponent, without zeros at the end. */
let decimal: u64 = 0;
let decimalExponent: i32 = 0;

function readDigits(text: string): void {
  decimal = 0;
  decimalExponent = 0;
  let fraction = 0;
  for (let i = 0; i < text.length; i++) {
    const letter = text.charCodeAt(i);
    if (letter == 0x65) {
      decimalExponent += <i32>parseInt(text.substring(i + 1));
      break;
    }
    if (letter == 0x2e) {
      fraction = 1;
    } else if (decimal < 100_000_000_000_000_000) {
      decimal = decimal * 10 + (letter - 0x30);
      decimalExponent -= fraction;
    } else {
      decimalExponent += 1 - fraction; // a 0: there are 17 digits at most
    }
  }
  dropZeros();
}

function dropZeros(): void {
  while (decimal % 10 == 0) {
    decimal /= 10;
    decimalExponent++;
  }
}

/** Finds the fewest digits that read as the value, and of those the nearest to it. */
function improve(value: f64): void {
  while (decimal >= 10) {
    const tenth = decimal / 10;
    const nearer = tenth + <u64>(decimal % 10 >= 5);
    const other = tenth + <u64>(decimal % 10 < 5);
    const exponent = decimalExponent + 1;
    if (readsAs(nearer, exponent, value)) decimal = nearer;
    else if (readsAs(other, exponent, value)) decimal = other;
    else break;
    decimalExponent = exponent;
    dropZeros();
  }
  // Another number is better while the value is beyond the middle of the two, or in the middle and this one is odd.
  for (;;) {
    const odd = <i32>(decimal & 1);
    if (order(decimal * 10 + 5, value) < odd && readsAs(decimal + 1, decimalExponent, value)) decimal++;
    else if (order(decimal * 10 - 5, value) > -odd && readsAs(decimal - 1, decimalExponent, value)) decimal--;
    else break;
  }
}

/** Compares tenths × 10^(decimalExponent - 1) with a value. */
function order(tenths: u64, value: f64): i32 {
  const digits = arena.alloc(24);
  const bits = reinterpret<u64>(value);
  const count = <i32>(writeDecimal(tenths, digits) - digits);
  return compare(digits, count, decimalExponent - 1, mantissaOf(bits), powerOf(bits));
}

function readsAs(digits: u64, exponent: i32, value: f64): bool {
  const at = arena.alloc(24);
  return nearest(at, <i32>(writeDecimal(digits, at) - at), digits, exponent) == value;
}

function writeDigits(at: usize): usize {
  const digits = arena.alloc(24);
  const count = <i32>(writeDecimal(decimal, digits) - digits);
  const point = count + decimalExponent; // digits before the point
  if (point > 21 || point < -5) {
    at = copyDigits(digits, 1, at);
    if (count > 1) {
      store<u8>(at, 0x2e);
      at = copyDigits(digits + 1, count - 1, at + 1);
    }
    store<u16>(at, point > 0 ? 0x2b65 : 0x2d65); // e+ or e-
    return writeDecimal(abs(point - 1), at + 2);
  }
  if (point <= 0) {
    store<u16>(at, 0x2e30); // 0.
    at = writeZeros(-point, at + 2);
    return copyDigits(digits, count, at);
  }
  at = copyDigits(digits, min(count, point), at);
  if (point >= count) return writeZeros(point - count, at);
  store<u8>(at, 0x2e);
  return copyDigits(digits + point, count - point, at + 1);
}

function copyDigits(digits: usize, count: i32, at: usize): usize {
  memory.copy(at, digits, count);
  return at + count;
}

function writeZeros(count: i32, at: usize): usize {
  memory.fill(at, 0x30, count);
  return at + count;
}
