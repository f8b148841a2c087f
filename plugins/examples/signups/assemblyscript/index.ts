// Counts new registered users per month. The rules are in ../README.md.

import { handle, JsonObject, reject, state } from "eshost";
import { cover, Month } from "./month";

handle((event) => {
  const registers = event.type == "UserRegistered";
  if (!registers && event.type != "UserDeregistered") return;
  const user = state.get("users", event.stream);
  const isKnown = user !== null;
  const isRegistered = user !== null && user.json().get("registered").bool();
  if (registers == isRegistered) return; // nothing changes

  const month = Month.of(event.time);
  const far = cover(month);
  if (far > 0) return reject("the event is " + far.toString() + " months away from the others: is its time right?");
  count(month, i64(registers && !isKnown), i64(registers && isKnown), i64(!registers));
  const since = user === null ? month.text : user.json().get("since").string();
  state.set("users", event.stream, new JsonObject().set("since", since).set("registered", registers));
});

/** Adds to a month of the report. */
function count(month: Month, fresh: i64, returned: i64, left: i64): void {
  const before = state.get("months", month.text)!.json();
  const after = new JsonObject()
    .set("new", before.get("new").i64() + fresh)
    .set("returned", before.get("returned").i64() + returned)
    .set("left", before.get("left").i64() + left);
  state.set("months", month.text, after);
}
