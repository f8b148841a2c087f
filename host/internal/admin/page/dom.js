// The page's elements. Text reaches them as text only: nothing here, or elsewhere in the page, parses HTML.

/** el makes an element. A function among the attributes listens to the event of that name; one that is false or null is left out. */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children.filter((c) => c != null));
  return node;
}

/** setText changes a text only if it is another one, so that nothing flickers and nothing is announced twice. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** setClass does the same for an element's class. */
export function setClass(node, name) {
  if (node.className !== name) node.className = name;
}

/** show shows or hides an element. */
export function show(node, visible) {
  if (node.hidden === visible) node.hidden = !visible;
}

/**
 * keyed makes a parent's children those of the items, in their order. The element of an item that was there
 * before stays, with the focus and all that is open in it.
 */
export function keyed(parent, items, key, create, update) {
  const before = new Map([...parent.children].map((c) => [c.key, c]));
  let next = parent.firstElementChild;
  for (const item of items) {
    const k = key(item);
    let node = before.get(k);
    before.delete(k);
    if (!node) {
      node = create(item);
      node.key = k;
    }
    if (node === next) next = next.nextElementSibling;
    else parent.insertBefore(node, next);
    update(node, item);
  }
  for (const gone of before.values()) gone.remove();
}

/** facts is a list of labelled values, to be filled by fill. */
export function facts(labels) {
  const values = {};
  const list = el("dl", { class: "facts" });
  for (const [name, label, wide] of labels) {
    values[name] = el("dd");
    list.append(el("div", { class: wide ? "wide" : null }, el("dt", {}, label), values[name]));
  }
  return { list, values };
}

/** table is a table with a heading; its rows are set by fillTable. */
export function table(columns) {
  const body = el("tbody", { role: "rowgroup" });
  const head = el("tr", { role: "row" }, ...columns.map((c) => el("th", { scope: "col", role: "columnheader" }, c)));
  const node = el("div", { class: "table" }, el("table", { role: "table" }, el("thead", { role: "rowgroup" }, head), body));
  return { node, body, columns };
}

/** fillTable sets the rows of a table: each has a key and its cells, texts or elements. */
export function fillTable({ body, columns }, rows) {
  keyed(body, rows, (r) => r.key,
    () => el("tr", { role: "row" }, ...columns.map((c) => el("td", { role: "cell", "data-label": c }, el("span")))),
    (tr, row) => row.cells.forEach((cell, i) => setText(tr.children[i].firstChild, cell)));
}
