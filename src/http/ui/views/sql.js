// The editor: run, watch, stop; the answer as a table, a chart, a pivot or a file.

import { query, save } from "../api.js";
import { draw as bars } from "../charts/bars.js";
import { table } from "../charts/table.js";
import { draw as timeBars } from "../charts/time_bars.js";
import { h } from "../dom.js";
import { isQuestion } from "../format.js";
import { go, params } from "../state.js";
import { complete } from "./complete.js";
import { filter } from "./filter.js";
import { pivot } from "./pivot.js";

/** Rows that are fetched to look at; a file has them all. */
const ROWS_MAX = 10_000;
/** Bars of a chart without a title of its own: it is a glance. Over time all rows are drawn. */
const BARS_MAX = 60;
const EXAMPLE = "SELECT catalyst, catalyst_lot, count(*) AS wells, avg(yield_pct) AS mean_yield\nFROM lab.chemistry.reactions\nGROUP BY 1, 2 ORDER BY mean_yield LIMIT 20";

export async function show(place, world) {
  const editor = h("textarea", { id: "editor", rows: 8, spellcheck: "false", autocapitalize: "off", autocomplete: "off", "aria-label": "SQL", "aria-describedby": "editor-help" });
  editor.value = params().get("q") ?? EXAMPLE;
  const run = h("button", { type: "button", class: "main" }, "Run");
  const stop = h("button", { type: "button", disabled: true }, "Cancel");
  const files = [["csv", "CSV"], ["xlsx", "Excel"], ["arrow", "Arrow"]].map(([format, name]) =>
    h("button", { type: "button", class: "quiet", onclick: () => save(editor.value, [], format, "result").catch(fail) }, `Save ${name}`),
  );
  const state = h("p", { class: "readout", role: "status" });
  const problem = h("p", { class: "problem", role: "alert" });
  const result = h("div", { class: "result" });
  let running = null;

  function fail(error) {
    if (error.status !== 401) problem.textContent = error.message;
  }

  // What a link, a reload or a step back brings nobody has looked at: of that, only what reads is run.
  async function start({ readOnly = false } = {}) {
    running?.abort();
    const mine = new AbortController();
    running = mine;
    const sql = editor.value;
    if (!readOnly) go({ q: sql }, true);
    stop.disabled = false;
    run.disabled = true;
    problem.textContent = "";
    const began = performance.now();
    let bytes = 0;
    const seconds = () => ((performance.now() - began) / 1000).toFixed(1);
    const tell = () => (state.textContent = `Running, ${seconds()} s, ${size(bytes)} received`);
    tell();
    const tick = setInterval(tell, 100);
    try {
      const rows = await query(sql, [], { signal: mine.signal, rowLimit: ROWS_MAX + 1, progress: (length) => (bytes = length), readOnly });
      const isCut = rows.length > ROWS_MAX;
      const shown = rows.first(ROWS_MAX);
      state.textContent = isCut
        ? `The first ${ROWS_MAX.toLocaleString("en-GB")} rows, in ${seconds()} s. There are more: the answer was cut. Save it as CSV or Arrow to have all, or aggregate.`
        : `${shown.length.toLocaleString("en-GB")} rows, ${seconds()} s`;
      result.replaceChildren(...views(sql, shown, fail));
    } catch (error) {
      state.textContent = error.name === "AbortError" ? `Cancelled after ${seconds()} s.` : "";
      if (readOnly && error.status === 403) problem.textContent = `${error.message}. Look at it, and press Run if you want it to be done.`;
      else if (error.name !== "AbortError") fail(error);
    }
    clearInterval(tick);
    if (running === mine) {
      running = null;
      stop.disabled = true;
      run.disabled = false;
    }
  }

  run.addEventListener("click", () => start());
  stop.addEventListener("click", () => running?.abort());
  editor.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      start();
    }
  });
  place.replaceChildren(
    h("h1", {}, "SQL"),
    h("p", { class: "lead", id: "editor-help" }, "Ctrl+Enter runs, Ctrl+Space completes names. Everything runs as you: you see what your policies show."),
    h("div", { class: "editor" }, editor, complete(editor, world.tables)),
    h("p", { class: "actions" }, run, stop, files),
    state,
    problem,
    result,
  );
  if (params().get("q")) start({ readOnly: true });
  let last = editor.value;
  const update = () => {
    const asked = params().get("q");
    if (asked !== null && asked !== last && asked !== editor.value) {
      editor.value = asked;
      start({ readOnly: true });
    }
    last = editor.value;
  };
  return { update, refresh: () => {}, end: () => running?.abort() };
}

const size = (bytes) => (bytes < 1e6 ? `${Math.round(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`);

/** Table, chart, filter and pivot of an answer, one at a time. */
function views(sql, rows, fail) {
  const body = h("div");
  const says = h("p", { class: "readout", role: "status" });
  const kinds = {
    Table: () => body.replaceChildren(table(rows, { caption: "Result" })),
    Chart: () => body.replaceChildren(...chart(rows, says)),
    ...(isQuestion(sql) && {
      Filter: () => body.replaceChildren(filter(sql, rows, fail)),
      Pivot: () => body.replaceChildren(pivot(sql, rows, fail)),
    }),
  };
  const buttons = Object.entries(kinds).map(([name, act]) => {
    const button = h("button", { type: "button", "aria-pressed": "false" }, name);
    button.addEventListener("click", () => {
      buttons.forEach((other) => other.setAttribute("aria-pressed", String(other === button)));
      says.textContent = "";
      act();
    });
    return button;
  });
  queueMicrotask(() => buttons[0].click());
  return [h("div", { class: "tabs", role: "group", "aria-label": "Show the result as" }, buttons), body, says];
}

/** A chart of whatever came: over days when there is a day, else bars by label. */
function chart(rows, says) {
  const numbers = rows.columns.filter((column) => column.kind === "number");
  const labels = rows.columns.filter((column) => column.kind !== "nested");
  if (numbers.length === 0 || rows.length === 0) return [h("p", { class: "hint" }, "A chart needs rows and a column of numbers.")];
  const choose = (columns, first, label) => {
    const select = h("select", { "aria-label": label }, columns.map((column) => h("option", { value: column.name }, column.name)));
    select.value = first.name;
    select.addEventListener("change", () => draw());
    return select;
  };
  const x = choose(labels, labels.find((column) => column.kind === "date" || column.kind === "time") ?? labels.find((column) => column.kind === "text") ?? labels[0], "Across");
  const y = choose(numbers, numbers.at(-1), "Measure");
  const place = h("div", { class: "chart" });
  const draw = () => {
    const kind = rows.column(x.value).kind;
    const plan = { title: `${y.value} by ${x.value}`, description: `${rows.length} rows.`, x: x.value, y: [y.value], most: BARS_MAX };
    const over = kind === "date" || kind === "time";
    (over ? timeBars : bars)(place, rows, plan, { say: (text) => (says.textContent = text), pick: () => {} });
  };
  draw();
  return [h("p", { class: "filters" }, h("label", { class: "filter" }, h("span", {}, "Across"), x), h("label", { class: "filter" }, h("span", {}, "Measure"), y)), place];
}
