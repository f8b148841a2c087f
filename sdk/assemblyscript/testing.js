// A host in memory, so that tests run plugins in Node. It serves a module by the rules of abi/ABI.md, answers with the same
// errors as the real host, and keeps nothing of an event that failed. Only the limits on what one event may do in total, and
// on its time and memory, are not there.
//
//     import { test } from "node:test";
//     import assert from "node:assert/strict";
//     import { TestHost } from "eshost/testing.js";
//
//     test("a deposit adds to the balance", async () => {
//       const host = await TestHost.load("balances.wasm");
//       const outcome = host.deliver({ stream: "acc-1", type: "Deposited", data: '{"amount":5}' });
//       assert.deepEqual(outcome, { status: "ok" });
//       assert.equal(host.document("balances", "acc-1"), '{"owner":"","currency":"EUR","balance":5,"count":1}');
//     });

import { readFile } from "node:fs/promises";

const MAX_COLLECTION = 128;
const MAX_KEY = 1024;
const MAX_NAME = 512; // of an emitted event: stream, types
const MAX_METADATA = 256 << 10;
const MAX_DOCUMENT = 1 << 20;
const MAX_SCAN = 1000;
const MAX_DEPTH = 256;

const NOT_FOUND = -1;
const DENIED = -2;
const TOO_LARGE = -3;
const INVALID = -7;

