// Where things come from and what was made of them, of `lab.system.lineage`: what lies within what the person sees.

import { query } from "../api.js";
import { graph } from "../charts/graph.js";

/** Whole things only; the files of a table are one. */
const STEPS = `SELECT source_kind, CASE WHEN source_kind = 'file' THEN target_name ELSE source_name END AS source, target_kind, target_name AS target, count(*) AS steps, max(source_version) AS version
FROM lab.system.lineage WHERE source_column IS NULL AND target_column IS NULL GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4`;
const ORIGINS = "SELECT target_column, source_name, source_column FROM lab.system.lineage WHERE target_kind <> 'model' AND target_name = $1 AND target_column IS NOT NULL ORDER BY 1, 2, 3";

export const isThere = (world) => world.tables.some((one) => one.schema === "system" && one.name === "lineage");

/** All steps: {from, to, version, count}, the ends as {id, kind, title}. */
export async function steps() {
  const rows = await query(STEPS, [], { rowLimit: 50_000 });
  const [kinds, sources, targets, names, counts, versions] = ["source_kind", "source", "target_kind", "target", "steps", "version"].map((name) => rows.values(name));
  const end = (kind, title) => ({ id: `${kind}:${title}`, kind, title });
  return kinds.map((kind, at) => ({
    from: kind === "file" ? { ...end("files", sources[at]), note: counts[at] === 1 ? "1 landed" : `${counts[at]} landed` } : end(kind, sources[at]),
    to: end(targets[at], names[at]),
    version: versions[at],
  }));
}

/** The steps that lead to a table or view, and those that go on from it. */
export function around(all, title) {
  const isTable = (end) => end.title === title && (end.kind === "table" || end.kind === "view");
  const follow = (begins, next) => {
    const found = new Set();
    const seen = new Set();
    const todo = all.filter(begins);
    while (todo.length > 0) {
      const step = todo.pop();
      if (found.has(step)) continue;
      found.add(step);
      const on = next(step);
      if (seen.has(on.id)) continue;
      seen.add(on.id);
      todo.push(...all.filter((other) => (next === towards ? other.to.id : other.from.id) === on.id));
    }
    return found;
  };
  const towards = (step) => step.from;
  const onwards = (step) => step.to;
  const found = new Set([...follow((step) => isTable(step.to), towards), ...follow((step) => isTable(step.from), onwards)]);
  return all.filter((step) => found.has(step));
}

/** Boxes and arrows of steps; `more(end)` adds to a box what is known of it. */
export function drawing(found, { label, pick, more = () => ({}) }) {
  const nodes = new Map();
  for (const end of found.flatMap(({ from, to }) => [from, to])) nodes.set(end.id, { canPick: end.kind === "table" || end.kind === "view", ...end, ...more(end) });
  return graph([...nodes.values()], found.map(({ from, to }) => [from.id, to.id]), { label, pick });
}

/** For each column of a table where its values come from, in words: `schema.table: column, column`. */
export async function origins(title) {
  const rows = await query(ORIGINS, [title], { rowLimit: 20_000 });
  const [columns, sources, names] = ["target_column", "source_name", "source_column"].map((name) => rows.values(name));
  const found = new Map();
  columns.forEach((column, at) => {
    if (!found.has(column)) found.set(column, new Map());
    const of = found.get(column);
    of.set(sources[at], [...(of.get(sources[at]) ?? []), names[at]]);
  });
  return new Map([...found].map(([column, of]) => [column, [...of].map(([source, names]) => `${source}: ${names.join(", ")}`)]));
}
