// Builds plugins for the tests as a plugin's own `asc` would, from a file in test/ or from source text. As a program,
// `node build.js PLUGIN.ts OUT.wasm`, it builds one for tests in other languages.

import { readFile as readFromDisk, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import asc from "assemblyscript/asc";

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "..");

/** Compiles a plugin: its source, and other files beside it by name. Returns the module's bytes or throws what asc said. */
export async function build(source, files = {}, fileName = "plugin.ts") {
  let wasm = null;
  const args = [fileName, "--baseDir", root, "--config", path.join(root, "asconfig.json"), "--outFile", "plugin.wasm"];
  const { error, stderr } = await asc.main(args, {
    async readFile(name, dir) {
      if (name === fileName) return source;
      if (files[name] !== undefined) return files[name];
      // The plugin has the SDK installed.
      const inSdk = name.replace(/^node_modules\/eshost\//, "");
      return readFromDisk(path.resolve(dir, inSdk), "utf8").catch(() => null);
    },
    writeFile(name, contents) {
      if (name === "plugin.wasm") wasm = contents;
    },
    listFiles: () => [],
  });
  if (error) throw new Error(`${error.message}\n${stderr.toString()}`);
  if (stderr.toString()) throw new Error(`asc warns:\n${stderr.toString()}`);
  return wasm;
}

/** Compiles the plugin in a file of test/plugins. */
export async function buildFile(name) {
  return build(await readFromDisk(path.join(root, "test/plugins", name), "utf8"));
}

/** The functions of the host, each failing the test when it is called, but for those that are given. */
export function hostWith(functions) {
  const calls = "state_get state_set state_delete state_scan emit log fail config_get result_read".split(" ");
  const eshost_v1 = Object.fromEntries(calls.map((call) => [call, () => assertNever(call)]));
  const abort = () => assertNever("abort");
  return { eshost_v1: { ...eshost_v1, ...functions }, env: { abort, ...functions } };
}

function assertNever(call) {
  throw new Error(`the plugin calls ${call}`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [source, out] = process.argv.slice(2);
  await writeFile(out, await build(await readFromDisk(source, "utf8"), {}, path.basename(source)));
}
