import * as abi from "./abi";
import * as utf8 from "./utf8";

/** What `handle` will return. */
export let status: i32 = abi.STATUS_OK;

export function resetStatus(): void {
  status = abi.STATUS_OK;
}

/**
 * Says that the event cannot be handled now but may be later, and why. Nothing that the handler wrote or emitted
 * counts; the event is handled again after a pause, and parked for a person to look at after the last attempt.
 *
 * It does not leave the handler: `return retry("…")`. After the first `retry` or `reject`, others change nothing.
 */
export function retry(text: string): void {
  fail(abi.STATUS_RETRY, text);
}

/**
 * Says that the event is wrong and always will be, and why. Nothing that the handler wrote or emitted counts; the event
 * is parked for a person to look at, and later events of its stream wait behind it.
 *
 * It does not leave the handler: `return reject("…")`. After the first `retry` or `reject`, others change nothing.
 */
export function reject(text: string): void {
  fail(abi.STATUS_REJECT, text);
}

function fail(reason: i32, text: string): void {
  if (status != abi.STATUS_OK) return;
  status = reason;
  const at = utf8.encode(text);
  abi.fail(at, utf8.encodedLength);
}
