// What Node finds when a program imports "eshost" itself. The names are those of index.ts, so that it gets as far as the error.
export let Bytes, Document, Event, Json, JsonArray, JsonObject, config, emit, handle, log, reject, retry, state;

throw new Error(
  "eshost is for plugins in AssemblyScript: compile the plugin with asc and have eshost run it, " +
    'or in a test run the module with TestHost from "eshost/testing.js"',
);
