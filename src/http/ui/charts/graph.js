// Things and what was made of what, from left to right: boxes and arrows, read by mouse and by keyboard.

import { h, s } from "../dom.js";

const [BOX, TALL, ACROSS, DOWN, EDGE] = [218, 46, 54, 14, 8];
const LETTERS = 31;

/** For each thing the longest way to it: what was made of it stands to its right. A circle ends where it began. */
export function layers(ids, edges) {
  const depth = new Map(ids.map((id) => [id, 0]));
  const known = edges.filter(([from, to]) => from !== to && depth.has(from) && depth.has(to));
  for (let round = 0; round < ids.length; round++) {
    let isStill = true;
    for (const [from, to] of known) {
      const wanted = depth.get(from) + 1;
      if (depth.get(to) < wanted && wanted < ids.length) {
        depth.set(to, wanted);
        isStill = false;
      }
    }
    if (isStill) break;
  }
  return depth;
}

/**
 * `nodes`: [{id, kind, title, note, isHere, isBad, canPick}], `edges`: [[from, to]]. A click or Enter on a box that can be chosen
 * calls `pick(node)`.
 */
export function graph(nodes, edges, { label, pick }) {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const shown = edges.filter(([from, to]) => from !== to && byId.has(from) && byId.has(to));
  const depth = layers([...byId.keys()], shown);
  const columns = [];
  nodes.forEach((node) => (columns[depth.get(node.id)] ??= []).push(node));
  // What a thing is made of draws it to its height, so that arrows cross less.
  const place = new Map();
  columns.forEach((column) => {
    const pull = (node) => {
      const from = shown.filter(([, to]) => to === node.id).map(([from]) => place.get(from)?.[1]).filter((y) => y !== undefined);
      return from.length > 0 ? from.reduce((sum, y) => sum + y, 0) / from.length : Infinity;
    };
    const pulls = new Map(column.map((node) => [node, pull(node)]));
    column.sort((a, b) => pulls.get(a) - pulls.get(b) || a.title.localeCompare(b.title));
    column.forEach((node, row) => place.set(node.id, [depth.get(node.id) * (BOX + ACROSS) + EDGE, row * (TALL + DOWN) + EDGE]));
  });
  const width = columns.length * (BOX + ACROSS) - ACROSS + 2 * EDGE;
  const height = Math.max(1, ...columns.map((column) => column.length)) * (TALL + DOWN) - DOWN + 2 * EDGE;
  const arrow = ([from, to]) => {
    const [[x1, y1], [x2, y2]] = [place.get(from), place.get(to)];
    const [a, b, end] = [x1 + BOX, x2 - 7, y2 + TALL / 2];
    const middle = (a + b) / 2;
    return [
      s("path", { class: "arrow", d: `M${a},${y1 + TALL / 2} C${middle},${y1 + TALL / 2} ${middle},${end} ${b},${end}` }),
      s("path", { class: "tip", d: `M${b},${end - 4} L${b + 7},${end} L${b},${end + 4} Z` }),
    ];
  };
  const box = (node) => {
    const [x, y] = place.get(node.id);
    const act = () => node.canPick && pick?.(node);
    const made = shown.filter(([, to]) => to === node.id).map(([from]) => byId.get(from).title);
    const kind = node.note ? `${node.kind} · ${node.note}` : node.kind;
    // What is read out begins with what is seen.
    const said = [`${kind} ${node.title}`, made.length > 0 && `made of ${made.join(", ")}`].filter(Boolean).join(", ");
    return s(
      "g",
      {
        class: ["node", `node-${node.kind.replaceAll(" ", "-")}`, node.isHere && "here", node.isBad && "marked"].filter(Boolean).join(" "),
        tabindex: "0",
        role: node.canPick ? "button" : "img",
        "aria-label": said,
        "data-id": node.id,
        onclick: act,
        onkeydown: (event) => (event.key === "Enter" || event.key === " ") && (event.preventDefault(), act()),
      },
      s("rect", { x, y, width: BOX, height: TALL, rx: 7 }),
      s("text", { class: "kind", x: x + 11, y: y + 17 }, `${fit(kind, LETTERS)} `),
      s("text", { class: "title", x: x + 11, y: y + 35 }, fit(node.title, LETTERS)),
    );
  };
  return h(
    "div",
    { class: "graph" },
    h(
      "div",
      { class: "scroll", tabindex: "0", role: "region", "aria-label": label },
      s("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": label }, shown.map(arrow).flat(), nodes.map(box)),
    ),
    h(
      "details",
      { class: "twin" },
      h("summary", {}, "The same as a list"),
      h("ul", { class: "steps" }, shown.map(([from, to]) => h("li", {}, `${byId.get(from).kind} ${byId.get(from).title} → ${byId.get(to).kind} ${byId.get(to).title}`))),
    ),
  );
}

const fit = (text, letters) => (text.length <= letters ? text : `${text.slice(0, Math.max(1, letters - 1))}…`);
