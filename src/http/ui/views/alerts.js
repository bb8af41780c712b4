// The rules over the lab's tables: what state each is in, what it told whom; making, changing and silencing them.

import { query } from "../api.js";
import { table } from "../charts/table.js";
import { h } from "../dom.js";
import { time } from "../format.js";
import { Rows } from "../rows.js";

const LIST = "SELECT alert_schema || '.' || alert_name AS alert, kind, state, since, firing, labels, reason, table_name, rule, schedule, message, notify, owner, enabled, silent_until, looked_at, waiting FROM lab.system.alerts ORDER BY 1";
const HISTORY = "SELECT at, event, labels, recipient, channel, detail FROM lab.system.alert_events WHERE alert_schema || '.' || alert_name = $1 ORDER BY at DESC";
const SHOWN = ["alert", "kind", "state", "since", "firing", "labels", "reason", "table_name"];
const marks = (column, value) => column === "state" && (["firing", "error"].includes(value) ? "bad" : value === "ok" && "good");
const EXAMPLES = ["avg(yield_pct) < 45 BY plate_id", "yield_pct > 100", "avg(yield_pct) FALLS BY 10 PERCENT PER WEEK OF run_at", "avg(yield_pct) DEVIATES PER DAY OF run_at", "NO NEW ROWS FOR 2 DAYS"];

const field = (id, label, input) => h("label", { class: "filter", for: id }, h("span", {}, label), input);

export async function show(place, world) {
  const there = world.tables.some((one) => one.schema === "system" && one.name === "alerts");
  const list = h("div", { class: "result" });
  const about = h("div", { class: "result" });
  const said = h("p", { class: "readout", role: "status" });
  const problem = h("p", { class: "problem", role: "alert" });
  let chosen = null;

  /** Runs a statement that changes something; what the server says against it is shown. */
  async function act(sql, done) {
    said.textContent = problem.textContent = "";
    try {
      await query(sql);
      said.textContent = done;
      await draw();
    } catch (error) {
      if (error.status !== 401) problem.textContent = error.message;
    }
  }

  const form = maker(world, act);
  let drawn = null;

  /** Nothing is drawn anew while it stays the same: somebody may be reading, or on a button. */
  async function draw() {
    try {
      const rows = await query(LIST, [], { rowLimit: 1_000 });
      const alerts = records(rows);
      const now = JSON.stringify(alerts.map(({ looked_at: _, ...rest }) => rest), (_, value) => (typeof value === "bigint" ? String(value) : value));
      if (now === drawn) return;
      drawn = now;
      const pick = (name) => {
        chosen = name;
        tell();
      };
      const shown = new Rows(rows.columns.filter((column) => SHOWN.includes(column.name)), rows.length);
      list.replaceChildren(rows.length > 0 ? table(shown, { caption: "Alerts and reports", link: { column: "alert", pick }, marks }) : h("p", { class: "hint" }, "None yet."));
      const tell = async () => {
        const found = alerts.find((one) => one.alert === chosen);
        about.replaceChildren(...(found ? await detail(found, act, form) : []));
      };
      await tell();
    } catch (error) {
      if (error.status !== 401) problem.textContent = error.message;
    }
  }

  place.replaceChildren(
    h("h1", {}, "Alerts"),
    h("p", { class: "lead" }, "Rules over the lab's tables, and what state each is in. A rule looks as its owner, and each message holds what its recipient may see."),
    ...(there ? [list, said, problem, about, form.element] : [h("p", { class: "hint" }, "You see no alerts: lab.system.alerts is not there or not granted to you.")]),
  );
  if (!there) return { update: () => {}, refresh: () => {} };
  await draw();
  return { update: () => {}, refresh: draw };
}

function records(rows) {
  const record = (_, row) => Object.fromEntries(rows.columns.map((column) => [column.name, column.values[row]]));
  return Array.from({ length: rows.length }, record);
}

/** One alert: what can be done with it, and what it said until now. */
async function detail(found, act, form) {
  const name = `lab.${found.alert}`;
  const kind = found.kind.toUpperCase();
  const button = (text, sql, done) => h("button", { type: "button", onclick: () => act(sql, done) }, text);
  const drop = h("button", { type: "button", class: "quiet" }, "Delete");
  drop.addEventListener("click", () => {
    if (drop.textContent === "Delete") drop.textContent = "Delete for good?";
    else act(`DROP ${kind} ${name}`, `${found.alert} is deleted.`);
  });
  const history = await query(HISTORY, [found.alert], { rowLimit: 1_000 });
  return [
    h("h2", {}, found.alert),
    facts(found),
    h(
      "p",
      { class: "actions" },
      found.kind === "alert" && h("button", { type: "button", onclick: () => form.fill(found) }, "Change"),
      found.silent_until === null
        ? button("Silence for a day", `ALTER ${kind} ${name} SILENCE FOR 1 DAY`, `${found.alert} is silent for a day.`)
        : button("End the silence", `ALTER ${kind} ${name} SILENCE OFF`, `${found.alert} speaks again.`),
      found.enabled ? button("Switch off", `ALTER ${kind} ${name} DISABLE`, `${found.alert} is off.`) : button("Switch on", `ALTER ${kind} ${name} ENABLE`, `${found.alert} is on.`),
      drop,
    ),
    history.length > 0 ? table(history, { caption: `What ${found.alert} said` }) : h("p", { class: "hint" }, "It said nothing yet."),
  ];
}

