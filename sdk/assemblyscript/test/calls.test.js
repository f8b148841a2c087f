// What the SDK does with the host's answers.

import { before, test } from "node:test";
import assert from "node:assert/strict";
import { build, buildFile, hostWith } from "./build.js";
import { TestHost } from "../testing.js";

let module;
before(async () => {
  module = await WebAssembly.compile(await buildFile("calls.ts"));
});

const ok = { status: "ok" };

test("documents of any size are read whole", () => {
  const host = new TestHost(module);
  for (const size of [0, 1, 1022, 1023, 1024, 1025, 5000, 60_000, 65_534, 65_535, 65_536, 70_000, 500_000]) {
    const text = JSON.stringify("é".repeat(size / 2) + "x".repeat(size % 2));
    host.setDocument("documents", "large", text);
    assert.deepEqual(host.deliver({ type: "copy", data: "large" }), ok);
    assert.equal(host.document("documents", "copy"), `[${text},${text}]`);
  }
});

test("a document that is not there is null", () => {
  const host = new TestHost(module);
  assert.deepEqual(host.deliver({ type: "copy", data: "none" }), ok);
  assert.equal(host.document("documents", "copy"), "null");
});

test("deleting", () => {
  const host = new TestHost(module);
  host.setDocument("documents", "a", "1");
  assert.deepEqual(host.deliver({ type: "delete", data: "a" }), ok);
  assert.equal(host.document("documents", "a"), undefined);
  assert.deepEqual(host.deliver({ type: "delete", data: "a" }), ok, "what is not there can be deleted");
});

test("scanning", () => {
  const host = new TestHost(module);
  const keys = ["a", "a1", "a2", "b", "é", "🏦"];
  for (const key of keys) host.setDocument("documents", key, JSON.stringify({ key }));
  const scan = (wanted) => {
    assert.deepEqual(host.deliver({ type: "scan", data: JSON.stringify(wanted) }), ok);
    const list = JSON.parse(host.document("scanned", "list"));
    list.forEach((value, i) => i % 2 && assert.deepEqual(value, { key: list[i - 1] }));
    return list.filter((_, i) => i % 2 === 0);
  };
  assert.deepEqual(scan({}), keys);
  assert.deepEqual(scan({ prefix: "a" }), ["a", "a1", "a2"]);
  assert.deepEqual(scan({ after: "a1", limit: 2 }), ["a2", "b"]);
  assert.deepEqual(scan({ prefix: "c" }), []);
  for (let i = 0; i < 1200; i++) host.setDocument("documents", `many-${i}`, JSON.stringify({ key: `many-${i}` }));
  assert.equal(scan({ prefix: "many" }).length, 1000);
});

test("an answer that the host refused stops the handler and names the call", () => {
  const host = new TestHost(module);
  const write = (collection, key, document) => {
    return host.deliver({ type: "write", data: JSON.stringify({ collection, key, document }) });
  };
  const where = String.raw`\(~lib/eshost/assembly/errors\.ts:\d+:\d+\)$`;
  const cases = [
    [write("documents", "k", "{"), String.raw`^state\.set\("documents", "k"\): invalid: not JSON`],
    [write("documents", "k", '"\u0000'), String.raw`^state\.set\("documents", "k"\): invalid: not JSON`],
    [write("documents", "", "1"), String.raw`^state\.set\("documents", ""\): .*a name that is empty`],
    [write("documents", "k".repeat(1025), "1"), String.raw`^state\.set\("documents", "k{1025}"\): too large`],
    [write("c".repeat(129), "k", "1"), String.raw`^state\.set\("c{129}", "k"\): too large`],
    [write("documents", "k", `"${"x".repeat(1 << 20)}"`), String.raw`^state\.set\("documents", "k"\): too large`],
    [host.deliver({ type: "copy", data: "" }), String.raw`^state\.get\("documents", ""\): .*a name that is empty`],
    [host.deliver({ type: "delete", data: "" }), String.raw`^state\.delete\("documents", ""\): .*a name that is empty`],
    [host.deliver({ type: "scan", data: '{"limit":1001}' }), String.raw`^state\.scan\("documents", ""\): too large`],
    [host.deliver({ type: "emit", stream: "s", data: "" }), String.raw`^emit\("s", ""\): .*a name that is empty`],
  ];
  for (const [outcome, pattern] of cases) {
    assert.equal(outcome.status, "trap");
    assert.match(outcome.text, new RegExp(`${pattern}.*${where}`));
  }
  assert.equal(host.documents("documents").size, 0);
});

test("errors that only the real host gives", () => {
  for (const [errno, text] of [
    [-2, "denied: not allowed here"],
    [-5, "quota: this event has done too much of it"],
    [-99, "error -99"],
  ]) {
    let said = "";
    let exports = null;
    const abort = (message) => {
      const length = new DataView(exports.memory.buffer).getUint32(message - 4, true);
      said = Buffer.from(exports.memory.buffer, message, length).toString("utf16le");
      throw new Error("abort");
    };
    exports = new WebAssembly.Instance(module, hostWith({ abort, state_delete: () => errno })).exports;
    exports._initialize();
    const event = TestHost.envelope({ type: "delete", data: "k" });
    new Uint8Array(exports.memory.buffer).set(event, exports.eshost_inbox(event.length));
    assert.throws(() => exports.handle(event.length), /abort/);
    assert.equal(said, `state.delete("documents", "k"): ${text}`);
  }
});

