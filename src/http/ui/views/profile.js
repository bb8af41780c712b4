// What the columns of a table hold: numbers of `lab.system.profiles`, and how the values lie, both of what the person sees.

import { query } from "../api.js";
import { h, s } from "../dom.js";
import { number } from "../format.js";

const BINS = 16;
/** Rows that are laid into bins; of a larger table the first ones. */
const ROWS_MAX = 200_000;
/** Columns that one statement lays into bins. */
const COLUMNS_MAX = 40;
/** A text column with more different values is a list of names, not a distribution. */
const VALUES_MAX = 24;
const PROFILES = 'SELECT column_name, "rows", nulls, distinct_about, minimum, maximum, mean FROM lab.system.profiles WHERE table_schema = $1 AND table_name = $2';

const quoted = (name) => `"${name.replaceAll('"', '""')}"`;
export const isThere = (world) => world.tables.some((one) => one.schema === "system" && one.name === "profiles");

/** The profile of each column by its name. */
export async function profiles({ schema, name }) {
  const rows = await query(PROFILES, [schema, name], { rowLimit: 5_000 });
  const record = (_, row) => [rows.values("column_name")[row], Object.fromEntries(rows.columns.map((column) => [column.name, column.values[row]]))];
  return new Map(Array.from({ length: rows.length }, record));
}

const moment = (text) => Date.parse(/[T ]/.test(text) ? `${text.replace(" ", "T").replace(/Z?$/, "")}Z` : text) / 1000;

/** How a column's values can be laid out: along a scale, or value by value. */
function kindOf({ type }, profile) {
  if (!profile || profile.minimum === null || profile.minimum === undefined) return null;
  const isTime = /^(Date|Timestamp)/.test(type);
  if (isTime || /^(U?Int|Float|Decimal)/.test(type)) {
    const [low, high] = [profile.minimum, profile.maximum].map((text) => (isTime ? moment(text) : Number(text)));
    return Number.isFinite(low) && Number.isFinite(high) && high > low ? { isTime, low, high, step: (high - low) / BINS } : null;
  }
  return /^(Utf8|Boolean)/.test(type) && profile.distinct_about <= VALUES_MAX ? { values: true } : null;
}

/** One statement that lays out all columns that can be, and which they are. */
export function compile(table, columns, known) {
  const chosen = columns.map((column) => [column, kindOf(column, known.get(column.name))]).filter(([, kind]) => kind).slice(0, COLUMNS_MAX);
  const rows = Math.max(0, ...[...known.values()].map((profile) => Number(profile.rows ?? 0)));
  const from = rows > ROWS_MAX ? `(SELECT * FROM ${table} LIMIT ${ROWS_MAX}) AS s` : `${table} AS s`;
  const part = ([column, kind], at) => {
    const value = `s.${quoted(column.name)}`;
    if (kind.values) return `SELECT ${at} AS c, CAST(NULL AS DOUBLE) AS bin, v, count(*) AS n FROM (SELECT CAST(${value} AS VARCHAR) AS v FROM ${from} WHERE ${value} IS NOT NULL) GROUP BY v`;
    const scaled = kind.isTime ? `date_part('epoch', ${value})` : `CAST(${value} AS DOUBLE)`;
    return `SELECT ${at} AS c, bin, CAST(NULL AS VARCHAR) AS v, count(*) AS n FROM (SELECT floor((${scaled} - (${kind.low})) / ${kind.step}) AS bin FROM ${from} WHERE ${value} IS NOT NULL) GROUP BY bin`;
  };
  return { sql: chosen.map(part).join("\nUNION ALL\n"), chosen, isSampled: rows > ROWS_MAX };
}

/** The histograms of a table by column name: {counts, labels, text}. */
export async function histograms(table, columns, known) {
  const { sql, chosen, isSampled } = compile(table, columns, known);
  const found = new Map();
  if (chosen.length === 0) return { found, isSampled };
  const rows = await query(sql, [], { rowLimit: COLUMNS_MAX * (BINS + VALUES_MAX + 8) });
  const [places, bins, values, counts] = ["c", "bin", "v", "n"].map((name) => rows.values(name));
  chosen.forEach(([column, kind], at) => {
    const own = places.flatMap((place, row) => (place === at ? [row] : []));
    if (kind.values) {
      const sorted = own.toSorted((a, b) => counts[b] - counts[a] || (values[a] < values[b] ? -1 : 1));
      found.set(column.name, { counts: sorted.map((row) => counts[row]), labels: sorted.map((row) => values[row]) });
      return;
    }
    const sums = new Array(BINS).fill(0);
    // The largest value is in the last bin; what is no number is in none.
    for (const row of own) if (Number.isFinite(bins[row])) sums[Math.min(Math.max(bins[row], 0), BINS - 1)] += counts[row];
    const edge = (bin) => kind.low + bin * kind.step;
    const told = (value) => (kind.isTime ? new Date(value * 1000).toISOString().slice(0, 10) : number(value));
    found.set(column.name, { counts: sums, labels: sums.map((_, bin) => `${told(edge(bin))} to ${told(edge(bin + 1))}`) });
  });
  return { found, isSampled };
}

const [WIDTH, TALL] = [128, 30];

/** A histogram as wide as a cell. */
export function bars(name, { counts, labels }) {
  const most = Math.max(1, ...counts);
  const wide = WIDTH / Math.max(counts.length, 4);
  const at = counts.indexOf(Math.max(...counts));
  const said = `How ${name} lies: ${counts.length} bars, the highest ${labels[at]} with ${counts[at]}`;
  const bar = (count, place) =>
    s(
      "rect",
      { class: "fill", x: place * wide + 0.5, width: Math.max(1, wide - 1), y: TALL - Math.max(count > 0 ? 1 : 0, (count / most) * TALL), height: Math.max(count > 0 ? 1 : 0, (count / most) * TALL) },
      s("title", {}, `${labels[place]}: ${count}`),
    );
  const drawn = s("svg", { class: "histogram", width: WIDTH, height: TALL, viewBox: `0 0 ${WIDTH} ${TALL}`, role: "img", "aria-label": said }, counts.map(bar));
  drawn.counts = counts;
  return drawn;
}

/** `3 % empty · about 12 values · 0.1 to 9.7, mean 4.2` */
export function words(profile) {
  if (!profile || profile.rows === null) return "";
  const parts = [];
  if (profile.nulls > 0) parts.push(`${number((100 * profile.nulls) / profile.rows)} % empty`);
  if (profile.distinct_about !== null) parts.push(`about ${number(profile.distinct_about)} values`);
  if (profile.minimum !== null) parts.push(profile.minimum === profile.maximum ? `always ${profile.minimum}` : `${profile.minimum} to ${profile.maximum}`);
  if (profile.mean !== null) parts.push(`mean ${number(profile.mean)}`);
  return parts.join(" · ");
}

export const note = (isSampled) => isSampled && h("p", { class: "note" }, `The bars are of the first ${ROWS_MAX.toLocaleString("en-GB")} rows.`);
