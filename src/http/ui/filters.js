// The filter bar, and from what it says to SQL: values travel as parameters, never in the text.

import { query } from "./api.js";
import { h } from "./dom.js";
import { cell, day } from "./format.js";
import { filters as chosen, go } from "./state.js";

/** A chart's statement under the filters of now, and the filters that do not apply to it. */
export function compile(dashboard, chart, set = chosen()) {
  const parameters = [];
  const place = (value) => `$${parameters.push(value)}`;
  const idle = [];
  const conditions = [];
  let sql = chart.sql;
  for (const filter of dashboard.filters) {
    const value = typed(filter, set.get(filter.name));
    if (filter.kind === "pick") {
      const mark = `{{${filter.name}}}`;
      // Each a parameter of its own: one alone would have one type wherever it stands.
      sql = sql.replaceAll(mark, () => place(value ?? typed(filter, filter.first) ?? ""));
      continue;
    }
    if (!value) continue;
    const column = chart.filter_columns[filter.name] ?? filter.column;
    if (!column || !chart.sql.includes("{{filters}}")) {
      idle.push(filter.label);
    } else if (filter.kind === "dates") {
      const [from, to] = value.split("..");
      if (from) conditions.push(`${column} >= CAST(${place(from)} AS TIMESTAMP)`);
      if (to) conditions.push(`${column} < CAST(${place(to)} AS TIMESTAMP) + INTERVAL '1 day'`);
    } else {
      conditions.push(`${column} = ${place(value)}`);
    }
  }
  sql = sql.replaceAll("{{filters}}", conditions.join(" AND ") || "true");
  return { sql, parameters, idle };
}

/** A number compares as one; whether it is one is known when the bar has asked. */
function typed(filter, value) {
  const number = Number(value);
  return filter.of === "number" && value && String(number) === value ? number : value;
}

/** Whether the bar must have asked before statements can be made. */
export const needsBar = (dashboard, set = chosen()) =>
  dashboard.filters.some((filter) => filter.of === undefined && (filter.kind === "pick" || (filter.kind === "choice" && set.has(filter.name))));

/** The bar of a dashboard's filters; asks the server what there is to choose. */
export async function bar(dashboard) {
  const answers = await Promise.all(dashboard.filters.map((filter) => query(filter.sql).catch(() => null)));
  const set = chosen();
  const fields = dashboard.filters.map((filter, at) => {
    const answer = answers[at];
    if (!answer || answer.length === 0) return null;
    return filter.kind === "dates" ? dates(filter, answer, set) : choice(filter, answer, set);
  });
  const names = dashboard.filters.map((filter) => `f.${filter.name}`);
  const reset = h(
    "button",
    { type: "button", class: "quiet", onclick: () => go(Object.fromEntries(names.map((name) => [name, null]))) },
    "Show all",
  );
  const any = dashboard.filters.some((filter) => set.has(filter.name));
  return h("div", { class: "filters", role: "group", "aria-label": "Filters" }, fields, any && reset);
}

function dates(filter, answer, set) {
  const [low, high] = answer.columns.map((column) => (column.values[0] === null ? "" : day(column.values[0])));
  const [from = "", to = ""] = (set.get(filter.name) ?? "").split("..");
  const input = (label, value) => h("input", { type: "date", min: low, max: high, value, "aria-label": `${filter.label}, ${label}` });
  const [first, last] = [input("from", from || low), input("to", to || high)];
  const change = () => {
    const [a, b] = [first.value === low ? "" : first.value, last.value === high ? "" : last.value];
    go({ [`f.${filter.name}`]: a || b ? `${a}..${b}` : null });
  };
  first.addEventListener("change", change);
  last.addEventListener("change", change);
  return h("span", { class: "filter" }, h("span", {}, filter.label), first, h("span", { "aria-hidden": "true" }, "–"), last);
}

function choice(filter, answer, set) {
  const column = answer.columns[0];
  // As it is compared, not as numbers are written for people: 2026 and not 2,026.
  const raw = (value) => (column.kind === "number" ? String(value) : cell(value, column.kind));
  const values = column.values.filter((value) => value !== null).map(raw);
  filter.of = column.kind;
  if (filter.kind === "pick") filter.first = values[0];
  const now = set.get(filter.name) ?? (filter.kind === "pick" ? filter.first : "");
  const option = (value, text) => h("option", { value, selected: value === now }, text);
  const select = h(
    "select",
    { onchange: () => go({ [`f.${filter.name}`]: select.value }) },
    filter.kind === "choice" && option("", "all"),
    values.map((value) => option(value, value)),
  );
  // What an old link names may be gone: it stays chosen, so that the page says what it shows.
  if (now && !values.includes(now)) select.append(option(now, now));
  return h("label", { class: "filter" }, h("span", {}, filter.label), select);
}
