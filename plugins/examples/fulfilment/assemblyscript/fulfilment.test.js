// Runs the built module over the events of ../testdata and holds it to what is expected there.

import { readFileSync } from "node:fs";
import { test } from "node:test";
import assert from "node:assert/strict";
import { TestHost } from "eshost/testing.js";

const lines = (name) =>
  readFileSync(new URL(`../testdata/${name}`, import.meta.url), "utf8")
    .split("\n")
    .slice(0, -1);

test("events make the documents, events and failures that they should", async () => {
  const host = await TestHost.load(new URL("fulfilment.wasm", import.meta.url));
  const failed = new Map(); // position by stream
  const emitted = [];
  for (const [i, line] of lines("events.ndjson").entries()) {
    const { stream, type } = JSON.parse(line);
    if (failed.has(stream)) continue; // it waits
    const data = line.slice(line.indexOf('"data":') + '"data":'.length, -1); // its exact bytes
    const before = host.emitted.length;
    const outcome = host.deliver({ stream, type, data });
    if (outcome.status !== "ok") failed.set(stream, { position: i + 1, kind: outcome.status, error: outcome.text });
    for (const event of host.emitted.slice(before)) {
      emitted.push({ after: i + 1, stream: event.stream, type: event.type, data: Buffer.from(event.data).toString() });
    }
  }
  const expected = lines("expected.ndjson");

  const documents = Array.from(host.documents("orders"), ([key, data]) => {
    return `{"document":{"collection":"orders","key":${JSON.stringify(key)},"data":${data}}}`;
  });
  assert.deepEqual(
    documents,
    expected.filter((line) => line.startsWith('{"document"')),
  );

  const emissions = expected.filter((line) => line.startsWith('{"emitted"'));
  assert.deepEqual(
    emitted,
    emissions.map((line) => {
      const { after, stream, type } = JSON.parse(line).emitted;
      return { after, stream, type, data: line.match(/"data":(.*),"metadata":/)[1] };
    }),
  );

  const failures = expected.map((line) => JSON.parse(line).failure).filter((failure) => failure);
  assert.deepEqual(
    Array.from(failed.values()),
    failures.map(({ position, kind, error }) => ({ position, kind, error })),
  );
});
