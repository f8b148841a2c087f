// The golden vectors of abi/testdata, which all SDKs share: what the host sends is understood, what it takes is written so.

import { readFileSync, readdirSync } from "node:fs";
import { before, test } from "node:test";
import assert from "node:assert/strict";
import { buildFile, hostWith } from "./build.js";
import { TestHost } from "../testing.js";

const testdata = new URL("../../../abi/testdata/", import.meta.url);
const vectors = readdirSync(testdata)
  .filter((name) => name.endsWith(".json"))
  .map((name) => ({
    name,
    bytes: readFileSync(new URL(name.replace(/json$/, "bin"), testdata)),
    ...JSON.parse(readFileSync(new URL(name, testdata), "utf8")),
  }));

let module;
before(async () => {
  module = await WebAssembly.compile(await buildFile("codec.ts"));
});

const ofKind = (kind) => vectors.filter((vector) => vector.kind === kind);

test("there are vectors of every kind", () => {
  for (const kind of ["envelope", "emit", "scan"]) assert.ok(ofKind(kind).length > 0, kind);
  assert.deepEqual([...new Set(vectors.map((vector) => vector.kind))].sort(), ["emit", "envelope", "scan"]);
});

for (const vector of ofKind("envelope")) {
  test(`${vector.name}: ${vector.about}`, () => {
    const host = new TestHost(module);
    host.config = { do: "describe" };
    assert.deepEqual(host.deliverEnvelope(vector.bytes), { status: "ok" });
    assert.deepEqual(JSON.parse(host.document("described", "event")), vector.envelope);
  });
}

for (const vector of ofKind("emit")) {
  test(`${vector.name}: ${vector.about}`, () => {
    let emitted = null;
    const guest = start({
      do: "emit",
      emit: (memory, at, length) => {
        emitted = Buffer.from(memory.buffer.slice(at, at + length));
        return 0;
      },
    });
    assert.equal(guest.deliver(JSON.stringify(vector.emit)), 0);
    assert.equal(emitted.toString("hex"), vector.bytes.toString("hex"));
  });
}

for (const vector of ofKind("scan")) {
  // The buffer the guest offers is large enough for the answer, or it is not.
  for (const fits of [true, false]) {
    test(`${vector.name}: ${vector.about}, ${fits ? "at once" : "by result_read"}`, () => {
      let described = null;
      const answer = (memory, at) => new Uint8Array(memory.buffer).set(vector.bytes, at);
      const guest = start({
        do: "scan",
        state_scan: (memory, c, cn, p, pn, a, an, limit, buf) => {
          if (fits) answer(memory, buf);
          return BigInt(fits ? vector.bytes.length : vector.bytes.length + 70_000);
        },
        result_read: (memory, buf, cap) => {
          answer(memory, buf);
          return cap;
        },
        state_set: (memory, c, cn, k, kn, at, length) => {
          described = JSON.parse(Buffer.from(memory.buffer.slice(at, at + length)).toString());
          return 0;
        },
      });
      assert.equal(guest.deliver("{}"), 0);
      assert.deepEqual(described, vector.scan);
    });
  }
}

/** An instance whose host functions are given the memory first. */
function start({ do: what, ...functions }) {
  let exports = null;
  const withMemory = Object.entries(functions).map(([name, call]) => [
    name,
    (...args) => call(exports.memory, ...args),
  ]);
  const config_get = (key, length, buf) => {
    new Uint8Array(exports.memory.buffer).set(Buffer.from(what), buf);
    return BigInt(what.length);
  };
  exports = new WebAssembly.Instance(module, hostWith({ config_get, ...Object.fromEntries(withMemory) })).exports;
  exports._initialize();
  return {
    deliver(data) {
      const bytes = TestHost.envelope({ data });
      new Uint8Array(exports.memory.buffer).set(bytes, exports.eshost_inbox(bytes.length));
      return exports.handle(bytes.length);
    },
  };
}
