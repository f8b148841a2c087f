import * as arena from "./arena";
import * as utf8 from "./utf8";
import { Json } from "./json";
import { jsonOf } from "./jsonbuffer";
import { parse } from "./jsonparse";
import { decimal } from "./integer";

/**
 * Bytes that the host gave: an event's data, a document. Reading them copies nothing.
 *
 * They can be used until the handler returns. What shall live longer is `text()` or `copy()` of them.
 */
@final
@unmanaged
export class Bytes {
  private at: usize;
  private stamp: u32;
  /** How many bytes there are. */
  readonly length: i32;

  /** The bytes of a text, in UTF-8. */
  static ofText(text: string): Bytes {
    const at = utf8.encode(text);
    return view(at, utf8.encodedLength);
  }

  /** The bytes of an array, copied. */
  static ofArray(array: Uint8Array): Bytes {
    const at = arena.alloc(array.length);
    memory.copy(at, array.dataStart, array.length);
    return view(at, array.length);
  }

  /** The bytes as text, read as UTF-8. What is not valid becomes U+FFFD. */
  text(): string {
    return utf8.decode(this.start, this.length);
  }

  /** The bytes as JSON. It never fails: when they are not JSON, the result says so when it is used (see Json). */
  json(): Json {
    return parse(this.start, this.length);
  }

  /** One byte, 0 to 255. An index outside stops the handler. */
  @operator("[]")
  byteAt(index: i32): u8 {
    if (<u32>index >= <u32>this.length) throw new RangeError("byte " + decimal(index) + " of " + decimal(this.length));
    return load<u8>(this.start + index);
  }

  /** A copy that may be kept and changed. */
  copy(): Uint8Array {
    const copy = new Uint8Array(this.length);
    memory.copy(copy.dataStart, this.start, this.length);
    return copy;
  }

  /** The bytes themselves; this is what lets Bytes be given to `state.set` and `emit`. */
  toBytes(): Bytes {
    return this;
  }

  /** The address of the first byte. */
  get start(): usize {
    arena.assertFresh(this.stamp);
    return this.at;
  }
}

/** Bytes at an address that stay there until the event is handled. */
export function view(at: usize, length: i32): Bytes {
  const bytes = arena.alloc(offsetof<Bytes>());
  store<usize>(bytes, at, offsetof<Bytes>("at"));
  store<u32>(bytes, arena.serial, offsetof<Bytes>("stamp"));
  store<i32>(bytes, length, offsetof<Bytes>("length"));
  return changetype<Bytes>(bytes);
}

/** What `state.set` and `emit` send: the text of a string, the JSON of a class with @json, or what a value's own `toBytes` gives. */
export function bytesOf<T>(value: T): Bytes {
  if (!isReference<T>())
    ERROR(
      "give JSON: an object of a class with @json, an array, a JsonObject, a JsonArray, a Json, Bytes or a string that holds JSON",
    );
  if (isNullable<T>() && changetype<usize>(value) == 0) throw new Error("null given where JSON is needed");
  if (isString<T>()) return Bytes.ofText(changetype<string>(value));
  if (isArray<T>() || isDefined(changetype<NonNullable<T>>(value).writeJson)) return jsonOf<T>(value);
  // @ts-ignore: T has toBytes, or this is the compile error that says so
  return changetype<NonNullable<T>>(value).toBytes();
}
