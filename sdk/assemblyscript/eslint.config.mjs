// What finds mistakes: in JavaScript all of ESLint's recommended rules, in AssemblyScript those that need no types, since its types are
// its own. The compiler checks the rest; its warnings fail the tests.
import js from "@eslint/js";
import ts from "typescript-eslint";

const nodeGlobals = Object.fromEntries(
  ["Buffer", "TextDecoder", "TextEncoder", "URL", "WebAssembly", "console", "process"].map((name) => [
    name,
    "readonly",
  ]),
);

export default [
  { ignores: ["node_modules", "assembly/abi.ts"] }, // no parser of TypeScript's takes decorators on functions
  { files: ["**/*.js"], ...js.configs.recommended },
  { files: ["**/*.js"], languageOptions: { globals: nodeGlobals } },
  {
    files: ["**/*.ts"],
    languageOptions: { parser: ts.parser },
    plugins: { ts: ts.plugin },
    rules: {
      "no-constant-condition": "error",
      "no-debugger": "error",
      "no-dupe-else-if": "error",
      "no-duplicate-case": "error",
      "no-empty": "error",
      "no-fallthrough": "error",
      "no-self-assign": "error",
      "no-self-compare": "error",
      "no-unreachable": "error",
      "no-unsafe-finally": "error",
      "no-var": "error",
      "prefer-const": "error",
      "ts/no-unused-vars": ["error", { args: "none" }],
    },
  },
];
