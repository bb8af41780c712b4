// The charts say what the tables say: every number on the page against the same statement asked from outside.

import { assert, axe, BASE, basic, card, check, clean, finish, near, open, rows, settled, start } from "./lib.mjs";

const browser = await start();
const REACTIONS = "lab.chemistry.reactions";
const call = async (path) => (await fetch(BASE + path, { headers: basic("sam") })).json();
/** A number as the page writes it. */
const written = (value, digits) => (Math.abs(value) < 0.5 / 10 ** digits ? Math.abs(value) : value).toFixed(digits).replace("-", "−");
/** A chart as its file has it, without filters. */
async function twin(page, name) {
  const { charts } = await page.evaluate(() => fetch("/api/dashboards/overview").then((response) => response.json()));
  const { sql } = charts.find((chart) => chart.name === name);
  return { sql: sql.replaceAll("{{filters}}", "true") };
}

await check("1 first paint: under budget, no errors", async () => {
  const warm = await open("/", { signedIn: "sam" });
  await settled(warm, 6);
  await warm.close();
  // Held against what this machine takes at this moment for the page without anybody signed in, and for the same calls one after
  // the other, without a browser.
  const time = async (user, there) => {
    const page = await open(null, { signedIn: user });
    const began = performance.now();
    await page.goto(BASE + "/");
    await there(page);
    const took = performance.now() - began;
    await page.close();
    return took;
  };
  const { charts } = await call("/api/dashboards/overview");
  const calls = async () => {
    const began = performance.now();
    for (const path of ["/api/me", "/api/dashboards", "/api/tables", "/api/dashboards/overview"]) await call(path);
    for (const { sql } of charts) await rows("sam", sql.replaceAll("{{filters}}", "true"));
    return performance.now() - began;
  };
  // One after the other, and the best of some rounds: other tests run beside this one.
  let best = { ratio: Infinity };
  for (let round = 0; round < 8 && best.ratio >= 2; round++) {
    const bare = await time(null, (page) => page.waitForSelector("dialog[open]"));
    const asked = await calls();
    const whole = await time("sam", (page) => settled(page, 6));
    const ratio = whole / (bare + asked);
    if (ratio < best.ratio) best = { ratio, bare, asked, whole };
  }
  const { ratio, bare, asked, whole } = best;
  console.log(`     first view complete in ${Math.round(whole)} ms; the page alone ${Math.round(bare)} ms, its calls alone ${Math.round(asked)} ms`);
  assert.ok(ratio < 2, `${whole} ms`);
  if (process.env.LABHOUSE_TIMED) assert.ok(whole < 1_500, `${whole} ms`);
  const page = await open(null, { signedIn: "sam" });
  let before = 0;
  const client = await browser.newCDPSession(page);
  await client.send("Network.enable");
  const kinds = new Map();
  client.on("Network.responseReceived", ({ requestId, response }) => kinds.set(requestId, response.url));
  client.on("Network.loadingFinished", ({ requestId, encodedDataLength }) => {
    if (!/\/api\/query/.test(kinds.get(requestId) ?? "")) before += encodedDataLength;
  });
  await client.send("Network.setCacheDisabled", { cacheDisabled: true });
  await page.goto(BASE + "/");
  await settled(page, 6);
  console.log(`     ${before} bytes before data`);
  assert.ok(before > 10_000 && before < 150_000, `${before} bytes`);
  await clean(page);
  await page.close();
});

