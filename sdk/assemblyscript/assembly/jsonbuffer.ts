import * as arena from "./arena";
import * as utf8 from "./utf8";
import { Bytes, view } from "./bytes";
import { writeF64 } from "./float";
import { writeDecimal } from "./integer";

/** Room for a new text, in bytes. */
const ROOM: usize = 256;

/** How much of a string is written at once, in bytes of UTF-16. */
const PIECE: usize = 2048;

/** The JSON text of an object or array that is being written: an opening bracket and what follows it. */
@final
@unmanaged
export class JsonBuffer {
  private from: usize;
  private to: usize;
  private limit: usize; // where the room ends
  private stamp: u32;

  static begin(bracket: u32): JsonBuffer {
    const buffer = changetype<JsonBuffer>(arena.alloc(offsetof<JsonBuffer>()));
    const from = arena.alloc(ROOM);
    store<u8>(from, bracket);
    buffer.from = from;
    buffer.to = from + 1;
    buffer.limit = from + ROOM;
    buffer.stamp = arena.serial;
    return buffer;
  }

  /** The text with its closing bracket. The bracket is in the way of nothing: what is written next replaces it. */
  closed(bracket: u32): Bytes {
    store<u8>(this.reserve(1), bracket);
    return view(this.from, <i32>(this.to - this.from) + 1);
  }

  /** The comma before every element but the first. */
  comma(): void {
    if (this.to == this.from + 1) return;
    store<u8>(this.reserve(1), 0x2c);
    this.to++;
  }

  /** The name of a member, with the comma before and the colon after it. */
  name(name: string): void {
    let out = this.reserve(<usize>name.length * 6 + 4);
    if (out != this.from + 1) store<u8>(out++, 0x2c);
    store<u8>(out++, 0x22);
    const units = changetype<usize>(name);
    out = escapeTo(units, units + ((<usize>name.length) << 1), out);
    store<u16>(out, 0x3a22); // ":
    this.to = out + 2;
  }

  /** A value of any type that JSON has a form for. */
  value<T>(value: T): void {
    if (isReference<T>()) {
      if (isNullable<T>() && changetype<usize>(value) == 0) this.letters("null");
      else if (isString<T>()) this.string(changetype<string>(value));
      else if (isArray<T>() || isDefined(changetype<NonNullable<T>>(value).writeJson)) this.bytes(jsonOf<T>(value));
      // @ts-ignore: T is a JsonObject, a JsonArray or a Json, or this is the compile error that says it is not
      else changetype<NonNullable<T>>(value).writeTo(this);
    } else if (isBoolean<T>()) {
      this.letters(value ? "true" : "false");
    } else if (isFloat<T>()) {
      this.float(<f64>value);
    } else if (isSigned<T>()) {
      const negative = <i64>value < 0;
      this.integer(negative ? -(<u64>value) : <u64>value, negative);
    } else if (sizeof<T>() == sizeof<usize>() && nameof<T>() == "usize") {
      this.letters("null"); // the type of a bare null
    } else {
      this.integer(<u64>value, false);
    }
  }

  /** Another JSON text, as it stands. */
  bytes(bytes: Bytes): void {
    const length = bytes.length;
    memory.copy(this.reserve(length), bytes.start, length);
    this.to += length;
  }

  /** A string in quotes. Only what JSON demands is escaped. */
  string(text: string): void {
    let p = changetype<usize>(text);
    const end = p + ((<usize>text.length) << 1);
    store<u8>(this.reserve(1), 0x22);
    this.to++;
    // Room is made piece by piece, as a code unit can become six bytes but hardly ever does.
    do {
      let stop = min(end, p + PIECE);
      if (stop < end && (load<u16>(stop - 2) & 0xfc00) == 0xd800) stop += 2; // not between the halves of a pair
      this.to = escapeTo(p, stop, this.reserve((stop - p) * 3 + 1));
      p = stop;
    } while (p < end);
    store<u8>(this.to++, 0x22);
  }

  private integer(size: u64, negative: bool): void {
    let out = this.reserve(21);
    if (negative) store<u8>(out++, 0x2d);
    this.to = writeDecimal(size, out);
  }

  private float(value: f64): void {
    if (!isFinite(value)) throw new RangeError(value.toString() + " has no form in JSON");
    this.to = writeF64(value, this.reserve(32));
  }

  private letters(ascii: string): void {
    this.to = utf8.encodeTo(ascii, this.reserve(<usize>ascii.length * 3));
  }

  private reserve(size: usize): usize {
    arena.assertFresh(this.stamp);
    if (this.limit - this.to < size) {
      const used = this.to - this.from;
      const room = max((this.limit - this.from) * 2, used + size);
      const from = arena.alloc(room);
      memory.copy(from, this.from, used);
      this.from = from;
      this.to = from + used;
      this.limit = from + room;
    }
    return this.to;
  }
}

/** The JSON of an array, or of an object of a class with @json. */
export function jsonOf<T>(value: T): Bytes {
  if (isArray<T>()) {
    const text = JsonBuffer.begin(0x5b);
    for (let i = 0; i < value.length; i++) {
      text.comma();
      text.value<valueof<T>>(value[i]);
    }
    return text.closed(0x5d);
  }
  const text = JsonBuffer.begin(0x7b);
  // @ts-ignore: T has writeJson
  changetype<NonNullable<T>>(value).writeJson(text);
  return text.closed(0x7d);
}

/** Writes UTF-16 as the text of a JSON string, at most six bytes a code unit, and returns the end. */
function escapeTo(p: usize, end: usize, out: usize): usize {
  while (p < end) {
    const unit = <u32>load<u16>(p);
    if (unit < 0x80) {
      if (unit >= 0x20 && unit != 0x22 && unit != 0x5c) store<u8>(out++, unit);
      else out = escape(unit, out);
      p += 2;
    } else {
      const code = utf8.codeAt(p, end);
      out = utf8.encodeCode(code, out);
      p += code < 0x10000 ? 2 : 4;
    }
  }
  return out;
}

/** Writes the escape of a quote, a backslash or a control character and returns its end. */
function escape(unit: u32, out: usize): usize {
  let letter = unit;
  if (unit == 0x0a) letter = 0x6e;
  else if (unit == 0x0d) letter = 0x72;
  else if (unit == 0x09) letter = 0x74;
  else if (unit == 0x08) letter = 0x62;
  else if (unit == 0x0c) letter = 0x66;
  store<u8>(out, 0x5c);
  if (letter >= 0x20) {
    store<u8>(out, letter, 1);
    return out + 2;
  }
  store<u32>(out, 0x30303075, 1); // u000
  store<u8>(out, 0x30 + (unit >> 4), 4);
  store<u8>(out, (unit & 15) + ((unit & 15) < 10 ? 0x30 : 0x57), 5);
  return out + 6;
}
