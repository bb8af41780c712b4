// One table: what it is and whose, what its columns hold, where it comes from, its first rows, and who may see it.

import { query } from "../api.js";
import { table } from "../charts/table.js";
import { h } from "../dom.js";
import { Rows } from "../rows.js";
import { go } from "../state.js";
import * as lineage from "./lineage.js";
import * as profile from "./profile.js";

const quoted = (name) => `"${name.replaceAll('"', '""')}"`;
const full = ({ schema, name }) => `lab.${quoted(schema)}.${quoted(name)}`;
const WHAT = { table: "table", view: "materialized view", library: "virtual library", system: "table of the server" };

const list = (tags) => Object.entries(tags).map(([key, value]) => h("span", { class: "tag" }, `${key} = ${value}`));

function facts(one) {
  const pairs = [
    ["kind", WHAT[one.what]],
    ["department", one.department],
    ["owner", one.owner],
    ["tags", Object.keys(one.tags).length > 0 && list(one.tags)],
  ];
  return h("dl", { class: "facts" }, pairs.filter(([, value]) => value).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

/** The columns; what they hold comes when it is counted. */
function columns(one, world) {
  const isKnown = one.what !== "system" && profile.isThere(world);
  const head = ["name", "type", "about it", ...(isKnown ? ["holds", "lies"] : [])];
  const cells = one.columns.map((column) => ({
    column,
    about: h("td", {}, [column.comment, column.unit && `in ${column.unit}`].filter(Boolean).join(", "), list(column.tags)),
    holds: h("td", { class: "holds" }),
    lies: h("td"),
  }));
  const body = cells.map(({ column, about, holds, lies }) => h("tr", { "data-column": column.name }, h("th", { scope: "row" }, column.name), h("td", {}, column.type), about, isKnown && [holds, lies]));
  const note = h("div");
  const element = h(
    "div",
    {},
    h(
      "div",
      { class: "scroll", tabindex: "0", role: "region", "aria-label": "Columns", "aria-busy": String(isKnown) },
      h("table", {}, h("thead", {}, h("tr", {}, head.map((name) => h("th", { scope: "col" }, name)))), h("tbody", {}, body)),
    ),
    note,
  );
  const busy = element.firstElementChild;
  const fill = async () => {
    try {
      const known = await profile.profiles(one);
      for (const { column, holds } of cells) holds.textContent = profile.words(known.get(column.name));
      const { found, isSampled } = await profile.histograms(full(one), one.columns, known);
      for (const { column, lies } of cells) if (found.has(column.name)) lies.replaceChildren(profile.bars(column.name, found.get(column.name)));
      note.replaceChildren(...[profile.note(isSampled)].filter(Boolean));
    } catch (error) {
      if (error.status !== 401) note.replaceChildren(h("p", { class: "problem" }, error.message));
    }
    busy.setAttribute("aria-busy", "false");
  };
  const from = async () => {
    const origins = await lineage.origins(`${one.schema}.${one.name}`);
    for (const { column, about } of cells) {
      const sources = origins.get(column.name) ?? [];
      if (sources.length > 0) about.append(h("span", { class: "why" }, `from ${sources.join("; ")}`));
    }
  };
  return { element, fill: isKnown ? fill : async () => {}, from };
}

/** Who sees how much: a person a line. */
async function whoSees(one) {
  const rows = await query(`EXPLAIN POLICY FOR ALL ON ${full(one)}`);
  const [subjects, verdicts, objects, files, lines, whys] = ["subject", "verdict", "object", "file", "line", "why"].map((name) => rows.values(name));
  const people = new Map();
  const whole = `lab.${one.schema}.${one.name}`;
  subjects.forEach((subject, at) => {
    if (!people.has(subject)) people.set(subject, { sees: null, rows: "", columns: new Map(), rules: new Set() });
    const person = people.get(subject);
    if (objects[at] === whole && person.sees === null) person.sees = verdicts[at] === "hidden" ? "nothing" : "it";
    else if (objects[at] === whole) person.rows = whys[at];
    else person.columns.set(objects[at].slice(whole.length + 1), verdicts[at]);
    if (files[at]) person.rules.add(`${files[at]}:${lines[at]}`);
  });
  const kept = (columns) => [...columns].map(([column, verdict]) => `${column} ${verdict}`).join(", ");
  const line = ([name, { sees, rows, columns, rules }]) =>
    h("tr", { "data-person": name }, h("th", { scope: "row" }, name), h("td", {}, sees === "nothing" ? "nothing" : rows || "it"), h("td", {}, kept(columns) || (sees === "nothing" ? "" : "all, in clear")), h("td", {}, [...rules].join(", ")));
  const head = ["login", "sees", "columns kept back", "decided by"];
  return h(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": "Who may see it" },
    h("table", { class: "who" }, h("thead", {}, h("tr", {}, head.map((name) => h("th", { scope: "col" }, name)))), h("tbody", {}, [...people].map(line))),
  );
}

/** Without columns in which nothing stands: rules are told to administrators only. */
const filled = (rows) => new Rows(rows.columns.filter((column) => column.values.some((value) => value !== null)), rows.length);

export async function tell(place, one, world) {
  const name = full(one);
  const open = (event) => {
    event.preventDefault();
    go({ view: "sql", q: `SELECT * FROM ${name} LIMIT 100` });
  };
  const made = columns(one, world);
  const [sample, policy, origin, who] = [h("div"), h("div"), h("div", { class: "origin" }), h("div")];
  const hasLineage = one.what !== "system" && lineage.isThere(world);
  const people = h("details", { class: "people", open: world.isAdmin }, h("summary", {}, "Who may see it"), h("p", { class: "hint" }, "Told to those who hold the admin action on the table and see all of it."), who);
  let asked = false;
  const into = async (target, made) => {
    try {
      target.replaceChildren(await made());
    } catch (error) {
      if (error.status !== 401) target.replaceChildren(h("p", { class: "problem" }, error.message));
    }
  };
  const tellWho = () => {
    if (!people.open || asked) return;
    asked = true;
    into(who, () => whoSees(one));
  };
  people.addEventListener("toggle", tellWho);
  place.replaceChildren(
    h("h2", {}, `${one.schema}.${one.name}`),
    facts(one),
    h("p", { class: "description" }, one.description || "No description."),
    h("p", {}, h("a", { href: `?view=sql`, onclick: open }, "Open in SQL")),
    h("h3", {}, "Columns"),
    made.element,
    h("h3", {}, "First rows"),
    sample,
    ...(hasLineage ? [h("h3", {}, "Where it comes from, and what was made of it"), origin] : []),
    h("h3", {}, "What you see of it, and why"),
    policy,
    people,
  );
  const asTable = (sql) => async () => table(await query(sql, [], { rowLimit: 500 }), { caption: sql });
  const drawn = async () => {
    const found = lineage.around(await lineage.steps(), `${one.schema}.${one.name}`);
    if (found.length === 0) return h("p", { class: "hint" }, "Nothing that you see leads here or goes on from here.");
    const isHere = (end) => end.title === `${one.schema}.${one.name}` && (end.kind === "table" || end.kind === "view");
    return lineage.drawing(found, { label: `Lineage of ${one.schema}.${one.name}`, pick: (node) => go({ table: node.title }), more: (end) => ({ isHere: isHere(end) }) });
  };
  await Promise.all([
    into(sample, asTable(`SELECT * FROM ${name} LIMIT 20`)),
    into(policy, async () => table(filled(await query(`EXPLAIN POLICY ON ${name}`)), { caption: "What you see of it, and why" })),
    made.fill(),
    ...(hasLineage ? [into(origin, drawn), made.from().catch(() => {})] : []),
    tellWho(),
  ]);
}