await check("4 yield: a bar a day, from zero, the week's mean, gaps stay gaps", async () => {
  const page = await open("/?view=overview", { signedIn: "sam" });
  await settled(page, 6);
  const plot = await card(page, "daily_yield").locator(".plot").evaluate((frame) => ({
    data: frame.uplot.data.map((series) => Array.from(series)),
    low: frame.uplot.scales.y.min,
    size: [frame.clientWidth, frame.clientHeight],
  }));
  const days = await rows("sam", `SELECT CAST(run_at AS DATE) AS day, sum(yield_pct), count(yield_pct) FROM ${REACTIONS} GROUP BY 1 ORDER BY 1`);
  const [times, bars, line] = plot.data;
  assert.equal(plot.low, 0);
  assert.equal(bars.filter((value) => value !== null).length, days.length);
  const at = new Map(days.map(([day, sum, count]) => [Date.parse(day) / 1000, [sum, count]]));
  times.forEach((time, place) => {
    const found = at.get(time);
    if (!found) return assert.equal(bars[place], null, "a day without a run is a gap");
    near(bars[place], found[0] / found[1]);
    // The week's mean, computed here from the days themselves.
    const week = Array.from({ length: 7 }, (_, back) => at.get(time - back * 86_400)).filter(Boolean);
    near(line[place], week.reduce((sum, [total]) => sum + total, 0) / week.reduce((sum, [, count]) => sum + count, 0));
  });
  assert.ok(times.length >= 120 && times.length > days.length, "weekends are there as gaps");
  // The same line from SQL alone, at the days where the window is not yet whole, where it is, and at the end.
  const windows = await rows("sam", `WITH d AS (SELECT CAST(run_at AS DATE) AS day, sum(yield_pct) AS s, count(yield_pct) AS n FROM ${REACTIONS} GROUP BY 1)
    SELECT day, sum(s) OVER w / sum(n) OVER w, count(*) OVER w FROM d WINDOW w AS (ORDER BY day RANGE BETWEEN INTERVAL '6' DAY PRECEDING AND CURRENT ROW) ORDER BY day`);
  const told = await rows("sam", (await twin(page, "daily_yield")).sql);
  for (const at of [0, 4, 5, windows.length - 1]) {
    near(line[times.indexOf(Date.parse(windows[at][0]) / 1000)], windows[at][1]);
    assert.equal(told[at].at(-1), windows[at][2], "days in the mean are told");
  }
  assert.match(await card(page, "daily_yield").locator(".description").textContent(), /fewer than seven days/);
  assert.equal(at.get(Date.parse("2026-05-13") / 1000), undefined);
  await page.close();
});

await check("4 causes: the bad lot and the edge are marked, nothing innocent is", async () => {
  const page = await open("/?view=overview", { signedIn: "sam" });
  await settled(page, 6);
  const marked = (name) => card(page, name).locator(".marked").evaluateAll((bars) => bars.map((bar) => bar.getAttribute("aria-label")));
  const [lots, regions, operators] = [await marked("by_lot"), await marked("by_region"), await marked("by_operator")];
  assert.equal(lots.length, 1);
  assert.match(lots[0], /^XP-2604 −1\d\.\d points, suspect$/);
  assert.equal(regions.length, 3, regions.join());
  assert.ok(regions.every((label) => !label.startsWith("inside")));
  assert.equal(operators.length, 0);
  assert.ok((await marked("by_instrument")).length > 0, "the drifting instrument");
  assert.ok((await marked("by_instrument")).every((label) => label.startsWith("Lyra 300, 2026-0")), "only the drifting instrument");
  await page.close();
});

await check("5 reagents: areas sum to the total, the legend takes a series out, order is stable", async () => {
  const page = await open("/?view=reagents", { signedIn: "sam" });
  await settled(page, 4);
  const stack = () => card(page, "composition").locator(".plot").evaluate((frame) => ({ ...frame.stack, data: frame.uplot.data.map((series) => Array.from(series)) }));
  const { names, total, days, data } = await stack();
  assert.deepEqual(names, [...names].sort());
  const sums = await rows("sam", "SELECT u.day, sum(u.grams) FROM lab.chemistry.reagent_use u JOIN lab.chemistry.reagent_lots l ON l.lot = u.lot WHERE l.kind <> 'catalyst' GROUP BY 1");
  for (const [day, grams] of sums) {
    const at = days.indexOf(Date.parse(day) / 1000);
    near(total[at], grams);
    near(data[1][at], grams);
  }
  await card(page, "composition").locator("button.key").first().click();
  const fewer = await stack();
  assert.equal(fewer.data.length, data.length - 1);
  assert.deepEqual(fewer.names, names);
  assert.equal(await card(page, "composition").locator("button.key").first().getAttribute("aria-pressed"), "false");
  await page.close();
});

