// Conditions under each column like in a spreadsheet, compiled to WHERE and ORDER BY and run by the server: over all rows of the
// statement, not over those that the page happens to hold. What is typed travels as a parameter, never in the text.

import { query, save } from "../api.js";
import { table } from "../charts/table.js";
import { h } from "../dom.js";
import { inner } from "../format.js";

const ROWS_MAX = 10_000;
const COLUMNS_MAX = 40;
const quoted = (name) => `"${name.replaceAll('"', '""')}"`;
const OPERATOR = /^(>=|<=|<>|!=|=|>|<)\s*(.*)$/s;

/** What is typed under a column as a condition; `place` gives a value its number. */
export function condition({ name, kind }, typed, place) {
  const column = `q.${quoted(name)}`;
  const text = typed.trim();
  if (text === "") return null;
  const value = (word) => {
    if (kind === "number") {
      if (word === "" || Number.isNaN(Number(word))) throw new Error(`${name}: “${word}” is no number`);
      return place(Number(word));
    }
    if (kind === "date" || kind === "time") {
      if (Number.isNaN(Date.parse(word))) throw new Error(`${name}: “${word}” is no day or time; write 2026-03-01`);
      return `CAST(${place(word)} AS TIMESTAMP)`;
    }
    if (kind === "boolean") {
      if (!/^(true|false)$/i.test(word)) throw new Error(`${name}: write true or false`);
      return `CAST(${place(word.toLowerCase())} AS BOOLEAN)`;
    }
    return place(word);
  };
  const comparable = kind === "text" || kind === "nested" ? `CAST(${column} AS VARCHAR)` : column;
  const operator = OPERATOR.exec(text);
  if (operator) {
    const [, sign, word] = operator;
    // As spreadsheets have it: nothing after the sign is about empty cells.
    if (word === "") {
      if (sign === "=") return `${column} IS NULL`;
      if (sign === "<>" || sign === "!=") return `${column} IS NOT NULL`;
      throw new Error(`${name}: a value is missing after ${sign}`);
    }
    return `${comparable} ${sign === "!=" ? "<>" : sign} ${value(word)}`;
  }
  const range = kind === "text" || kind === "nested" ? null : /^(.+?)\s*\.\.\s*(.+)$/.exec(text);
  if (range) return `${comparable} BETWEEN ${value(range[1])} AND ${value(range[2])}`;
  if (kind === "text" || kind === "nested") return `strpos(lower(${comparable}), lower(${place(text)})) > 0`;
  // A day stands for all of it.
  if (kind === "time" && /^\d{4}-\d\d-\d\d$/.test(text)) return `CAST(${column} AS DATE) = CAST(${place(text)} AS DATE)`;
  return `${comparable} = ${value(text)}`;
}

/** The statement over a statement: `typed` by column, sorted by a column up (1) or down (-1). */
export function compile(sql, columns, typed, [by, direction] = [null, 1]) {
  const parameters = [];
  const place = (value) => `$${parameters.push(value)}`;
  const conditions = columns.map((column) => condition(column, typed.get(column.name) ?? "", place)).filter(Boolean);
  const lines = [`SELECT * FROM (${inner(sql)}\n) AS q`];
  if (conditions.length > 0) lines.push(`WHERE ${conditions.join("\n  AND ")}`);
  if (by !== null) lines.push(`ORDER BY q.${quoted(by)} ${direction > 0 ? "ASC" : "DESC"} NULLS LAST`);
  return { sql: lines.join("\n"), parameters };
}

/** The fields and what they leave. */
export function filter(sql, rows, fail) {
  const columns = rows.columns.slice(0, COLUMNS_MAX);
  const typed = new Map();
  const place = h("div");
  const said = h("p", { class: "readout", role: "status" });
  const problem = h("p", { class: "problem", role: "alert" });
  const text = h("pre", { class: "sql", tabindex: "0" });
  let asked = compile(sql, columns, typed);
  let latest = 0;
  const by = h("select", { "aria-label": "Sorted by", onchange: draw }, h("option", { value: "" }, "as it comes"), columns.flatMap(({ name }, at) => [h("option", { value: `${at}+` }, `${name} ↑`), h("option", { value: `${at}-` }, `${name} ↓`)]));
  const sorted = () => (by.value === "" ? [null, 1] : [columns[Number.parseInt(by.value, 10)].name, by.value.endsWith("+") ? 1 : -1]);
  async function draw() {
    const mine = ++latest;
    problem.textContent = "";
    try {
      asked = compile(sql, columns, typed, sorted());
    } catch (error) {
      problem.textContent = error.message;
      return;
    }
    text.textContent = asked.sql;
    try {
      const answer = await query(asked.sql, asked.parameters, { rowLimit: ROWS_MAX + 1 });
      if (mine !== latest) return;
      const isCut = answer.length > ROWS_MAX;
      said.textContent = isCut ? `The first ${ROWS_MAX.toLocaleString("en-GB")} rows; the file has all.` : `${answer.length.toLocaleString("en-GB")} rows`;
      place.replaceChildren(table(answer.first(ROWS_MAX), { caption: "Filtered" }));
    } catch (error) {
      if (mine === latest) fail(error);
    }
  }
  const field = ({ name, kind }) => {
    const input = h("input", { type: "text", size: 12, autocomplete: "off", spellcheck: "false", placeholder: { number: "> 50", time: "2026-03-01", date: "2026-03-01" }[kind] ?? "", "data-column": name });
    input.addEventListener("change", () => {
      typed.set(name, input.value);
      draw();
    });
    return h("label", { class: "filter" }, h("span", {}, name), input);
  };
  const file = (format, name) => h("button", { type: "button", class: "quiet", onclick: () => save(asked.sql, asked.parameters, format, "filtered").catch(fail) }, `Save ${name}`);
  queueMicrotask(draw);
  return h(
    "div",
    { class: "pivot" },
    h("p", { class: "hint" }, "Under a column: a word that is in it, > 50, <= 3, 10..20, = x, <> x; = alone for empty cells, <> alone for the others."),
    h("p", { class: "filters" }, columns.map(field), h("label", { class: "filter" }, h("span", {}, "Sorted by"), by), file("csv", "CSV"), file("xlsx", "Excel")),
    problem,
    said,
    place,
    h("details", {}, h("summary", {}, "SQL of this filter"), text),
  );
}
