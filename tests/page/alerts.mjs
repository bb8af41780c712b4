// Alerts made, changed, silenced and deleted in the page, over a lab whose table of runs is `chemistry.runs` (avg 60 by plate).

import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { assert, axe, check, clean, finish, open, rows, start, until } from "./lib.mjs";

const DIR = process.env.LABHOUSE_DIR;
await start();

function land(name, text) {
  const target = join(DIR, "landing/chemistry/runs", name);
  mkdirSync(join(target, ".."), { recursive: true });
  writeFileSync(`${target}.part`, text);
  renameSync(`${target}.part`, target);
}

const state = (page) => page.locator(".view .table").first().locator("tbody tr", { hasText: "chemistry.low_page" }).locator("td").nth(2);

async function becomes(page, wanted) {
  await until(`state ${wanted}`, async () => (await state(page).count()) === 1 && (await state(page).textContent()) === wanted);
}

await check("16 an alert is made in the page, goes from ok over pending to firing and back, and each is told once", async () => {
  const page = await open("/?view=alerts", { signedIn: "sam" });
  await page.fill("#alert-name", "low_page");
  await page.selectOption("#alert-table", "lab.chemistry.runs");
  await page.fill("#alert-rule", "avg(yield) < 1 BY plate FOR 6 SECONDS");
  await page.fill("#alert-notify", "sam BY hook AND outbox");
  await page.fill("#alert-message", "Look at the robot's tips.");
  assert.match(await page.locator("form pre.sql").textContent(), /^CREATE ALERT low_page ON lab\.chemistry\.runs WHEN avg\(yield\) < 1 BY plate FOR 6 SECONDS MESSAGE 'Look at the robot''s tips\.' NOTIFY sam BY hook AND outbox$/);
  await page.getByRole("button", { name: "Make the alert" }).click();
  await page.getByText("low_page is made.").waitFor();
  await becomes(page, "ok");

  // The same name again is refused in the server's words, and nothing changes.
  await page.getByRole("button", { name: "Make the alert" }).click();
  await until("a refusal", async () => /low_page/.test(await page.locator(".problem").textContent()));
  assert.equal((await rows("sam", "SELECT count(*) FROM lab.system.alerts"))[0][0], 1);

  // Changed: the form holds what it was.
  await page.getByRole("button", { name: "chemistry.low_page" }).click();
  await page.getByRole("button", { name: "Change" }).click();
  assert.equal(await page.inputValue("#alert-table"), "lab.chemistry.runs");
  await page.fill("#alert-rule", (await page.inputValue("#alert-rule")).replace("< 1", "< 45"));
  await page.getByRole("button", { name: "Make the alert" }).click();
  await until("the other limit", async () => /< 45/.test((await rows("sam", "SELECT rule FROM lab.system.alerts"))[0][0]));
  assert.deepEqual(await rows("sam", "SELECT message, owner, enabled FROM lab.system.alerts"), [["Look at the robot's tips.", "sam", true]]);
  await becomes(page, "ok");

  land("low.csv", "run,plate,yield\n4,P3,10\n");
  await becomes(page, "pending");
  await becomes(page, "firing");
  const sent = () => rows("sam", "SELECT channel, count(*) FROM lab.system.alert_events WHERE event = 'sent' GROUP BY 1 ORDER BY 1");
  await until("both messages", async () => JSON.stringify(await sent()) === JSON.stringify([["hook", 1], ["outbox", 1]]));
  // More of the same is not told again; what clears it is.
  land("more.csv", "run,plate,yield\n5,P3,11\n");
  await until("the second file", async () => (await rows("sam", "SELECT count(*) FROM lab.chemistry.runs"))[0][0] === 5);
  land("good.csv", "run,plate,yield\n6,P3,900\n");
  await becomes(page, "ok");
  await until("both messages of the end", async () => JSON.stringify(await sent()) === JSON.stringify([["hook", 2], ["outbox", 2]]));
  await until("the history", async () => (await page.locator(".view .table").nth(1).locator("tbody tr").count()) >= 6);
  assert.deepEqual(await axe(page), []);

  await page.getByRole("button", { name: "Silence for a day" }).click();
  await page.getByRole("button", { name: "End the silence" }).click();
  await page.getByRole("button", { name: "Silence for a day" }).waitFor();
  await page.getByRole("button", { name: "Switch off" }).click();
  await page.getByRole("button", { name: "Switch on" }).waitFor();
  await page.getByRole("button", { name: "Delete" }).click();
  await page.getByRole("button", { name: "Delete for good?" }).click();
  await page.getByText("None yet.").waitFor();
  await clean(page, /status of 4\d\d/);
  await page.close();
});

await check("16 no_data and error are shown as such", async () => {
  const page = await open("/?view=alerts", { signedIn: "sam" });
  await page.fill("#alert-name", "low_page");
  await page.selectOption("#alert-table", "lab.chemistry.runs");
  await page.fill("#alert-rule", "CAST(plate AS INT) > 1 WHERE run > 100");
  await page.getByRole("button", { name: "Make the alert" }).click();
  await becomes(page, "no_data");
  land("odd.csv", "run,plate,yield\n101,P9,50\n");
  await becomes(page, "error");
  await clean(page, /status of 4\d\d/);
  await page.close();
});

await check("16 who is granted no alert makes none, and sees nobody else's", async () => {
  const page = await open("/?view=alerts", { signedIn: "ana" });
  await page.waitForSelector(".view h1");
  assert.equal(await page.locator(".view").getByText("low_page").count(), 0);
  await page.close();
});

await finish();
