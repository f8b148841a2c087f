// What the plugin knows of an order.

import { JsonObject, state } from "eshost";

export class Order {
  constructor(
    /** The name of the order's stream, which is the document's key. */
    readonly key: string,
    /** unknown, placed, shipping, completed or cancelled. */
    public state: string,
    /** In cents; 0 while the order is unknown. */
    public total: i64,
    /** What was received and not given back, in cents. */
    public paid: i64,
  ) {}

  /** The order; an unknown one is one that was not placed yet, whatever has been paid for it. */
  static load(key: string): Order {
    const document = state.get("orders", key);
    if (document === null) return new Order(key, "unknown", 0, 0);
    const json = document.json();
    return new Order(key, json.get("state").string(), json.get("total").i64(), json.get("paid").i64());
  }

  save(): void {
    const document = new JsonObject().set("state", this.state).set("total", this.total).set("paid", this.paid);
    state.set("orders", this.key, document);
  }
}