/** What it says, when, to whom. */
function facts(found) {
  const pairs = [
    ["of", found.table_name],
    ["looked at", [found.schedule, found.looked_at !== null && `last ${time(found.looked_at)}`].filter(Boolean).join(", ")],
    ["tells", found.notify],
    ["owner", found.owner],
    ["silent until", found.silent_until !== null && time(found.silent_until)],
    ["messages that wait", found.waiting > 0 && String(found.waiting)],
    ["switched off", !found.enabled && "yes"],
  ];
  const shown = pairs.filter(([, value]) => value).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)));
  return h("div", {}, h("pre", { class: "sql", tabindex: "0" }, found.rule ?? ""), h("dl", { class: "facts" }, shown));
}

/** The form that makes an alert: a sentence of SQL, filled in. */
function maker(world, act) {
  const tables = world.tables.filter((one) => one.schema !== "system").map(({ schema, name }) => `lab.${schema}.${name}`);
  const inputs = {
    name: h("input", { id: "alert-name", required: true, pattern: "([a-z][a-z0-9_]*\\.)?[a-z][a-z0-9_]*", placeholder: "low_yield", autocomplete: "off" }),
    table: h("select", { id: "alert-table" }, tables.map((name) => h("option", { value: name }, name))),
    rule: h("input", { id: "alert-rule", required: true, size: 52, placeholder: EXAMPLES[0], list: "alert-examples", autocomplete: "off", spellcheck: "false" }),
    when: h("select", { id: "alert-when" }, h("option", { value: "" }, "when the table changes"), ["1 MINUTE", "10 MINUTES", "1 HOUR", "1 DAY"].map((every) => h("option", { value: `EVERY ${every}` }, `every ${every.toLowerCase()}`))),
    message: h("input", { id: "alert-message", size: 40, placeholder: "Look at the pipetting robot first.", autocomplete: "off" }),
    notify: h("input", { id: "alert-notify", required: true, size: 28, value: world.me.name, autocomplete: "off", spellcheck: "false" }),
    replace: h("input", { id: "alert-replace", type: "checkbox" }),
  };
  const sql = () => {
    const { name, table, rule, when, message, notify, replace } = inputs;
    const words = message.value.trim() && `MESSAGE '${message.value.trim().replaceAll("'", "''")}'`;
    const clauses = [`CREATE${replace.checked ? " OR REPLACE" : ""} ALERT ${name.value.trim()} ON ${table.value}`, `WHEN ${rule.value.trim()}`, when.value, words, `NOTIFY ${notify.value.trim()}`];
    return clauses.filter(Boolean).join(" ");
  };
  const shown = h("pre", { class: "sql" });
  const preview = () => (shown.textContent = sql());
  const element = h(
    "form",
    { class: "maker", "aria-labelledby": "alert-new" },
    h("h2", { id: "alert-new" }, "New alert"),
    h(
      "p",
      { class: "filters" },
      field("alert-name", "Name", inputs.name),
      field("alert-table", "of", inputs.table),
      field("alert-rule", "says when", inputs.rule),
      field("alert-when", "looked at", inputs.when),
      field("alert-message", "with the words", inputs.message),
      field("alert-notify", "to", inputs.notify),
      field("alert-replace", "in place of the one of that name", inputs.replace),
    ),
    h("datalist", { id: "alert-examples" }, EXAMPLES.map((value) => h("option", { value }))),
    h("p", { class: "hint" }, "A rule may go on with BY columns (a state for each; what begins together is one message), FOR 10 MINUTES (before it fires), WITHIN LAST 7 DAYS OF a time. To: logins, with BY and the names of channels, as in sam, ana BY email."),
    shown,
    h("p", { class: "actions" }, h("button", { type: "submit", class: "main" }, "Make the alert")),
  );
  element.addEventListener("input", preview);
  element.addEventListener("submit", (event) => {
    event.preventDefault();
    act(sql(), `${inputs.name.value.trim()} is made.`);
  });
  preview();
  const fill = (found) => {
    const every = /^every (\d+) s$/.exec(found.schedule ?? "");
    const schedule = every ? `EVERY ${every[1]} SECONDS` : /^cron/.test(found.schedule ?? "") ? `CRON '${found.schedule.slice(5)}'` : "";
    if (![...inputs.when.options].some((option) => option.value === schedule)) inputs.when.append(h("option", { value: schedule }, found.schedule));
    Object.assign(inputs.name, { value: found.alert });
    Object.assign(inputs.table, { value: found.table_name });
    Object.assign(inputs.rule, { value: found.rule });
    Object.assign(inputs.when, { value: schedule });
    Object.assign(inputs.message, { value: found.message ?? "" });
    Object.assign(inputs.notify, { value: found.notify });
    inputs.replace.checked = true;
    preview();
    inputs.rule.focus();
  };
  return { element, fill };
}
