// Takes orders from payment to delivery: an order that is paid is shipped, and what was paid too much is given back. The
// rules are in ../README.md.

import { emit, Event, handle, Json, JsonObject, reject } from "eshost";
import { Order } from "./order";

handle((event) => {
  const type = event.type;
  if (type == "OrderPlaced") placed(event);
  else if (type == "OrderCancelled") cancelled(event);
  else if (type == "PaymentReceived") paid(event);
  else if (type == "ShipmentDelivered") delivered(event);
});

function placed(event: Event): void {
  const total = centsOf(event.data.json().get("total"));
  if (total == 0) return reject("OrderPlaced needs a total in cents above 0");
  const order = Order.load(event.stream);
  if (order.state != "unknown") return reject("the order was placed before");
  order.state = "placed";
  order.total = total;
  settle(order);
  order.save();
}

function paid(event: Event): void {
  const data = event.data.json();
  const key = textOf(data.get("order"));
  const amount = centsOf(data.get("amount"));
  if (key == "" || amount == 0) return reject("PaymentReceived needs an order and an amount in cents above 0");
  const order = Order.load(key);
  if (order.state != "unknown" && order.state != "placed") return refund(order, amount, "the order is " + order.state);
  if (amount > i64.MAX_VALUE - order.paid) return reject("the order was paid more than can be counted");
  order.paid += amount;
  if (order.state == "placed") settle(order);
  order.save();
}

/** Ships an order that is paid; asks for the rest if a part of it is. */
function settle(order: Order): void {
  const missing = order.total - order.paid;
  if (missing > 0) {
    if (order.paid > 0) emit("payment-" + order.key, "PaymentMissing", about(order).set("amount", missing));
    return;
  }
  if (missing < 0) refund(order, -missing, "more was paid than the order's total");
  order.state = "shipping";
  order.paid = order.total;
  emit("shipment-" + order.key, "ShipmentRequested", about(order));
}

function cancelled(event: Event): void {
  const order = Order.load(event.stream);
  if (order.state == "cancelled") return;
  if (order.state == "unknown") return reject("there is no such order");
  if (order.state != "placed") {
    emit(order.key, "CancellationRefused", about(order).set("reason", "the order is " + order.state));
    return;
  }
  if (order.paid > 0) refund(order, order.paid, "the order is cancelled");
  order.state = "cancelled";
  order.paid = 0;
  order.save();
}

function delivered(event: Event): void {
  const key = textOf(event.data.json().get("order"));
  if (key == "") return reject("ShipmentDelivered needs an order");
  const order = Order.load(key);
  if (order.state != "shipping") return reject("no shipment was requested: the order is " + order.state);
  order.state = "completed";
  order.save();
  emit(order.key, "OrderCompleted", about(order).set("total", order.total));
}

function refund(order: Order, amount: i64, reason: string): void {
  emit("payment-" + order.key, "RefundRequested", about(order).set("amount", amount).set("reason", reason));
}

function about(order: Order): JsonObject {
  return new JsonObject().set("order", order.key);
}

/** A text, or "" if the value is none. */
function textOf(value: Json): string {
  return value.isString ? value.string() : "";
}

/** An amount above 0, or 0 if the value is none. */
function centsOf(value: Json): i64 {
  return value.isInteger ? max<i64>(value.i64(), 0) : 0;
}
