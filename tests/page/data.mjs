// The Data view: what a table is and whose, what its columns hold, where it comes from, who may see it. Each yes has its no: what
// another person is not shown of the same table.

import { assert, axe, check, clean, finish, open, rows, start, until } from "./lib.mjs";

await start();
const REACTIONS = "lab.chemistry.reactions";
await rows("ada", `COMMENT ON TABLE ${REACTIONS} IS 'One row a well, with all that is known of it'`);
await rows("ada", `COMMENT ON COLUMN ${REACTIONS}.yield_pct IS 'By UPLC, of theory'`);
await rows("ada", `ALTER TABLE ${REACTIONS} ALTER COLUMN yield_pct SET TAGS (unit_checked = true)`);

async function table(user, name = "chemistry.reactions") {
  const page = await open(`/?view=data&table=${name}`, { signedIn: user });
  await page.locator(`.about .scroll[aria-label="Columns"][aria-busy="false"]`).waitFor();
  await page.locator(".about table").nth(2).waitFor();
  return page;
}

const nodes = (page) => page.locator(".origin .node").evaluateAll((all) => all.map((one) => one.dataset.id).sort());
const column = (page, name) => page.locator(`.about tr[data-column="${name}"]`);

await check("data: what a table is and whose, with comments and tags of what is seen", async () => {
  const page = await table("sam");
  const facts = await page.locator(".facts").textContent();
  for (const part of ["materialized view", "chemistry", "ada", "sensitivity = internal", "kind = screen"]) assert.ok(facts.includes(part), `${part}: ${facts}`);
  assert.match(await page.locator(".about .description").textContent(), /One row a well/);
  const about = await column(page, "yield_pct").textContent();
  assert.ok(about.includes("By UPLC, of theory") && about.includes("unit_checked = true"), about);
  assert.ok(about.includes("from chemistry.plate_readings: yield_pct"), about);
  assert.match(await column(page, "operator").textContent(), /from chemistry\.protocols: operator/);
  await clean(page);
  assert.deepEqual(await axe(page), []);
  await page.close();
});

await check("data: the profile's numbers and bars are those of SQL, of what the person sees", async () => {
  const sums = {};
  for (const user of ["sam", "ana"]) {
    const page = await table(user);
    const [[count, low, high, filled]] = await rows(user, `SELECT count(*), min(yield_pct), max(yield_pct), count(yield_pct) FROM ${REACTIONS}`);
    const holds = await column(page, "yield_pct").locator(".holds").textContent();
    assert.deepEqual(/(\S+) to (\S+)/.exec(holds)?.slice(1).map(Number), [low, high], `${user}: ${holds}`);
    const counts = await column(page, "yield_pct").locator(".histogram").evaluate((svg) => svg.counts);
    assert.equal(counts.length, 16);
    assert.equal(counts.reduce((sum, value) => sum + value, 0), filled);
    const step = (high - low) / 16;
    const [[third]] = await rows(user, `SELECT count(*) FROM ${REACTIONS} WHERE floor((yield_pct - (${low})) / ${step}) = 2`);
    assert.equal(counts[2], third);
    const status = await column(page, "status").locator(".histogram").evaluate((svg) => svg.counts);
    assert.deepEqual(status, (await rows(user, `SELECT count(*) AS n FROM ${REACTIONS} GROUP BY status ORDER BY n DESC`)).map(([n]) => n));
    const days = await column(page, "run_at").locator(".histogram").evaluate((svg) => svg.counts);
    assert.equal(days.reduce((sum, value) => sum + value, 0), count);
    sums[user] = filled;
    if (user === "ana") {
      assert.equal(await column(page, "operator").count(), 0);
      assert.doesNotMatch(await page.locator(".about").textContent(), /operator|mara\.lindt|Nc1ccccc1/);
      assert.equal(status.length, 1, "released ones only");
    }
    await clean(page);
    await page.close();
  }
  assert.ok(sums.ana < sums.sam);
});

