import * as abi from "./abi";
import * as arena from "./arena";
import { Bytes, bytesOf } from "./bytes";
import { callName, throwErrno } from "./errors";

const HEADER: i32 = abi.EMIT_FIXED + 8 * abi.EMIT_SLOTS;

/**
 * Appends an event to the end of a stream, if and when the handler returns without failing: exactly once, however often
 * the handled event is tried or replayed. The plugin needs "emit" in its `allow`.
 *
 *     emit("account-7", "OverdraftNoticed", new JsonObject().set("balance", balance));
 *
 * @param stream What it happens to.
 * @param type What happens.
 * @param data An object of a class with `@json`, an array, a JsonObject, a JsonArray, a Json, Bytes or a string; up to 1 MiB.
 * @param streamType The kind of the stream.
 * @param metadata What is known about the event beside its data, a JSON object: `event.metadata`,
 *   `new JsonObject().set("by", "audit").toBytes()`.
 * @param contentType What `data` is, as a media type. Empty means application/json, and then `data` must be JSON.
 */
export function emit<T>(
  stream: string,
  type: string,
  data: T,
  streamType: string = "",
  metadata: Bytes | null = null,
  contentType: string = "",
): void {
  const parts = new StaticArray<Bytes>(abi.EMIT_SLOTS);
  parts[0] = Bytes.ofText(stream);
  parts[1] = Bytes.ofText(streamType);
  parts[2] = Bytes.ofText(type);
  parts[3] = bytesOf<T>(data);
  parts[4] = metadata === null ? Bytes.ofText("") : metadata;
  parts[5] = Bytes.ofText(contentType);

  let size = HEADER;
  for (let i = 0; i < abi.EMIT_SLOTS; i++) size += parts[i].length;
  const message = arena.alloc(size);
  store<u32>(message, abi.EMIT_MAGIC);
  store<u16>(message, HEADER, 4);
  store<u16>(message, 0, 6);
  store<u32>(message, abi.EMIT_SLOTS, 8);
  store<u32>(message, 0, 12);
  let offset = HEADER;
  for (let i = 0; i < abi.EMIT_SLOTS; i++) {
    const slot = message + abi.EMIT_FIXED + ((<usize>i) << 3);
    const part = parts[i];
    store<i32>(slot, offset);
    store<i32>(slot, part.length, 4);
    memory.copy(message + offset, part.start, part.length);
    offset += part.length;
  }

  const errno = abi.emit(message, size);
  if (errno) throwErrno(callName("emit", stream, type), errno);
}
