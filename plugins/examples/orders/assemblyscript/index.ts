// Joins two kinds of streams: orders with their customer's current name, customers with their open orders. The rules
// are in ../README.md.

import { Event, handle, Json, reject, state } from "eshost";
import { Customer, Order } from "./documents";

handle((event) => {
  const type = event.type;
  if (type == "CustomerRegistered" || type == "CustomerRenamed") named(event);
  else if (type == "OrderPlaced") placed(event);
  else if (type == "OrderShipped") closed(event, "shipped");
  else if (type == "OrderCancelled") closed(event, "cancelled");
});

/** Gives the name to the customer and to every order that the customer has so far. */
function named(event: Event): void {
  const name = textOf(event.data.json().get("name"));
  if (name == "") return reject(event.type + " needs a name");
  const customer = Customer.load(event.stream);
  customer.name = name;
  customer.save();

  let after = "";
  while (true) {
    const page = state.scan("customer_orders", customer.key + "/", after);
    if (page.length == 0) return;
    for (let i = 0; i < page.length; i++) {
      const order = Order.load(page[i].data.json().get("order").string());
      // The orders of a customer called "customer-1/x" are listed below "customer-1/" too.
      if (order !== null && order.customer == customer.key) {
        order.name = name;
        order.save();
      }
    }
    after = page[page.length - 1].key;
  }
}

function placed(event: Event): void {
  const data = event.data.json();
  const total = data.get("total");
  const key = textOf(data.get("customer"));
  if (key == "" || !total.isInteger || total.i64() <= 0)
    return reject("OrderPlaced needs a customer and a total in cents above 0");
  if (Order.load(event.stream) !== null) return reject("the order was placed before");

  const customer = Customer.load(key); // without a name until the customer is registered
  customer.open++;
  customer.save();
  const order = new Order(event.stream, key, customer.name, total.i64(), "open");
  order.save();
  order.list();
}

function closed(event: Event, how: string): void {
  const order = Order.load(event.stream);
  if (order === null) return reject("there is no such order");
  if (order.state != "open") return reject("the order is " + order.state + " already");
  const customer = Customer.load(order.customer);
  customer.open--;
  customer.save();
  order.unlist();
  order.state = how;
  order.save();
  order.list();
}

function textOf(value: Json): string {
  return value.isString ? value.string() : "";
}
