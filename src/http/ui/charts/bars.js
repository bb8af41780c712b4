// Horizontal bars, a label each, from a common zero. What is marked is said in words too.

import { h, onWidth, s } from "../dom.js";
import { number, withUnit, words } from "../format.js";
import { extent } from "../rows.js";

const ROW = 24;
/** Bars that are drawn, unless the chart says: nobody reads more of them, and each is five elements of the page. */
const BARS_MAX = 500;
const LABEL_MAX = 190;
const VALUE = 64;

export function draw(place, all, chart, { say, pick }) {
  const most = chart.most ?? BARS_MAX;
  const rows = all.first(most);
  const count = (number) => number.toLocaleString("en-GB");
  const cut = all.length > rows.length && h("p", { class: "note" }, `Only the first ${count(most)} of ${count(all.length)} bars are drawn; the table has all of them.`);
  const raw = rows.values(chart.x);
  const labels = raw.map((label) => (label === null ? "(none)" : String(label)));
  const values = rows.values(chart.y[0]);
  const marks = chart.mark ? rows.values(chart.mark) : [];
  // `is_suspect` says "suspect".
  const marked = words(chart.mark ?? "").replace(/^is /, "");
  const [low, high] = extent([values], 0, 0);
  const decimals = chart.decimals ?? (Math.max(high, -low) >= 1 ? 1 : 3);
  const frame = h("div", { class: "bars" });
  place.replaceChildren(frame);
  onWidth(frame, (width) => {
    const left = Math.min(LABEL_MAX, Math.max(60, 7.8 * extent([labels.map((label) => label.length)], 0)[1] + 14), width * 0.45);
    const room = Math.max(40, width - left - VALUE - (low < 0 ? VALUE : 0));
    const start = left + (low < 0 ? VALUE : 0);
    const x = (value) => start + ((value - low) / (high - low || 1)) * room;
    const height = rows.length * ROW + 8;
    const bar = (label, at) => {
      const value = values[at];
      const isMarked = marks[at] === true;
      const text = number(value, decimals);
      const said = `${label} ${withUnit(text, chart.unit)}${isMarked ? `, ${marked}` : ""}`;
      const y = at * ROW + 4;
      const [from, to] = value === null ? [x(0), x(0)] : [Math.min(x(0), x(value)), Math.max(x(0), x(value))];
      const isLeft = value !== null && value < 0;
      // What has no value cannot be chosen: a filter compares, and nothing is equal to it.
      const isChoice = Boolean(chart.sets) && raw[at] !== null;
      const act = () => isChoice && pick(label);
      const group = s(
        "g",
        {
          class: isMarked ? "bar marked" : "bar",
          tabindex: "0",
          role: isChoice ? "button" : "img",
          "aria-label": said,
          onclick: act,
          onkeydown: (event) => (event.key === "Enter" || event.key === " ") && (event.preventDefault(), act()),
          onmouseenter: () => say(said),
          onfocus: () => say(said),
        },
        s("rect", { class: "hit", x: 0, y: y - 2, width, height: ROW }),
        s("text", { class: "label", x: left - 8, y: y + 14, "text-anchor": "end" }, `${fit(label, left - 12)} `),
        s("rect", { class: "fill", x: from, y: y + 1, width: Math.max(1, to - from), height: ROW - 8, rx: 2 }),
        s(
          "text",
          { class: "value", x: isLeft ? from - 6 : to + 6, y: y + 14, "text-anchor": isLeft ? "end" : "start" },
          text,
        ),
        isMarked && s("path", { class: "flag", d: flag(isLeft ? from - 15 - text.length * 7.8 : to + 15 + text.length * 7.8, y + 10) }),
      );
      return group;
    };
    frame.replaceChildren(
      s(
        "svg",
        { width, height, viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": `${chart.title}. ${chart.description}` },
        labels.map(bar),
        s("line", { class: "zero", x1: x(0), x2: x(0), y1: 0, y2: height }),
      ),
      marks.includes(true) ? h("p", { class: "legend" }, s("svg", { width: 14, height: 12, "aria-hidden": "true" }, s("path", { class: "flag", d: flag(7, 6) })), marked) : "",
      cut || "",
    );
  });
}

/** A small triangle around a point. */
const flag = (x, y) => `M${x - 4.5},${y + 4} L${x},${y - 4.5} L${x + 4.5},${y + 4} Z`;

function fit(text, width) {
  const letters = Math.floor(width / 6.6);
  return text.length <= letters ? text : `${text.slice(0, Math.max(1, letters - 1))}…`;
}
