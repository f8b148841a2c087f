import * as arena from "./arena";
import * as node from "./jsonnode";
import * as utf8 from "./utf8";
import { Bytes, view } from "./bytes";
import { parseF64 } from "./float";
import { decimal, isI64, parseI64 } from "./integer";
import { JsonBuffer } from "./jsonbuffer";
import { complaint } from "./jsonparse";
import { unescape } from "./jsontext";

/**
 * One value of a JSON text.
 *
 * Asking for something that is not there never fails: `get` and `at` then answer a value that does not `exists`, and
 * so does everything got from it. Only turning a value into a string, a number or a bool fails, with an error that
 * names it. What may be absent is read with the `Or` forms, which answer the fallback for a missing value or null.
 *
 *     const order = event.data.json();
 *     const total = order.get("total").i64();                           // must be there
 *     const note = order.get("note").stringOr("");                      // may be absent
 *     const city = order.get("customer").get("city").stringOr("?");
 *     const items = order.get("items");
 *     for (let i = 0; i < items.length; i++) log.info(items.at(i).get("sku").string());
 *
 * The text is checked whole, by the rules of RFC 8259: one value, UTF-8, nested at most 256 deep. When a name comes
 * twice in an object, the last one counts. A Json can be used until the handler returns.
 */
@final
@unmanaged
export class Json {
  private from: usize; // the value's text, without the quotes of a string
  private end: usize;
  private meta: u32;
  private size: usize; // of this node and its children
  private name: usize; // the text of the member's name, or 0
  private nameEnd: usize;

  /** Reads a text. */
  static parse(text: string): Json {
    return Bytes.ofText(text).json();
  }

  /** Whether there is a value. It may be null. */
  get exists(): bool {
    return this.kind > node.INVALID;
  }

  /** Whether the text is JSON at all. When it is not, nothing in it exists. */
  get isValid(): bool {
    return this.kind != node.INVALID;
  }

  get isNull(): bool {
    return this.kind == node.NULL;
  }

  get isBool(): bool {
    return this.kind == node.BOOL;
  }

  get isNumber(): bool {
    return this.kind == node.NUMBER;
  }

  /** Whether it is a number without fraction and exponent that an i64 can hold. */
  get isInteger(): bool {
    if (this.kind != node.NUMBER) return false;
    parseI64(this.from, this.end);
    return isI64;
  }

  get isString(): bool {
    return this.kind == node.STRING;
  }

  get isArray(): bool {
    return this.kind == node.ARRAY;
  }

  get isObject(): bool {
    return this.kind == node.OBJECT;
  }

  /** How many members an object or elements an array has; 0 for anything else. */
  get length(): i32 {
    return this.kind >= node.ARRAY ? load<i32>(changetype<usize>(this), node.COUNT) : 0;
  }

  /** The name of this member of an object; "" for anything else. */
  get key(): string {
    this.kind;
    return this.name ? unescape(this.name, this.nameEnd) : "";
  }

  /** The member of an object with this name. */
  get(key: string): Json {
    const kind = this.kind;
    if (kind == node.INVALID) return this;
    const found = kind == node.OBJECT ? this.member(key) : 0;
    return found ? changetype<Json>(found) : missing(key);
  }

  /** The element of an array, or the member of an object, at an index from 0. */
  at(index: i32): Json {
    if (<u32>index >= <u32>this.length) return this.kind == node.INVALID ? this : missing(decimal(index));
    const at = changetype<usize>(this);
    let i = load<i32>(at, node.SEEN_INDEX);
    let child = load<usize>(at, node.SEEN_CHILD);
    if (index < i) {
      i = 0;
      child = at + node.CONTAINER;
    }
    for (; i < index; i++) child += changetype<Json>(child).size;
    store<i32>(at, i, node.SEEN_INDEX);
    store<usize>(at, child, node.SEEN_CHILD);
    return changetype<Json>(child);
  }

  /**
   * The value as any type: a class with `@json`, a string, a number, a bool, an array of these, or `| null` of a class,
   * string or array, which also takes a value that is missing. What does not fit stops the handler with an error that names it.
   */
  to<T>(): T {
    if (isNullable<T>() && this.absent) return changetype<T>(0);
    if (isString<T>()) return changetype<T>(this.string());
    if (isArray<T>()) return this.toArray<T>();
    if (isReference<T>()) {
      const value = instantiate<NonNullable<T>>();
      // @ts-ignore: T is a class with @json, or this is the compile error that says it is not
      if (this.kind == node.OBJECT) value.readJson(this);
      else this.fail("an object");
      return value;
    }
    if (isBoolean<T>()) return <T>this.bool();
    if (isFloat<T>()) return <T>this.f64();
    const value = this.i64();
    if (<i64>(<T>value) != value || (!isSigned<T>() && value < 0))
      this.fail("an integer that " + nameof<T>() + " can hold");
    return <T>value;
  }

