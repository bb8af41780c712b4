// What people do on the page: narrow, go back, search, ask, pivot, export, sign in as somebody else, on a phone.

import { readFileSync } from "node:fs";

import { assert, axe, BASE, basic, card, check, clean, finish, open, raw, rows, settled, signIn, start, until } from "./lib.mjs";

const browser = await start();
const REACTIONS = "lab.chemistry.reactions";
const labels = (page, chart) => card(page, chart).locator(".bar").evaluateAll((bars) => bars.map((bar) => bar.getAttribute("aria-label")));

await check("2 offline, 3 strict: nothing foreign is asked for, no rule is broken, in any view", async () => {
  const page = await open("/", { signedIn: "ada" });
  await settled(page, 6);
  for (const view of ["reagents", "plates", "insight", "data", "sql", "alerts", "pipelines", "admin"]) {
    await page.click(`nav a[href*="view=${view}"]`);
    await page.waitForSelector(`[data-view="${view}"] h1`);
    await page.waitForLoadState("networkidle");
    assert.equal(await page.locator("main .problem:not(:empty)").count(), 0, view);
  }
  await clean(page);
  // That nothing foreign can come is so: it is cut off, not only counted.
  await assert.rejects(page.goto("http://labhouse.example/"), /ERR_FAILED/);
  const { headers } = await fetch(BASE + "/");
  assert.equal(headers.get("x-content-type-options"), "nosniff");
  assert.match(headers.get("content-security-policy"), /default-src 'none'.*frame-ancestors 'none'/);
  assert.doesNotMatch(await (await fetch(BASE + "/")).text(), /<script>|\son[a-z]+=|style=/);
  await page.close();
});

await check("11 filters narrow every chart together, live in the URL, and the back button works", async () => {
  const page = await open("/?view=overview", { signedIn: "sam" });
  await settled(page, 6);
  const facts = async () => ({
    wells: await card(page, "at_a_glance").locator("dd").nth(2).textContent(),
    days: await card(page, "daily_yield").locator(".plot").evaluate((frame) => frame.uplot.data[1].filter((value) => value !== null).length),
    lots: (await labels(page, "by_lot")).length,
    operators: await labels(page, "by_operator"),
  });
  const all = await facts();
  await page.getByLabel("Project").selectOption("borealis");
  await page.waitForURL(/f\.project=borealis/);
  await settled(page, 6);
  const narrowed = await facts();
  const [[wells, days, lots]] = await rows("sam", `SELECT count(yield_pct), count(DISTINCT CAST(run_at AS DATE)), count(DISTINCT catalyst_lot) FROM ${REACTIONS} WHERE campaign = 'borealis'`);
  assert.deepEqual([narrowed.wells, narrowed.days, narrowed.lots], [wells.toLocaleString("en-GB"), days, lots]);
  assert.notDeepEqual(narrowed.operators, all.operators);
  await page.getByLabel("Days, from").fill("2026-04-10");
  await page.waitForURL(/f\.days=2026-04-10/);
  await settled(page, 6);
  const both = await facts();
  const [[fewer]] = await rows("sam", `SELECT count(yield_pct) FROM ${REACTIONS} WHERE campaign = 'borealis' AND run_at >= CAST('2026-04-10' AS TIMESTAMP)`);
  assert.equal(both.wells, fewer.toLocaleString("en-GB"));
  await page.reload();
  await settled(page, 6);
  assert.deepEqual(await facts(), both);
  // And of one reagent lot: a third condition on every chart.
  const [[busiest]] = await rows("sam", `SELECT catalyst_lot FROM ${REACTIONS} WHERE campaign = 'borealis' AND run_at >= CAST('2026-04-10' AS TIMESTAMP) GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1`);
  await page.getByRole("combobox", { name: "Reagent lot" }).selectOption(busiest);
  await page.waitForURL(/f\.lot=/);
  await settled(page, 6);
  const lot = new URL(page.url()).searchParams.get("f.lot");
  const three = await facts();
  const [[least, leastDays]] = await rows("sam", `SELECT count(yield_pct), count(DISTINCT CAST(run_at AS DATE)) FROM ${REACTIONS} WHERE campaign = 'borealis' AND run_at >= CAST('2026-04-10' AS TIMESTAMP) AND catalyst_lot = '${lot}'`);
  assert.deepEqual([three.wells, three.days, three.lots], [least.toLocaleString("en-GB"), leastDays, least > 0 ? 1 : 0]);
  await page.goBack();
  await settled(page, 6);
  assert.deepEqual(await facts(), both);
  await page.goBack();
  await settled(page, 6);
  assert.deepEqual(await facts(), narrowed);
  await page.goBack();
  await settled(page, 6);
  assert.deepEqual(await facts(), all);
  await page.close();
});

