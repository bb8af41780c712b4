// What the alerts of the lab say, when the server has them.

import { query } from "../api.js";
import { table } from "../charts/table.js";
import { h } from "../dom.js";

export async function show(place, world) {
  const there = world.tables.some((one) => one.schema === "system" && one.name === "alerts");
  const body = h("div");
  place.replaceChildren(
    h("h1", {}, "Alerts"),
    h("p", { class: "lead" }, "Rules over the lab's tables, and what state each is in."),
    body,
  );
  const draw = async () => {
    if (!there) {
      body.replaceChildren(h("p", { class: "hint" }, "You see no alerts: lab.system.alerts is not there or not granted to you."));
      return;
    }
    try {
      const rows = await query("SELECT * FROM lab.system.alerts", [], { rowLimit: 1_000 });
      body.replaceChildren(rows.length > 0 ? table(rows, { caption: "Alerts" }) : h("p", { class: "hint" }, "No alerts yet. CREATE ALERT in SQL makes one."));
    } catch (error) {
      body.replaceChildren(h("p", { class: "problem", role: "alert" }, error.message));
    }
  };
  await draw();
  return { update: () => {}, refresh: draw };
}