  /**
   * As `to`, but answers null when the value does not fit; `Json.misfit` then says why. This is for an event's data:
   *
   *     const data = event.data.json().tryTo<Deposited>();
   *     if (data === null) return reject("data: " + Json.misfit);
   */
  tryTo<T>(): T | null {
    if (isNullable<T>() || !isReference<T>()) ERROR("give a class, a string or an array without | null");
    trying = true;
    misfit = "";
    const value = this.to<T>();
    trying = false;
    return misfit.length ? null : value;
  }

  /** Why the last `tryTo` answered null. */
  static get misfit(): string {
    return misfit;
  }

  private toArray<T>(): T {
    const array = instantiate<NonNullable<T>>();
    if (this.kind != node.ARRAY) this.fail("an array");
    const length = this.kind == node.ARRAY ? this.length : 0;
    for (let i = 0; i < length; i++) array.push(this.at(i).to<valueof<T>>());
    return array;
  }

  /** The text of a string. */
  string(): string {
    if (this.kind != node.STRING) {
      this.fail("a string");
      return "";
    }
    return this.meta & node.ESCAPED
      ? unescape(this.from, this.end)
      : utf8.decode(this.from, <i32>(this.end - this.from));
  }

  /** A number without fraction and exponent, from -9223372036854775808 to 9223372036854775807. */
  i64(): i64 {
    if (this.kind != node.NUMBER) {
      this.fail("an integer");
      return 0;
    }
    const value = parseI64(this.from, this.end);
    if (!isI64) this.fail("an integer that an i64 can hold");
    return value;
  }

  /** Any number, rounded to the nearest f64. */
  f64(): f64 {
    if (this.kind != node.NUMBER) {
      this.fail("a number");
      return 0;
    }
    const value = parseF64(this.from, this.end);
    if (!isFinite(value)) this.fail("a number that an f64 can hold");
    return value;
  }

  /** true or false. */
  bool(): bool {
    if (this.kind != node.BOOL) {
      this.fail("true or false");
      return false;
    }
    return (this.meta & node.TRUE) != 0;
  }

  /** As `string`, or the fallback when the value is missing or null. */
  stringOr(fallback: string): string {
    return this.absent ? fallback : this.string();
  }

  /** As `i64`, or the fallback when the value is missing or null. */
  i64Or(fallback: i64): i64 {
    return this.absent ? fallback : this.i64();
  }

  /** As `f64`, or the fallback when the value is missing or null. */
  f64Or(fallback: f64): f64 {
    return this.absent ? fallback : this.f64();
  }

  /** As `bool`, or the fallback when the value is missing or null. */
  boolOr(fallback: bool): bool {
    return this.absent ? fallback : this.bool();
  }

  /** The value's JSON as it stands in the text. */
  toBytes(): Bytes {
    const kind = this.kind;
    if (kind <= node.INVALID) this.fail("a value");
    const quotes = <usize>(kind == node.STRING);
    const from = this.from - quotes;
    return view(from, <i32>(this.end + quotes - from));
  }

  /** The value's JSON as it stands in the text. */
  toString(): string {
    return this.toBytes().text();
  }

  /** @hidden How it becomes part of an object or array. */
  writeTo(text: JsonBuffer): void {
    if (this.kind == node.STRING && this.meta & node.ESCAPED) text.string(this.string());
    else text.bytes(this.toBytes());
  }

  /** The address of the last member with this name, or 0. */
  private member(key: string): usize {
    const length = <usize>key.length;
    let child = changetype<usize>(this) + node.CONTAINER;
    let found: usize = 0;
    for (let left = load<i32>(changetype<usize>(this), node.COUNT); left; left--) {
      const member = changetype<Json>(child);
      if (member.meta & node.ODD_NAME) {
        if (member.key == key) found = child;
      } else if (member.nameEnd - member.name == length && utf8.equalsAscii(key, member.name)) {
        found = child;
      }
      child += member.size;
    }
    return found;
  }

  /** Whether it is missing or null. */
  get absent(): bool {
    const kind = this.kind;
    return kind == node.MISSING || kind == node.NULL;
  }

  private get kind(): u32 {
    const meta = this.meta;
    arena.assertFresh(meta >> 16);
    return meta & 0xff;
  }

  /** Stops the handler, or while trying notes the first misfit. */
  private fail(wanted: string): void {
    const text = this.complaint(wanted);
    if (!trying) throw new Error(text);
    if (!misfit.length) misfit = text;
  }

  private complaint(wanted: string): string {
    const kind = this.kind;
    if (kind == node.INVALID) return complaint(this.nameEnd, this.end - this.from);
    const name = this.name ? '"' + unescape(this.name, this.nameEnd) + '"' : "the value";
    return name + (kind == node.MISSING ? " is missing; it should be " : " is not ") + wanted;
  }
}

let trying: bool = false;
let misfit: string = "";

/** A value that is not there. It remembers its name for the error. */
function missing(key: string): Json {
  const name = utf8.encode(key);
  const at = arena.alloc(node.SCALAR);
  node.write(at, node.MISSING | node.ODD_NAME, 0, 0, name, name + utf8.encodedLength);
  return changetype<Json>(at);
}
