// Bars over days, from zero; further columns as lines. A day without a run is a gap, not a zero. Times within days are points.

/* global uPlot */

import { h, style } from "../dom.js";
import { number, withUnit, words } from "../format.js";
import { plot, remarks, spread } from "./axis.js";

export function draw(place, rows, chart, { say }) {
  const axis = spread(rows.values(chart.x));
  const { places, over, isDays } = axis;
  if (places.length === 0) return place.replaceChildren(remarks({ ...axis, isDays: true }) || "");
  const data = [places, ...chart.y.map((name) => over(rows.values(name)))];
  const colours = [style("--bar"), style("--accent"), style("--ink-soft")];
  const points = { label: "", stroke: colours[0], width: 0, paths: () => null, points: { show: true, space: 0, size: 7, width: 0, fill: colours[0], stroke: colours[0] } };
  const series = chart.y.map((name, at) =>
    at === 0 && !isDays
      ? { ...points, label: name }
      : at === 0
      ? { label: name, fill: colours[0], stroke: colours[0], width: 0, paths: uPlot.paths.bars({ size: [0.72, 14] }), points: { show: false } }
      : { label: name, stroke: colours[at % colours.length], width: 2.5, spanGaps: true, points: { show: false } },
  );
  const tell = (at) =>
    chart.y
      .map((name, column) => [name, data[column + 1][at]])
      .filter(([, value]) => value !== null)
      .map(([name, value]) => `${words(name)} ${withUnit(number(value, chart.decimals), chart.unit)}`)
      .join(" · ") || "nothing";
  const inner = h("div");
  const key = (name, at) => h("span", { class: "key" }, swatch(colours[at], at > 0), words(name));
  place.replaceChildren(...[h("p", { class: "legend" }, chart.y.map(key)), inner, remarks(axis)].filter(Boolean));
  plot(inner, chart, data, series, { say, tell, isDays });
}

export function swatch(colour, isLine = false) {
  const element = h("span", { class: isLine ? "swatch line" : "swatch", "aria-hidden": "true" });
  element.style.background = colour;
  return element;
}