await check("data: lineage is drawn from files to models, and only what is seen", async () => {
  const sam = await table("sam");
  await sam.locator(".origin .node").first().waitFor();
  const seen = await nodes(sam);
  for (const id of ["files:chemistry.plate_readings", "table:chemistry.plate_readings", "table:chemistry.protocols", "view:chemistry.reactions", "model:chemistry.yield_model"])
    assert.ok(seen.includes(id), `${id}: ${seen}`);
  const told = await rows("sam", "SELECT DISTINCT source_kind || ':' || source_name FROM lab.system.lineage WHERE target_name = 'chemistry.reactions' AND target_column IS NULL AND source_column IS NULL");
  for (const [id] of told) assert.ok(seen.includes(id), id);
  // From left to right, and by keyboard to the next table.
  const at = (id) => sam.locator(`.origin [data-id="${id}"] rect`).evaluate((rect) => Number(rect.getAttribute("x")));
  const places = [];
  for (const id of ["files:chemistry.plate_readings", "table:chemistry.plate_readings", "view:chemistry.reactions", "model:chemistry.yield_model"]) places.push(await at(id));
  assert.deepEqual(places, [...places].sort((a, b) => a - b));
  assert.equal(new Set(places).size, 4);
  assert.deepEqual(await axe(sam), []);
  await sam.locator('.origin [data-id="table:chemistry.protocols"]').focus();
  await sam.keyboard.press("Enter");
  await sam.waitForURL(/table=chemistry\.protocols/);
  await sam.getByRole("heading", { name: "chemistry.protocols" }).waitFor();
  await clean(sam);
  await sam.close();

  // Readings are hidden from ana, and she may not ask the model: neither is drawn, nor hinted at by a version or a count.
  const ana = await table("ana");
  await ana.locator(".origin .node").first().waitFor();
  const hers = await nodes(ana);
  assert.ok(hers.includes("table:chemistry.protocols") && hers.includes("view:chemistry.reactions"), String(hers));
  assert.ok(!hers.some((id) => /plate_readings|yield_model/.test(id)), String(hers));
  await clean(ana);
  await ana.close();
});

await check("data: who may see it is told to administrators, with the rows each sees", async () => {
  const page = await table("ada");
  await page.locator('.who tr[data-person="guest"]').waitFor();
  const line = async (name) => (await page.locator(`.who tr[data-person="${name}"] td`).allTextContents()).slice(0, 2);
  const [[all]] = await rows("ada", `SELECT count(*) FROM ${REACTIONS}`);
  const [[some]] = await rows("ana", `SELECT count(*) FROM ${REACTIONS}`);
  assert.deepEqual(await line("sam"), [`${all} of ${all} rows`, "all, in clear"]);
  const ana = await line("ana");
  assert.equal(ana[0], `${some} of ${all} rows`);
  assert.match(ana[1], /operator hidden/);
  assert.match(ana[1], /scaffold_smiles masked/);
  assert.equal((await line("guest"))[0], "nothing");
  await clean(page);
  await page.close();

  const sam = await table("sam");
  assert.equal(await sam.locator(".who").count(), 0);
  await sam.locator(".people summary").click();
  await until("the refusal", async () => /may not admin/.test((await sam.locator(".people .problem").textContent().catch(() => "")) ?? ""));
  assert.equal(await sam.locator(".who").count(), 0);
  await sam.close();
});

await check("pipelines: drawn with their states, made anew by who may, and not there for others", async () => {
  const page = await open("/?view=pipelines", { signedIn: "ada" });
  await page.locator('.dag [data-id="view:chemistry.reactions"]').waitFor();
  const ids = await page.locator(".dag .node").evaluateAll((all) => all.map((one) => one.dataset.id));
  for (const id of ["table:chemistry.protocols", "view:chemistry.stock_outlook", "model:chemistry.yield_model"]) assert.ok(ids.includes(id), `${id}: ${ids}`);
  assert.match(await page.locator('.dag [data-id="view:chemistry.reactions"]').getAttribute("aria-label"), /^view · fresh chemistry\.reactions, made of .*chemistry\.plate_readings/);
  await page.locator('.dag [data-id="view:chemistry.reactions"]').click();
  await page.waitForURL(/pipeline=chemistry\.reactions/);
  await page.getByRole("button", { name: "Make all of it anew" }).click();
  await page.getByText("chemistry.reactions is made of all there is.").waitFor();
  assert.equal((await rows("ada", "SELECT mode_reason FROM lab.system.pipelines WHERE view_name = 'reactions'"))[0][0], "REFRESH … FULL was asked for");
  await page.getByRole("button", { name: "Refresh", exact: true }).click();
  await page.getByText("chemistry.reactions is fresh.").waitFor();
  assert.deepEqual((await rows("ada", "SELECT mode, mode_reason FROM lab.system.pipelines WHERE view_name = 'reactions'"))[0], ["incremental", "no source changed"]);
  assert.deepEqual(await axe(page), []);
  await clean(page);
  await page.close();
  const ana = await open("/?view=pipelines", { signedIn: "ana" });
  await ana.waitForSelector(".view h1");
  assert.equal(await ana.locator(".dag").count(), 0);
  assert.equal(await ana.locator('nav a[href*="view=pipelines"]').count(), 0);
  await ana.close();
  // Who makes views sees how his own fare, and nobody else's.
  const [[all]] = await rows("ada", "SELECT count(DISTINCT owner) FROM lab.system.pipelines");
  const [[others]] = await rows("sam", "SELECT count(*) FROM lab.system.pipelines WHERE owner <> 'sam'");
  assert.ok(Number(all) >= 1);
  assert.equal(Number(others), 0);
});

await check("data: a table of the server has columns and rows, and no lineage", async () => {
  const page = await open("/?view=data&table=system.policies", { signedIn: "ada" });
  await page.locator(".about table").nth(2).waitFor();
  assert.equal(await page.locator(".origin").count(), 0);
  await clean(page);
  await page.close();
});

await finish();
