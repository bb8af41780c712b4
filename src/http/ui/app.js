// From the URL to a view, for the person signed in.

import { events, get, logout, query } from "./api.js";
import { h } from "./dom.js";
import { follow } from "./live.js";
import { signIn, watchSession } from "./signin.js";
import { go, href, onChange, view } from "./state.js";
import * as dashboard from "./views/dashboard.js";

const main = document.getElementById("main");
// What the first view does not need comes when it is asked for.
const FIXED = [
  ["data", "Data", () => import("./views/data.js")],
  ["sql", "SQL", () => import("./views/sql.js")],
  ["alerts", "Alerts", () => import("./views/alerts.js")],
];
const PIPELINES = ["pipelines", "Pipelines", () => import("./views/pipelines.js")];
const ADMIN = ["admin", "Admin", () => import("./views/admin.js")];
const absent = (name) => [name, "Not found", () => import("./views/absent.js")];

/** Pause before a server that could not say what there is is asked again. */
const AGAIN_MS = 2_000;

/** How many alerts fire or fail, of those that the person sees. */
let firing = 0;
/** Of the person: name, dashboards, tables. */
let world = null;
let shown = null;
let look = null;

async function load() {
  const me = await get("/api/me");
  const [{ dashboards, problems }, { tables }] = await Promise.all([get("/api/dashboards"), get("/api/tables")]);
  const isAdmin = tables.some((table) => table.schema === "system" && table.name === "policies");
  world = { me, dashboards, problems, tables, isAdmin };
}

function views() {
  const drawn = world.dashboards.map(({ name, title }) => [name, title, () => dashboard]);
  const sees = (name) => world.tables.some((table) => table.schema === "system" && table.name === name);
  return [...drawn, ...FIXED, ...(sees("pipelines") ? [PIPELINES] : []), ...(world.isAdmin ? [ADMIN] : [])];
}

function navigation(now) {
  const link = ([name, title]) => {
    const follow = (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      go({ view: name, q: null, table: null, pipeline: null });
    };
    const count = name === "alerts" && firing > 0 && h("span", { class: "count", title: `${firing} fire` }, String(firing));
    return h("a", { href: href({ view: name, q: null, table: null, pipeline: null }), "aria-current": name === now && "page", onclick: follow }, title, count);
  };
  document.getElementById("nav").replaceChildren(...views().map(link));
  const out = async () => {
    await logout();
    location.assign("/");
  };
  document.getElementById("who").replaceChildren(
    h("span", { class: "person" }, world.me.name),
    h("button", { type: "button", class: "quiet", onclick: out }, "Sign out"),
  );
}

/** Looks how many alerts fire; not before what is looked at is there. */
async function watch() {
  if (!world.tables.some((one) => one.schema === "system" && one.name === "alerts")) return;
  const rows = await query("SELECT count(*) AS n FROM lab.system.alerts WHERE enabled AND state IN ('firing', 'error')").catch(() => null);
  const now = rows?.values("n")[0] ?? firing;
  if (now === firing) return;
  firing = now;
  navigation(shown?.name ?? view());
}

/** Draws what the URL says. A view that is shown already takes the change itself. */
async function draw() {
  if (!world) return;
  const all = views();
  // A link that leads nowhere says so: another view in its place would be taken for it.
  const [name, title, bring] = all.find(([name]) => name === view()) ?? (view() ? absent(view()) : all[0]);
  navigation(name);
  document.title = `${title} · labhouse`;
  if (shown?.name === name) return shown.update();
  shown?.end?.();
  const place = h("div", { class: "view", "data-view": name });
  main.replaceChildren(place);
  const made = { name, update: () => {}, refresh: () => {} };
  shown = made;
  try {
    const module = await bring();
    // Somebody may have gone on meanwhile.
    if (shown === made) Object.assign(made, await module.show(place, world, name));
  } catch (error) {
    if (shown === made && error.status !== 401) place.replaceChildren(h("p", { class: "problem", role: "alert" }, error.message));
    if (shown === made) shown = null;
  }
}

/** What the person may see, however often it must be asked: whoever is not signed in is asked to, and a server that cannot say now is
 * asked again. */
async function enter() {
  const banner = document.getElementById("banner");
  for (let isTold = false; ; isTold = true) {
    try {
      await load();
      if (isTold) [banner.className, banner.textContent] = ["", ""];
      return;
    } catch (error) {
      if (error.status === 401) {
        await signIn();
        continue;
      }
      banner.className = "shown";
      banner.textContent = `${error.message}; trying again`;
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    }
  }
}

async function again() {
  const before = world?.me.name;
  await enter();
  // Another person sees another truth: nothing of the first one's stays.
  if (before && before !== world.me.name) [shown, firing] = [null, 0];
  if (shown) shown.refresh();
  await draw();
  watch();
  look?.();
}

async function start() {
  await enter();
  watchSession(again);
  onChange(draw);
  await draw();
  watch();
  look = follow(() => {
    shown?.refresh();
    watch();
  });
}

events.addEventListener("reached", () => document.body.classList.add("ready"), { once: true });
start();
