// Charts of what is not as one would like it: times within a day, rows without a time or a label, and very many of them.

import { assert, BASE, check, clean, finish, open, signIn, start, until } from "./lib.mjs";

await start();

/** A page on which charts can be drawn of made rows: `drawn(kind, columns, chart)` gives the place, and what was picked in it. */
async function bench() {
  const page = await open("/?view=data", { signedIn: "sam" });
  await page.waitForSelector(".view h1");
  await page.evaluate(async () => {
    const base = document.querySelector("script[type=module]").src;
    const { Rows } = await import(base.replace("app.js", "rows.js"));
    window.drawn = async (kind, columns, chart) => {
      const { draw } = await import(base.replace("app.js", `charts/${kind}.js`));
      const place = document.createElement("div");
      document.querySelector("main").prepend(place);
      const lists = Object.entries(columns).map(([name, values]) => ({ name, values }));
      const picked = [];
      draw(place, new Rows(lists, lists[0].values.length), { title: "t", description: "d", ...chart }, { say() {}, pick: (value) => picked.push(value) });
      while (!place.querySelector(kind === "plates" ? ".heat canvas" : "canvas, svg")) await new Promise((resolve) => requestAnimationFrame(resolve));
      return { place, picked };
    };
    window.many = (count, of) => Array.from({ length: count }, (_, at) => of(at));
  });
  return page;
}

await check("12 times within a day: a point for every row, where it belongs", async () => {
  const sql = "SELECT CAST(t AS TIMESTAMP) AS measured_at, v FROM (VALUES ('2026-03-01T08:00:00', 1.5), ('2026-03-01T08:20:00', 2.5), ('2026-03-01T09:00:30', 4.0), ('2026-03-01T09:00:30', 5.0), (NULL, 9.0)) AS r(t, v)";
  const page = await open(`/?view=sql&q=${encodeURIComponent(sql)}`, { signedIn: "sam" });
  await page.getByRole("button", { name: "Chart", exact: true }).click();
  const plot = page.locator(".result .plot");
  await plot.locator("canvas").waitFor();
  const [times, values] = await plot.evaluate((frame) => frame.uplot.data.map((series) => Array.from(series)));
  const second = (text) => Date.parse(`2026-03-01T${text}Z`) / 1000;
  assert.deepEqual(times, [second("08:00:00"), second("08:20:00"), second("09:00:30"), second("09:00:30")]);
  assert.deepEqual(values, [1.5, 2.5, 4, 5]);
  await plot.focus();
  await page.keyboard.press("Home");
  assert.match(await page.locator(".result .readout").textContent(), /^2026-03-01 08:00:00 · v 1\.5/);
  assert.equal(await page.locator(".result .note").textContent(), "Each row stands at its own time. 1 row has no time and cannot be drawn.");
  // A row a day stays a bar a day, and a day without one a gap.
  await page.fill("#editor", "SELECT CAST(d AS DATE) AS day, v FROM (VALUES ('2026-03-01', 1), ('2026-03-03', 2)) AS r(d, v)");
  await page.keyboard.press("Escape");
  await page.click("button.main");
  await page.waitForFunction(() => !document.querySelector(".view button.main").disabled);
  await page.getByRole("button", { name: "Chart", exact: true }).click();
  await plot.locator("canvas").waitFor();
  assert.deepEqual(await plot.evaluate((frame) => Array.from(frame.uplot.data[1])), [1, null, 2]);
  assert.equal(await page.locator(".result .note").count(), 0);
  await clean(page);
  await page.close();
});

await check("a link runs what reads, and what changes something only once somebody presses Run", async () => {
  // Of a statement that nobody runs: other checks read the same lab meanwhile.
  const sql = "CANCEL QUERY '0198c5a2-0000-7000-8000-000000000000'";
  const page = await open(`/?view=sql&q=${encodeURIComponent(sql)}`, { signedIn: "sam" });
  const refused = page.locator(".view .problem", { hasText: "press Run" });
  await refused.waitFor();
  await page.click("button.main");
  await page.locator(".view .problem", { hasText: "0198c5a2" }).waitFor();
  // Nor is it run by coming back.
  await page.reload();
  await refused.waitFor();
  await page.close();
});

await check("13 a row without a day leaves the other days alone", async () => {
  const page = await bench();
  const DAY = 86_400_000;
  // Bars leave the room of a day without a row; areas go by the smallest step there is.
  for (const [kind, chart, days] of [["time_bars", { x: "day", y: ["v"] }, [20_000, 20_001, 20_002]], ["areas", { x: "day", y: ["v"], series: "s" }, [20_000, 20_002]]]) {
    const { places, note } = await page.evaluate(
      async ([kind, chart, day]) => {
        const first = 20_000 * day;
        const { place } = await window.drawn(kind, { day: [first, null, first + 2 * day], v: [1, 2, 3], s: ["a", "a", "a"] }, chart);
        while (!place.querySelector(".plot")?.uplot) await new Promise((resolve) => requestAnimationFrame(resolve));
        const { uplot } = place.querySelector(".plot");
        return { places: Array.from(uplot.data[0]), note: place.querySelector(".note").textContent };
      },
      [kind, chart, DAY],
    );
    assert.deepEqual(places.map((second) => second / 86_400), days, kind);
    assert.equal(note, "1 row has no time and cannot be drawn.", kind);
  }
  await page.close();
});