await check("11 a click on a bar narrows the page to it", async () => {
  const page = await open("/?view=overview", { signedIn: "sam" });
  await settled(page, 6);
  await card(page, "by_lot").locator(".bar.marked").click();
  await page.waitForURL(/f\.lot=XP-2604/);
  await settled(page, 6);
  assert.equal((await labels(page, "by_lot")).length, 1);
  await page.getByRole("button", { name: "Show all" }).click();
  await settled(page, 6);
  assert.ok((await labels(page, "by_lot")).length > 10);
  await page.close();
});

async function run(page, sql) {
  await page.fill("#editor", sql);
  await page.keyboard.press("Escape");
  await page.click("button.main");
  await page.waitForFunction(() => !document.querySelector(".view button.main").disabled);
}

await check("12 pivot: GROUP BY with subtotals, sorted by a click, CSV as the API gives it, no formulas", async () => {
  const page = await open("/?view=sql", { signedIn: "sam" });
  await page.waitForSelector("#editor");
  const sql = `SELECT catalyst, solvent, yield_pct FROM ${REACTIONS} LIMIT 100000`;
  await run(page, sql);
  await page.getByRole("button", { name: "Pivot" }).click();
  await page.waitForSelector(".pivot tr.total");
  const matrix = () => page.locator(".pivot table").first().evaluate((table) => [...table.rows].map((row) => [...row.cells].map((cell) => cell.textContent)));
  const shown = await matrix();
  const told = await rows("sam", `SELECT catalyst, solvent, avg(yield_pct) FROM ${REACTIONS} GROUP BY GROUPING SETS ((catalyst, solvent), (catalyst), (solvent), ())`);
  assert.ok(told.length >= 35);
  for (const [catalyst, solvent, mean] of told) {
    const line = shown.find((line) => line[0] === (catalyst ?? "all"));
    assert.equal(line[shown[0].indexOf(solvent ?? "all")], mean.toFixed(2), `${catalyst} ${solvent}`);
  }
  await page.locator(".pivot thead button", { hasText: "DMSO" }).click();
  const column = (await matrix()).slice(1, -1).map((line) => Number(line[shown[0].indexOf("DMSO")]));
  assert.deepEqual(column, [...column].sort((a, b) => b - a));
  const statement = await page.locator("pre.sql").textContent();
  const [download] = await Promise.all([page.waitForEvent("download"), page.locator(".pivot").getByRole("button", { name: "Save CSV" }).click()]);
  assert.deepEqual(readFileSync(await download.path()), await raw("sam", { sql: statement, format: "csv", spreadsheet: true }));
  const [book] = await Promise.all([page.waitForEvent("download"), page.locator(".pivot").getByRole("button", { name: "Save Excel" }).click()]);
  assert.equal(book.suggestedFilename(), "pivot.xlsx");
  assert.deepEqual(readFileSync(await book.path()), await raw("sam", { sql: statement, format: "xlsx" }));
  // Values that would be written alike are groups of their own, and a year is no thousand.
  await run(page, "SELECT * FROM (VALUES (1.01, 2026, 1), (1.04, 2026, 2), (1.01, 2027, 4)) AS t(dose, \"year\", n)");
  await page.getByRole("button", { name: "Pivot" }).click();
  await page.waitForFunction(() => document.querySelector(".pivot thead th")?.textContent.startsWith("dose"));
  assert.deepEqual((await matrix()).map((line) => line.slice(0, 3)), [
    ["dose ＼ year", "2026", "2027"],
    ["1.01", "1.00", "4.00"],
    ["1.04", "2.00", "–"],
    ["all", "1.50", "4.00"],
  ]);
  await run(page, "SELECT '=1+1' AS \"@name\", '-5' AS b, -5 AS n");
  const [evil] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "Save CSV" }).first().click()]);
  assert.equal(readFileSync(await evil.path(), "utf8"), "'@name,b,n\r\n'=1+1,'-5,-5\r\n");
  await page.close();
});

