// Keeps the balance of every bank account. The rules are in ../README.md.

import { config, Event, handle, Json, JsonObject, reject, retry, state } from "eshost";

handle((event) => {
  const type = event.type;
  if (type == "AccountOpened") opened(event);
  else if (type == "Deposited") moved(event, 1);
  else if (type == "Withdrawn") moved(event, -1);
});

function opened(event: Event): void {
  const data = event.data.json();
  if (!data.isObject) return reject("data is not a JSON object");
  const owner = data.get("owner");
  const currency = data.get("currency");

  const account = load(event.stream);
  if (account !== null && !isAccount(account)) return retry("the stored document is not an account");
  save(
    event.stream,
    owner.isString ? owner.string() : "",
    currency.isString ? currency.string() : defaultCurrency(),
    account === null ? 0 : account.get("balance").i64(),
    account === null ? 1 : account.get("count").i64() + 1,
  );
}

/** Adds the event's amount to the balance; with the sign -1 takes it away. */
function moved(event: Event, sign: i64): void {
  const data = event.data.json();
  if (!data.isObject) return reject("data is not a JSON object");
  const amount = data.get("amount");
  const cents = amount.isInteger ? amount.i64() : 0;
  if (cents <= 0) return reject("amount must be a positive integer of cents");

  const account = load(event.stream);
  if (account === null) return save(event.stream, "", defaultCurrency(), sign * cents, 1);
  if (!isAccount(account)) return retry("the stored document is not an account");
  const before = account.get("balance").i64();
  const balance = before + sign * cents;
  if (balance > before != sign > 0) return reject("balance overflow");
  save(event.stream, account.get("owner"), account.get("currency"), balance, account.get("count").i64() + 1);
}

function load(key: string): Json | null {
  const document = state.get("balances", key);
  return document === null ? null : document.json();
}

function isAccount(document: Json): bool {
  return (
    document.get("owner").isString &&
    document.get("currency").isString &&
    document.get("balance").isInteger &&
    document.get("count").isInteger
  );
}

/** Writes the account's document. A text is a string, or a Json string just as it was read. */
function save<O, C>(key: string, owner: O, currency: C, balance: i64, count: i64): void {
  const document = new JsonObject()
    .set("owner", owner)
    .set("currency", currency)
    .set("balance", balance)
    .set("count", count);
  state.set("balances", key, document);
}

function defaultCurrency(): string {
  const currency = config.get("currency");
  return currency === null ? "EUR" : currency;
}
