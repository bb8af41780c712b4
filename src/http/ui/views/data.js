// The tables a person may see: found by name, column or description; with columns, first rows, and who sees what and why.

import { query } from "../api.js";
import { table } from "../charts/table.js";
import { h } from "../dom.js";
import { go, href, params } from "../state.js";

const quoted = (name) => `"${name.replaceAll('"', '""')}"`;
const full = ({ schema, name }) => `lab.${quoted(schema)}.${quoted(name)}`;
const id = ({ schema, name }) => `${schema}.${name}`;

export async function show(place, world) {
  const box = h("input", { type: "search", id: "find", placeholder: "Table, column or word", value: params().get("find") ?? "" });
  const list = h("div", { class: "tables" });
  const about = h("div", { class: "about" });
  place.replaceChildren(
    h("h1", {}, "Data"),
    h("p", { class: "lead" }, "What you may see. Tables that are not granted to you are not listed."),
    h("label", { class: "filter", for: "find" }, h("span", {}, "Find"), box),
    h("div", { class: "split" }, list, about),
  );
  box.addEventListener("input", () => go({ find: box.value }, true));
  let told = null;
  const draw = () => {
    const now = params().get("table");
    listTables(list, world.tables, params().get("find") ?? "", now);
    if (told === now) return;
    told = now;
    const found = world.tables.find((one) => id(one) === now);
    if (found) tell(about, found);
    else about.replaceChildren(h("p", { class: "hint" }, now ? `Table ${now} not found.` : "Choose a table."));
  };
  draw();
  return { update: draw, refresh: () => {} };
}

/** Why a table is found: by name, by description, by columns. */
function hits(one, word) {
  const has = (text) => text?.toLowerCase().includes(word);
  const columns = one.columns.filter((column) => has(column.name)).map((column) => column.name);
  const why = [];
  if (columns.length > 0) why.push(`columns ${columns.join(", ")}`);
  if (has(one.description)) why.push(one.description);
  return has(id(one)) || why.length > 0 ? why : null;
}

function listTables(list, tables, find, now) {
  const word = find.trim().toLowerCase();
  const found = tables.map((one) => [one, word ? hits(one, word) : []]).filter(([, why]) => why);
  const item = ([one, why]) => {
    const follow = (event) => {
      event.preventDefault();
      go({ table: id(one) });
    };
    return h(
      "li",
      {},
      h("a", { href: href({ table: id(one) }), "aria-current": id(one) === now && "true", onclick: follow }, id(one)),
      why.length > 0 && h("span", { class: "why" }, why.join("; ")),
    );
  };
  list.replaceChildren(
    h("p", { class: "note", role: "status" }, word ? `${found.length} found` : `${found.length} tables`),
    h("ul", {}, found.map(item)),
  );
}

async function tell(about, one) {
  const sample = h("div");
  const policy = h("div");
  const name = full(one);
  const open = (event) => {
    event.preventDefault();
    go({ view: "sql", q: `SELECT * FROM ${name} LIMIT 100` });
  };
  about.replaceChildren(
    h("h2", {}, id(one)),
    h("p", { class: "description" }, one.description ?? "No description."),
    h("p", {}, h("a", { href: href({ view: "sql" }), onclick: open }, "Open in SQL")),
    h("h3", {}, "Columns"),
    h(
      "div",
      { class: "scroll", tabindex: "0", role: "region", "aria-label": "Columns" },
      h(
        "table",
        {},
        h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "name"), h("th", { scope: "col" }, "type"))),
        h("tbody", {}, one.columns.map((column) => h("tr", {}, h("td", {}, column.name), h("td", {}, column.type)))),
      ),
    ),
    h("h3", {}, "First rows"),
    sample,
    h("h3", {}, "What you see of it, and why"),
    policy,
  );
  const into = async (target, sql) => {
    try {
      target.replaceChildren(table(await query(sql, [], { rowLimit: 500 }), { caption: sql }));
    } catch (error) {
      target.replaceChildren(h("p", { class: "problem" }, error.message));
    }
  };
  await Promise.all([into(sample, `SELECT * FROM ${name} LIMIT 20`), into(policy, `EXPLAIN POLICY ON ${name}`)]);
}
