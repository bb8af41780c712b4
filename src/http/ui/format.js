// Values as people read them. Days and times are ISO: a lab has visitors from everywhere.

const LOCALE = "en-GB";
const formats = new Map();

export function number(value, decimals) {
  if (value === null || value === undefined) return "–";
  const digits = decimals ?? (Number.isInteger(value) ? 0 : Math.abs(value) >= 1 ? 1 : 3);
  if (!formats.has(digits))
    formats.set(digits, new Intl.NumberFormat(LOCALE, { minimumFractionDigits: digits, maximumFractionDigits: digits }));
  const text = formats.get(digits).format(value);
  // What is rounded to nothing has no sign.
  return /[1-9]/.test(text) ? text.replace("-", "−") : text.replace("-", "");
}

export const day = (ms) => (ms === null ? "–" : new Date(ms).toISOString().slice(0, 10));
export const time = (ms) => (ms === null ? "–" : new Date(ms).toISOString().slice(0, 19).replace("T", " "));

/** A cell of a table. */
export function cell(value, kind, decimals) {
  if (value === null || value === undefined) return "–";
  if (kind === "date") return day(value);
  if (kind === "time") return time(value);
  if (kind === "number") return typeof value === "number" ? number(value, decimals) : String(value);
  if (kind === "nested") return JSON.stringify(value, (_, inner) => (typeof inner === "bigint" ? inner.toString() : inner));
  return String(value);
}

export const withUnit = (text, unit) => (unit ? `${text} ${unit}` : text);

/** `mean_7_days` as words. */
export const words = (name) => name.replaceAll("_", " ");

/** A statement as a part of another: without the semicolon that ends it, and what is remarked after it. A remark with a quote in it stays: it may be a text. */
export const inner = (sql) => sql.trim().replace(/;\s*((--[^\n']*|\/\*[^']*?\*\/)\s*|;\s*)*$/, "");

/** Whether a statement is a question that another one may be asked over: `SHOW TABLES` gives rows, too, and is none. */
export function isQuestion(sql) {
  for (let rest = sql.trimStart(); ; ) {
    const next = rest.replace(/^(\(|--[^\n]*|\/\*[^]*?\*\/)/, "").trimStart();
    if (next === rest) return /^(select|with|values)\b/i.test(rest);
    rest = next;
  }
}
