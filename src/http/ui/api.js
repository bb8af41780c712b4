// Calls of the server. Whether somebody is signed in and whether the server is there is told to whoever listens.

import { read } from "./rows.js";

/** A refusal of the server, in its words. */
export class Refused extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** The server does not answer. */
export class Unreachable extends Error {}

export const events = new EventTarget();

async function call(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    events.dispatchEvent(new Event("unreachable"));
    throw new Unreachable("the server does not answer");
  }
  if (response.ok) {
    events.dispatchEvent(new Event("reached"));
    return response;
  }
  const told = await response.json().catch(() => ({}));
  const { code = "unknown", message = `the server answered ${response.status}` } = told.error ?? {};
  if (response.status === 401 && !options.signingIn) events.dispatchEvent(new Event("signedout"));
  throw new Refused(response.status, code, message);
}

const send = (method, path, body, options) =>
  call(path, { method, headers: { "content-type": "application/json" }, body: JSON.stringify(body), ...options });
const post = (path, body, options) => send("POST", path, body, options);

export const get = async (path, options) => (await call(path, options)).json();
export const login = async (user, password) => (await post("/api/login", { user, password }, { signingIn: true })).json();
export const logout = () => post("/api/logout", {});

const file = (name) => `/api/dashboards/${encodeURIComponent(name)}/file`;
export const dashboardFile = (name) => get(file(name));
export const writeDashboard = (name, text, was) => send("PUT", file(name), { text, was });
export const removeDashboard = (name, was) => send("DELETE", file(name), { was });

/** Runs a statement; `progress` hears how many bytes have come. With `readOnly` one that changes anything is refused. */
export async function query(sql, parameters = [], { signal, rowLimit, progress, readOnly = false } = {}) {
  const body = { sql, parameters, format: "arrow", row_limit: rowLimit, read_only: readOnly };
  const response = await post("/api/query", body, { signal });
  const pieces = [];
  let length = 0;
  const reader = response.body.getReader();
  try {
    for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
      pieces.push(piece.value);
      length += piece.value.length;
      progress?.(length);
    }
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("the answer broke off: the statement failed amid its rows, or the server ended");
  }
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return read(bytes);
}

/** Saves an answer as a file: CSV safe for spreadsheets, Arrow, or a workbook. It is asked anew, so it may only read. */
export async function save(sql, parameters, format, name) {
  const response = await post("/api/query", { sql, parameters, format, spreadsheet: format === "csv", read_only: true });
  const url = URL.createObjectURL(await response.blob());
  const link = document.createElement("a");
  link.href = url;
  link.download = `${name}.${{ csv: "csv", arrow: "arrows", xlsx: "xlsx" }[format]}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
