// An Arrow stream as columns of plain values.

/* global fl */

const KINDS = { 2: "number", 3: "number", 5: "text", 6: "boolean", 7: "number", 8: "date", 10: "time", 20: "text" };

/** Reads an Arrow IPC stream. */
export function read(bytes) {
  const table = fl.tableFromIPC(bytes, { useBigInt: true, useDate: false });
  const columns = table.schema.fields.map((field, at) => {
    const kind = KINDS[field.type.typeId] ?? "nested";
    const values = Array.from(table.getChildAt(at) ?? [], plain);
    return { name: field.name, kind, values };
  });
  return new Rows(columns, table.numRows);
}

// Numbers beyond 2^53 stay exact as texts.
function plain(value) {
  if (typeof value === "bigint") return Number.isSafeInteger(Number(value)) ? Number(value) : value.toString();
  if (typeof value === "number" && Number.isNaN(value)) return null;
  return value ?? null;
}

/** The smallest and the largest number of some lists, however long they are: a call takes only so many arguments. */
export function extent(lists, low = Infinity, high = -Infinity) {
  for (const values of lists)
    for (const value of values) {
      if (value === null || Number.isNaN(Number(value))) continue;
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
  return [low, high];
}

export class Rows {
  constructor(columns, length) {
    this.columns = columns;
    this.length = length;
  }

  column(name) {
    const found = this.columns.find((column) => column.name === name);
    if (!found) throw new Error(`the answer has no column ${name}`);
    return found;
  }

  values(name) {
    return this.column(name).values;
  }

  /** Whether another answer says the very same. */
  equals(other) {
    if (this.length !== other.length || this.columns.length !== other.columns.length) return false;
    const text = (value) => (typeof value === "object" && value !== null ? JSON.stringify(value, (_, inner) => (typeof inner === "bigint" ? inner.toString() : inner)) : value);
    return this.columns.every((column, at) => {
      const { name, kind, values } = other.columns[at];
      return column.name === name && column.kind === kind && column.values.every((value, row) => text(value) === text(values[row]));
    });
  }

  /** The first rows only. */
  first(count) {
    if (this.length <= count) return this;
    return new Rows(this.columns.map((column) => ({ ...column, values: column.values.slice(0, count) })), count);
  }
}
