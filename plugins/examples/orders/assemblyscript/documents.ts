// The read model's documents.

import { JsonObject, state } from "eshost";

/** One customer, under the name of the customer's stream. */
export class Customer {
  constructor(
    readonly key: string,
    public name: string,
    public open: i64,
  ) {}

  /** The customer, or one who is not registered yet. */
  static load(key: string): Customer {
    const document = state.get("customers", key);
    if (document === null) return new Customer(key, "", 0);
    const json = document.json();
    return new Customer(key, json.get("name").string(), json.get("open").i64());
  }

  save(): void {
    state.set("customers", this.key, new JsonObject().set("name", this.name).set("open", this.open));
  }
}

/** One order, under the name of its stream. */
export class Order {
  constructor(
    readonly key: string,
    readonly customer: string,
    public name: string,
    readonly total: i64,
    public state: string,
  ) {}

  static load(key: string): Order | null {
    const document = state.get("orders", key);
    if (document === null) return null;
    const json = document.json();
    const customer = json.get("customer").string();
    return new Order(key, customer, json.get("name").string(), json.get("total").i64(), json.get("state").string());
  }

  save(): void {
    const document = new JsonObject()
      .set("customer", this.customer)
      .set("name", this.name)
      .set("total", this.total)
      .set("state", this.state);
    state.set("orders", this.key, document);
  }

  /** Puts the order into its customer's list. */
  list(): void {
    state.set("customer_orders", this.listKey, new JsonObject().set("order", this.key).set("total", this.total));
  }

  unlist(): void {
    state.delete("customer_orders", this.listKey);
  }

  private get listKey(): string {
    return this.customer + "/" + this.state + "/" + this.key;
  }
}
