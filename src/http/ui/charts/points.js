// Points with intervals and the diagonal: predicted against measured.

import { canvas, h, onWidth, style } from "../dom.js";
import { number, withUnit, words } from "../format.js";
import { extent } from "../rows.js";

const HEIGHT = 380;
const PAD = { left: 48, right: 12, top: 12, bottom: 40 };

export function draw(place, rows, chart, { say }) {
  const [x, y] = [rows.values(chart.x), rows.values(chart.y[0])];
  const [low, high] = [chart.low ? rows.values(chart.low) : y, chart.high ? rows.values(chart.high) : y];
  const [lowest, highest] = extent([x, y, low, high]);
  const from = Math.min(0, lowest);
  const to = highest > from ? highest + 0.02 * Math.abs(highest) : from + 1;
  const isPoint = (at) => x[at] !== null && y[at] !== null;
  const label = rows.columns[0];
  const frame = h("div", { class: "plot", tabindex: "0", role: "img", "aria-label": `${chart.title}. ${chart.description} Arrow keys read it point by point.` });
  place.replaceChildren(frame);
  const tell = (at) =>
    say(
      `${label.values[at]}: ${words(chart.x)} ${withUnit(number(x[at], 1), chart.unit)}, ${words(chart.y[0])} ${withUnit(number(y[at], 1), chart.unit)}` +
        (chart.low ? ` (${number(low[at], 1)} to ${number(high[at], 1)})` : ""),
    );
  let map = null;
  onWidth(frame, (width) => {
    const side = Math.min(width, 720);
    const [element, context] = canvas(side, HEIGHT, `${chart.title}. ${chart.description}`);
    const sx = (value) => PAD.left + ((value - from) / (to - from)) * (side - PAD.left - PAD.right);
    const sy = (value) => HEIGHT - PAD.bottom - ((value - from) / (to - from)) * (HEIGHT - PAD.top - PAD.bottom);
    map = { sx, sy };
    axes(context, { from, to, sx, sy, side, chart });
    context.strokeStyle = style("--bar");
    context.globalAlpha = 0.45;
    context.beginPath();
    x.forEach((value, at) => {
      if (!isPoint(at) || low[at] === null || high[at] === null) return;
      context.moveTo(sx(value), sy(low[at]));
      context.lineTo(sx(value), sy(high[at]));
    });
    context.stroke();
    context.globalAlpha = 0.9;
    context.fillStyle = style("--accent");
    x.forEach((value, at) => {
      if (!isPoint(at)) return;
      context.beginPath();
      context.arc(sx(value), sy(y[at]), 2.6, 0, 2 * Math.PI);
      context.fill();
    });
    frame.replaceChildren(element);
  });
  frame.addEventListener("mousemove", (event) => {
    const box = frame.getBoundingClientRect();
    const [px, py] = [event.clientX - box.left, event.clientY - box.top];
    let best = [Infinity, -1];
    x.forEach((value, at) => {
      if (!isPoint(at)) return;
      const distance = (map.sx(value) - px) ** 2 + (map.sy(y[at]) - py) ** 2;
      if (distance < best[0]) best = [distance, at];
    });
    if (best[0] < 400) tell(best[1]);
  });
  let at = -1;
  frame.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    at = Math.min(Math.max(at + step, 0), rows.length - 1);
    tell(at);
  });
}

function axes(context, { from, to, sx, sy, side, chart }) {
  context.font = style("--chart-font");
  context.fillStyle = style("--ink-soft");
  context.strokeStyle = style("--line");
  const step = (to - from) / 5 > 15 ? 20 : Math.max(1, Math.round((to - from) / 5));
  for (let tick = Math.ceil(from / step) * step; tick <= to; tick += step) {
    context.beginPath();
    context.moveTo(sx(tick), sy(from));
    context.lineTo(sx(tick), sy(to));
    context.moveTo(sx(from), sy(tick));
    context.lineTo(sx(to), sy(tick));
    context.stroke();
    context.textAlign = "center";
    context.fillText(String(tick), sx(tick), HEIGHT - PAD.bottom + 16);
    context.textAlign = "right";
    context.fillText(String(tick), PAD.left - 6, sy(tick) + 4);
  }
  context.textAlign = "center";
  context.fillText(withUnit(words(chart.x), chart.unit && `(${chart.unit})`), (side + PAD.left) / 2, HEIGHT - 6);
  context.save();
  context.translate(12, HEIGHT / 2);
  context.rotate(-Math.PI / 2);
  context.fillText(withUnit(words(chart.y[0]), chart.unit && `(${chart.unit})`), 0, 0);
  context.restore();
  context.setLineDash([5, 4]);
  context.strokeStyle = style("--ink-soft");
  context.beginPath();
  context.moveTo(sx(from), sy(from));
  context.lineTo(sx(to), sy(to));
  context.stroke();
  context.setLineDash([]);
}
