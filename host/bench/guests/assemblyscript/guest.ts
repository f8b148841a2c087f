// The benchmark's plugin in AssemblyScript. Every language has the same: see ../README.md.

import { handle, Json, reject, state } from "eshost";

@json
class Person {
  id: string = "";
  name: string = "";
}

@json
class Moved {
  amount: i64;
  note: string = "";
  by!: Person;
  tags: string[] = [];
}

@json
class Account {
  owner: string = "";
  currency: string = "";
  balance: i64 = 0;
  count: i64 = 0;
}

handle((event) => {
  const type = event.type;
  if (type == "Parsed") {
    const data = event.data.json().tryTo<Moved>();
    if (data === null) return reject("data: " + Json.misfit);
    if (data.amount <= 0 || data.by.name == "" || data.tags.length != 2) return reject("the data was not read");
  } else if (type == "Touched") {
    const stored = state.get("accounts", event.stream);
    const account = stored === null ? new Account() : stored.json().to<Account>();
    account.balance += 5;
    account.count++;
    state.set("accounts", event.stream, account);
  }
});
