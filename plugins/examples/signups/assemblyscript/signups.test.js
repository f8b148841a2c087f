// Runs the built module over the events of ../testdata and holds it to what is expected there.

import { readFileSync } from "node:fs";
import { test } from "node:test";
import assert from "node:assert/strict";
import { TestHost } from "eshost/testing.js";

const lines = (name) =>
  readFileSync(new URL(`../testdata/${name}`, import.meta.url), "utf8")
    .split("\n")
    .slice(0, -1);

const load = () => TestHost.load(new URL("signups.wasm", import.meta.url));

test("events make the documents and failures that they should, byte for byte", async () => {
  const host = await load();
  const failed = new Map(); // position by stream
  for (const [i, line] of lines("events.ndjson").entries()) {
    const { stream, type, time, data } = JSON.parse(line);
    if (failed.has(stream)) continue; // it waits
    const outcome = host.deliver({ stream, type, time: microseconds(time), data: JSON.stringify(data) });
    if (outcome.status !== "ok") failed.set(stream, { position: i + 1, kind: outcome.status, error: outcome.text });
  }
  const expected = lines("expected.ndjson");

  const documents = ["months", "report", "users"].flatMap((collection) =>
    Array.from(host.documents(collection), ([key, data]) => {
      return `{"document":{"collection":"${collection}","key":${JSON.stringify(key)},"data":${data}}}`;
    }),
  );
  assert.deepEqual(
    documents,
    expected.filter((line) => line.startsWith('{"document"')),
  );

  const failures = expected.map((line) => JSON.parse(line).failure).filter((failure) => failure);
  assert.deepEqual(
    Array.from(failed.values()),
    failures.map(({ position, kind, error }) => ({ position, kind, error })),
  );
});

/** A time such as 2026-01-31T12:00:00.000001Z; a Date has milliseconds only. */
function microseconds(time) {
  const [, fraction = ""] = time.match(/\.(\d+)/) ?? [];
  return BigInt(Date.parse(time.replace(/\.\d+/, ""))) * 1000n + BigInt(fraction.padEnd(6, "0"));
}

for (const [time, month] of [
  [-1n, "1969-12"],
  [0n, "1970-01"],
  [951_782_400_000_000n, "2000-02"], // the 29th
  [-62_135_596_800_000_000n, "0001-01"],
  [253_402_300_799_999_999n, "9999-12"],
]) {
  test(`a time of ${time} microseconds is in ${month}`, async () => {
    const host = await load();
    assert.deepEqual(host.deliver({ stream: "user-1", type: "UserRegistered", time }), { status: "ok" });
    assert.equal(host.document("months", month), `{"new":1,"returned":0,"left":0}`);
  });
}

for (const [distance, outcome] of [
  [1200, { status: "ok" }],
  [1201, { status: "reject", text: "the event is 1201 months away from the others: is its time right?" }],
]) {
  test(`the report grows by ${distance} months: ${outcome.status}`, async () => {
    const host = await load();
    const deliver = (stream, month) =>
      host.deliver({ stream, type: "UserRegistered", time: BigInt(Date.UTC(2000, month)) * 1000n });
    assert.deepEqual(deliver("user-1", 0), { status: "ok" });
    assert.deepEqual(deliver("user-2", distance), outcome);
    assert.deepEqual(deliver("user-3", -distance), outcome);
    assert.equal(host.documents("months").size, outcome.status === "ok" ? 2 * distance + 1 : 1);
  });
}
