// Stacked areas over days: each series on top of those before it, together the total. The legend takes series out.

import { h } from "../dom.js";
import { number, withUnit } from "../format.js";
import { extent } from "../rows.js";
import { DAY, even, plot, remarks } from "./axis.js";
import { SERIES } from "./colour.js";
import { swatch } from "./time_bars.js";

/** The series that somebody took out, by the place of the chart: they stay out when it is drawn anew. */
const out = new WeakMap();

export function draw(place, rows, chart, { say }) {
  const times = rows.values(chart.x);
  const values = rows.values(chart.y[0]);
  const owners = rows.values(chart.series);
  // Of each series its places: of two rows at the same one, together.
  const byName = new Map();
  let missing = 0;
  owners.forEach((owner, at) => {
    if (times[at] === null) return (missing += 1);
    if (!byName.has(owner)) byName.set(owner, new Map());
    const [own, second] = [byName.get(owner), times[at] / 1000];
    if (values[at] !== null) own.set(second, (own.get(second) ?? 0) + values[at]);
  });
  const seconds = [...new Set(times.filter((ms) => ms !== null))].map((ms) => ms / 1000).sort((a, b) => a - b);
  const days = even(seconds, smallest(seconds)) ?? seconds;
  const said = remarks({ missing, isDays: true });
  if (seconds.length === 0) return place.replaceChildren(said || "");
  const isDays = seconds.every((second) => second % DAY === 0);
  const names = [...byName.keys()].sort();
  const own = names.map((name) => days.map((day) => byName.get(name).get(day) ?? null));
  if (!out.has(place)) out.set(place, new Set());
  const hidden = out.get(place);
  const inner = h("div");
  const legend = h("p", { class: "legend" });
  place.replaceChildren(...[legend, inner, said].filter(Boolean));
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
    plot(inner, chart, [days, ...order.map((at) => stacked[at])], series, { say, tell, isDays });
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

/** The smallest step between two of some rising seconds. */
function smallest(seconds) {
  const [step] = extent([seconds.slice(1).map((second, at) => second - seconds[at])]);
  return step < Infinity ? step : DAY;
}
