// JSON is read and written as JavaScript does it, which has been tested by more people than us.

import { before, test } from "node:test";
import assert from "node:assert/strict";
import { buildFile } from "./build.js";
import { seeded } from "./random.js";
import { TestHost } from "../testing.js";

let module;
let host;
before(async () => {
  module = await WebAssembly.compile(await buildFile("values.ts"));
  host = new TestHost(module);
});

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** What JavaScript reads in some bytes: a value, or undefined when they are not JSON in UTF-8. */
function parse(bytes) {
  try {
    return JSON.parse(strict.decode(bytes));
  } catch {
    return undefined;
  }
}

/** What the plugin reads in some bytes: the value, written anew, or undefined. */
function rewrite(data, type = "rewrite") {
  const outcome = host.deliver({ type, data });
  assert.deepEqual(outcome, { status: "ok" });
  return JSON.parse(host.document("found", "value"))[0];
}

// Half of a surrogate pair has no form in UTF-8.
const wellFormed = (text) => text.toWellFormed();

function normal(value) {
  if (typeof value === "string") return wellFormed(value);
  if (Array.isArray(value)) return value.map(normal);
  if (value === null || typeof value !== "object") return Object.is(value, -0) ? 0 : value;
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [wellFormed(key), normal(member)]));
}

function hasInfinity(value) {
  if (value === null || typeof value !== "object") return Math.abs(value) === Infinity;
  return Object.values(value).some(hasInfinity);
}

function agree(bytes) {
  const expected = parse(bytes);
  const text = Buffer.from(bytes).toString("latin1");
  if (hasInfinity(expected)) return; // see "numbers that no f64 can hold"
  assert.deepEqual(rewrite(bytes), expected === undefined ? undefined : normal(expected), `reading ${text}`);
}

const texts = `{} [] null true false 0 -0 1 -1 "" "a" 12345 0.5 -0.25 1e3 1E3 1e+3 1e-3 [1] [1,2] [[]] {"a":1} {"":0}
{"a":{"b":[1,{"c":null}]}} "\\u0041\\n\\t\\"\\\\\\/\\b\\f\\r" "\\ud83c\\udfe6" "\\ud83c" "\\udfe6x" "é口🏦" {"é":1} {"\\u00e9":2}
{"a":1,"a":2} {"a":1,"\\u0061":2} [1,"a",null,true,{"b":[]}] 9223372036854775807 -9223372036854775808 9223372036854775808
nul tru fals nulll truee True NaN Infinity -Infinity undefined -a - + +1 01 -01 00 1. .5 1.e3 1e 1e+ 1e- 0x10 1_0 --1 1e5.5 1.2.3
[ ] [1 [1, [1,] [,1] [1,,2] [1 2] { } {"a" {"a": {"a":1 {"a":1, {"a":1,} {,} {a:1} {'a':1} {"a":1,,"b":2} {"a"1} {1:1} {null:1} {"a":1}} ]
[1]] "a "a\\ "\\x" "\\u" "\\u12" "\\u12g4" "\\U0041" 'a' "a"b "\\ud83c" /**/1 1//x , : "a": ,1 {"a":1]  [1} [}`.split(
  /\s+/,
);

test("texts that are JSON, and texts that are nearly", () => {
  for (const text of texts) agree(Buffer.from(text));
  for (const text of texts) agree(Buffer.from(` \t\r\n${text} \t\r\n`));
});

test("bytes that must not be in a text", () => {
  agree(Buffer.from(""));
  agree(Buffer.from("   "));
  for (let byte = 0; byte < 256; byte++) {
    agree(Buffer.from([byte]));
    agree(Buffer.from([0x31, byte])); // after a value
    agree(Buffer.from([0x5b, byte, 0x5d])); // as a value
    agree(Buffer.from([0x22, byte, 0x22])); // in a string
    agree(Buffer.from([0x22, 0x5c, byte, 0x22])); // after a backslash
    agree(Buffer.from([0x22, ...Buffer.from("12345678"), byte, ...Buffer.from("1234567"), 0x22])); // where eight are read at once
  }
});

test("UTF-8 in strings", () => {
  const random = seeded(1);
  const edges = [
    0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xed, 0xef, 0xf0, 0xf4, 0xf5, 0xff,
  ];
  for (let i = 0; i < 5_000; i++) {
    const bytes = Array.from({ length: 1 + random(5) }, () => edges[random(edges.length)]);
    agree(Buffer.from([0x22, ...bytes, 0x22]));
  }
  for (const code of [0x80, 0x7ff, 0x800, 0xd7ff, 0xe000, 0xfffd, 0xffff, 0x10000, 0x10ffff]) {
    agree(Buffer.from(JSON.stringify(String.fromCodePoint(code))));
  }
});

