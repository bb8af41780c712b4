// Rows × columns × measure like in a spreadsheet, compiled to GROUP BY and run by the server: subtotals and the total are
// its sums and means, not of what the page happens to hold.

import { query, save } from "../api.js";
import { h } from "../dom.js";
import { cell, inner, number } from "../format.js";

const ALL = "all";

const MEASURES = ["count", "sum", "avg", "min", "max", "median", "stddev"];
const GROUPS_MAX = 20_000;
const COLUMNS_MAX = 60;

const quoted = (name) => `"${name.replaceAll('"', '""')}"`;

/** The statement of a pivot over a statement. */
export function compile(sql, { row, column, measure, of }) {
  const value = measure === "count" ? "count(*)" : `${measure}(q.${quoted(of)})`;
  const [r, c] = [`q.${quoted(row)}`, `q.${quoted(column)}`];
  return [
    `SELECT ${r} AS "row", ${c} AS "column", grouping(${r}) AS all_rows, grouping(${c}) AS all_columns, ${value} AS "value"`,
    `FROM (${inner(sql)}\n) AS q`,
    `GROUP BY GROUPING SETS ((${r}, ${c}), (${r}), (${c}), ())`,
    // Totals first: what is cut off is at the end.
    "ORDER BY all_rows DESC, all_columns DESC, 1, 2",
  ].join("\n");
}

/** The builder and what it gives. */
export function pivot(sql, rows, fail) {
  const flat = rows.columns.filter((column) => column.kind !== "nested");
  const numbers = rows.columns.filter((column) => column.kind === "number");
  if (flat.length < 2) return h("p", { class: "hint" }, "A pivot needs two columns.");
  const texts = [...flat.filter((column) => column.kind !== "number"), ...flat.filter((column) => column.kind === "number")];
  const choose = (label, names, first) => {
    const select = h("select", { "aria-label": label }, names.map((name) => h("option", { value: name }, name)));
    select.value = first;
    select.addEventListener("change", draw);
    return select;
  };
  const names = flat.map((column) => column.name);
  const fields = {
    row: choose("Rows", names, texts[0].name),
    column: choose("Columns", names, texts[1].name),
    measure: choose("Measure", numbers.length > 0 ? MEASURES : ["count"], numbers.length > 0 ? "avg" : "count"),
    of: choose("Of", numbers.map((column) => column.name), numbers.at(-1)?.name ?? ""),
  };
  const place = h("div");
  const text = h("pre", { class: "sql", tabindex: "0" });
  const file = (format, name) => h("button", { type: "button", class: "quiet", onclick: () => save(text.textContent, [], format, "pivot").catch(fail) }, `Save ${name}`);
  async function draw() {
    const chosen = Object.fromEntries(Object.entries(fields).map(([name, select]) => [name, select.value]));
    text.textContent = compile(sql, chosen);
    try {
      const answer = await query(text.textContent, [], { rowLimit: GROUPS_MAX });
      place.replaceChildren(matrix(answer, chosen));
    } catch (error) {
      fail(error);
    }
  }
  queueMicrotask(draw);
  const field = (label, select) => h("label", { class: "filter" }, h("span", {}, label), select);
  return h(
    "div",
    { class: "pivot" },
    h("p", { class: "filters" }, field("Rows", fields.row), field("Columns", fields.column), field("Measure", fields.measure), field("of", fields.of), file("csv", "CSV"), file("xlsx", "Excel")),
    place,
    h("details", {}, h("summary", {}, "SQL of this pivot"), text),
  );
}

function matrix(answer, chosen) {
  const [row, column] = [answer.column("row"), answer.column("column")];
  const [allRows, allColumns, value] = ["all_rows", "all_columns", "value"].map((name) => answer.values(name));
  // Two values are two groups, however alike they would be written.
  const key = (of, at) => JSON.stringify([of.values[at]]);
  const name = (of, value) => (of.kind === "number" && value !== null ? String(value) : cell(value, of.kind));
  const [down, across, cells] = [new Map(), new Map(), new Map()];
  for (let at = 0; at < answer.length; at++) {
    const r = allRows[at] ? ALL : key(row, at);
    const c = allColumns[at] ? ALL : key(column, at);
    if (!allRows[at]) down.set(r, row.values[at]);
    if (!allColumns[at]) across.set(c, column.values[at]);
    cells.set(`${r} ${c}`, value[at]);
  }
  const columns = [...across.keys()].slice(0, COLUMNS_MAX);
  let order = [...down.keys()];
  let sorted = [null, 1];
  const at = (r, c) => cells.get(`${r} ${c}`) ?? null;
  const decimals = chosen.measure === "count" ? 0 : 2;
  const body = h("tbody");
  const head = h("tr");
  const sort = (c) => {
    sorted = [c, sorted[0] === c ? -sorted[1] : -1];
    order = order.toSorted((a, b) => sorted[1] * ((at(a, c) ?? -Infinity) - (at(b, c) ?? -Infinity)));
    draw();
  };
  const line = (r, text) =>
    h("tr", { class: r === ALL ? "total" : null }, h("th", { scope: "row" }, text), [...columns, ALL].map((c) => h("td", { class: "number" }, number(at(r, c), decimals))));
  const draw = () => {
    const title = (c, text) =>
      h("th", { scope: "col", class: "number", "aria-sort": sorted[0] === c ? (sorted[1] > 0 ? "ascending" : "descending") : null }, h("button", { type: "button", onclick: () => sort(c) }, text));
    head.replaceChildren(h("th", { scope: "col" }, `${chosen.row} ＼ ${chosen.column}`), ...columns.map((c) => title(c, name(column, across.get(c)))), title(ALL, "all"));
    body.replaceChildren(...order.map((r) => line(r, name(row, down.get(r)))), line(ALL, "all"));
  };
  draw();
  const isCut = across.size > columns.length || answer.length >= GROUPS_MAX;
  return h(
    "div",
    { class: "table" },
    isCut && h("p", { class: "note" }, answer.length >= GROUPS_MAX ? `There are more than ${GROUPS_MAX.toLocaleString("en-GB")} groups: some are not drawn; the totals are of all, and the CSV has all groups.` : `Only the first ${COLUMNS_MAX} columns are drawn; the CSV has all groups.`),
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Pivot" }, h("table", {}, h("thead", {}, head), body)),
  );
}
