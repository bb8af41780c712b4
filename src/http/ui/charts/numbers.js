// One row of large numbers.

import { h } from "../dom.js";
import { cell, words } from "../format.js";

export function draw(place, rows, chart) {
  const tile = (column) =>
    h("div", { class: "number" }, h("dt", {}, words(column.name)), h("dd", {}, cell(column.values[0], column.kind, chart.decimals)));
  place.replaceChildren(h("dl", { class: "numbers" }, rows.columns.map(tile)));
}
