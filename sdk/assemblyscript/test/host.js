// A stub of the host in plain JavaScript: it serves one instance of a module by the rules of abi/ABI.md and keeps what the
// module did where a test can look at it.

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

export const Status = { ok: 0, retry: 1, reject: 2 };
export const Errno = { notFound: -1, denied: -2, tooLarge: -3, quota: -5, invalid: -7 };

/** What a guest that called abort leaves behind: the text, and where it was thrown. */
export class Abort extends Error {
  constructor(message, file, line, column) {
    super(message);
    Object.assign(this, { file, line, column });
  }
}

export class Host {
  documents = new Map(); // collection → Map of key → JSON text
  config = {};
  emitted = []; // Uint8Array, as the guest gave them
  logged = []; // [level, text]
  failure = null; // the text given to fail
  errno = 0; // what every call answers while it is not 0
  resultReads = 0;

  #memory;
  #exports;
  #kept = null;
  #inbox = 0;
  #capacity = 0;

  constructor(module) {
    const served = { eshost_v1: this.#functions(), env: { abort: this.#abort } };
    this.#exports = new WebAssembly.Instance(module, only(served, module)).exports;
    this.#memory = this.#exports.memory;
  }

  get memoryBytes() {
    return this.#memory.buffer.byteLength;
  }

  /** Writes an envelope into the inbox and returns the handler's status. */
  handleEnvelope(envelope) {
    if (envelope.length > this.#capacity) {
      this.#capacity = Math.max(envelope.length, 4096);
      this.#inbox = this.#exports.eshost_inbox(this.#capacity);
    }
    this.#bytes(this.#inbox, envelope.length).set(envelope);
    this.failure = null;
    this.#kept = null;
    return this.#exports.handle(envelope.length);
  }

  handle(event) {
    return this.handleEnvelope(envelope(event));
  }

  document(collection, key) {
    return this.documents.get(collection)?.get(key);
  }

  put(collection, key, text) {
    if (!this.documents.has(collection)) this.documents.set(collection, new Map());
    this.documents.get(collection).set(key, text);
  }

  #functions() {
    return {
      state_get: (c, cn, k, kn, buf, cap) => {
        const text = this.document(this.#text(c, cn), this.#text(k, kn));
        if (this.errno) return BigInt(this.errno);
        return text === undefined ? BigInt(Errno.notFound) : this.#answer(encoder.encode(text), buf, cap);
      },
      state_set: (c, cn, k, kn, v, vn) => {
        const [collection, key, text] = [this.#text(c, cn), this.#text(k, kn), this.#text(v, vn)];
        if (this.errno) return this.errno;
        this.put(collection, key, text);
        return 0;
      },
      state_delete: (c, cn, k, kn) => {
        const [collection, key] = [this.#text(c, cn), this.#text(k, kn)];
        if (this.errno) return this.errno;
        this.documents.get(collection)?.delete(key);
        return 0;
      },
      state_scan: (c, cn, p, pn, a, an, limit, buf, cap) => {
        const [collection, prefix, after] = [this.#text(c, cn), this.#text(p, pn), this.#text(a, an)];
        if (this.errno) return BigInt(this.errno);
        const keys = [...(this.documents.get(collection)?.keys() ?? [])]
          .filter((key) => key.startsWith(prefix) && key > after)
          .sort()
          .slice(0, limit);
        return this.#answer(scanResult(keys.map((key) => [key, this.document(collection, key)])), buf, cap);
      },
      emit: (at, length) => {
        if (this.errno) return this.errno;
        this.emitted.push(this.#bytes(at, length).slice());
        return 0;
      },
      log: (level, at, length) => {
        this.logged.push([level, this.#text(at, length)]);
      },
      fail: (at, length) => {
        this.failure = this.#text(at, length);
      },
      config_get: (k, kn, buf, cap) => {
        const value = this.config[this.#text(k, kn)];
        return value === undefined ? BigInt(Errno.notFound) : this.#answer(encoder.encode(value), buf, cap);
      },
      result_read: (buf, cap, offset) => {
        const part = this.#kept.subarray(offset, offset + cap);
        this.#bytes(buf, part.length).set(part);
        this.resultReads++;
        return part.length;
      },
    };
  }

  #abort = (message, file, line, column) => {
    throw new Abort(this.#utf16(message), this.#utf16(file), line, column);
  };

  #answer(data, buf, cap) {
    this.#kept = null;
    if (data.length <= cap) this.#bytes(buf, data.length).set(data);
    else this.#kept = data;
    return BigInt(data.length);
  }

  #bytes(at, length) {
    at >>>= 0;
    length >>>= 0;
    if (at + length > this.#memory.buffer.byteLength)
      throw new Error(`the guest points outside its memory: ${at}, ${length}`);
    return new Uint8Array(this.#memory.buffer, at, length);
  }

  #text(at, length) {
    return decoder.decode(this.#bytes(at, length));
  }

  #utf16(at) {
    if (!at) return "";
    const length = new DataView(this.#memory.buffer).getUint32(at - 4, true);
    return new TextDecoder("utf-16le").decode(this.#bytes(at, length));
  }
}

/** The functions that a module imports, of those that are served. An unknown one stays out, so instantiation fails. */
function only(served, module) {
  const imports = {};
  for (const { module: from, name } of WebAssembly.Module.imports(module)) {
    imports[from] ??= {};
    if (served[from]?.[name]) imports[from][name] = served[from][name];
  }
  return imports;
}

const bytesOf = (value) => (typeof value === "string" ? encoder.encode(value) : (value ?? new Uint8Array()));

/** An envelope as the host writes it. Fields that are left out get a plain value. */
export function envelope(event) {
  const e = {
    position: 1n,
    version: 1n,
    time: 0n,
    attempt: 1,
    id: "1",
    type: "",
    stream: "s",
    metadata: "{}",
    contentType: "application/json",
    ...event,
  };
  const parts = [e.id, e.type, e.stream, e.streamType, e.data, e.metadata, e.contentType].map(bytesOf);
  const header = 40 + 8 * parts.length;
  const bytes = new Uint8Array(parts.reduce((size, part) => size + part.length, header));
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 0x31485345, true);
  view.setUint16(4, header, true);
  view.setBigUint64(8, BigInt(e.position), true);
  view.setBigUint64(16, BigInt(e.version), true);
  view.setBigInt64(24, BigInt(e.time), true);
  view.setUint32(32, e.attempt, true);
  view.setUint32(36, parts.length, true);
  let at = header;
  parts.forEach((part, i) => {
    view.setUint32(40 + 8 * i, at, true);
    view.setUint32(44 + 8 * i, part.length, true);
    bytes.set(part, at);
    at += part.length;
  });
  return bytes;
}

function scanResult(entries) {
  const parts = entries.map((entry) => entry.map(bytesOf));
  const bytes = new Uint8Array(parts.reduce((size, [key, data]) => size + 8 + key.length + data.length, 4));
  const view = new DataView(bytes.buffer);
  view.setUint32(0, parts.length, true);
  let at = 4;
  for (const [key, data] of parts) {
    view.setUint32(at, key.length, true);
    view.setUint32(at + 4, data.length, true);
    bytes.set(key, at + 8);
    bytes.set(data, at + 8 + key.length);
    at += 8 + key.length + data.length;
  }
  return bytes;
}
