// Runs the built module over the data that holds every language to the rules of ../README.md.

import { readFileSync } from "node:fs";
import { before, test } from "node:test";
import assert from "node:assert/strict";
import { TestHost } from "eshost/testing.js";

const lines = (name) =>
  readFileSync(new URL(`../testdata/${name}`, import.meta.url), "utf8")
    .split("\n")
    .slice(0, -1);

let module;
before(async () => {
  module = await WebAssembly.compile(readFileSync(new URL("balances.wasm", import.meta.url)));
});

test("events make the documents that they should, byte for byte", () => {
  const host = new TestHost(module);
  for (const line of lines("events.ndjson")) {
    const { stream, type } = JSON.parse(line);
    const data = line.slice(line.indexOf('"data":') + '"data":'.length, -1); // its exact bytes
    assert.deepEqual(host.deliver({ stream, type, data }), { status: "ok" });
  }
  const documents = Array.from(host.documents("balances"), ([key, document]) => {
    return `{"key":${JSON.stringify(key)},"document":${document}}`;
  });
  assert.deepEqual(documents, lines("documents.ndjson"));
});

for (const line of lines("cases.ndjson")) {
  const { name, type, before, config, after, ...rest } = JSON.parse(line);
  test(name, () => {
    const host = new TestHost(module);
    host.config = config ?? {};
    if (before !== undefined) host.setDocument("balances", "stream-1", before);
    const outcome = host.deliver({ type, data: rest.data ?? Buffer.from(rest.data_base64, "base64") });
    if (rest.reject !== undefined) assert.deepEqual(outcome, { status: "reject", text: rest.reject });
    else if (rest.retry !== undefined) assert.deepEqual(outcome, { status: "retry", text: rest.retry });
    else assert.deepEqual(outcome, { status: "ok" });
    assert.equal(host.document("balances", "stream-1"), after ?? before);
  });
}