const ENVELOPE_MAGIC = 0x31485345;
const EMIT_MAGIC = 0x31544d45;
const EMIT_HEADER = 16 + 8 * 6;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export class TestHost {
  /** The plugin's settings: [plugins.<name>.config] in hosts.toml. */
  config = {};
  /** What was emitted so far: { stream, streamType, type, data, metadata, contentType }, data being bytes. */
  emitted = [];
  /** The lines logged so far, by events that failed too: { level, text }. */
  logs = [];

  #module;
  #exports = null; // of the instance, or null when there is none
  #inbox = 0;
  #capacity = 0;
  #documents = new Map(); // [collection, key] as JSON → text
  #position = 0n;
  #versions = new Map();
  #event = null; // what the event being handled has done
  #starting = false; // an instance, which may not touch documents yet
  #kept = null; // for result_read

  /** A host for the module in a file. */
  static async load(path) {
    return new TestHost(await WebAssembly.compile(await readFile(path)));
  }

  /** A host for a WebAssembly.Module. */
  constructor(module) {
    this.#module = module;
  }

  /**
   * Hands one event to the plugin. What is left out of { stream, type, data, position, version, time, attempt, id,
   * streamType, metadata, contentType } gets a plain value; data is text or bytes, times are in microseconds.
   *
   * Returns { status: "ok" }, or status "retry", "reject" or "trap" with the text of the failure.
   */
  deliver(event) {
    const stream = event.stream ?? "stream-1";
    const position = BigInt(event.position ?? this.#position + 1n);
    const version = BigInt(event.version ?? (this.#versions.get(stream) ?? 0n) + 1n);
    this.#position = position;
    this.#versions.set(stream, version);
    return this.deliverEnvelope(envelope({ ...event, stream, position, version }));
  }

  /** The envelope of an event, as abi/ABI.md lays it out. */
  static envelope(event) {
    return envelope({ stream: "stream-1", position: 1n, version: 1n, ...event });
  }

  /** Hands over an envelope. */
  deliverEnvelope(envelope) {
    this.#event = { written: new Map(), emitted: [], text: "" };
    this.#kept = null;
    try {
      const status = this.#handle(envelope);
      if (status === 0) this.#commit();
      return status === 0
        ? { status: "ok" }
        : { status: ["", "retry", "reject"][status] ?? "trap", text: this.#event.text };
    } catch (error) {
      if (!(error instanceof Abort || error instanceof WebAssembly.RuntimeError)) throw error;
      this.#exports = null; // as the host throws the instance away
      return { status: "trap", text: error.message };
    } finally {
      this.#event = null;
    }
  }

  /** Puts a document there, as an earlier event would have. */
  setDocument(collection, key, text) {
    this.#documents.set(nameOf(collection, key), text);
  }

  /** The document under a key, or undefined. */
  document(collection, key) {
    return this.#documents.get(nameOf(collection, key));
  }

  /** All documents of a collection: a Map of key to text, in byte order of the keys. */
  documents(collection) {
    return new Map(this.#list(this.#documents, collection));
  }

  /** The size of the instance's memory in bytes; 0 when there is no instance. */
  get memoryBytes() {
    return this.#exports?.memory.buffer.byteLength ?? 0;
  }

  #handle(envelope) {
    if (!this.#exports) this.#start();
    if (envelope.length > this.#capacity) {
      this.#capacity = Math.max(envelope.length, 4096);
      this.#inbox = this.#exports.eshost_inbox(this.#capacity);
    }
    this.#bytes(this.#inbox, envelope.length).set(envelope);
    return this.#exports.handle(envelope.length);
  }

  #start() {
    const served = { eshost_v1: this.#functions(), env: { abort: this.#abort, seed: () => 1 } };
    const imports = {};
    for (const { module, name } of WebAssembly.Module.imports(this.#module)) {
      if (!served[module]?.[name])
        throw new Error(
          `the module imports ${module}.${name}, which eshost does not have; abi/ABI.md lists what it has`,
        );
      (imports[module] ??= {})[name] = served[module][name];
    }
    this.#capacity = 0;
    this.#exports = new WebAssembly.Instance(this.#module, imports).exports;
    this.#starting = true;
    try {
      this.#exports._initialize?.();
    } finally {
      this.#starting = false;
    }
  }

  #commit() {
    for (const [name, text] of this.#event.written) {
      if (text === null) this.#documents.delete(name);
      else this.#documents.set(name, text);
    }
    this.emitted.push(...this.#event.emitted);
  }

  /** What the module may import. Lengths and addresses are in bytes. */
  #functions() {
    return {
      state_get: (c, cn, k, kn, buf, cap) => {
        const text = this.#get(this.#read(c, cn), this.#read(k, kn));
        return BigInt(typeof text === "number" ? text : this.#answer(encoder.encode(text), buf, cap));
      },
      state_set: (c, cn, k, kn, v, vn) => this.#set(this.#read(c, cn), this.#read(k, kn), this.#read(v, vn)),
      state_delete: (c, cn, k, kn) => this.#write(this.#read(c, cn), this.#read(k, kn), null),
      state_scan: (c, cn, p, pn, a, an, limit, buf, cap) => {
        const found = this.#scan(this.#read(c, cn), this.#read(p, pn), this.#read(a, an), limit);
        return BigInt(typeof found === "number" ? found : this.#answer(scanAnswer(found), buf, cap));
      },
      emit: (at, length) => this.#emit(this.#read(at, length)),
      log: (level, at, length) => {
        this.logs.push({ level: ["debug", "info", "warn", "error"][level], text: this.#text(at, length) });
      },
      fail: (at, length) => {
        if (this.#event) this.#event.text = this.#text(at, length);
      },
      config_get: (k, kn, buf, cap) => {
        const value = this.config[this.#text(k, kn)];
        return BigInt(value === undefined ? NOT_FOUND : this.#answer(encoder.encode(value), buf, cap));
      },
      result_read: (buf, cap, offset) => {
        const part = this.#kept.subarray(offset, offset + cap);
        this.#bytes(buf, part.length).set(part);
        return part.length;
      },
    };
  }

  #get(collection, key) {
    const errno = this.#check(collection, key);
    if (errno) return errno;
    const name = nameOf(decode(collection), decode(key));
    const text = this.#event.written.has(name) ? this.#event.written.get(name) : this.#documents.get(name);
    return text ?? NOT_FOUND;
  }

  #set(collection, key, data) {
    const errno = this.#check(collection, key);
    if (errno) return errno;
    if (data.length > MAX_DOCUMENT) return TOO_LARGE;
    return isJson(data) ? this.#write(collection, key, decode(data)) : INVALID;
  }

  #write(collection, key, text) {
    const errno = this.#check(collection, key);
    if (errno) return errno;
    this.#event.written.set(nameOf(decode(collection), decode(key)), text);
    return 0;
  }

  #scan(collection, prefix, after, limit) {
    const errno = this.#check(collection, null);
    if (errno) return errno;
    if (prefix.length > MAX_KEY || after.length > MAX_KEY || limit > MAX_SCAN) return TOO_LARGE;
    if (limit < 1 || !isName(prefix) || !isName(after)) return INVALID;
    const merged = new Map([...this.#documents, ...this.#event.written]);
    return this.#list(merged, decode(collection))
      .map((entry) => entry.map((text) => encoder.encode(text)))
      .filter(([key]) => Buffer.compare(key.subarray(0, prefix.length), prefix) === 0 && Buffer.compare(key, after) > 0)
      .slice(0, limit);
  }

  #emit(bytes) {
    if (this.#starting) return DENIED;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    if (bytes.length < EMIT_HEADER || view.getUint32(0, true) !== EMIT_MAGIC || view.getUint32(8, true) < 6)
      return INVALID;
    const slots = Array.from({ length: 6 }, (_, i) => {
      const from = view.getUint32(16 + 8 * i, true);
      return bytes.subarray(from, from + view.getUint32(20 + 8 * i, true));
    });
    const [stream, streamType, type, data, metadata, contentType] = slots;
    const names = [stream, streamType, type, contentType];
    if (data.length > MAX_DOCUMENT || metadata.length > MAX_METADATA || names.some((name) => name.length > MAX_NAME)) {
      return TOO_LARGE;
    }
    const mediaType = decode(contentType) || "application/json";
    const isObject = metadata.length === 0 || (isJson(metadata) && decode(metadata).trim().startsWith("{"));
    if (!stream.length || !type.length || !names.every(isName) || !isObject) return INVALID;
    if (mediaType === "application/json" && !isJson(data)) return INVALID;
    this.#event.emitted.push({
      stream: decode(stream),
      streamType: decode(streamType),
      type: decode(type),
      data: data.slice(),
      metadata: decode(metadata) || "{}",
      contentType: mediaType,
    });
    return 0;
  }

  #check(collection, key) {
    if (this.#starting) return DENIED;
    if (collection.length > MAX_COLLECTION || key?.length > MAX_KEY) return TOO_LARGE;
    if (!collection.length || !isName(collection)) return INVALID;
    return key && (!key.length || !isName(key)) ? INVALID : 0;
  }

  #list(documents, collection) {
    return [...documents]
      .map(([name, text]) => [...JSON.parse(name), text])
      .filter(([at, , text]) => at === collection && text !== null)
      .map(([, key, text]) => [key, text])
      .sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  }

  /** Data that fits is written, other data is kept for result_read. */
  #answer(data, buf, cap) {
    this.#kept = null;
    if (data.length <= cap) this.#bytes(buf, data.length).set(data);
    else this.#kept = data;
    return data.length;
  }

  #abort = (message, file, line, column) => {
    throw new Abort(`${this.#string(message)} (${this.#string(file)}:${line}:${column})`);
  };

  /** The guest's memory at an address; what lies outside is a trap. */
  #bytes(at, length) {
    const memory = this.#exports.memory.buffer;
    if ((at >>>= 0) + (length >>>= 0) > memory.byteLength) {
      throw new Abort(`the module points outside its memory: ${length} bytes at ${at}`);
    }
    return new Uint8Array(memory, at, length);
  }

  #read(at, length) {
    return this.#bytes(at, length).slice();
  }

  #text(at, length) {
    return new TextDecoder().decode(this.#bytes(at, length));
  }

  /** An AssemblyScript string: UTF-16, its length in bytes lies before it. */
  #string(at) {
    if (!at) return "";
    const [length] = new Uint32Array(this.#read(at - 4, 4).buffer);
    return new TextDecoder("utf-16le").decode(this.#bytes(at, length));
  }
}

/** How a plugin ends that throws. */
class Abort extends Error {}

/** An event's envelope. */
function envelope(event) {
  const { id = `test-${event.position}`, type = "", stream, streamType = "", data = "{}" } = event;
  const { metadata = "{}", contentType = "application/json" } = event;
  const parts = [id, type, stream, streamType, data, metadata, contentType];
  const slots = parts.map((part) => (typeof part === "string" ? encoder.encode(part) : part));
  const header = 40 + 8 * slots.length;
  const bytes = new Uint8Array(slots.reduce((size, slot) => size + slot.length, header));
  const view = new DataView(bytes.buffer);
  view.setUint32(0, ENVELOPE_MAGIC, true);
  view.setUint16(4, header, true);
  view.setBigUint64(8, BigInt(event.position), true);
  view.setBigUint64(16, BigInt(event.version), true);
  view.setBigInt64(24, BigInt(event.time ?? 0), true);
  view.setUint32(32, event.attempt ?? 1, true);
  view.setUint32(36, slots.length, true);
  let at = header;
  slots.forEach((slot, i) => {
    view.setUint32(40 + 8 * i, at, true);
    view.setUint32(44 + 8 * i, slot.length, true);
    bytes.set(slot, at);
    at += slot.length;
  });
  return bytes;
}

/** What state_scan answers: u32 count, then u32 key length, u32 value length, key, value each. */
function scanAnswer(entries) {
  const bytes = new Uint8Array(entries.reduce((size, [key, value]) => size + 8 + key.length + value.length, 4));
  const view = new DataView(bytes.buffer);
  view.setUint32(0, entries.length, true);
  let at = 4;
  for (const [key, value] of entries) {
    view.setUint32(at, key.length, true);
    view.setUint32(at + 4, value.length, true);
    bytes.set(key, at + 8);
    bytes.set(value, at + 8 + key.length);
    at += 8 + key.length + value.length;
  }
  return bytes;
}

const nameOf = (collection, key) => JSON.stringify([collection, key]);

const decode = (bytes) => decoder.decode(bytes);

/** What every database stores as text: UTF-8 without zero bytes. */
function isName(bytes) {
  try {
    return !decode(bytes).includes("\0");
  } catch {
    return false;
  }
}

/** One JSON value in UTF-8, nested at most MAX_DEPTH deep. */
function isJson(bytes) {
  try {
    const text = decode(bytes);
    JSON.parse(text);
    let depth = 0;
    for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"|[[\]{}]/g)) {
      if (token === "[" || token === "{") depth++;
      if (token === "]" || token === "}") depth--;
      if (depth > MAX_DEPTH) return false;
    }
    return true;
  } catch {
    return false;
  }
}
