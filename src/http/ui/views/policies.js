// Two questions of an administrator: why somebody sees what he sees, and what an edit of the policies would change for whom.

import { query } from "../api.js";
import { table } from "../charts/table.js";
import { h } from "../dom.js";

const quoted = (name) => `"${name.replaceAll('"', '""')}"`;
const text = (value) => `'${value.replaceAll("'", "''")}'`;

function tool(name, title, about, ...children) {
  const id = `admin-${name}`;
  return h("section", { class: "card wide", "aria-labelledby": id, "data-chart": name, "aria-busy": "false" }, h("h2", { id }, title), h("p", { class: "description" }, about), ...children);
}

/** Asks, and shows the rows or the server's words against it. */
function asking(place, problem, caption, nothing) {
  return async (sql) => {
    problem.textContent = "";
    place.setAttribute("aria-busy", "true");
    try {
      const rows = await query(sql);
      place.replaceChildren(rows.length > 0 ? table(rows, { caption }) : h("p", { class: "empty" }, nothing));
    } catch (error) {
      place.replaceChildren();
      if (error.status !== 401) problem.textContent = error.message;
    }
    place.setAttribute("aria-busy", "false");
  };
}

const field = (label, input) => h("label", { class: "filter", for: input.id }, h("span", {}, label), input);

/** What somebody sees of a table, and the lines that decided. */
export function explain(world) {
  const who = h("input", { id: "explain-who", autocomplete: "off", placeholder: "everybody", list: "explain-people" });
  const people = h("datalist", { id: "explain-people" });
  const of = h("select", { id: "explain-table" }, world.tables.map(({ schema, name }) => h("option", { value: `lab.${quoted(schema)}.${quoted(name)}` }, `${schema}.${name}`)));
  const which = h("input", { id: "explain-rows", autocomplete: "off", spellcheck: "false", placeholder: "well = 'A1'" });
  const [answer, problem] = [h("div", { class: "result" }), h("p", { class: "problem", role: "alert" })];
  const ask = asking(answer, problem, "What is seen, and why", "Nothing.");
  const form = h("form", { class: "filters" }, field("Login", who), people, field("Table", of), field("Rows where", which), h("button", { type: "submit", class: "main" }, "Explain"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const login = who.value.trim();
    const rows = which.value.trim();
    ask(`EXPLAIN POLICY FOR ${login ? text(login) : "ALL"} ON ${of.value}${rows ? ` WHERE ${rows}` : ""}`);
  });
  query("SELECT DISTINCT substr(subject, 6) AS login FROM lab.system.policy_rules WHERE subject LIKE 'user:%' ORDER BY 1")
    .then((rows) => people.replaceChildren(...rows.values("login").map((login) => h("option", { value: login }))))
    .catch(() => {});
  return tool("explain", "Who sees what, and why", "Of one person every column, mask and filter with the policy line that decided; with a condition also what becomes of those rows. Without a login how much everybody sees.", form, problem, answer);
}

/** What an edit of the policy files would change, before it acts. */
export function changes() {
  const area = (id, name) => h("textarea", { id, rows: 16, spellcheck: "false", autocomplete: "off", "aria-label": name });
  const [policy, filters] = [area("changes-policy", "policy.csv"), area("changes-filters", "filters.toml")];
  const [answer, problem] = [h("div", { class: "result" }), h("p", { class: "problem", role: "alert" })];
  const ask = asking(answer, problem, "What the edit changes", "Nothing would change for anybody.");
  const compare = h("button", { type: "button", class: "main" }, "Compare");
  compare.addEventListener("click", () => ask(`EXPLAIN POLICY CHANGES POLICY ${text(policy.value)} FILTERS ${text(filters.value)}`));
  const load = async () => {
    const rows = await query("SELECT file, text FROM lab.system.policy_files");
    const texts = new Map(rows.values("file").map((file, at) => [file, rows.values("text")[at]]));
    [policy.value, filters.value] = [texts.get("policy.csv") ?? "", texts.get("filters.toml") ?? ""];
    answer.replaceChildren();
  };
  const fail = (error) => {
    if (error.status !== 401) problem.textContent = error.message;
  };
  const again = h("button", { type: "button", onclick: () => load().catch(fail) }, "As in force");
  const body = h("details", { class: "changes" }, h("summary", {}, "Edit a copy of the files"), h("div", { class: "editor texts" }, policy, filters), h("p", { class: "actions" }, compare, again), problem, answer);
  body.addEventListener("toggle", () => body.open && !policy.value && load().catch(fail));
  return tool("changes", "What an edit would change", "Type the change into a copy of policy.csv and filters.toml and compare: who gains or loses which tables, columns and rows, counted on the data of now. Nothing acts until the files in the policies folder are changed.", body);
}