await check("6 plates: 384 columns, values from SQL, the outlier is the darkest, missing wells are hatched", async () => {
  const page = await open("/?view=plates", { signedIn: "sam" });
  await settled(page, 5);
  const frame = card(page, "plates").locator(".heat");
  const { names, columns, values } = await frame.evaluate((heat) => heat.grid);
  const counted = await rows("sam", `SELECT plate_id, avg(yield_pct), count(*) - count(yield_pct) FROM ${REACTIONS} GROUP BY 1 ORDER BY 1`);
  assert.deepEqual([columns, names], [384, counted.map(([plate]) => plate)]);
  assert.equal(values.filter((value) => value === null).length, counted.reduce((sum, [, , missing]) => sum + missing, 0));
  counted.forEach(([plate, mean], row) => {
    const own = values.slice(row * 384, (row + 1) * 384).filter((value) => value !== null);
    near(own.reduce((sum, value) => sum + value, 0) / own.length, mean);
  });
  const darkest = counted.reduce((low, one) => (one[1] < low[1] ? one : low));
  assert.equal(darkest[0], "P0057");
  // By mouse and by keyboard the same value, and it is the table's.
  const [[value]] = await rows("sam", `SELECT yield_pct FROM ${REACTIONS} WHERE plate_id = 'P0057' AND well = 'C7'`);
  const said = () => card(page, "plates").locator(".readout").textContent();
  const { left, top, cell } = await frame.evaluate((heat) => heat.layout);
  const [row, column] = [names.indexOf("P0057"), 2 * 24 + 6];
  await frame.hover({ position: { x: left + (column + 0.5) * cell[0], y: top + (row + 0.5) * cell[1] } });
  assert.equal(await said(), `P0057, well C7: ${value.toFixed(2)} %`);
  await frame.focus();
  await page.keyboard.press("ArrowRight");
  assert.match(await said(), /^P0057, well C8: /);
  await page.keyboard.press("Enter");
  await page.waitForURL(/f\.plate=P0057/);
  await settled(page, 5);
  const one = await card(page, "plate").locator(".heat").evaluate((heat) => heat.grid);
  assert.equal(one.columns, 24);
  near(one.values[2 * 24 + 6], value);
  // Missing wells are red on white, which the scale never is; the scale grows lighter all the way, for every eye.
  const lightness = await page.evaluate(async () => {
    const path = document.querySelector("script[type=module]").src.replace("app.js", "charts/colour.js");
    const { scale } = await import(path);
    return Array.from({ length: 101 }, (_, at) => scale(at / 100)).map(([r, g, b]) => 0.2126 * r + 0.7152 * g + 0.0722 * b);
  });
  assert.ok(lightness.every((value, at) => at === 0 || value >= lightness[at - 1] - 0.5), "the palette reads in grey");
  assert.match(await card(page, "plates").locator(".legend canvas").first().getAttribute("aria-label"), /^Colour scale from/);
  await page.close();
});

await check("6 plates: five hundred draw quickly", async () => {
  const page = await open("/?view=plates", { signedIn: "sam" });
  await settled(page, 5);
  const times = await page.evaluate(async () => {
    const base = document.querySelector("script[type=module]").src;
    const { draw } = await import(base.replace("app.js", "charts/plates.js"));
    const { Rows } = await import(base.replace("app.js", "rows.js"));
    const made = (count) => {
      const [plates, wells, values] = [[], [], []];
      for (let plate = 0; plate < count; plate++)
        for (let well = 0; well < 384; well++) {
          plates.push(`Q${plate}`);
          wells.push(`${String.fromCharCode(65 + Math.floor(well / 24))}${(well % 24) + 1}`);
          values.push(well % 97 === 0 ? null : (plate * well) % 100);
        }
      return new Rows([{ name: "p", values: plates }, { name: "w", values: wells }, { name: "v", values }], plates.length);
    };
    const place = document.createElement("div");
    document.querySelector(".cards").prepend(place);
    const time = async (data) => {
      place.replaceChildren();
      await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
      const began = performance.now();
      draw(place, data, { title: "t", description: "d", series: "p", x: "w", y: ["v"] }, { say() {}, pick() {} });
      while (!place.querySelector("canvas[role=img]")) await new Promise((resolve) => requestAnimationFrame(resolve));
      return performance.now() - began;
    };
    const [few, many] = [made(100), made(500)];
    const median = async (data) => {
      const all = [];
      for (let round = 0; round < 5; round++) all.push(await time(data));
      return all.sort((a, b) => a - b)[2];
    };
    const drawn = [await median(few), await median(many)];
    place.remove();
    return drawn;
  });
  console.log(`     500 plates, 192,000 wells: ${Math.round(times[1])} ms, 100 plates: ${Math.round(times[0])} ms`);
  // Five times the wells take no more than five times as long, with room for a frame and a busy machine.
  assert.ok(times[1] < 6 * Math.max(times[0], 17), `${times}`);
  await page.close();
});

