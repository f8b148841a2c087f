import * as abi from "./abi";
import { decimal } from "./integer";

/**
 * Stops the handler for a negative answer of the host. `call` says what was called with what, for example
 * `state.set("balances", "account-7")`.
 */
export function throwErrno(call: string, errno: i32): void {
  throw new Error(call + ": " + reason(errno));
}

/** A call as errors name it, for example `state.get("balances", "account-7")`. */
export function callName(name: string, first: string, second: string | null = null): string {
  const call = name + '("' + first + '"';
  return second === null ? call + ")" : call + ', "' + second + '")';
}

function reason(errno: i32): string {
  if (errno == abi.ERRNO_NOT_FOUND) return "not found";
  if (errno == abi.ERRNO_DENIED) return "denied: not allowed here";
  if (errno == abi.ERRNO_TOO_LARGE)
    return "too large: a collection has up to 128 bytes, a key 1,024, a document or data 1 MiB";
  if (errno == abi.ERRNO_QUOTA) return "quota: this event has done too much of it";
  if (errno == abi.ERRNO_INVALID)
    return "invalid: not JSON, nested too deeply, not UTF-8, or a name that is empty or holds a zero byte";
  return "error " + decimal(errno);
}
