// A table of an answer: page by page, sortable, scrolled inside its own box.

import { h } from "../dom.js";
import { cell, words } from "../format.js";

const PAGE = 100;
/** Letters that stay on one line. */
const SHORT = 24;

/** `link`: {column, pick} makes a column's values buttons; `marks(column, value)` may name a class for a cell. `actions` gives what can be done with a row: [[word, act], …]. */
export function table(rows, { caption, decimals, link, marks, actions, isSortable = true } = {}) {
  let order = Array.from({ length: rows.length }, (_, at) => at);
  let sorted = [null, 1];
  let page = 0;
  const head = h("tr");
  const body = h("tbody");
  const pager = h("p", { class: "pager" });
  const isNumber = (column) => column.kind === "number";
  const places = rows.columns.map((column) => (isNumber(column) ? (decimals ?? digits(column.values)) : undefined));
  const value = (column, at, row) => {
    const text = cell(column.values[row], column.kind, places[at]);
    const isMissing = column.values[row] === null;
    const content =
      link?.column === column.name && !isMissing ? h("button", { type: "button", class: "link", onclick: () => link.pick(String(column.values[row])) }, text) : text;
    const own = marks?.(column.name, column.values[row]);
    if (own) return h("td", { class: `short ${own}` }, content);
    return h("td", { class: isNumber(column) ? "number" : isMissing ? "missing" : text.length <= SHORT ? "short" : "long" }, content);
  };
  const acts = (row) => {
    const record = Object.fromEntries(rows.columns.map((column) => [column.name, column.values[row]]));
    return h("td", { class: "acts" }, actions(record).map(([word, act]) => h("button", { type: "button", class: "quiet", onclick: act }, word)));
  };
  const draw = () => {
    const from = page * PAGE;
    body.replaceChildren(
      ...order.slice(from, from + PAGE).map((row) => h("tr", {}, rows.columns.map((column, at) => value(column, at, row)), actions && acts(row))),
    );
    head.replaceChildren(
      ...rows.columns.map((column, at) =>
        h(
          "th",
          { scope: "col", class: isNumber(column) && "number", "aria-sort": sorted[0] === at ? (sorted[1] > 0 ? "ascending" : "descending") : null },
          isSortable ? h("button", { type: "button", onclick: () => sort(at) }, words(column.name) || "(no name)") : words(column.name),
        ),
      ),
      ...(actions ? [h("th", { scope: "col" }, "to do")] : []),
    );
    const pages = Math.ceil(rows.length / PAGE);
    const step = (by) => h("button", { type: "button", class: "quiet", disabled: page + by < 0 || page + by >= pages, onclick: () => ((page += by), draw()) }, by < 0 ? "Back" : "On");
    const range = `${(from + 1).toLocaleString("en-GB")}–${Math.min(from + PAGE, rows.length).toLocaleString("en-GB")} of ${rows.length.toLocaleString("en-GB")}`;
    pager.replaceChildren(...(pages > 1 ? [step(-1), range, step(1)] : []));
  };
  const sort = (at) => {
    sorted = [at, sorted[0] === at ? -sorted[1] : 1];
    const { values } = rows.columns[at];
    const compare = (a, b) => {
      if (values[a] === null || values[b] === null) return (values[a] === null) - (values[b] === null);
      return sorted[1] * (values[a] < values[b] ? -1 : values[a] > values[b] ? 1 : 0);
    };
    order = order.toSorted((a, b) => compare(a, b) || a - b);
    page = 0;
    draw();
  };
  draw();
  return h(
    "div",
    { class: "table" },
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `${caption ?? "Result"}, rows` }, h("table", {}, caption && h("caption", { class: "hidden" }, caption), h("thead", {}, head), body)),
    pager,
  );
}

/** As many decimals for a whole column as its values need, three at most. */
function digits(values) {
  const numbers = values.filter((value) => typeof value === "number").slice(0, 1_000);
  if (numbers.every(Number.isInteger)) return 0;
  return numbers.some((number) => Math.abs(number) >= 1) ? 2 : 3;
}
