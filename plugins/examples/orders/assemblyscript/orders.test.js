// Runs the built module over the events of ../testdata and holds it to what is expected there.

import { readFileSync } from "node:fs";
import { test } from "node:test";
import assert from "node:assert/strict";
import { TestHost } from "eshost/testing.js";

const lines = (name) =>
  readFileSync(new URL(`../testdata/${name}`, import.meta.url), "utf8")
    .split("\n")
    .slice(0, -1);

test("events make the documents and failures that they should, byte for byte", async () => {
  const host = await TestHost.load(new URL("orders.wasm", import.meta.url));
  const failed = new Map(); // position by stream
  for (const [i, line] of lines("events.ndjson").entries()) {
    const { stream, type } = JSON.parse(line);
    if (failed.has(stream)) continue; // it waits
    const data = line.slice(line.indexOf('"data":') + '"data":'.length, -1); // its exact bytes
    const outcome = host.deliver({ stream, type, data });
    if (outcome.status !== "ok") failed.set(stream, { position: i + 1, kind: outcome.status, error: outcome.text });
  }
  const expected = lines("expected.ndjson");

  const documents = ["customer_orders", "customers", "orders"].flatMap((collection) =>
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
  assert.deepEqual(host.emitted, []);
});

test("a customer with many orders is renamed in all of them", async () => {
  const host = await TestHost.load(new URL("orders.wasm", import.meta.url));
  const deliver = (stream, type, data) => assert.deepEqual(host.deliver({ stream, type, data }), { status: "ok" });
  const count = 2500; // more than two pages of the list
  for (let i = 0; i < count; i++) deliver(`order-${i}`, "OrderPlaced", `{"customer":"customer-1","total":1}`);
  deliver("customer-1", "CustomerRegistered", `{"name":"Ada"}`);
  assert.equal(host.document("customers", "customer-1"), `{"name":"Ada","open":${count}}`);
  const orders = host.documents("orders");
  assert.equal(orders.size, count);
  for (const document of orders.values()) assert.equal(JSON.parse(document).name, "Ada");
});
