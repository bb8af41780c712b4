// Stacked areas over days: each series on top of those before it, together the total. The legend takes series out.

import { h } from "../dom.js";
import { number, withUnit } from "../format.js";
import { plot, spread } from "./axis.js";
import { SERIES } from "./colour.js";
import { swatch } from "./time_bars.js";

/** The series that somebody took out, by the place of the chart: they stay out when it is drawn anew. */
const out = new WeakMap();

export function draw(place, rows, chart, { say }) {
  const times = rows.values(chart.x);
  const names = [...new Set(rows.values(chart.series))].sort();
  const step = smallest(times);
  const [days] = spread(times, step);
  const values = rows.values(chart.y[0]);
  const owners = rows.values(chart.series);
  const own = names.map((name) => {
    const byDay = new Map();
    owners.forEach((owner, at) => owner === name && byDay.set(Math.round(times[at] / 1000), values[at]));
    return days.map((day) => byDay.get(day) ?? null);
  });
  if (!out.has(place)) out.set(place, new Set());
  const hidden = out.get(place);
  const inner = h("div");
  const legend = h("p", { class: "legend" });
  place.replaceChildren(legend, inner);
  const render = () => {
    const shown = names.map((_, at) => at).filter((at) => !hidden.has(names[at]));
    let sum = days.map(() => 0);
    const isGap = days.map((_, day) => own.every((series) => series[day] === null));
    const stacked = shown.map((at) => {
      sum = sum.map((total, day) => total + (own[at][day] ?? 0));
      return sum.map((total, day) => (isGap[day] ? null : total));
    });
    // The highest first, so that the lower ones are painted over it.
    const order = shown.map((_, at) => at).reverse();
    const colour = (at) => SERIES[shown[at] % SERIES.length];
    const series = order.map((at) => ({ label: names[shown[at]], stroke: colour(at), fill: colour(at), width: 1, points: { show: false }, spanGaps: true }));
    const tell = (day) =>
      isGap[day]
        ? "nothing"
        : `total ${withUnit(number(sum[day]), chart.unit)} · ${shown.map((at) => `${names[at]} ${number(own[at][day] ?? 0)}`).join(" · ")}`;
    plot(inner, chart, [days, ...order.map((at) => stacked[at])], series, { say, tell });
    inner.firstElementChild.stack = { names, own, total: sum, days };
    legend.replaceChildren(
      ...names.map((name, at) =>
        h(
          "button",
          {
            type: "button",
            class: "key",
            "aria-pressed": String(!hidden.has(name)),
            onclick: () => {
              if (!hidden.delete(name)) hidden.add(name);
              render();
            },
          },
          swatch(SERIES[at % SERIES.length]),
          name,
        ),
      ),
    );
  };
  render();
}

/** The smallest step between two days, in seconds. */
function smallest(times) {
  const sorted = [...new Set(times)].sort((a, b) => a - b);
  const steps = sorted.slice(1).map((time, at) => time - sorted[at]);
  return steps.length ? Math.round(Math.min(...steps) / 1000) : 86_400;
}
