// What the charts over time share: uPlot with our fonts and colours, read by mouse and by keyboard.

/* global uPlot */

import { h, onWidth, style } from "../dom.js";
import { day, time } from "../format.js";
import { extent } from "../rows.js";

const HEIGHT = 260;
export const DAY = 86_400;
/** Steps of an even axis at most: with more of them than that, none is seen to be missing. */
const STEPS_MAX = 10_000;

/** The places from the first to the last of these seconds, a step apart; none if one of them would lie between two places. */
export function even(seconds, step) {
  const [first, last] = extent([seconds]);
  const count = Math.round((last - first) / step) + 1;
  if (!(count <= STEPS_MAX) || seconds.some((second) => (second - first) % step !== 0)) return null;
  return Array.from({ length: count }, (_, at) => first + at * step);
}

/**
 * Where rows stand on an axis of time, in seconds. One row a day at most: a place for each day from the first to the last, so that
 * a day without a row is seen. Else each row at its own time. A row without a time stands nowhere; `missing` counts them.
 * `over` puts a column's values into that order, null where there is no row.
 */
export function spread(times) {
  const known = times.map((_, at) => at).filter((at) => times[at] !== null);
  const second = (at) => times[at] / 1000;
  const seconds = known.map(second);
  const missing = times.length - known.length;
  const places = new Set(seconds).size === seconds.length && seconds.every((one) => one % DAY === 0) ? even(seconds, DAY) : null;
  if (places) {
    const rows = new Map(known.map((at) => [second(at), at]));
    return { places, missing, isDays: true, over: (values) => places.map((one) => (rows.has(one) ? values[rows.get(one)] : null)) };
  }
  const order = known.toSorted((a, b) => times[a] - times[b]);
  return { places: order.map(second), missing, isDays: false, over: (values) => order.map((at) => values[at]) };
}

/** What is to be said of rows that are not where somebody would look for them. */
export function remarks({ missing, isDays }) {
  const said = [];
  if (!isDays) said.push("Each row stands at its own time.");
  if (missing > 0) said.push(`${missing.toLocaleString("en-GB")} ${missing === 1 ? "row has" : "rows have"} no time and cannot be drawn.`);
  return said.length > 0 && h("p", { class: "note" }, said.join(" "));
}

/** Draws a plot over time; `tell` puts the values of a place into words. */
export function plot(place, chart, data, series, { say, tell, range, isDays = true }) {
  const frame = h("div", { class: "plot", tabindex: "0", role: "img", "aria-label": `${chart.title}. ${chart.description} Arrow keys read it ${isDays ? "day by day" : "row by row"}.` });
  place.replaceChildren(frame);
  let drawn = null;
  const font = style("--chart-font");
  const axis = { stroke: style("--ink-soft"), grid: { stroke: style("--line"), width: 1 }, ticks: { stroke: style("--line") }, font };
  const when = isDays ? day : time;
  const readout = (at) => at !== null && at !== undefined && say(`${when(data[0][at] * 1000)} · ${tell(at)}`);
  // What is short is written in hours; half a day, or a little of all, beside the first and the last.
  const length = data[0].at(-1) - data[0][0];
  const beside = isDays ? DAY / 2 : length * 0.02 || 1;
  const tick = (second) => (length < 2 * DAY && !isDays ? time(second * 1000).slice(11, length < 120 ? 19 : 16) : day(second * 1000).slice(5));
  const options = (width) => ({
    width,
    height: HEIGHT,
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "UTC"),
    scales: { x: { time: true, range: (_, low, high) => [low - beside, high + beside] }, y: { range: range ?? ((_, low, high) => [Math.min(0, low), high * 1.05 || 1]) } },
    axes: [
      { ...axis, values: (_, ticks) => ticks.map(tick), space: 56 },
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
