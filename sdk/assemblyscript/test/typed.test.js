// Classes with @json.

import { before, test } from "node:test";
import assert from "node:assert/strict";
import { build, buildFile } from "./build.js";
import { TestHost } from "../testing.js";

let module;
before(async () => {
  module = await WebAssembly.compile(await buildFile("typed.ts"));
});

const plain = '"small":3,"unsigned":0,"paid":false,"items":[],"tags":[],"note":null,"first":null';

test("what may be missing stays what the class says", () => {
  const host = new TestHost(module);
  assert.deepEqual(host.deliver({ stream: "a", type: "order", data: '{"id":"1","total":2,"note":null,"more":{}}' }), {
    status: "ok",
  });
  assert.equal(host.document("orders", "a"), `{"id":"1","total":3,${plain}}`);
  assert.equal(Buffer.from(host.emitted[0].data).toString(), "[]");
});

test("everything that is there is read and written", () => {
  const host = new TestHost(module);
  const order = {
    id: "é 🏦",
    total: 1,
    small: -128,
    unsigned: 4294967295,
    paid: true,
    items: [{ sku: "a", price: 1.25 }, { sku: "b" }],
    tags: ["x", '"'],
    note: "",
    first: { sku: "c", price: 2 },
  };
  assert.deepEqual(host.deliver({ stream: "a", type: "order", data: JSON.stringify(order) }), { status: "ok" });
  order.total++;
  order.items[1].price = 0.5;
  assert.deepEqual(JSON.parse(host.document("orders", "a")), order);
  assert.deepEqual(JSON.parse(Buffer.from(host.emitted[0].data).toString()), order.items);
});

test("data that does not fit is told by its name", () => {
  const host = new TestHost(module);
  for (const [data, text] of [
    ["{}", '"id" is missing; it should be a string'],
    ["[]", "the value is not an object"],
    ["{", /^data: not JSON: /],
    ['{"id":7,"total":"x"}', '"id" is not a string'],
    ['{"id":"1"}', '"total" is missing; it should be an integer'],
    ['{"id":"1","total":null}', '"total" is not an integer'],
    ['{"id":"1","total":1.5}', '"total" is not an integer that an i64 can hold'],
    ['{"id":"1","total":1,"small":128}', '"small" is not an integer that i8 can hold'],
    ['{"id":"1","total":1,"unsigned":-1}', '"unsigned" is not an integer that u32 can hold'],
    ['{"id":"1","total":1,"paid":0}', '"paid" is not true or false'],
    ['{"id":"1","total":1,"items":{}}', '"items" is not an array'],
    ['{"id":"1","total":1,"items":[{"sku":"a"},{}]}', '"sku" is missing; it should be a string'],
    ['{"id":"1","total":1,"tags":[1]}', "the value is not a string"],
    ['{"id":"1","total":1,"first":[]}', '"first" is not an object'],
  ]) {
    const outcome = host.deliver({ type: "order", data });
    assert.equal(outcome.status, "reject", data);
    if (text instanceof RegExp) assert.match(outcome.text, text);
    else assert.equal(outcome.text, `data: ${text}`);
  }
  assert.match(host.deliver({ type: "must", data: "{}" }).text, /^"id" is missing; it should be a string \(/);
  assert.deepEqual(host.deliver({ type: "order", data: '{"id":"1","total":2}' }), { status: "ok" }, "and is forgotten");
});

test("arrays of plain values are JSON too", () => {
  const host = new TestHost(module);
  assert.deepEqual(host.deliver({ stream: "a", type: "list", data: "[1,-2,9223372036854775807]" }), { status: "ok" });
  assert.equal(host.document("orders", "a"), "[1,-2,9223372036854775807]");
});

test("a class that is not marked is told by the compiler", async () => {
  const source = `import { handle, state } from "eshost";
class Order { id: string = ""; }
handle((event) => { state.set("orders", "a", event.data.json().to<Order>()); });`;
  await assert.rejects(build(source), /readJson/);
});