await check("14 two hundred thousand rows are drawn by every kind of chart that takes them", async () => {
  const page = await bench();
  const count = 200_000;
  for (const [kind, chart] of [
    ["points", { x: "x", y: ["y"], low: "y", high: "x" }],
    ["time_bars", { x: "t", y: ["y"] }],
    ["areas", { x: "t", y: ["y"], series: "s" }],
    ["plates", { x: "w", y: ["y"], series: "s" }],
    ["bars", { x: "n", y: ["y"] }],
  ]) {
    const { nodes, note } = await page.evaluate(
      async ([kind, chart, count]) => {
        const columns = {
          x: window.many(count, (at) => at % 97),
          y: window.many(count, (at) => (at % 13 === 0 ? null : at % 89)),
          t: window.many(count, (at) => 1_700_000_000_000 + at * 1_000),
          s: window.many(count, (at) => `S${at % 5}`),
          n: window.many(count, (at) => `n${at}`),
          w: window.many(count, (at) => `${String.fromCharCode(65 + (at % 16))}${(at % 24) + 1}`),
        };
        const { place } = await window.drawn(kind, columns, chart);
        const said = { nodes: place.querySelectorAll("*").length, note: place.querySelector(".note")?.textContent };
        place.remove();
        return said;
      },
      [kind, chart, count],
    );
    assert.ok(nodes < 5_000, `${kind}: ${nodes} elements`);
    if (kind === "bars") assert.equal(note, "Only the first 500 of 200,000 bars are drawn; the table has all of them.");
  }
  await clean(page);
  await page.close();
});

await check("15 what has no label is no choice, and what has one is", async () => {
  const page = await bench();
  const picked = await page.evaluate(async () => {
    const { place, picked } = await window.drawn("bars", { lot: [null, "A"], v: [3, 2] }, { x: "lot", y: ["v"], sets: "lot" });
    const roles = [...place.querySelectorAll(".bar")].map((bar) => {
      bar.dispatchEvent(new MouseEvent("click", { bubbles: true }));
      return [bar.getAttribute("aria-label"), bar.getAttribute("role")];
    });
    return { roles, picked };
  });
  assert.deepEqual(picked.roles, [["(none) 3.0", "img"], ["A 2.0", "button"]]);
  assert.deepEqual(picked.picked, ["A"]);
  await page.close();
});

await check("15 long names of plates have room, and are cut in the middle where there is none", async () => {
  const page = await bench();
  const told = await page.evaluate(async () => {
    const of = async (names) => {
      const { place } = await window.drawn("plates", { p: names, w: names.map(() => "A1"), v: names.map((_, at) => at) }, { series: "p", x: "w", y: ["v"] });
      const frame = place.querySelector(".heat");
      const context = document.createElement("canvas").getContext("2d");
      context.font = getComputedStyle(document.documentElement).getPropertyValue("--chart-font");
      const widths = frame.grid.labels.map((label) => context.measureText(label).width);
      const said = { left: frame.layout.left, widest: Math.max(...widths), labels: frame.grid.labels, names: frame.grid.names };
      place.remove();
      return said;
    };
    return [await of(["P1", "P2"]), await of(["PLATE-2026-1", "P2"]), await of(["screening-plate-2026-03-17-repeat-0001", "P2"])];
  });
  for (const { left, widest } of told) assert.ok(widest + 6 <= left, `${widest} in ${left}`);
  assert.deepEqual(told.map(({ left }) => left > 52), [false, true, true]);
  assert.deepEqual(told[1].labels, ["PLATE-2026-1", "P2"]);
  assert.match(told[2].labels[0], /^screen.*….*0001$/);
  assert.equal(told[2].names[0], "screening-plate-2026-03-17-repeat-0001");
  await page.close();
});

await check("15 a server that cannot say what there is right after the sign-in is asked again", async () => {
  const page = await open(null);
  let isAway = true;
  await page.route("**/api/dashboards", (route) =>
    isAway ? route.fulfill({ status: 503, contentType: "application/json", body: JSON.stringify({ error: { code: "unavailable", message: "not now" } }) }) : route.continue(),
  );
  await page.goto(BASE + "/");
  await signIn(page, "sam");
  await page.locator("#banner.shown", { hasText: "not now; trying again" }).waitFor();
  isAway = false;
  await page.waitForSelector(".view h1");
  await until("the banner goes", async () => (await page.locator("#banner.shown").count()) === 0);
  assert.equal(await page.locator("dialog").count(), 0);
  await clean(page, /status of (401|503)/);
  await page.close();
});

await finish();
