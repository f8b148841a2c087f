// What happens where there is no host.

import { test } from "node:test";
import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, rm, symlink } from "node:fs/promises";
import { execFile } from "node:child_process";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { build } from "./build.js";
import { TestHost } from "../testing.js";

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "..");

test("a program that imports the SDK is told what to do", async () => {
  const dir = await mkdtemp(path.join(tmpdir(), "eshost-"));
  try {
    await mkdir(path.join(dir, "node_modules"));
    await symlink(root, path.join(dir, "node_modules", "eshost"));
    const index = await readFile(path.join(root, "index.ts"), "utf8");
    const names = index.match(/(?<=export \{ )[^}]+(?= \})/g).join(", ");
    const program = `import { ${names} } from "eshost";`;
    const run = promisify(execFile)(process.execPath, ["--input-type=module", "-e", program], { cwd: dir });
    await assert.rejects(
      run,
      /eshost is for plugins in AssemblyScript: compile the plugin with asc and have eshost run it/,
    );
  } finally {
    await rm(dir, { recursive: true });
  }
});

test("a call before the first event is denied by its name", async () => {
  const source = 'import { handle, state } from "eshost"; state.set("c", "k", "1"); handle((event) => {});';
  const host = new TestHost(await WebAssembly.compile(await build(source)));
  assert.match(host.deliver({}).text, /^state\.set\("c", "k"\): denied: not allowed here \(/);
});

test("a module that needs what the host lacks says so in a sentence", async () => {
  const source = `import { handle } from "eshost";
@external("env", "Date.now") declare function now(): f64;
handle((event) => { if (now() > 0) unreachable(); });`;
  const module = await WebAssembly.compile(await build(source));
  assert.throws(() => new TestHost(module).deliver({}), {
    message: "the module imports env.Date.now, which eshost does not have; abi/ABI.md lists what it has",
  });
});
