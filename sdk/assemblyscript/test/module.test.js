// What is in a built module.

import { test } from "node:test";
import assert from "node:assert/strict";
import { build, buildFile } from "./build.js";

const smallest = `import { handle, state } from "eshost";
handle((event) => {
  state.set("last", event.stream, event.data);
});`;

const names = (list) => list.map(({ module, name }) => (module ? `${module}.${name}` : name)).sort();

test("a plugin imports only what it uses, and exports what the host calls", async () => {
  const bytes = await build(smallest);
  const module = await WebAssembly.compile(bytes);
  assert.deepEqual(names(WebAssembly.Module.imports(module)), ["env.abort", "eshost_v1.state_set"]);
  const exports = ["_initialize", "eshost_abi_v1", "eshost_inbox", "handle", "memory"];
  assert.deepEqual(names(WebAssembly.Module.exports(module)), exports);
  assert.ok(bytes.length < 11_000, `${bytes.length} bytes`);
  assert.deepEqual(WebAssembly.Module.customSections(module, "eshost.manifest"), []);
});

test("every function of the ABI can be used", async () => {
  const module = await WebAssembly.compile(await buildFile("calls.ts"));
  const calls = "config_get emit fail log result_read state_delete state_get state_scan state_set".split(" ");
  assert.deepEqual(names(WebAssembly.Module.imports(module)), [
    "env.abort",
    ...calls.map((call) => `eshost_v1.${call}`),
  ]);
});

test("manifest.json becomes a section of the module", async () => {
  const manifest = { name: "é", version: "1.0.0", events: ["A", "B"], collections: [] };
  const module = await WebAssembly.compile(
    await build(smallest, { "manifest.json": JSON.stringify(manifest, null, 2) }),
  );
  const sections = WebAssembly.Module.customSections(module, "eshost.manifest");
  assert.equal(sections.length, 1);
  assert.equal(Buffer.from(sections[0]).toString(), JSON.stringify(manifest));
});

test("a manifest that is wrong stops the build", async () => {
  for (const [text, error] of [
    ["{", /^Error: manifest\.json: .*JSON/],
    ["[]", /^Error: manifest\.json: it should be a JSON object/],
    ['{"event":[]}', /^Error: manifest\.json: unknown key "event"; there are name, version, events, collections/],
    ['{"events":"A"}', /^Error: manifest\.json: "events" should be a list of strings/],
    ['{"version":1}', /^Error: manifest\.json: "version" should be a string/],
  ]) {
    await assert.rejects(build(smallest, { "manifest.json": text }), error);
  }
});

test("a document must be JSON when it is compiled", async () => {
  const source = smallest.replace("event.data", "1");
  await assert.rejects(
    build(source),
    /give JSON: an object of a class with @json, an array, a JsonObject, a JsonArray, a Json, Bytes or a string that holds JSON/,
  );
});