await check("12 filter: conditions like in a spreadsheet run over all rows, and what is typed is never SQL", async () => {
  const page = await open("/?view=sql", { signedIn: "sam" });
  await page.waitForSelector("#editor");
  await run(page, `SELECT well, catalyst, yield_pct, run_at, is_edge FROM ${REACTIONS}`);
  await page.getByRole("button", { name: "Filter", exact: true }).click();
  const said = () => page.locator(".pivot .readout").textContent();
  const type = async (column, text) => {
    await page.fill(`.pivot input[data-column="${column}"]`, text);
    await page.keyboard.press("Tab");
  };
  const rowsOf = async (where) => (await rows("sam", `SELECT count(*) FROM ${REACTIONS} WHERE ${where}`))[0][0];
  const shows = async (where) => {
    const wanted = await rowsOf(where);
    assert.ok(wanted > 0 && wanted <= 10_000, `${where}: ${wanted}`);
    await until(where, async () => (await said()) === `${wanted.toLocaleString("en-GB")} rows`);
  };
  await type("yield_pct", "> 80");
  await shows("yield_pct > 80");
  await type("catalyst", "xphos");
  await shows("yield_pct > 80 AND catalyst ILIKE '%xphos%'");
  await type("run_at", "2026-04-01..2026-05-01");
  await shows("yield_pct > 80 AND catalyst ILIKE '%xphos%' AND run_at BETWEEN TIMESTAMP '2026-04-01' AND TIMESTAMP '2026-05-01'");
  await page.getByLabel("Sorted by").selectOption({ label: "yield_pct ↓" });
  await until("sorted by the server", async () => {
    const shown = (await page.locator(".pivot tbody tr td:nth-child(3)").allTextContents()).map(Number);
    return shown.length > 1 && shown.every((value, at) => at === 0 || value <= shown[at - 1]);
  });
  const statement = await page.locator(".pivot pre.sql").textContent();
  assert.doesNotMatch(statement, /xphos|80/);
  const parameters = ["xphos", 80, "2026-04-01", "2026-05-01"];
  const [download] = await Promise.all([page.waitForEvent("download"), page.locator(".pivot").getByRole("button", { name: "Save CSV" }).click()]);
  assert.deepEqual(readFileSync(await download.path()), await raw("sam", { sql: statement, parameters, format: "csv", spreadsheet: true }));
  for (const [column, text, where] of [["run_at", "", null], ["catalyst", "", null], ["yield_pct", "=", "yield_pct IS NULL"], ["is_edge", "true", "yield_pct IS NULL AND is_edge"]]) {
    await type(column, text);
    if (where) await shows(where);
  }
  await type("well", "A1' OR '1'='1");
  await until("no row", async () => (await said()) === "0 rows");
  await type("yield_pct", "many");
  await until("why not", async () => /“many” is no number/.test(await page.locator(".pivot .problem").textContent()));
  // Over what is no question none can be asked.
  const tabs = () => page.locator(".tabs button").allTextContents();
  assert.deepEqual(await tabs(), ["Table", "Chart", "Filter", "Pivot"]);
  await run(page, "-- SELECT\nSHOW TABLES");
  assert.deepEqual(await tabs(), ["Table", "Chart"]);
  await run(page, `/* SHOW */ (SELECT well, yield_pct FROM ${REACTIONS} LIMIT 5); -- five`);
  assert.deepEqual(await tabs(), ["Table", "Chart", "Filter", "Pivot"]);
  assert.deepEqual(await axe(page), []);
  await clean(page);
  await page.close();
});

