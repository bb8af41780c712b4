// A grid of coloured cells on a canvas: fast for tens of thousands, read by mouse and by keyboard. A cell without a
// value is hatched, never a colour of the scale.

import { canvas, h, onWidth, style } from "../dom.js";
import { number, withUnit } from "../format.js";
import { css, pixel, scale } from "./colour.js";

/**
 * `grid`: rows, columns, value(row, column) or null, rowLabel, columnLabels: [[column, text, span]], cellHeight(width).
 * `name(row, column)` puts a cell into words, `pick(row, column)` is what Enter and a click do.
 */
export function heat(place, chart, grid, { say, name, pick }) {
  const [low, high] = range(grid);
  const part = (value) => (high > low ? (value - low) / (high - low) : 0.5);
  const frame = h("div", { class: "heat", tabindex: "0", role: "application", "aria-label": `${chart.title}. Arrow keys go from cell to cell${pick ? ", Enter chooses" : ""}.` });
  place.replaceChildren(frame, legend(low, high, chart.unit));
  let at = [0, 0];
  let layout = null;
  const mark = h("div", { class: "cursor", "aria-hidden": "true" });
  const show = (row, column) => {
    at = [row, column];
    const value = grid.value(row, column);
    say(`${name(row, column)}: ${value === null ? "no value" : withUnit(number(value, 2), chart.unit)}`);
    const { left, top, cell } = layout;
    Object.assign(mark.style, { left: `${left + column * cell[0]}px`, top: `${top + row * cell[1]}px`, width: `${cell[0]}px`, height: `${cell[1]}px` });
    mark.classList.add("shown");
  };
  const hit = (event) => {
    const box = frame.getBoundingClientRect();
    const column = Math.floor((event.clientX - box.left - layout.left) / layout.cell[0]);
    const row = Math.floor((event.clientY - box.top - layout.top) / layout.cell[1]);
    return row >= 0 && row < grid.rows && column >= 0 && column < grid.columns ? [row, column] : null;
  };
  frame.addEventListener("mousemove", (event) => {
    const found = hit(event);
    if (found) show(...found);
  });
  frame.addEventListener("click", (event) => {
    const found = hit(event);
    if (found) pick?.(...found);
  });
  frame.addEventListener("keydown", (event) => {
    const [row, column] = at;
    const to = { ArrowUp: [row - 1, column], ArrowDown: [row + 1, column], ArrowLeft: [row, column - 1], ArrowRight: [row, column + 1], Home: [row, 0], End: [row, grid.columns - 1] }[event.key];
    if (to) {
      event.preventDefault();
      show(Math.min(Math.max(to[0], 0), grid.rows - 1), Math.min(Math.max(to[1], 0), grid.columns - 1));
    } else if (event.key === "Enter") {
      pick?.(row, column);
    }
  });
  onWidth(frame, (width) => {
    const left = grid.labelWidth;
    const top = 18;
    const cell = [(width - left - 1) / grid.columns, grid.cellHeight((width - left) / grid.columns)];
    const height = top + grid.rows * cell[1] + 2;
    const [element, context] = canvas(width, height, `${chart.title}. ${chart.description}`);
    layout = { left, top, cell };
    frame.layout = layout;
    paint(context, grid, layout, part);
    frame.replaceChildren(element, mark);
    mark.classList.remove("shown");
  });
  return frame;
}

/** Colours cell by cell into a small picture, then enlarged without smoothing: one step for the browser. */
function paint(context, grid, { left, top, cell }, part) {
  const small = h("canvas", { width: grid.columns, height: grid.rows });
  const pixels = new ImageData(grid.columns, grid.rows);
  const colours = new Uint32Array(pixels.data.buffer);
  const missing = [];
  for (let row = 0; row < grid.rows; row++)
    for (let column = 0; column < grid.columns; column++) {
      const value = grid.value(row, column);
      if (value === null) {
        missing.push([row, column]);
        continue;
      }
      colours[row * grid.columns + column] = pixel(part(value));
    }
  small.getContext("2d").putImageData(pixels, 0, 0);
  context.imageSmoothingEnabled = false;
  context.drawImage(small, left, top, grid.columns * cell[0], grid.rows * cell[1]);
  context.beginPath();
  for (const [row, column] of missing) context.rect(left + column * cell[0], top + row * cell[1], cell[0], cell[1]);
  for (const fill of ["#fff", context.createPattern(hatch(), "repeat")]) {
    context.fillStyle = fill;
    context.fill();
  }
  context.fillStyle = style("--ink-soft");
  context.font = style("--chart-font");
  context.textBaseline = "alphabetic";
  context.textAlign = "center";
  // As many labels as there is room for.
  const [, widest, over] = grid.columnLabels.at(-1);
  const each = Math.max(1, Math.ceil((context.measureText(widest).width + 5) / (over * cell[0])));
  for (const [column, text, span] of grid.columnLabels.filter((_, at) => at % each === 0)) context.fillText(text, left + (column + span / 2) * cell[0], top - 5);
  context.textAlign = "right";
  context.textBaseline = "middle";
  const every = Math.max(1, Math.ceil(13 / cell[1]));
  for (let row = 0; row < grid.rows; row += every) context.fillText(grid.rowLabel(row), left - 6, top + (row + 0.5) * cell[1]);
  if (cell[0] > 8) return lines(context, grid, left, top, cell);
}

function lines(context, grid, left, top, cell) {
  context.strokeStyle = style("--paper");
  context.lineWidth = 1;
  context.beginPath();
  for (let column = 0; column <= grid.columns; column++) {
    context.moveTo(left + column * cell[0], top);
    context.lineTo(left + column * cell[0], top + grid.rows * cell[1]);
  }
  for (let row = 0; row <= grid.rows; row++) {
    context.moveTo(left, top + row * cell[1]);
    context.lineTo(left + grid.columns * cell[0], top + row * cell[1]);
  }
  context.stroke();
}

function hatch() {
  const tile = h("canvas", { width: 4, height: 4 });
  const context = tile.getContext("2d");
  context.strokeStyle = "#b00020";
  context.lineWidth = 1.2;
  context.beginPath();
  context.moveTo(0, 4);
  context.lineTo(4, 0);
  context.stroke();
  return tile;
}

function range(grid) {
  let [low, high] = [Infinity, -Infinity];
  for (let row = 0; row < grid.rows; row++)
    for (let column = 0; column < grid.columns; column++) {
      const value = grid.value(row, column);
      if (value === null) continue;
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
  return low <= high ? [low, high] : [0, 1];
}

function legend(low, high, unit) {
  const [element, context] = canvas(160, 12, `Colour scale from ${number(low)} (dark) to ${withUnit(number(high), unit)} (light)`);
  for (let x = 0; x < 160; x++) {
    context.fillStyle = css(scale(x / 159));
    context.fillRect(x, 0, 1.5, 12);
  }
  const [missing, hatched] = canvas(14, 12, "hatched");
  hatched.fillStyle = "#fff";
  hatched.fillRect(0, 0, 14, 12);
  hatched.fillStyle = hatched.createPattern(hatch(), "repeat");
  hatched.fillRect(0, 0, 14, 12);
  return h(
    "p",
    { class: "legend scale" },
    number(low, 0),
    element,
    withUnit(number(high, 0), unit),
    h("span", { class: "key" }, missing, "no value"),
  );
}
