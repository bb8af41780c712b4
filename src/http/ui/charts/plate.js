// One plate as it lies on the desk.

import { heat } from "./heat.js";
import { letter, place as placeOf, plateOf } from "./wells.js";

export function draw(place, rows, chart, { say }) {
  const wells = rows.values(chart.x).map(placeOf);
  const [height, width] = plateOf(wells.filter(Boolean));
  const measured = rows.values(chart.y[0]);
  const values = new Array(height * width).fill(null);
  const from = new Array(height * width).fill(null);
  wells.forEach((well, row) => {
    if (!well) return;
    values[well[0] * width + well[1]] = measured[row];
    from[well[0] * width + well[1]] = row;
  });
  // What else the statement gives of a well is said with it.
  const more = rows.columns.filter((column) => column.name !== chart.x && column.name !== chart.y[0]);
  const name = (row, column) => {
    const source = from[row * width + column];
    const told = source === null ? [] : more.map((column) => column.values[source]).filter((value) => value !== null);
    return [`${letter(row)}${column + 1}`, ...told].join(", ");
  };
  const grid = {
    rows: height,
    columns: width,
    value: (row, column) => values[row * width + column],
    rowLabel: letter,
    columnLabels: Array.from({ length: width }, (_, column) => [column, String(column + 1), 1]),
    labelWidth: 28,
    cellHeight: (cell) => Math.min(26, Math.max(12, cell * 0.8)),
  };
  const frame = heat(place, chart, grid, { say, name });
  frame.grid = { columns: width, values };
}