await check("13 search finds tables, columns and descriptions, and never what is hidden", async () => {
  const page = await open("/?view=data", { signedIn: "sam" });
  await page.fill("#find", "yield");
  const found = () => page.locator(".tables li").evaluateAll((items) => items.map((item) => item.textContent));
  assert.ok((await found()).some((text) => text.startsWith("chemistry.reactions") && text.includes("yield_pct")));
  assert.ok((await found()).some((text) => text.startsWith("chemistry.plate_readings")));
  // By what is said of a table and of a column.
  for (const [word, name, why] of [["bottles bought", "chemistry.reagent_lots", "Bottles bought"], ["lipophilicity", "chemistry.reactions", "lipophilicity of the product"]]) {
    await page.fill("#find", word);
    await page.locator(".tables li", { hasText: name }).filter({ hasText: why }).waitFor();
  }
  // What is hidden is not told by a count either.
  await page.fill("#find", "microsomes");
  await page.getByText("0 found").waitFor();
  assert.ok((await rows("ada", "SELECT count(*) FROM search_catalog('microsomes')"))[0][0] > 0);
  await page.fill("#find", "ic50");
  assert.deepEqual(await found(), []);
  assert.doesNotMatch(await page.content(), /assay/);
  await page.fill("#find", "yeild solvnt");
  await page.locator(".tables li", { hasText: /^chemistry\.reactions.*yield_pct/ }).waitFor();
  await page.fill("#find", "");
  await page.getByRole("link", { name: "chemistry.reagent_lots" }).click();
  await page.waitForURL(/table=chemistry\.reagent_lots/);
  await page.locator(".about table").nth(2).waitFor();
  assert.match(await page.locator(".about").textContent(), /supplier/);
  await page.close();
});

await check("14 three logins, three truths, also in pickers, exports and error texts", async () => {
  const counts = {};
  for (const user of ["ada", "sam", "ana"]) {
    const page = await open("/?view=overview", { signedIn: user });
    await settled(page, 4);
    counts[user] = await card(page, "at_a_glance").locator("dd").nth(2).textContent();
    // What a chart says of the place one points at, and what it would say of any: the names are there for who may see them only.
    const said = [];
    for (const bar of await page.locator(".card .bar").all()) {
      await bar.focus();
      said.push(await bar.evaluate((one) => [one.getAttribute("aria-label"), one.closest(".card").querySelector(".readout").textContent].join(" ")));
    }
    for (const plot of await page.locator(".card .plot").all()) {
      await plot.focus();
      await page.keyboard.press("End");
      said.push(await plot.evaluate((one) => one.closest(".card").querySelector(".readout").textContent));
    }
    assert.ok(said.length > 10 && said.every(Boolean), `${user}: ${said}`);
    assert.equal(/mara\.lindt|jon\.aske/.test(said.join("\n")), user !== "ana", `${user}: ${said}`);
    if (user === "ana") {
      assert.doesNotMatch(await page.content(), /operator/i);
      assert.equal(await card(page, "by_operator").count(), 0);
      await page.click('nav a[href*="view=data"]');
      await page.getByRole("link", { name: "chemistry.reactions", exact: true }).click();
      await page.locator(".about table").nth(2).waitFor();
      const about = page.locator(".about");
      assert.doesNotMatch(await about.locator("table").first().textContent(), /operator/);
      assert.doesNotMatch(await about.locator("table").nth(1).textContent(), /mara\.lindt|jon\.aske|Nc1ccccc1/);
      await page.click('nav a[href*="view=sql"]');
      await run(page, `SELECT operator FROM ${REACTIONS}`);
      const hidden = await page.locator(".problem").first().textContent();
      await run(page, `SELECT operatox FROM ${REACTIONS}`);
      assert.equal((await page.locator(".problem").first().textContent()).replaceAll("operatox", "operator"), hidden);
    }
    for (const [view, whose] of [["admin", ["ada"]], ["pipelines", ["ada", "sam"]]]) assert.equal(await page.locator(`nav a[href*="view=${view}"]`).count(), whose.includes(user) ? 1 : 0, `${user}: ${view}`);
    await page.close();
  }
  assert.equal(counts.ada, counts.sam);
  assert.notEqual(counts.ana, counts.sam);
  const page = await open("/", { signedIn: "guest" });
  await page.waitForSelector("[data-view=data]");
  assert.equal(await page.locator(".tables li").count(), 0);
  assert.doesNotMatch(await page.content(), /reactions|Overview|Plates/);
  await page.close();
});

