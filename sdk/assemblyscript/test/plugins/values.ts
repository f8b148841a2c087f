// Reads the event's data as JSON, text or a number, as the event's type says, and writes down what it found.

import { Bytes, handle, Json, JsonArray, JsonObject, state } from "eshost";

handle((event) => {
  const type = event.type;
  const data = event.data.json();
  if (type == "rewrite") {
    state.set("found", "value", data.isValid ? new JsonArray().add(rewritten(data)) : new JsonArray());
  } else if (type == "copy") {
    state.set("found", "value", new JsonArray().add(data));
  } else if (type == "text") {
    const text = event.data.text();
    const found = new JsonObject().set("units", units(text)).set("text", text);
    state.set("found", "value", found.set("bytes", bytes(Bytes.ofText(text))));
  } else if (type == "numbers") {
    state.set("found", "value", numbers(data));
  } else if (type == "error") {
    data.get("a").i64();
  } else {
    throw new Error("found what?");
  }
});

/** The same value, through every accessor of the reader and the writer. */
function rewritten(value: Json): Json {
  if (value.isObject) {
    const object = new JsonObject();
    for (let i = 0; i < value.length; i++) {
      const member = value.at(i);
      // Of a name that comes twice only the last is written.
      let last = true;
      for (let j = i + 1; j < value.length; j++) if (value.at(j).key == member.key) last = false;
      if (last) object.set(member.key, rewritten(value.get(member.key)));
    }
    return object.toBytes().json();
  }
  const single = new JsonArray();
  if (value.isArray) {
    for (let i = 0; i < value.length; i++) single.add(rewritten(value.at(i)));
    return single.toBytes().json();
  }
  if (value.isString) single.add(value.string());
  else if (value.isInteger) single.add(value.i64());
  else if (value.isNumber) single.add(value.f64());
  else if (value.isBool) single.add(value.bool());
  else if (value.isNull) single.add(null);
  return single.toBytes().json().at(0);
}

/** Each number of an array: its text, whether it is an i64, its i64, the bits of its f64, and its f64 as it is written. */
function numbers(list: Json): JsonArray {
  const found = new JsonArray();
  for (let i = 0; i < list.length; i++) {
    const number = list.at(i);
    const value = number.f64();
    found.add(
      new JsonObject()
        .set("text", number.toString())
        .set("i64", number.isInteger ? number.i64().toString() : "")
        .set("bits", reinterpret<u64>(value).toString(16))
        .set("written", new JsonArray().add(value).toString()),
    );
  }
  return found;
}

function units(text: string): JsonArray {
  const list = new JsonArray();
  for (let i = 0; i < text.length; i++) list.add(text.charCodeAt(i));
  return list;
}

function bytes(bytes: Bytes): JsonArray {
  const list = new JsonArray();
  for (let i = 0; i < bytes.length; i++) list.add(bytes[i]);
  return list;
}
