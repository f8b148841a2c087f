/**
 * Everything a plugin for eshost is written with.
 *
 *     import { handle, state } from "eshost";
 *
 *     handle((event) => {
 *       state.set("last", event.stream, event.data);
 *     });
 */

export { handle } from "./assembly/guest";
export { Event } from "./assembly/event";
export { Bytes } from "./assembly/bytes";
export { Json } from "./assembly/json";
export { JsonArray, JsonObject } from "./assembly/jsonwrite";
export { Document, state } from "./assembly/state";
export { config } from "./assembly/config";
export { emit } from "./assembly/emit";
export { log } from "./assembly/log";
export { reject, retry } from "./assembly/outcome";
