import * as arena from "./arena";
import { Bytes } from "./bytes";
import { JsonBuffer } from "./jsonbuffer";

/**
 * A JSON object to be written: a document, an event's data.
 *
 *     new JsonObject()
 *       .set("owner", "Ada")
 *       .set("balance", balance) // any integer, float, bool or string
 *       .set("limits", new JsonObject().set("daily", 500)) // an object in the object
 *       .set("note", data.get("note")) // a value that was read
 *
 * Members are written in the order of the calls. A name that is set twice is written twice, and readers take the last. It
 * can be used until the handler returns.
 */
@final
@unmanaged
export class JsonObject {
  private text!: JsonBuffer;

  constructor() {
    const object = changetype<JsonObject>(arena.alloc(offsetof<JsonObject>()));
    object.text = JsonBuffer.begin(0x7b);
    return object;
  }

  /** Adds a member. The value is a string, a number, a bool, null, a JsonObject, a JsonArray or a Json. */
  set<T>(name: string, value: T): this {
    const text = this.text;
    text.name(name);
    text.value<T>(value);
    return this;
  }

  /** The JSON text; the next `set` changes it. */
  toBytes(): Bytes {
    return this.text.closed(0x7d);
  }

  /** The JSON text. */
  toString(): string {
    return this.toBytes().text();
  }

  /** @hidden How it becomes part of another object or array. */
  writeTo(text: JsonBuffer): void {
    text.bytes(this.toBytes());
  }
}

/**
 * A JSON array to be written.
 *
 *     new JsonArray().add("a").add(1).add(new JsonObject().set("b", true))
 *
 * It can be used until the handler returns.
 */
@final
@unmanaged
export class JsonArray {
  private text!: JsonBuffer;

  constructor() {
    const array = changetype<JsonArray>(arena.alloc(offsetof<JsonArray>()));
    array.text = JsonBuffer.begin(0x5b);
    return array;
  }

  /** Adds an element. The value is a string, a number, a bool, null, a JsonObject, a JsonArray or a Json. */
  add<T>(value: T): this {
    const text = this.text;
    text.comma();
    text.value<T>(value);
    return this;
  }

  /** The JSON text; the next `add` changes it. */
  toBytes(): Bytes {
    return this.text.closed(0x5d);
  }

  /** The JSON text. */
  toString(): string {
    return this.toBytes().text();
  }

  /** @hidden How it becomes part of another object or array. */
  writeTo(text: JsonBuffer): void {
    text.bytes(this.toBytes());
  }
}
