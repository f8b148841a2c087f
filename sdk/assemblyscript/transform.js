// Runs inside asc: gives classes with @json the methods that read and write them, and writes the plugin's manifest.json,
// when there is one, into the module's section eshost.manifest.

import { addJsonMethods } from "./typed.js";

const KEYS = { name: "string", version: "string", events: "strings", collections: "strings" };

export default class Plugin {
  async afterParse(parser) {
    addJsonMethods(parser);
    const text = await this.readFile("manifest.json", this.baseDir);
    this.manifest = text == null ? null : check(text);
  }

  afterCompile(module) {
    if (this.manifest == null) return;
    module.addCustomSection("eshost.manifest", new TextEncoder().encode(JSON.stringify(this.manifest)));
  }
}

function check(text) {
  let manifest;
  try {
    manifest = JSON.parse(text);
  } catch (error) {
    throw new Error(`manifest.json: ${error.message}`);
  }
  if (!isObject(manifest)) throw new Error("manifest.json: it should be a JSON object");
  for (const [key, value] of Object.entries(manifest)) {
    const kind = KEYS[key];
    if (!kind) throw new Error(`manifest.json: unknown key "${key}"; there are ${Object.keys(KEYS).join(", ")}`);
    const fits = kind === "string" ? isString(value) : Array.isArray(value) && value.every(isString);
    if (!fits)
      throw new Error(`manifest.json: "${key}" should be ${kind === "string" ? "a string" : "a list of strings"}`);
  }
  return manifest;
}

function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isString(value) {
  return typeof value === "string";
}