test("random values, whole and damaged", () => {
  const random = seeded(2);
  const words = ["amount", "owner", "", "é", "\u{1f3e6}", 'q"', "b\\", "\n", "\u0001", "\ud800", "x".repeat(40)];
  const scalar = () =>
    [
      null,
      true,
      false,
      0,
      -1,
      random(1e9),
      random(1e9) / 997,
      random(100) * 1e300,
      words[random(words.length)],
      words[random(words.length)] + words[random(words.length)],
    ][random(10)];
  const value = (depth) => {
    const kind = depth > 4 ? 2 : random(4);
    const length = random(5);
    if (kind === 0) return Array.from({ length }, () => value(depth + 1));
    if (kind > 1) return scalar();
    return Object.fromEntries(Array.from({ length }, () => [words[random(words.length)], value(depth + 1)]));
  };
  const spaces = ["", "", "", " ", "\n", "\t\r"];
  for (let i = 0; i < 2_000; i++) {
    const text = JSON.stringify(value(0), null, spaces[random(spaces.length)]);
    const bytes = Buffer.from(
      random(2) ? text : text.replace(/[^\x20-\x7e]/g, (c) => `\\u${c.charCodeAt().toString(16).padStart(4, "0")}`),
    );
    agree(bytes);
    for (let damage = 0; damage < 4 && bytes.length; damage++) {
      const at = random(bytes.length);
      const letters = '{}[]",:\\ 0-.eEtu\x00\xff';
      const damaged = Buffer.from(bytes);
      damaged[at] = letters.charCodeAt(random(letters.length));
      agree(damaged);
      agree(Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1)]));
    }
  }
});

test("nothing beyond the end is read", () => {
  // The slot ends inside a longer text, whose rest stands right behind it.
  for (const text of texts.concat('{"amount":1250,"note":"salary","list":[1,2.5e3,"\\u00e9",null,true,false]}')) {
    const bytes = Buffer.from(text);
    for (let length = 0; length <= bytes.length; length++) {
      const envelope = TestHost.envelope({ type: "rewrite", data: bytes });
      new DataView(envelope.buffer).setUint32(40 + 8 * 4 + 4, length, true);
      assert.deepEqual(host.deliverEnvelope(envelope), { status: "ok" });
      const expected = parse(bytes.subarray(0, length));
      const found = JSON.parse(host.document("found", "value"))[0];
      assert.deepEqual(found, expected === undefined ? undefined : normal(expected), `${length} bytes of ${text}`);
    }
  }
});

test("values nest 256 deep and no deeper", () => {
  for (const [open, close] of [
    ["[", "]"],
    ['{"a":', "}"],
    ['[{"a":', "}]"],
  ]) {
    const levels = open.length > 5 ? 2 : 1;
    const nested = (depth) => open.repeat(depth / levels) + "1" + close.repeat(depth / levels);
    assert.deepEqual(host.deliver({ type: "error", data: nested(256) }).text.includes("nested"), false);
    assert.match(
      host.deliver({ type: "error", data: nested(258) }).text,
      /^not JSON: byte \d+ is nested deeper than 256 \(/,
    );
    assert.match(host.deliver({ type: "error", data: open.repeat(100_000) }).text, /nested deeper than 256/);
  }
  assert.equal(rewrite("[".repeat(257) + "]".repeat(257)), undefined);
  agree(Buffer.from("[".repeat(255) + "]".repeat(255)));
});

test("large texts", () => {
  agree(Buffer.from(JSON.stringify("x".repeat(500_000) + "é".repeat(100_000))));
  agree(Buffer.from(JSON.stringify(Array.from({ length: 50_000 }, (_, i) => i))));
  agree(
    Buffer.from(JSON.stringify(Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`name ${i}`, [i, `${i}`]])))),
  );
});

test("a value is copied as it stands, its strings escaped as little as can be", () => {
  const copied = (data) => {
    assert.deepEqual(host.deliver({ type: "copy", data }), { status: "ok" });
    return host.document("found", "value");
  };
  assert.equal(copied(' { "a" : 1.50e1 } '), '[{ "a" : 1.50e1 }]');
  assert.equal(copied(" 1.0 "), "[1.0]");
  assert.equal(copied('"\\u0041\\/\\u00e9\\ud800"'), '["A/é\ufffd"]');
  assert.equal(copied('"é"'), '["é"]');
});

test("strings are written with the least escapes", () => {
  const all = Array.from({ length: 0x80 }, (_, i) => String.fromCharCode(i)).join("") + "\u007f\u2028é🏦";
  host.deliver({ type: "rewrite", data: JSON.stringify(all) });
  // JavaScript's own escapes are the same but for half surrogates.
  assert.equal(host.document("found", "value"), `[${JSON.stringify(all)}]`);
});

