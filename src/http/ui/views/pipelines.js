// The lab's pipelines: what is made of what, how fresh each view is and how it was made; made again by whoever may.

import { query } from "../api.js";
import { table } from "../charts/table.js";
import { h } from "../dom.js";
import { Rows } from "../rows.js";
import { go, params } from "../state.js";
import * as lineage from "./lineage.js";

const LIST = "SELECT view_schema || '.' || view_name AS view, state, reason, refresh, owner, refreshed_at, mode, mode_reason, \"rows\", expectations, file, sources, sql FROM lab.system.pipelines ORDER BY 1, file";
const SHOWN = ["view", "state", "reason", "refresh", "owner", "refreshed_at", "mode", "mode_reason", "rows", "expectations", "file"];
const marks = (column, value) => column === "state" && (["failed", "orphaned"].includes(value) ? "bad" : value === "fresh" && "good");

const quoted = (name) => name.split(".").map((part) => `"${part.replaceAll('"', '""')}"`).join(".");

export async function show(place, world) {
  const [drawn, list, about] = [h("div", { class: "dag" }), h("div", { class: "result" }), h("div", { class: "about" })];
  const said = h("p", { class: "readout", role: "status" });
  const problem = h("p", { class: "problem", role: "alert" });
  let views = [];
  let known = null;

  async function act(sql, done) {
    said.textContent = "At work …";
    problem.textContent = "";
    try {
      await query(sql);
      said.textContent = done;
    } catch (error) {
      said.textContent = "";
      if (error.status !== 401) problem.textContent = error.message;
    }
    await draw();
  }

  function tell() {
    const one = views.find((view) => view.view !== null && view.view === params().get("pipeline"));
    if (!one) return about.replaceChildren();
    const refresh = `REFRESH MATERIALIZED VIEW lab.${quoted(one.view)}`;
    about.replaceChildren(
      h("h2", {}, one.view),
      h("p", { class: "description" }, [`${one.state}, ${one.refresh}, as ${one.owner}.`, one.mode && `Made last in ${one.mode === "full" ? "full" : "part"}: ${one.mode_reason ?? "the reason was not kept"}.`, one.reason].filter(Boolean).join(" ")),
      h(
        "p",
        { class: "actions" },
        h("button", { type: "button", onclick: () => act(refresh, `${one.view} is fresh.`) }, "Refresh"),
        h("button", { type: "button", onclick: () => act(`${refresh} FULL`, `${one.view} is made of all there is.`) }, "Make all of it anew"),
        h("a", { href: `?view=data&table=${encodeURIComponent(one.view)}`, onclick: (event) => (event.preventDefault(), go({ view: "data", table: one.view, pipeline: null })) }, "Its data"),
      ),
      h("pre", { class: "sql", tabindex: "0" }, one.sql),
    );
  }

  async function draw() {
    try {
      const rows = await query(LIST, [], { rowLimit: 5_000 });
      const record = (_, row) => Object.fromEntries(rows.columns.map((column) => [column.name, column.values[row]]));
      views = Array.from({ length: rows.length }, record);
      // Nothing is drawn anew while it stays the same: somebody may be reading, or on a button.
      const now = JSON.stringify(views, (_, value) => (typeof value === "bigint" ? String(value) : value));
      if (now === known) return;
      known = now;
      const steps = lineage.isThere(world) ? await lineage.steps() : [];
      const byName = new Map(views.map((view) => [view.view, view]));
      const isView = (end) => byName.has(end.title);
      const near = steps.filter(({ from, to }) => isView(from) || isView(to));
      const more = (end) => (end.kind === "view" && isView(end) ? { note: byName.get(end.title).state, isBad: byName.get(end.title).state !== "fresh" } : { canPick: false });
      const pick = (node) => go({ pipeline: node.title });
      drawn.replaceChildren(near.length > 0 ? lineage.drawing(near, { label: "Pipelines", pick, more }) : h("p", { class: "hint" }, "No view is made of anything that you see."));
      const shown = new Rows(rows.columns.filter((column) => SHOWN.includes(column.name)), rows.length);
      list.replaceChildren(rows.length > 0 ? table(shown, { caption: "Pipelines", link: { column: "view", pick: (title) => pick({ title }) }, marks }) : h("p", { class: "hint" }, "None yet."));
      tell();
    } catch (error) {
      if (error.status !== 401) problem.textContent = error.message;
    }
  }

  place.replaceChildren(
    h("h1", {}, "Pipelines"),
    h("p", { class: "lead" }, "Views and what they are made of. Made with CREATE MATERIALIZED VIEW, or by SQL files in the folder of pipelines; each is refreshed as its owner."),
    drawn,
    said,
    problem,
    about,
    list,
  );
  await draw();
  return { update: tell, refresh: draw };
}
