// A dashboard: filters above, cards below, all from its file.

import { get } from "../api.js";
import { Card } from "../charts/card.js";
import { h } from "../dom.js";
import { bar, needsBar } from "../filters.js";
import { editor } from "./edit.js";

export async function show(place, world, name) {
  const dashboard = await get(`/api/dashboards/${encodeURIComponent(name)}`);
  const filters = h("div", { class: "bar" });
  const seesAlerts = world.tables.some((one) => one.schema === "system" && one.name === "alerts");
  const cards = dashboard.charts.map((chart) => new Card(dashboard, chart, { seesAlerts }));
  const edited = h("div");
  const edit = h("button", { type: "button", class: "quiet" }, "Edit");
  edit.addEventListener("click", async () => {
    edit.disabled = true;
    const close = () => {
      edited.replaceChildren();
      edit.disabled = false;
    };
    edited.replaceChildren(await editor(name, close).catch((error) => h("p", { class: "problem", role: "alert" }, error.message)));
  });
  place.replaceChildren(
    h("h1", {}, dashboard.title),
    h("p", { class: "lead" }, dashboard.description),
    ...(dashboard.problem ? [h("p", { class: "problem", role: "alert" }, dashboard.problem)] : []),
    ...(world.isAdmin ? [h("p", { class: "actions" }, edit), edited] : []),
    filters,
    h("div", { class: "cards" }, cards.map((card) => card.element)),
  );
  const draw = async () => {
    // Somebody may be on a field of it: what stays the same is left alone.
    const drawing = bar(dashboard).then((made) => filters.firstElementChild?.outerHTML !== made.outerHTML && filters.replaceChildren(made));
    if (needsBar(dashboard)) await drawing;
    await Promise.all([drawing, ...cards.map((card) => card.load())]);
  };
  draw();
  return { update: draw, refresh: draw, end: () => cards.forEach((card) => card.end()) };
}
