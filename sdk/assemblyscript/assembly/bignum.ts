/** Exact arithmetic on large integers: 32-bit limbs in the arena, the lowest first. */

import * as arena from "./arena";

/** More limbs than any step of `compare` needs: 801 digits, a power of five and a shift make up to 180. */
const LIMBS: usize = 256;

/** How many limbs the last step left. */
let length: i32 = 0;

/** Compares digits × 10^exponent with mantissa × 2^power: below 0, 0 or above 0. Both are above 0 and near to one another. */
export function compare(digits: usize, count: i32, exponent: i32, mantissa: u64, power: i32): i32 {
  const left = arena.reserve(LIMBS * 8);
  const right = left + LIMBS * 4;
  length = 0;
  for (let i = 0; i < count; i++) multiply(left, 10, <u64>load<u8>(digits + i) - 0x30);
  if (exponent > 0) multiplyBy5(left, exponent);
  if (exponent > power) shift(left, exponent - power);
  const leftLength = length;

  store<u64>(right, mantissa);
  length = mantissa >> 32 ? 2 : 1;
  if (exponent < 0) multiplyBy5(right, -exponent);
  if (exponent < power) shift(right, power - exponent);

  if (leftLength != length) return leftLength - length;
  for (let i = length - 1; i >= 0; i--) {
    const l = load<u32>(left + ((<usize>i) << 2));
    const r = load<u32>(right + ((<usize>i) << 2));
    if (l != r) return l < r ? -1 : 1;
  }
  return 0;
}

function multiply(at: usize, factor: u32, carry: u64): void {
  const end = at + ((<usize>length) << 2);
  for (; at < end; at += 4) {
    carry += <u64>load<u32>(at) * factor;
    store<u32>(at, <u32>carry);
    carry >>= 32;
  }
  if (carry) {
    store<u32>(at, <u32>carry);
    length++;
  }
}

function multiplyBy5(at: usize, times: i32): void {
  for (; times >= 13; times -= 13) multiply(at, 1220703125, 0);
  for (; times; times--) multiply(at, 5, 0);
}

function shift(at: usize, bits: i32): void {
  const limbs = (<usize>(bits >> 5)) << 2;
  memory.copy(at + limbs, at, (<usize>length) << 2);
  memory.fill(at, 0, limbs);
  length += bits >> 5;
  multiply(at, 1 << (bits & 31), 0);
}
