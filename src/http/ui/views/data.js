// The tables a person may see: found by what stands in the catalog, typing errors forgiven.

import { get, query } from "../api.js";
import { h } from "../dom.js";
import { go, href, params } from "../state.js";
import { tell } from "./table.js";

const FOUND_MAX = 200;
const SHOWN_MAX = 4;
/** Milliseconds without a key after which the server is asked. */
const PAUSE_MS = 300;

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
  let searched = { word: "", found: [] };
  let timer = null;
  const typed = () => (params().get("find") ?? "").trim();
  const search = async (word) => {
    const found = await ranked(word, world.tables).catch(() => null);
    if (!found || word !== typed() || !place.isConnected) return;
    searched = { word, found };
    draw();
  };
  const draw = () => {
    const now = params().get("table");
    const word = typed();
    listTables(list, found(world.tables, word, searched.word === word ? searched.found : []), word, now);
    clearTimeout(timer);
    if (word && searched.word !== word) timer = setTimeout(search, PAUSE_MS, word);
    if (told === now) return;
    told = now;
    const chosen = world.tables.find((one) => id(one) === now);
    if (chosen) tell(about, chosen, world);
    else about.replaceChildren(h("p", { class: "hint" }, now ? `Table ${now} not found.` : "Choose a table."));
  };
  draw();
  const refresh = async () => {
    const tables = await get("/api/tables").then((answer) => answer.tables, () => null);
    if (!tables || JSON.stringify(tables) === JSON.stringify(world.tables)) return;
    const chosen = (all) => JSON.stringify(all.find((one) => id(one) === told));
    if (chosen(tables) !== chosen(world.tables)) told = undefined;
    world.tables = tables;
    searched = { word: "", found: [] };
    draw();
  };
  return { update: draw, refresh };
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

/** What the server finds, the best first: tables, each with what was found in it. */
async function ranked(word, tables) {
  const rows = await query(`SELECT * FROM search_catalog('${word.replaceAll("'", "''")}', ${FOUND_MAX})`);
  const [schemas, names, columns, matched] = ["table_schema", "table_name", "column_name", "matched"].map((name) => rows.values(name));
  const whys = new Map();
  names.forEach((name, at) => {
    const key = `${schemas[at]}.${name}`;
    if (!whys.has(key)) whys.set(key, []);
    whys.get(key).push(columns[at] ? `${columns[at]}: ${matched[at]}` : matched[at]);
  });
  const known = new Map(tables.map((one) => [id(one), one]));
  return [...whys].filter(([key]) => known.has(key)).map(([key, why]) => [known.get(key), why.slice(0, SHOWN_MAX)]);
}

/** The tables to list: what the server found, then what has the very letters in it. */
function found(tables, word, ranked) {
  if (!word) return tables.map((one) => [one, []]);
  const first = new Set(ranked.map(([one]) => one));
  const letters = tables.filter((one) => !first.has(one)).map((one) => [one, hits(one, word.toLowerCase())]);
  return [...ranked, ...letters.filter(([, why]) => why)];
}

function listTables(list, found, word, now) {
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
