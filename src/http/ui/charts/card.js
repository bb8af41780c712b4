// One chart with its name, description, twin table and what can be done with it.

import { query, save } from "../api.js";
import { h } from "../dom.js";
import { compile } from "../filters.js";
import { go, href } from "../state.js";
import { draw as areas } from "./areas.js";
import { draw as bars } from "./bars.js";
import { draw as numbers } from "./numbers.js";
import { draw as plate } from "./plate.js";
import { draw as plates } from "./plates.js";
import { draw as points } from "./points.js";
import { table } from "./table.js";
import { draw as timeBars } from "./time_bars.js";

const KINDS = { areas, bars, numbers, plate, plates, points, time_bars: timeBars };
/** Rows that a chart takes: ten thousand wells are a picture, a million are not. */
const ROWS_MAX = 200_000;
const RULES = "SELECT alert_schema || '.' || alert_name AS alert, rule, firing, labels FROM lab.system.alerts WHERE enabled AND state = 'firing' ORDER BY 1";
/** Labels that are named with a rule; of the others, how many. */
const LABELS_MAX = 5;

export class Card {
  constructor(dashboard, chart, { seesAlerts = false } = {}) {
    this.dashboard = dashboard;
    this.chart = chart;
    this.rules = chart.rules && seesAlerts && h("ul", { class: "rules", "aria-label": "Rules that are broken now" });
    const id = `chart-${chart.name}`;
    this.body = h("div", { class: "chart" });
    this.said = h("p", { class: "readout", role: "status" });
    this.note = h("p", { class: "note" });
    this.problem = h("p", { class: "problem", role: "alert" });
    this.twin = h("details", { class: "twin" }, h("summary", {}, "Table of the same numbers"));
    this.twin.addEventListener("toggle", () => this.drawTwin());
    const file = (format, name) =>
      h("button", { type: "button", class: "quiet", onclick: () => save(this.asked.sql, this.asked.parameters, format, chart.name).catch((error) => this.fail(error)), "aria-label": `${name} of ${chart.title}` }, name);
    const sql = (event) => {
      event.preventDefault();
      go({ view: "sql", q: inline(this.asked) });
    };
    this.element = h(
      "section",
      { class: chart.wide ? "card wide" : "card", "aria-labelledby": id, "data-chart": chart.name, "aria-busy": "true" },
      h("h2", { id }, chart.title),
      h("p", { class: "description" }, chart.description),
      this.rules,
      this.body,
      this.said,
      this.note,
      this.problem,
      h(
        "div",
        { class: "foot" },
        chart.kind === "table" ? null : this.twin,
        h(
          "p",
          { class: "actions" },
          file("csv", "CSV"),
          file("xlsx", "Excel"),
          h("a", { class: "quiet", href: href({ view: "sql" }), onclick: sql, "aria-label": `SQL of ${chart.title}` }, "SQL"),
        ),
      ),
    );
  }

  /** Asks and draws; what is there stays until the new answer is. */
  async load() {
    this.asking?.abort();
    this.asking = new AbortController();
    const { signal } = this.asking;
    this.asked = compile(this.dashboard, this.chart);
    this.element.setAttribute("aria-busy", "true");
    if (this.rules) await this.tellRules();
    try {
      const rows = await query(this.asked.sql, this.asked.parameters, { signal, rowLimit: ROWS_MAX + 1 });
      if (signal.aborted) return;
      this.problem.textContent = "";
      this.show(rows.first(ROWS_MAX), rows.length > ROWS_MAX);
    } catch (error) {
      if (error.name === "AbortError") return;
      this.fail(error);
    }
    this.element.setAttribute("aria-busy", "false");
  }

  /** Which rules fire, and for what. */
  async tellRules() {
    const found = await query(RULES).catch(() => null);
    if (!found) return;
    const [alerts, rules, firing, labels] = ["alert", "rule", "firing", "labels"].map((name) => found.values(name));
    const named = (at) => (labels[at] ?? "").split("; ").filter(Boolean).slice(0, LABELS_MAX);
    const what = (at) => {
      const more = firing[at] - named(at).length;
      return named(at).length > 0 ? `: ${named(at).join("; ")}${more > 0 ? ` and ${more} more` : ""}` : "";
    };
    this.rules.replaceChildren(...alerts.map((alert, at) => h("li", {}, h("strong", {}, alert), " fires by ", h("code", {}, rules[at]), what(at))));
  }

  show(rows, isCut) {
    const question = JSON.stringify(this.asked);
    // The same answer again is not drawn again: somebody may be reading in it.
    if (this.rows && this.drawn === question && rows.equals(this.rows) && !this.problem.textContent) return;
    this.rows = rows;
    this.drawn = question;
    const notes = [];
    if (isCut) notes.push(`Only the first ${ROWS_MAX.toLocaleString("en-GB")} rows are drawn; narrow the filters.`);
    if (this.asked.idle.length > 0) notes.push(`Not narrowed by: ${this.asked.idle.join(", ")}.`);
    this.note.textContent = notes.join(" ");
    this.said.textContent = "";
    if (rows.length === 0) {
      this.body.replaceChildren(h("p", { class: "empty" }, "No rows for these filters."));
    } else if (this.chart.kind === "table") {
      this.body.replaceChildren(table(rows, this.tableOptions()));
    } else {
      try {
        KINDS[this.chart.kind](this.body, rows, this.chart, { say: (text) => (this.said.textContent = text), pick: (value) => this.pick(value) });
      } catch (error) {
        this.fail(error);
      }
    }
    this.twin.querySelector(".table")?.remove();
    this.drawTwin();
  }

  drawTwin() {
    if (!this.twin.open || !this.rows || this.twin.querySelector(".table")) return;
    this.twin.append(table(this.rows, { ...this.tableOptions(), caption: `${this.chart.title}: the same numbers` }));
  }

  tableOptions() {
    const { chart } = this;
    return {
      caption: chart.title,
      decimals: chart.decimals,
      link: chart.sets && (chart.x || chart.series) && { column: chart.series ?? chart.x, pick: (value) => this.pick(value) },
    };
  }

  pick(value) {
    const { sets, opens } = this.chart;
    if (sets && value !== null) go({ [`f.${sets}`]: value, ...(opens ? { view: opens } : {}) });
  }

  fail(error) {
    if (error.status !== 401) this.problem.textContent = error.message;
  }

  end() {
    this.asking?.abort();
  }
}

/** A statement with its values in it, for the editor. */
function inline({ sql, parameters }) {
  const literal = (value) => (typeof value === "number" ? String(value) : `'${String(value).replaceAll("'", "''")}'`);
  return sql.trim().replace(/\$(\d+)/g, (_, place) => literal(parameters[Number(place) - 1]));
}
