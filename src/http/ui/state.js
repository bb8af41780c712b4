// What is looked at is the URL: it can be reloaded, shared and gone back from.

const listeners = new Set();

export const params = () => new URLSearchParams(location.search);
export const view = () => params().get("view") ?? "";

/** The filters that are set: `f.NAME=value`. */
export function filters() {
  const set = new Map();
  for (const [name, value] of params()) if (name.startsWith("f.") && value) set.set(name.slice(2), value);
  return set;
}

export function href(changes) {
  const next = params();
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === undefined || value === "") next.delete(name);
    else next.set(name, value);
  }
  const text = next.toString();
  return text ? `?${text}` : location.pathname;
}

/** Changes the URL and draws what it says; `quietly` without a step to go back to. */
export function go(changes, quietly = false) {
  const target = href(changes);
  if (quietly) history.replaceState(null, "", target);
  else history.pushState(null, "", target);
  for (const listener of listeners) listener();
}

export function onChange(listener) {
  listeners.add(listener);
}

window.addEventListener("popstate", () => listeners.forEach((listener) => listener()));
