// All plates at once: a row a plate, a column a well, from A1 on.

import { heat } from "./heat.js";
import { letter, place as placeOf, plateOf } from "./wells.js";

export function draw(place, rows, chart, { say, pick }) {
  const names = [...new Set(rows.values(chart.series))];
  const at = new Map(names.map((name, row) => [name, row]));
  const wells = rows.values(chart.x).map(placeOf);
  const [height, width] = plateOf(wells.filter(Boolean).slice(0, 5_000));
  const columns = height * width;
  const values = new Array(names.length * columns).fill(null);
  const measured = rows.values(chart.y[0]);
  rows.values(chart.series).forEach((name, row) => {
    const well = wells[row];
    if (well && well[0] < height && well[1] < width) values[at.get(name) * columns + well[0] * width + well[1]] = measured[row];
  });
  const grid = {
    rows: names.length,
    columns,
    value: (row, column) => values[row * columns + column],
    rowLabel: (row) => names[row],
    columnLabels: Array.from({ length: height }, (_, row) => [row * width, letter(row), width]),
    labelWidth: 52,
    cellHeight: () => Math.min(14, Math.max(3, 640 / names.length)),
  };
  const name = (row, column) => `${names[row]}, well ${letter(Math.floor(column / width))}${(column % width) + 1}`;
  const frame = heat(place, chart, grid, { say, name, pick: chart.sets && ((row) => pick(names[row])) });
  frame.grid = { names, columns, values };
}
