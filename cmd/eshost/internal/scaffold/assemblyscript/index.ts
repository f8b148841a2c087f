// Keeps a document for each stream: who was greeted last, and how often there was a greeting.

import { Event, handle, JsonObject, log, reject, state } from "eshost";

handle((event) => {
  if (event.type == "Greeted") greeted(event); // others are not ours
});

function greeted(event: Event): void {
  const data = event.data.json();
  if (!data.isObject) return reject("data is not a JSON object"); // it will never be right
  const name = data.get("name");
  if (!name.isString) return reject("the name is not a text");

  const greeting = Greeting.load(event.stream);
  greeting.name = name.string();
  greeting.count++;
  log.info("greeted " + greeting.name);
  greeting.save(event.stream);
}

/** The document of a stream. */
class Greeting {
  name: string = "";
  count: i64 = 0;

  static load(stream: string): Greeting {
    const greeting = new Greeting();
    const document = state.get("greetings", stream);
    if (document === null) return greeting;
    const json = document.json();
    greeting.name = json.get("name").string();
    greeting.count = json.get("count").i64();
    return greeting;
  }

  save(stream: string): void {
    state.set(
      "greetings",
      stream,
      new JsonObject().set("name", this.name).set("count", this.count),
    );
  }
}