test("integers and floats", () => {
  const random = seeded(3);
  const list =
    `0 -0 1 -1 9007199254740993 9223372036854775807 9223372036854775808 -9223372036854775808 -9223372036854775809
    18446744073709551615 18446744073709551617 123456789012345678901234567890 1.0 1e0 0.1 0.2 0.30000000000000004 100 1e21 1e22 1e23
    123456.789 1.7976931348623157e308 1.7976931348623158e308 4.9e-324 5e-324 2.4703282292062327e-324 2.4703282292062328e-324
    2.2250738585072014e-308 2.2250738585072011e-308 9007199254740992.5 9007199254740993.0000000000000000000000000000000001
    1.0820856040010601e+49 5.8998204893763205e+51 30233767086108010477832432593e24 483268630028403273243435445712e-113
    1e-400 0e999999999999 0.0e-99999999999 1e-99999999999 8.988465674311579538646525953945123668e307 6.63123685e-316 1e-323`
      .trim()
      .split(/\s+/);
  list.push(
    `0.${"0".repeat(400)}1e400`,
    `1${"0".repeat(400)}e-400`,
    `1.${"0".repeat(900)}1`,
    `0.${"1234567890".repeat(100)}`,
  );
  // Just at, below and above the middle of two neighbours.
  for (const tail of ["", "0", "1", `${"0".repeat(900)}1`])
    list.push(`9007199254740993${tail && "."}${tail}`, `0.500000000000000055511151231257827${tail}`);
  const view = new DataView(new ArrayBuffer(8));
  for (let i = 0; i < 5_000; i++) {
    view.setUint32(0, random(2 ** 32));
    view.setUint32(4, random(2 ** 32));
    list.push(String(2 ** (random(2000) - 1060)), String(random(1e6) / 1e3 + random(1e6) / 1e5));
    const value = view.getFloat64(0);
    if (Number.isFinite(value)) list.push(String(value), value.toExponential(random(20)), value.toPrecision(17));
    const digits = Array.from({ length: 1 + random(30) }, () => random(10))
      .join("")
      .replace(/^0+(?=.)/, "");
    list.push(`${digits}e${random(640) - 340}`, `${random(1000)}.${digits}`, `${random(2) ? "-" : ""}${digits}`);
  }
  const numbers = list.filter((text) => Number.isFinite(Number(text)));
  while (numbers.length) checkNumbers(numbers.splice(0, 1_000));
});

function checkNumbers(numbers) {
  assert.deepEqual(host.deliver({ type: "numbers", data: `[${numbers.join(",")}]` }), { status: "ok" });
  const found = JSON.parse(host.document("found", "value"));
  assert.equal(found.length, numbers.length);
  const view = new DataView(new ArrayBuffer(8));
  numbers.forEach((text, i) => {
    view.setFloat64(0, Number(text));
    assert.equal(found[i].bits, view.getBigUint64(0).toString(16), `the f64 of ${text}`);
    const isI64 = /^-?\d+$/.test(text) && BigInt.asIntN(64, BigInt(text)) === BigInt(text);
    assert.equal(found[i].i64, isI64 ? BigInt(text).toString() : "", `the i64 of ${text}`);
    assert.equal(found[i].written, JSON.stringify([Number(text)]), `${text} written`);
  });
}

test("numbers that no f64 can hold", () => {
  for (const text of ["1e309", "-1e309", "1.7976931348623159e308", "1e99999999999", "9".repeat(400)]) {
    const outcome = host.deliver({ type: "numbers", data: `[${text}]` });
    assert.equal(outcome.status, "trap");
    assert.match(outcome.text, /^the value is not a number that an f64 can hold \(/);
  }
});

test("what is missing or of another kind is named", () => {
  const text = (data) => host.deliver({ type: "error", data }).text;
  assert.match(text("{}"), /^"a" is missing; it should be an integer \(~lib\/eshost\/assembly\/json\.ts:\d+:\d+\)$/);
  assert.match(text("[]"), /^"a" is missing/);
  assert.match(text('{"a":"1"}'), /^"a" is not an integer \(/);
  assert.match(text('{"a":1.0}'), /^"a" is not an integer that an i64 can hold \(/);
  assert.match(text('{"a":9223372036854775808}'), /^"a" is not an integer that an i64 can hold \(/);
  assert.match(text('{"a":1'), /^not JSON: it ends too early, after 6 bytes \(/);
  assert.match(text('{"a":x}'), /^not JSON: byte 5 is unexpected \(/);
  assert.match(text(""), /^not JSON: it ends too early, after 0 bytes \(/);
  assert.equal(host.deliver({ type: "error", data: '{"a":1}' }).status, "ok");
});

test("text is converted as the web does it", () => {
  const random = seeded(4);
  const pieces = ["a", "bcdefgh", "é", "口", "🏦", "\x00"].map((text) => [...Buffer.from(text)]);
  pieces.push(
    [0xff],
    [0xc3],
    [0xe5, 0x8f],
    [0xf0, 0x9f, 0x8f],
    [0xed, 0xa0, 0x80],
    [0xc0, 0x80],
    [0xf4, 0x90, 0x80, 0x80],
    [0x80],
    [0xe0, 0x80],
  );
  for (let i = 0; i < 3_000; i++) {
    const data = Buffer.from(Array.from({ length: random(12) }, () => pieces[random(pieces.length)]).flat());
    assert.deepEqual(host.deliver({ type: "text", data }), { status: "ok" });
    const expected = new TextDecoder("utf-8", { ignoreBOM: true }).decode(data);
    const found = JSON.parse(host.document("found", "value"));
    assert.deepEqual(
      found.units,
      Array.from({ length: expected.length }, (_, i) => expected.charCodeAt(i)),
      data.toString("hex"),
    );
    assert.equal(found.text, expected);
    assert.deepEqual(Buffer.from(found.bytes), Buffer.from(expected));
  }
});
