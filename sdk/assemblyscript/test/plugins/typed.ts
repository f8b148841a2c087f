// Reads an order as a class and writes it again.

import { emit, handle, Json, reject, state } from "eshost";

@json
class Item {
  sku!: string;
  price: f64 = 0.5;
}

@json
class Base {
  id!: string;
}

@json
class Order extends Base {
  static known: i32 = 0;
  total: i64;
  small: i8 = 3;
  unsigned: u32 = 0;
  paid: bool = false;
  items: Item[] = [];
  tags: string[] = [];
  note: string | null = null;
  first: Item | null = null;
}

handle((event) => {
  if (event.type == "must") return state.set("orders", event.stream, event.data.json().to<Order>());
  if (event.type == "list") return state.set("orders", event.stream, event.data.json().to<i64[]>());
  const order = event.data.json().tryTo<Order>();
  if (order === null) return reject("data: " + Json.misfit);
  order.total++;
  state.set("orders", event.stream, order);
  emit("items", "Listed", order.items);
});
