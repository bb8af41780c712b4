// A dashboard's file, edited in its place by an administrator.

import { dashboardFile, removeDashboard, writeDashboard } from "../api.js";
import { h } from "../dom.js";

/** The editor for the dashboard `name`; `close` is called when nothing was changed. */
export async function editor(name, close) {
  const { text, sha256, is_shipped: isShipped } = await dashboardFile(name);
  const area = h("textarea", { id: "dashboard-text", rows: 28, spellcheck: "false", autocomplete: "off", "aria-label": `The file of the dashboard ${name}` });
  area.value = text;
  const as = h("input", { id: "dashboard-name", value: name, pattern: "[a-z0-9_]+", autocomplete: "off" });
  const problem = h("p", { class: "problem", role: "alert" });

  async function act(work, then) {
    problem.textContent = "";
    try {
      await work();
      location.assign(`/?view=${encodeURIComponent(then)}`);
    } catch (error) {
      if (error.status !== 401) problem.textContent = error.message;
    }
  }

  const save = () => act(() => writeDashboard(as.value, area.value, as.value === name ? sha256 : null), as.value);
  const remove = h("button", { type: "button", class: "quiet" }, "Remove this file");
  remove.addEventListener("click", () => {
    if (remove.textContent === "Remove this file") remove.textContent = "Remove it for good?";
    else act(() => removeDashboard(name, sha256), "overview");
  });
  return h(
    "section",
    { class: "editor", "aria-label": "Edit the dashboard" },
    h("p", { class: "hint" }, `TOML around SQL, as it lies in the dashboards folder${isShipped ? "; this one is shipped, and what you save takes its place" : ""}. Another name makes a copy. Everybody's charts run as the person who looks.`),
    area,
    problem,
    h(
      "p",
      { class: "actions" },
      h("label", { class: "filter", for: "dashboard-name" }, h("span", {}, "Name"), as),
      h("button", { type: "button", class: "main", onclick: save }, "Save"),
      h("button", { type: "button", onclick: close }, "Leave as it is"),
      !isShipped && remove,
    ),
  );
}
