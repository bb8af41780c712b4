// Names of tables, columns and functions for the word at the caret. Only what the person may see is proposed.

import { h } from "../dom.js";

const WORDS = "SELECT FROM WHERE GROUP BY ORDER BY LIMIT JOIN LEFT ON AS DISTINCT HAVING COUNT(*) AVG( SUM( MIN( MAX( CASE WHEN THEN ELSE END CAST( DATE_TRUNC( EXPLAIN".split(" ");
const SHOWN_MAX = 8;

/** A list under an editor. */
export function complete(editor, tables) {
  const names = new Set(WORDS);
  for (const table of tables) {
    names.add(`lab.${table.schema}.${table.name}`);
    table.columns.forEach((column) => names.add(column.name));
  }
  const all = [...names];
  const list = h("ul", { class: "complete", role: "listbox", "aria-label": "Completions", id: "completions" });
  editor.setAttribute("aria-controls", "completions");
  let found = [];
  let at = 0;
  const word = () => /[\w.]*$/.exec(editor.value.slice(0, editor.selectionStart))[0];
  const close = () => {
    found = [];
    list.replaceChildren();
    list.classList.remove("shown");
  };
  const take = (name) => {
    const end = editor.selectionStart;
    editor.setRangeText(name, end - word().length, end, "end");
    close();
    editor.focus();
  };
  const draw = () => {
    list.replaceChildren(
      ...found.map((name, place) => h("li", { role: "option", "aria-selected": String(place === at), onmousedown: (event) => (event.preventDefault(), take(name)) }, name)),
    );
    list.classList.toggle("shown", found.length > 0);
  };
  const open = (start) => {
    const lower = start.toLowerCase();
    const begins = all.filter((name) => name.toLowerCase().startsWith(lower) || name.split(".").at(-1).toLowerCase().startsWith(lower));
    found = begins.filter((name) => name !== start).slice(0, SHOWN_MAX);
    at = 0;
    draw();
  };
  editor.addEventListener("input", () => (word().length >= 2 ? open(word()) : close()));
  editor.addEventListener("blur", close);
  editor.addEventListener("keydown", (event) => {
    if (event.key === " " && event.ctrlKey) {
      event.preventDefault();
      open(word());
    } else if (found.length > 0 && !event.ctrlKey) {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (step) {
        event.preventDefault();
        at = (at + step + found.length) % found.length;
        draw();
      } else if (event.key === "Tab") {
        event.preventDefault();
        take(found[at]);
      } else if (event.key === "Escape") {
        event.preventDefault();
        close();
      }
    }
  });
  return list;
}
