// Fails where the event says so, and counts events in memory, which a plugin must not do.

import { Event, handle, log, reject, state } from "eshost";

let seen: i32 = 0;

handle((event) => {
  if (event.type == "Broken") return broken(event);
  if (event.type == "Refused") return reject("no such account");
  if (event.type == "Counted") seen++;
  log.info("handled " + event.stream);
  state.set("seen", event.stream, '{"count":' + seen.toString() + "}");
});

function broken(event: Event): void {
  state.set("seen", event.stream, '"half done"');
  const none: i32[] = [];
  assert(none.length > 0, "nothing is there");
}
