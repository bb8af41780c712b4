// Names of wells: `B7`, `b07`, `AA12`, to row and column from 0.

import { extent } from "../rows.js";

const known = new Map();
/** A plate has a few hundred names, a screen has hundreds of thousands of wells. */
const KNOWN_MAX = 10_000;

export function place(well) {
  const found = known.get(well);
  if (found !== undefined) return found;
  if (known.size >= KNOWN_MAX) known.clear();
  const made = read(well);
  known.set(well, made);
  return made;
}

function read(well) {
  const match = /^\s*([A-Za-z]{1,2})0*(\d{1,2})\s*$/.exec(well);
  if (!match) return null;
  const row = [...match[1].toUpperCase()].reduce((sum, letter) => sum * 26 + letter.charCodeAt(0) - 64, 0) - 1;
  return [row, Number(match[2]) - 1];
}

export const letter = (row) => (row < 26 ? String.fromCharCode(65 + row) : `A${String.fromCharCode(39 + row)}`);

/** Rows and columns of the smallest usual plate that holds these places. */
export function plateOf(places) {
  const [, rows] = extent([places.map(([row]) => row + 1)], 0, 0);
  const [, columns] = extent([places.map(([, column]) => column + 1)], 0, 0);
  return [[8, 12], [16, 24], [32, 48]].find(([r, c]) => rows <= r && columns <= c) ?? [rows, columns];
}
