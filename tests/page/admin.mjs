// The Admin view: who sees what and why, what an edit would change, and what is done about files and statements.

import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { assert, axe, BASE, basic, card, check, clean, finish, open, rows, settled, start, until } from "./lib.mjs";

const DIR = process.env.LABHOUSE_DIR;
const REACTIONS = "lab.chemistry.reactions";
await start();

const cells = (page, name) => card(page, name).locator("tbody tr").evaluateAll((lines) => lines.map((line) => [...line.cells].map((cell) => cell.textContent)));

await check("admin: what somebody sees is explained with the line that decided", async () => {
  const page = await open("/?view=admin", { signedIn: "ada" });
  await settled(page, 8);
  await page.fill("#explain-who", "ana");
  await page.locator("#explain-table").selectOption({ label: "chemistry.reactions" });
  await page.getByRole("button", { name: "Explain" }).click();
  await card(page, "explain").locator("tbody tr").first().waitFor();
  const told = await cells(page, "explain");
  const about = (object) => told.filter((line) => line[2] === `${REACTIONS}.${object}`);
  assert.equal(about("operator")[0][1], "hidden");
  assert.deepEqual([about("scaffold_smiles")[0][1], about("yield_pct")[0][1]], ["masked", "shown"]);
  assert.ok(about("operator").some((line) => line[4] === "policy.csv" && Number(line[5]) > 0 && /operator/.test(line[6])), String(about("operator")));
  // Rows: those that are kept from her, and by what.
  await page.fill("#explain-rows", "status = 'draft' AND well = 'A1'");
  await page.getByRole("button", { name: "Explain" }).click();
  await until("rows that are judged", async () => (await cells(page, "explain")).some((line) => line.includes("released_only") && line[1] === "hidden"));
  // Everybody, by rows.
  await page.fill("#explain-who", "");
  await page.fill("#explain-rows", "");
  await page.getByRole("button", { name: "Explain" }).click();
  await until("everybody", async () => (await cells(page, "explain")).some((line) => line[0] === "guest" && line[1] === "hidden"));
  // What cannot be asked is refused in the server's words.
  await page.fill("#explain-who", "nobody_here");
  await page.getByRole("button", { name: "Explain" }).click();
  await until("why not", async () => /nobody is called nobody_here/.test(await card(page, "explain").locator(".problem").textContent()));
  await clean(page, /status of 404/);
  await page.close();
});

await check("admin: an edit of the policies is compared before it acts, and nothing of it acts", async () => {
  const page = await open("/?view=admin", { signedIn: "ada" });
  await settled(page, 8);
  await card(page, "changes").locator("summary").click();
  await until("the files in force", async () => (await page.inputValue("#changes-policy")).includes("role:lab_analyst"));
  const [policy, filters] = [await page.inputValue("#changes-policy"), await page.inputValue("#changes-filters")];
  const compare = () => page.getByRole("button", { name: "Compare" }).click();
  await compare();
  await card(page, "changes").getByText("Nothing would change for anybody.").waitFor();
  // Rows: drafts are shown, too. Columns: the operator. Of nobody else.
  const [[all], [some]] = [(await rows("ada", `SELECT count(*) FROM ${REACTIONS}`))[0], (await rows("ana", `SELECT count(*) FROM ${REACTIONS}`))[0]];
  await page.fill("#changes-filters", filters.replace("status = 'released'", "status <> 'nothing'"));
  await page.fill("#changes-policy", policy.split("\n").filter((line) => !/lab\/chemistry\/\*\/operator/.test(line)).join("\n"));
  await compare();
  await card(page, "changes").locator("tbody tr").first().waitFor();
  const told = await cells(page, "changes");
  const line = told.find((line) => line[0] === "ana" && line.includes(REACTIONS));
  assert.ok(line, JSON.stringify(told));
  assert.match(line.join(" "), new RegExp(`gains column operator.*gains ${all - some} rows`));
  assert.ok(!told.some((line) => ["ada", "sam", "guest"].includes(line[0])), String(told));
  assert.deepEqual(await axe(page), []);
  assert.equal((await rows("ana", `SELECT count(*) FROM ${REACTIONS}`))[0][0], some, "it does not act");
  // One that would not act says file, line and remedy.
  await page.fill("#changes-policy", `${policy}\np, role:lab_analyst, chemistry, lab/chemistry/**, selekt, allow\n`);
  await compare();
  await until("why not", async () => /policy\.csv/.test(await card(page, "changes").locator(".problem").textContent()));
  await page.getByRole("button", { name: "As in force" }).click();
  await until("the files in force", async () => (await page.inputValue("#changes-policy")) === policy);
  await clean(page, /status of 400/);
  await page.close();
  for (const user of ["sam", "ana"])
    await assert.rejects(rows(user, "EXPLAIN POLICY CHANGES POLICY ''"), /administrators of the lake/);
});

await check("admin: a file in quarantine is released or ignored, a running statement is cancelled", async () => {
  mkdirSync(join(DIR, "landing/chemistry/odd"), { recursive: true });
  const file = join(DIR, "landing/chemistry/odd/broken.bin");
  writeFileSync(`${file}.part`, Buffer.from(Array.from({ length: 4_000 }, (_, at) => (at * 7919) % 251)));
  renameSync(`${file}.part`, file);
  const waiting = async () => (await rows("ada", "SELECT count(*) FROM lab.system.quarantine"))[0][0];
  await until("the file in quarantine", async () => (await waiting()) === 1);
  const endless = "SELECT sum(a.value * b.value) AS endless FROM generate_series(1, 300000) a, generate_series(1, 300000) b";
  const asked = fetch(`${BASE}/api/query`, { method: "POST", headers: { "content-type": "application/json", ...basic("sam") }, body: JSON.stringify({ sql: endless }) }).then((response) => response.text(), String);
  const state = async () => (await rows("ada", "SELECT state FROM lab.system.queries WHERE sql LIKE 'SELECT sum(a.value%endless%'"))[0]?.[0];
  await until("it runs", async () => (await state()) === "running");
  const page = await open("/?view=admin", { signedIn: "ada" });
  await settled(page, 8);
  await card(page, "queries").locator("tbody tr", { hasText: "endless" }).getByRole("button", { name: "Cancel" }).click();
  await card(page, "queries").getByText("The statement of sam is cancelled.").waitFor();
  assert.match(await asked, /cancel/i);
  await until("cancelled", async () => (await state()) === "cancelled");
  await card(page, "quarantine").locator("tbody tr", { hasText: "broken.bin" }).getByRole("button", { name: "Release" }).click();
  await card(page, "quarantine").getByText("broken.bin is read again").waitFor();
  // It is no better than it was, and comes back; left alone it does not.
  await until("it is back", async () => (await waiting()) === 1);
  await page.reload();
  await settled(page, 8);
  await card(page, "quarantine").locator("tbody tr", { hasText: "broken.bin" }).getByRole("button", { name: "Ignore" }).click();
  await card(page, "quarantine").getByText("broken.bin is left alone").waitFor();
  assert.equal(await waiting(), 0);
  await clean(page);
  await page.close();
});

await finish();