await check("15 a session that ends mid-page: one prompt, then the same place", async () => {
  const page = await open("/?view=overview", { signedIn: "sam" });
  await settled(page, 6);
  const facts = () =>
    page.locator(".card").evaluateAll((cards) =>
      cards.map((card) => [
        card.dataset.chart,
        card.querySelector(".chart").textContent,
        card.querySelector(".problem").textContent,
        [...card.querySelectorAll(".bar")].map((bar) => bar.getAttribute("aria-label")),
        [...(card.querySelector(".plot")?.uplot?.data[1] ?? [])],
      ]),
    );
  const before = await facts();
  await browser.clearCookies();
  await page.getByLabel("Project").selectOption("aurora");
  await page.waitForSelector("dialog[open]");
  assert.equal(await page.locator("dialog").count(), 1);
  // No half data: all of it is what it was, and after signing in all of it is new.
  await settled(page, 6);
  assert.deepEqual(await facts(), before);
  const url = page.url();
  await page.fill("#user", "sam");
  await page.fill("#password", "wrong");
  await page.click("dialog button.main");
  await page.locator("dialog .problem", { hasText: "login refused" }).waitFor();
  await signIn(page, "sam");
  await settled(page, 6);
  assert.equal(page.url(), url);
  const [[wells]] = await rows("sam", `SELECT count(yield_pct) FROM ${REACTIONS} WHERE campaign = 'aurora'`);
  await until("the card narrowed", async () => (await card(page, "at_a_glance").locator("dd").nth(2).textContent()) === wells.toLocaleString("en-GB"));
  await settled(page, 6);
  const after = await facts();
  await clean(page, /401/);
  await page.reload();
  await settled(page, 6);
  assert.deepEqual(after, await facts());
  assert.notDeepEqual(after, before);
  await page.close();
});

await check("15 somebody else who signs in then sees his own truth", async () => {
  const page = await open("/?view=overview", { signedIn: "sam" });
  await settled(page, 6);
  await browser.clearCookies();
  await page.getByLabel("Project").selectOption("aurora");
  await page.waitForSelector("dialog[open]");
  await signIn(page, "ana");
  await until("ana's name", async () => (await page.locator(".person").textContent()) === "ana");
  await settled(page, 4);
  assert.equal(await card(page, "by_operator").count(), 0);
  await page.close();
});

await check("18 cancel really cancels", async () => {
  const page = await open("/?view=sql", { signedIn: "ada" });
  await page.waitForSelector("#editor");
  const sql = "SELECT sum(a.value * b.value) AS page_cancelled FROM generate_series(1, 300000) a, generate_series(1, 300000) b";
  await page.fill("#editor", sql);
  await page.click("button.main");
  const state = () => rows("ada", "SELECT state FROM system.queries WHERE sql LIKE 'SELECT sum(a.value%page_cancelled%'").then(([row]) => row?.[0]);
  await until("running", async () => (await state()) === "running");
  await until("a word of it", async () => /^Running/.test(await page.locator(".readout").first().textContent()));
  await page.getByRole("button", { name: "Cancel" }).click();
  await until("cancelled", async () => (await state()) === "cancelled");
  await until("a word of its end", async () => /^Cancelled/.test(await page.locator(".readout").first().textContent()));
  await page.close();
});

await check("19 five million rows are cut, with a word", async () => {
  const page = await open("/?view=sql", { signedIn: "sam" });
  await page.waitForSelector("#editor");
  await run(page, "SELECT value, value * 2 AS twice FROM generate_series(1, 5000000)");
  assert.match(await page.locator(".readout").first().textContent(), /^The first 10,000 rows.*the answer was cut/);
  const client = await browser.newCDPSession(page);
  await client.send("Performance.enable");
  const { metrics } = await client.send("Performance.getMetrics");
  const heap = metrics.find((metric) => metric.name === "JSHeapUsedSize").value;
  assert.ok(heap < 300e6, `${heap} bytes`);
  await page.close();
});

await check("20 what looks like markup is text everywhere", async () => {
  const page = await open("/?view=sql", { signedIn: "sam" });
  await page.waitForSelector("#editor");
  const evil = "<img src=x onerror=alert(1)>";
  const name = "\"><script>alert(2)</script>";
  await run(page, `SELECT '${evil}' AS "${name.replaceAll('"', '""')}", 3.5 AS "<b>n</b>" UNION ALL SELECT 'plain', 1`);
  assert.match(await page.locator(".result thead").textContent(), /<script>alert\(2\)<\/script>/);
  assert.match(await page.locator(".result tbody").textContent(), /<img src=x onerror=alert\(1\)>/);
  for (const tab of ["Chart", "Pivot"]) {
    await page.getByRole("button", { name: tab, exact: true }).click();
    await page.waitForLoadState("networkidle");
  }
  await run(page, `SELECT * FROM "${name.replaceAll('"', '""')}"`);
  assert.match(await page.locator(".problem").first().textContent(), /<script>/);
  assert.equal(await page.locator("main img, main script, main b").count(), 0);
  await page.goto(`${BASE}/?view=overview&f.project=${encodeURIComponent(evil)}`);
  await settled(page, 6);
  assert.equal(await page.locator("main img").count(), 0);
  await clean(page, /40[04]/);
  await page.close();
});

