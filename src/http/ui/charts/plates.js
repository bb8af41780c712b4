// All plates at once: a row a plate, a column a well, from A1 on.

import { canvas, style } from "../dom.js";
import { heat } from "./heat.js";
import { letter, place as placeOf, plateOf } from "./wells.js";

/** Room for plates' names, in pixels: as much as the longest needs, within these. */
const LABEL_MIN = 52;
const LABEL_MAX = 120;

export function draw(place, rows, chart, { say, pick }) {
  const names = [...new Set(rows.values(chart.series))];
  const at = new Map(names.map((name, row) => [name, row]));
  const wells = rows.values(chart.x).map(placeOf);
  const [height, width] = plateOf(wells.filter(Boolean));
  const columns = height * width;
  const values = new Array(names.length * columns).fill(null);
  const measured = rows.values(chart.y[0]);
  rows.values(chart.series).forEach((name, row) => {
    const well = wells[row];
    if (well && well[0] < height && well[1] < width) values[at.get(name) * columns + well[0] * width + well[1]] = measured[row];
  });
  const [labels, labelWidth] = fitted(names.map((name) => String(name ?? "(none)")));
  const grid = {
    rows: names.length,
    columns,
    value: (row, column) => values[row * columns + column],
    rowLabel: (row) => labels[row],
    columnLabels: Array.from({ length: height }, (_, row) => [row * width, letter(row), width]),
    labelWidth,
    cellHeight: () => Math.min(14, Math.max(3, 640 / names.length)),
  };
  const name = (row, column) => `${names[row] ?? "(none)"}, well ${letter(Math.floor(column / width))}${(column % width) + 1}`;
  const frame = heat(place, chart, grid, { say, name, pick: chart.sets && ((row) => names[row] !== null && pick(names[row])) });
  frame.grid = { names, labels, columns, values };
}

/** Names as they fit beside the picture, and the room they take: of what is longer, its beginning and its end. */
function fitted(names) {
  const [, context] = canvas(1, 1, "");
  context.font = style("--chart-font");
  const width = (text) => context.measureText(text).width + 8;
  const widest = names.reduce((most, name) => Math.max(most, width(name)), LABEL_MIN);
  const room = Math.min(LABEL_MAX, Math.ceil(widest));
  const fit = (name) => {
    if (width(name) <= room) return name;
    let kept = name.length - 1;
    const cut = () => `${name.slice(0, Math.ceil(kept / 2))}…${name.slice(name.length - Math.floor(kept / 2))}`;
    while (kept > 2 && width(cut()) > room) kept -= 1;
    return cut();
  };
  return [names.map(fit), room];
}