await check("7 importance: sorted, as the function says, all features named", async () => {
  const page = await open("/?view=insight", { signedIn: "sam" });
  await settled(page, 5);
  const labels = await card(page, "importance").locator(".bar").evaluateAll((bars) => bars.map((bar) => bar.getAttribute("aria-label")));
  const told = await rows("sam", "SELECT feature, importance FROM feature_importance('lab.chemistry.yield_model') ORDER BY importance DESC, feature");
  assert.deepEqual(labels, told.map(([feature, value]) => `${feature} ${written(value, 3)}`));
  assert.equal(labels.length, 12);
  await page.close();
});

await check("8 recommendations and warnings: the function's rows, with reasons", async () => {
  const page = await open("/?view=insight", { signedIn: "sam" });
  await settled(page, 5);
  for (const [name, call] of [["next", "top_recommendations"], ["avoid", "warning_list"]]) {
    const shown = await card(page, name).locator("tbody tr").evaluateAll((lines) => lines.map((line) => [...line.cells].map((cell) => cell.textContent)));
    const told = await rows("sam", `SELECT rank, prediction, reason, scaffold FROM ${call}('lab.chemistry.yield_model', 10) ORDER BY rank`);
    assert.equal(shown.length, 10);
    told.forEach(([rank, prediction, reason, scaffold], at) => {
      assert.deepEqual([shown[at][0], shown[at][1], shown[at][4], shown[at][5]], [String(rank), written(prediction, 2), reason, scaffold]);
      assert.ok(reason.length > 5);
    });
  }
  // Which rules are broken, for whoever sees alerts.
  const broken = await rows("sam", "SELECT alert_schema || '.' || alert_name, rule FROM lab.system.alerts WHERE state = 'firing' ORDER BY 1");
  assert.ok(broken.length > 0);
  const said = await card(page, "avoid").locator(".rules li").allTextContents();
  assert.equal(said.length, broken.length);
  broken.forEach(([alert, rule], at) => assert.ok(said[at].startsWith(`${alert} fires by ${rule}`), said[at]));
  await page.close();
});

await check("9 every chart has a name, a description and a twin with the same numbers", async () => {
  for (const view of ["overview", "reagents", "plates", "insight"]) {
    const page = await open(`/?view=${view}`, { signedIn: "sam" });
    await settled(page, 4);
    for (const one of await page.locator(".card").all()) {
      const name = await one.getAttribute("data-chart");
      assert.ok((await one.locator("h2").textContent()).length > 3, name);
      assert.ok((await one.locator(".description").textContent()).length > 20, name);
      const twin = one.locator("details.twin");
      if ((await twin.count()) === 0) {
        assert.ok((await one.locator("table").count()) > 0, `${name} is a table`);
        continue;
      }
      await twin.locator("summary").click();
      await twin.locator("table tbody tr").first().waitFor();
    }
    if (view === "overview") {
      const twin = await card(page, "by_lot").locator(".twin tbody tr").evaluateAll((lines) => lines.map((line) => [line.cells[0].textContent, line.cells[1].textContent]));
      const bars = await card(page, "by_lot").locator(".bar").evaluateAll((bars) => bars.map((bar) => bar.getAttribute("aria-label")));
      assert.equal(twin.length, bars.length);
      const plain = (text) => Number(text.replace("−", "-"));
      twin.forEach(([lot, value], at) => {
        const [name, shown] = bars[at].split(" ");
        assert.equal(name, lot);
        assert.ok(Math.abs(plain(shown) - plain(value)) < 0.06, `${bars[at]} ${value}`);
      });
    }
    for (const label of await page.locator("canvas").evaluateAll((all) => all.map((one) => one.getAttribute("aria-label") ?? one.closest("[aria-label]")?.getAttribute("aria-label"))))
      assert.ok(label?.length > 3, "a picture without words");
    await page.close();
  }
});

