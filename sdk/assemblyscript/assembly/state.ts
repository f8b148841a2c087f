import * as abi from "./abi";
import * as answer from "./answer";
import * as utf8 from "./utf8";
import { Bytes, bytesOf, view } from "./bytes";
import { callName, throwErrno } from "./errors";

/** A document that `state.scan` found. */
export class Document {
  constructor(
    /** The key in the collection. */
    readonly key: string,
    /** The JSON that is stored. */
    readonly data: Bytes,
  ) {}
}

/**
 * The plugin's documents: JSON values, each in a collection under a key. This is the read model that the plugin builds,
 * and the only thing that lasts from one event to the next: variables do not, as an instance may vanish at any time.
 *
 * A write is seen by later reads at once. It is stored when the handler has returned without failing, together with
 * the note that this event was handled, so it happens exactly once.
 *
 * Collection names have 1 to 128 bytes, keys 1 to 1,024, documents up to 1 MiB. When the host refuses a call, the
 * handler is stopped with an error that names the call, the collection and the key.
 */
@final
export class state {
  /** The document under a key, or null. */
  static get(collection: string, key: string): Bytes | null {
    const c = utf8.encode(collection);
    const cn = utf8.encodedLength;
    const k = utf8.encode(key);
    const kn = utf8.encodedLength;
    answer.prepare();
    const length = abi.state_get(c, cn, k, kn, answer.buffer, answer.capacity);
    if (length < 0) {
      if (length != abi.ERRNO_NOT_FOUND) throwErrno(callName("state.get", collection, key), <i32>length);
      return null;
    }
    return view(answer.accept(length), <i32>length);
  }

  /** Writes a document: an object of a class with `@json`, an array, a JsonObject, a JsonArray, a Json, Bytes, or a string that holds JSON. */
  static set<T>(collection: string, key: string, document: T): void {
    const data = bytesOf<T>(document);
    const c = utf8.encode(collection);
    const cn = utf8.encodedLength;
    const k = utf8.encode(key);
    const errno = abi.state_set(c, cn, k, utf8.encodedLength, data.start, data.length);
    if (errno) throwErrno(callName("state.set", collection, key), errno);
  }

  /** Removes a document. One that is not there is no error. */
  static delete(collection: string, key: string): void {
    const c = utf8.encode(collection);
    const cn = utf8.encodedLength;
    const k = utf8.encode(key);
    const errno = abi.state_delete(c, cn, k, utf8.encodedLength);
    if (errno && errno != abi.ERRNO_NOT_FOUND) throwErrno(callName("state.delete", collection, key), errno);
  }

  /**
   * Documents of a collection whose keys begin with `prefix` and come after `after`, in the byte order of their keys,
   * at most `limit` (1 to 1,000) of them. To read on, give the last key as `after`.
   */
  static scan(collection: string, prefix: string = "", after: string = "", limit: i32 = abi.MAX_SCAN): Document[] {
    const c = utf8.encode(collection);
    const cn = utf8.encodedLength;
    const p = utf8.encode(prefix);
    const pn = utf8.encodedLength;
    const a = utf8.encode(after);
    const an = utf8.encodedLength;
    answer.prepare();
    const length = abi.state_scan(c, cn, p, pn, a, an, limit, answer.buffer, answer.capacity);
    if (length < 0) throwErrno(callName("state.scan", collection, prefix), <i32>length);
    return documents(answer.accept(length), <usize>length);
  }
}

/** Reads u32 count, then for each document u32 key length, u32 data length, key, data. */
function documents(at: usize, length: usize): Document[] {
  const end = at + length;
  const found = new Array<Document>();
  if (length < 4) throw new Error("state.scan: the host's answer ends early");
  let left = load<u32>(at);
  at += 4;
  while (left--) {
    if (end - at < 8) throw new Error("state.scan: the host's answer ends early");
    const key = load<u32>(at);
    const data = load<u32>(at, 4);
    at += 8;
    if (<u64>key + data > end - at) throw new Error("state.scan: the host's answer ends early");
    found.push(new Document(utf8.decode(at, key), view(at + key, data)));
    at += key + data;
  }
  return found;
}
