// What the charts over days share: uPlot with our fonts and colours, read by mouse and by keyboard.

/* global uPlot */

import { h, onWidth, style } from "../dom.js";
import { day } from "../format.js";

const HEIGHT = 260;

/** The days from the first to the last, in seconds, and a way to spread values over them: a day without a row is null. */
export function spread(days, step = 86_400) {
  const seconds = days.map((ms) => Math.round(ms / 1000));
  const first = Math.min(...seconds);
  const count = Math.round((Math.max(...seconds) - first) / step) + 1;
  const all = Array.from({ length: count }, (_, at) => first + at * step);
  const place = new Map(all.map((second, at) => [second, at]));
  return [
    all,
    (values) => {
      const out = new Array(count).fill(null);
      values.forEach((value, at) => {
        const to = place.get(seconds[at]);
        if (to !== undefined) out[to] = value;
      });
      return out;
    },
  ];
}

/** Draws a plot over days; `tell` puts a day's values into words. */
export function plot(place, chart, data, series, { say, tell, range }) {
  const frame = h("div", { class: "plot", tabindex: "0", role: "img", "aria-label": `${chart.title}. ${chart.description} Arrow keys read it day by day.` });
  place.replaceChildren(frame);
  let drawn = null;
  const font = style("--chart-font");
  const axis = { stroke: style("--ink-soft"), grid: { stroke: style("--line"), width: 1 }, ticks: { stroke: style("--line") }, font };
  const readout = (at) => at !== null && at !== undefined && say(`${day(data[0][at] * 1000)} · ${tell(at)}`);
  const options = (width) => ({
    width,
    height: HEIGHT,
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "UTC"),
    scales: { x: { time: true, range: (_, low, high) => [low - 43_200, high + 43_200] }, y: { range: range ?? ((_, low, high) => [Math.min(0, low), high * 1.05 || 1]) } },
    axes: [
      { ...axis, values: (_, ticks) => ticks.map((tick) => day(tick * 1000).slice(5)), space: 56 },
      { ...axis, size: 52, label: chart.unit, labelFont: font, labelSize: 18 },
    ],
    series: [{}, ...series],
    legend: { show: false },
    cursor: { drag: { x: false, y: false }, points: { show: false }, y: false },
    hooks: { setCursor: [(self) => readout(self.cursor.idx)] },
  });
  onWidth(frame, (width) => {
    drawn?.destroy();
    drawn = new uPlot(options(width), data, frame);
    frame.uplot = drawn;
  });
  let at = 0;
  frame.addEventListener("keydown", (event) => {
    const steps = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity };
    if (!(event.key in steps)) return;
    event.preventDefault();
    at = Math.min(Math.max(at + steps[event.key], 0), data[0].length - 1);
    drawn?.setCursor({ left: drawn.valToPos(data[0][at], "x"), top: 10 });
    readout(at);
  });
  return frame;
}
