// What an administrator looks after: each part is a system table, asked like any other.

import { query } from "../api.js";
import { table } from "../charts/table.js";
import { h } from "../dom.js";

const PARTS = [
  ["Ungoverned tables", "ungoverned", "Tables that nobody was granted yet: only administrators see them.", "SELECT * FROM lab.system.ungoverned ORDER BY 1, 2"],
  ["Quarantine", "quarantine", "Files that were not understood, and why.", "SELECT * FROM lab.system.quarantine ORDER BY path"],
  ["Queries", "queries", "The last statements and what became of them.", "SELECT started_at, principal, state, duration_ms, rows, sql, error FROM lab.system.queries ORDER BY started_at DESC LIMIT 50"],
  ["Policies in force", "policies", "Which set acts, and what is wrong with the files if they do not.", "SELECT * FROM lab.system.policies"],
  ["Policy rules", "policy_rules", "Every rule with file and line.", "SELECT * FROM lab.system.policy_rules ORDER BY file, line"],
  ["Audit", "audit", "Who asked what, and what decided.", "SELECT * FROM lab.system.audit ORDER BY 1 DESC LIMIT 50"],
  ["Files", "files", "What became of the landed files.", "SELECT * FROM lab.system.files ORDER BY path LIMIT 500"],
];

export async function show(place, world) {
  const there = new Set(world.tables.filter((one) => one.schema === "system").map((one) => one.name));
  const problems = world.problems.map(({ name, problem }) => h("p", { class: "problem" }, `Dashboard ${name}: ${problem}`));
  const parts = PARTS.filter(([, name]) => there.has(name)).map(([title, name, about, sql]) => {
    const body = h("div", { class: "chart" });
    const id = `admin-${name}`;
    const element = h("section", { class: "card wide", "aria-labelledby": id, "data-chart": name, "aria-busy": "true" }, h("h2", { id }, title), h("p", { class: "description" }, about), body);
    const load = async () => {
      try {
        const rows = await query(sql, [], { rowLimit: 1_000 });
        body.replaceChildren(rows.length > 0 ? table(rows, { caption: title }) : h("p", { class: "empty" }, "None."));
      } catch (error) {
        body.replaceChildren(h("p", { class: "problem", role: "alert" }, error.message));
      }
      element.setAttribute("aria-busy", "false");
    };
    return [element, load];
  });
  place.replaceChildren(
    h("h1", {}, "Admin"),
    h("p", { class: "lead" }, "Who may see what, what came in, what runs."),
    ...problems,
    h("div", { class: "cards" }, parts.map(([element]) => element)),
  );
  const draw = () => Promise.all(parts.map(([, load]) => load()));
  draw();
  return { update: () => {}, refresh: draw };
}
