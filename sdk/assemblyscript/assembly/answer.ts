import * as abi from "./abi";
import * as arena from "./arena";
import { decimal } from "./integer";

/** Room that a call which returns data is given at first, in bytes. */
const ROOM: usize = 1024;

/** Where the next call that returns data shall write. */
export let buffer: usize = 0;
/** How many bytes it may write there. */
export let capacity: i32 = 0;

/** Prepares `buffer` and `capacity`. */
export function prepare(): void {
  buffer = arena.reserve(ROOM);
  capacity = <i32>arena.room();
}

/** Takes the data of a call that answered its length, 0 or more, and returns where it is. */
export function accept(length: i64): usize {
  if (length <= capacity) {
    arena.take(buffer + <usize>length);
    return buffer;
  }
  if (length > i32.MAX_VALUE) throw new Error("out of memory: an answer of " + decimal(length) + " bytes");
  const at = arena.alloc(<usize>length);
  const read = abi.result_read(at, <i32>length, 0);
  if (read != <i32>length) throw new Error("the host gave " + decimal(read) + " bytes of " + decimal(length));
  return at;
}