await check("21 a phone, paper and the dark: nothing is clipped", async () => {
  const page = await open("/?view=overview", { signedIn: "sam" });
  for (const view of ["overview", "reagents", "plates", "insight", "data", "data&table=chemistry.reactions", "sql", "alerts"]) {
    await page.setViewportSize({ width: 360, height: 740 });
    await page.goto(`${BASE}/?view=${view}`);
    if (/data|sql|alerts/.test(view)) await page.waitForSelector("h1");
    else await settled(page, 4);
    if (view.includes("table=")) {
      await page.waitForSelector(".origin .node");
      await page.waitForSelector(".histogram");
    }
    const wide = await page.evaluate(() => {
      const limit = document.documentElement.clientWidth;
      const isInside = (element) => element.closest(".scroll, .complete, .skip, .hidden");
      return [...document.querySelectorAll("main *")].filter((element) => !isInside(element) && element.getBoundingClientRect().right > limit + 1).map((element) => `${element.tagName}.${element.className}`);
    });
    assert.deepEqual(wide, [], view);
  }
  for (const view of ["overview", "reagents", "plates", "insight"]) {
    await page.emulateMedia({ media: "screen" });
    await page.setViewportSize({ width: 794, height: 1123 });
    await page.goto(`${BASE}/?view=${view}`);
    await settled(page, 4);
    await page.emulateMedia({ media: "print" });
    const drawn = await page.evaluate(() => [...document.querySelectorAll(".card, .card canvas, .card svg, .card table")].filter((one) => !one.closest(".twin")).map((one) => [one.closest(".card").dataset.chart, one.tagName, one.getBoundingClientRect().right, one.scrollWidth - one.clientWidth]));
    assert.ok(drawn.length > 4);
    assert.deepEqual(drawn.filter(([, , right]) => right > 795), [], `${view} on paper`);
    // All of it goes to paper, nothing is left in boxes that scroll.
    assert.equal(await page.evaluate(() => [...document.querySelectorAll(".card .scroll")].filter((box) => box.clientHeight + 1 < box.scrollHeight).length), 0, view);
    assert.ok((await page.pdf({ format: "A4" })).length > 10_000);
  }
  await page.emulateMedia({ media: "screen", colorScheme: "dark", reducedMotion: "reduce" });
  assert.deepEqual(await page.evaluate(() => [...document.querySelectorAll("*")].filter((one) => getComputedStyle(one).transitionDuration !== "0s" || getComputedStyle(one).animationName !== "none").length), 0);
  await page.emulateMedia({ reducedMotion: "no-preference" });
  assert.ok(await page.evaluate(() => [...document.querySelectorAll(".chart")].some((one) => one.closest(".card").setAttribute("aria-busy", "true") ?? getComputedStyle(one).transitionDuration !== "0s")), "without that wish there is motion");
  await page.emulateMedia({ media: "screen", colorScheme: "dark", reducedMotion: "reduce" });
  const ground = await page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
  assert.equal(ground, "rgb(16, 20, 26)");
  await page.setViewportSize({ width: 1280, height: 900 });
  await page.reload();
  await settled(page, 6);
  assert.deepEqual(await axe(page), []);
  await page.close();
});

await check("the editor completes names of what may be seen", async () => {
  const page = await open("/?view=sql", { signedIn: "ana" });
  await page.fill("#editor", "");
  await page.locator("#editor").pressSequentially("SELECT yield_p");
  await page.locator(".complete li", { hasText: "yield_pct" }).waitFor();
  await page.keyboard.press("Tab");
  assert.equal(await page.inputValue("#editor"), "SELECT yield_pct");
  await page.locator("#editor").pressSequentially(", opera");
  assert.equal(await page.locator(".complete li").count(), 0);
  await page.close();
});

await check("the browser's cookie cannot be read by scripts", async () => {
  const page = await open("/", { signedIn: "sam" });
  await page.waitForSelector(".person");
  assert.equal(await page.evaluate(() => document.cookie), "");
  const response = await fetch(`${BASE}/api/me`, { headers: basic("sam") });
  assert.equal((await response.json()).name, "sam");
  await page.close();
});

await finish();