await check("9 axe finds nothing, in any view", async () => {
  const found = [];
  for (const [user, view] of [["sam", "overview"], ["sam", "reagents"], ["sam", "plates&f.plate=P0057"], ["sam", "insight"], ["sam", "data&table=chemistry.reactions"], ["sam", "sql&q=SELECT+1+AS+one"], ["sam", "alerts"], ["ada", "pipelines&pipeline=chemistry.reactions"], ["ada", "admin"]]) {
    const page = await open(`/?view=${view}`, { signedIn: user });
    await page.waitForSelector(".view h1");
    if (!/sql|data|alerts|pipelines/.test(view)) await settled(page, 1);
    else await page.waitForLoadState("networkidle");
    found.push(...(await axe(page)).map((line) => `${view}: ${line}`));
    // In the dark and on a phone, too, with every twin open.
    await page.emulateMedia({ colorScheme: "dark" });
    await page.setViewportSize({ width: 360, height: 740 });
    await page.evaluate(() => document.querySelectorAll("details").forEach((one) => (one.open = true)));
    await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
    found.push(...(await axe(page)).map((line) => `${view}, dark and narrow: ${line}`));
    await page.close();
  }
  for (const colorScheme of ["light", "dark"]) {
    const page = await open("/");
    await page.emulateMedia({ colorScheme });
    await page.waitForSelector("dialog");
    found.push(...(await axe(page)).map((line) => `sign in, ${colorScheme}: ${line}`));
    await page.close();
  }
  assert.deepEqual(found, []);
});

await check("9 the keyboard reaches everything and one sees where it is", async () => {
  const page = await open("/?view=overview", { signedIn: "sam" });
  await settled(page, 6);
  const seen = new Set();
  for (let press = 0; press < 90; press++) {
    await page.keyboard.press("Tab");
    const { name, outline, isOurs } = await page.evaluate(() => {
      const now = document.activeElement;
      return { name: now.closest("[data-chart]")?.dataset.chart ?? now.closest("nav, .filters, #who")?.className ?? now.closest("nav")?.id ?? now.className, outline: getComputedStyle(now).outlineStyle, isOurs: now.matches(":focus") };
    });
    seen.add(name);
    // The calendar within a date's field has the browser's own ring.
    if (isOurs) assert.notEqual(outline, "none", `no visible focus in ${name}`);
  }
  for (const name of ["daily_yield", "by_lot", "by_region", "filters"]) assert.ok(seen.has(name), `${name} is not reached: ${[...seen]}`);
  await card(page, "daily_yield").locator(".plot").focus();
  await page.keyboard.press("End");
  assert.match(await card(page, "daily_yield").locator(".readout").textContent(), /^2026-06-\d\d · mean yield \d/);
  await page.close();
});

await check("10 text is really painted", async () => {
  const page = await open("/?view=overview", { signedIn: "sam" });
  await settled(page, 6);
  for (const place of [page.locator("h1"), card(page, "daily_yield").locator("h2"), card(page, "daily_yield").locator("canvas")]) {
    const url = `data:image/png;base64,${(await place.screenshot()).toString("base64")}`;
    const variance = await page.evaluate(async (url) => {
      const image = new Image();
      image.src = url;
      await image.decode();
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [image.width, image.height];
      const context = canvas.getContext("2d");
      context.drawImage(image, 0, 0);
      const { data } = context.getImageData(0, 0, image.width, image.height);
      const grey = Array.from({ length: data.length / 4 }, (_, at) => data[4 * at]);
      const mean = grey.reduce((a, b) => a + b, 0) / grey.length;
      return grey.reduce((sum, value) => sum + (value - mean) ** 2, 0) / grey.length;
    }, url);
    assert.ok(variance > 50, `variance ${variance}`);
  }
  await page.close();
});

await finish();
