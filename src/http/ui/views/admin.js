// What an administrator looks after: each part is a system table, asked like any other, with what can be done about it.

import { query } from "../api.js";
import { table } from "../charts/table.js";
import { h } from "../dom.js";
import { go } from "../state.js";
import { changes, explain } from "./policies.js";

const text = (value) => `'${String(value).replaceAll("'", "''")}'`;
const RUNNING = new Set(["running", "queued"]);

/** Title, table, what it is about, statement, and what can be done with a row: [word, statement, what was done]. */
const PARTS = [
  ["Policies in force", "policies", "Which set acts, and what is wrong with the files if they do not.", "SELECT generation, substr(fingerprint, 1, 12) AS fingerprint, in_force, problem FROM lab.system.policies"],
  ["Ungoverned tables", "ungoverned", "Tables that nobody was granted yet: only administrators see them.", "SELECT * FROM lab.system.ungoverned ORDER BY 1, 2"],
  [
    "Quarantine",
    "quarantine",
    "Files that were not understood, and why. A released file is read again; an ignored one is left alone until it changes.",
    "SELECT path, reason, bytes, since, sample FROM lab.system.quarantine ORDER BY path",
    ({ path }) => [
      ["Release", `RELEASE QUARANTINE ${text(path)}`, `${path} is read again.`],
      ["Ignore", `IGNORE QUARANTINE ${text(path)}`, `${path} is left alone.`],
    ],
  ],
  [
    "Queries",
    "queries",
    "The last statements, what became of them, and those that run now.",
    "SELECT started_at, principal, state, duration_ms, \"rows\", sql, error, id FROM lab.system.queries ORDER BY state IN ('running', 'queued') DESC, started_at DESC LIMIT 50",
    ({ id, state, principal }) => (RUNNING.has(state) ? [["Cancel", `CANCEL QUERY ${text(id)}`, `The statement of ${principal} is cancelled.`]] : []),
  ],
  [
    "Pipelines",
    "pipelines",
    "Views, how fresh they are, and how they were made last.",
    "SELECT view_schema || '.' || view_name AS view, state, reason, refresh, owner, refreshed_at, mode, mode_reason, \"rows\" FROM lab.system.pipelines WHERE view_name IS NOT NULL ORDER BY 1",
  ],
  ["Audit", "audit", "Who asked what, which policy lines decided, and what came of it: the last fifty events.", "SELECT at, event, principal, action, verdict, reason, statement, tables, lines, detail, door, peer, query_id FROM lab.system.audit ORDER BY at DESC LIMIT 50"],
  ["Policy rules", "policy_rules", "Every rule with file and line.", "SELECT * FROM lab.system.policy_rules ORDER BY file, line"],
  ["Files", "files", "What became of the landed files.", "SELECT path, tables, status, reason, \"rows\", bytes, confidence, doubts, taken_for, grouped_by FROM lab.system.files ORDER BY path LIMIT 500"],
];

const LINKS = { pipelines: { column: "view", pick: (name) => go({ view: "pipelines", pipeline: name }) } };

export async function show(place, world) {
  const there = new Set(world.tables.filter((one) => one.schema === "system").map((one) => one.name));
  const problems = world.problems.map(({ name, problem }) => h("p", { class: "problem" }, `Dashboard ${name}: ${problem}`));
  const parts = PARTS.filter(([, name]) => there.has(name)).map(part);
  const tools = [explain(world), there.has("policy_files") && changes()].filter(Boolean);
  place.replaceChildren(
    h("h1", {}, "Admin"),
    h("p", { class: "lead" }, "Who may see what, what came in, what runs."),
    ...problems,
    h("div", { class: "cards" }, parts[0]?.[0], tools, parts.slice(1).map(([element]) => element)),
  );
  const draw = () => Promise.all(parts.map(([, load]) => load()));
  draw();
  return { update: () => {}, refresh: draw };
}

/** A card of one system table, and what loads it. */
function part([title, name, about, sql, acts]) {
  const id = `admin-${name}`;
  const body = h("div", { class: "chart" });
  const said = h("p", { class: "readout", role: "status" });
  const problem = h("p", { class: "problem", role: "alert" });
  const element = h("section", { class: "card wide", "aria-labelledby": id, "data-chart": name, "aria-busy": "true" }, h("h2", { id }, title), h("p", { class: "description" }, about), body, said, problem);
  const act = async (statement, done) => {
    said.textContent = problem.textContent = "";
    try {
      await query(statement);
      said.textContent = done;
    } catch (error) {
      if (error.status !== 401) problem.textContent = error.message;
    }
    await load();
  };
  const actions = acts && ((row) => acts(row).map(([word, statement, done]) => [word, () => act(statement, done)]));
  async function load() {
    try {
      const rows = await query(sql, [], { rowLimit: 1_000 });
      body.replaceChildren(rows.length > 0 ? table(rows, { caption: title, link: LINKS[name], actions }) : h("p", { class: "empty" }, "None."));
    } catch (error) {
      if (error.status !== 401) problem.textContent = error.message;
    }
    element.setAttribute("aria-busy", "false");
  }
  return [element, load];
}