test("configuration", () => {
  const host = new TestHost(module);
  host.config = { currency: "EUR", empty: "", long: "é".repeat(40_000) };
  for (const key of ["currency", "empty", "long", "none"]) {
    assert.deepEqual(host.deliver({ type: "config", data: key }), ok);
    const value = host.config[key];
    assert.deepEqual(JSON.parse(host.document("documents", "config")), {
      value: value ?? null,
      isSet: value !== undefined,
    });
  }
});

test("log lines", () => {
  const host = new TestHost(module);
  assert.deepEqual(host.deliver({ type: "log" }), ok);
  assert.deepEqual(host.logs, [
    { level: "debug", text: "a" },
    { level: "info", text: "é 🏦" },
    { level: "warn", text: "" },
    { level: "error", text: "x".repeat(3000) },
  ]);
});

test("emitting", () => {
  const host = new TestHost(module);
  assert.deepEqual(host.deliver({ type: "emit", stream: "口座", data: "Closed" }), ok);
  const [event] = host.emitted;
  assert.deepEqual(
    { ...event, data: Buffer.from(event.data).toString() },
    { stream: "口座", streamType: "", type: "Closed", data: "[]", metadata: "{}", contentType: "application/json" },
  );
});

test("ways to fail", () => {
  const host = new TestHost(module);
  const fail = (data) => host.deliver({ type: "fail", data });
  assert.deepEqual(fail("retry"), { status: "retry", text: "later, 口座" });
  assert.deepEqual(fail("reject"), { status: "reject", text: "never" });
  assert.deepEqual(fail("both"), { status: "retry", text: "the first counts" });
  assert.match(fail("throw").text, /^thrown, é \(plugin\.ts:\d+:\d+\)$/);
  assert.match(fail("index").text, /^Index out of range \(~lib\/array\.ts:\d+:\d+\)$/);
  assert.match(fail("twice").text, /^handle is called twice; a plugin has one handler \(/);
  assert.match(fail("name").text, /^NaN has no form in JSON \(/);
  assert.match(fail("null").text, /^null given where JSON is needed \(/);
  assert.equal(host.document("documents", "failed"), undefined, "nothing of a failed event is kept");
  assert.deepEqual(fail("not at all"), ok, "and the next one is handled");
  assert.equal(host.document("documents", "failed"), "true");
});

test("a value kept from an earlier event is told", () => {
  const host = new TestHost(module);
  for (const what of ["bytes", "json"]) {
    assert.deepEqual(host.deliver({ type: "keep", data: '{"a":1}' }), ok);
    const outcome = host.deliver({ type: "use", data: what });
    assert.match(
      outcome.text,
      /^this value belongs to an event that was handled before; keep \.text\(\) or \.copy\(\) of it instead/,
    );
  }
  assert.match(host.deliver({ type: "use", data: "byte" }).text, /^byte 3 of 3 \(/);
});

test("memory stays bounded over many events", () => {
  const host = new TestHost(module);
  const envelopes = Array.from({ length: 100 }, (_, i) => TestHost.envelope({ type: "litter", stream: `stream-${i}` }));
  let settled = 0;
  for (let i = 0; i < 100_000; i++) {
    assert.equal(host.deliverEnvelope(envelopes[i % 100]).status, "ok");
    if (i === 2_000) settled = host.memoryBytes;
  }
  assert.equal(host.memoryBytes, settled);
  assert.ok(settled <= 1 << 20, `${settled} bytes`);
  assert.equal(JSON.parse(host.document("documents", "stream-7")).words, 100, "what is not garbage is still there");
});

test("large events leave room for the next ones", () => {
  const host = new TestHost(module);
  let settled = 0;
  for (let i = 0; i < 200; i++) {
    for (const size of [10, 1_000_000, 100_000]) {
      assert.deepEqual(host.deliver({ type: "config", data: "k".repeat(size) }), ok);
    }
    if (i === 20) settled = host.memoryBytes;
  }
  assert.equal(host.memoryBytes, settled);
  assert.ok(settled <= 16 << 20, `${settled} bytes`);
});

test("what is no envelope is refused", () => {
  const host = new TestHost(module);
  const good = TestHost.envelope({ type: "log" });
  const broken = (change) => {
    const bytes = good.slice();
    change(new DataView(bytes.buffer));
    return host.deliverEnvelope(bytes).text;
  };
  assert.match(
    broken((view) => view.setUint8(0, 0)),
    /^this is no envelope of an event: /,
  );
  assert.match(
    broken((view) => view.setUint32(36, 6, true)),
    /^this is no envelope of an event: /,
  );
  assert.match(
    broken((view) => view.setUint32(40 + 8, 1 << 20, true)),
    /^slot 1 is outside the envelope /,
  );
  assert.match(
    broken((view) => view.setUint32(40 + 8 + 4, 0xffffffff, true)),
    /^slot 1 is outside the envelope /,
  );
  assert.match(host.deliverEnvelope(good.subarray(0, 95)).text, /^this is no envelope of an event: 95 bytes /);
});

test("a plugin that registers no handler says so", async () => {
  const host = new TestHost(
    await WebAssembly.compile(await build('import { log } from "eshost"; log.info("started");')),
  );
  assert.match(host.deliver({}).text, /^the plugin has no handler: it never calls handle \(/);
  assert.deepEqual(host.logs, [{ level: "info", text: "started" }]);
});
