// A headless Chromium on the page, and a way to check things one by one.
//
// Environment: LABHOUSE_HTTP (the page), LABHOUSE_NODE (folder with node_modules), LABHOUSE_SHOTS (folder for screenshots,
// optional), LABHOUSE_CHROMIUM (default /usr/bin/chromium).

import { strict as assert } from "node:assert";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";

const require = createRequire(join(process.env.LABHOUSE_NODE, "package.json"));
const { chromium } = require("playwright-core");
const AXE = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

export { assert, require };
export const BASE = process.env.LABHOUSE_HTTP;
/** How long anything may take that is awaited; only a hang reaches it. */
export const PATIENCE = 90_000;

let browser = null;
let profile = null;
const failed = [];
let passed = 0;

export async function start(more = {}) {
  profile = mkdtempSync(join(tmpdir(), "labhouse-page-"));
  browser = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.LABHOUSE_CHROMIUM ?? "/usr/bin/chromium",
    headless: true,
    locale: "en-US",
    timezoneId: "UTC",
    viewport: { width: 1280, height: 900 },
    reducedMotion: "reduce",
    ...more,
    args: ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
  browser.setDefaultTimeout(PATIENCE);
  // No network but this machine: what the page would fetch elsewhere is missing here, too.
  await browser.route((url) => isForeign(url), (route) => route.abort());
  return browser;
}

const isForeign = (url) => !["127.0.0.1", "localhost"].includes(url.hostname) && !["data:", "blob:", "about:"].includes(url.protocol);

/** Ends the run; its code says whether all checks held. */
export async function finish() {
  await browser?.close();
  rmSync(profile, { recursive: true, force: true });
  console.log(`${passed} passed, ${failed.length} failed`);
  process.exit(failed.length > 0 ? 1 : 0);
}

/** One check; a failure is told and the rest goes on. */
export async function check(name, act) {
  if (process.env.LABHOUSE_ONLY && !name.includes(process.env.LABHOUSE_ONLY)) return;
  const began = Date.now();
  try {
    await act();
    passed += 1;
    console.log(`ok   ${name} (${Date.now() - began} ms)`);
  } catch (error) {
    failed.push(name);
    console.log(`FAIL ${name}: ${error.stack ?? error}`);
  }
}

/** A fresh page that is watched: everything it should never do is collected in `trouble`. Without a path it stays blank. */
export async function open(path = "/", { signedIn = null } = {}) {
  await browser.clearCookies();
  const page = await browser.newPage();
  page.trouble = [];
  page.on("console", (message) => message.type() === "error" && page.trouble.push(`console: ${message.text()} ${message.location().url}`));
  page.on("pageerror", (error) => page.trouble.push(`error: ${error.message}`));
  page.on("dialog", (dialog) => (page.trouble.push(`dialog: ${dialog.message()}`), dialog.dismiss()));
  page.on("request", (request) => {
    const url = new URL(request.url());
    if (isForeign(url)) page.trouble.push(`foreign: ${url}`);
  });
  await page.addInitScript(() => {
    window.violations = [];
    document.addEventListener("securitypolicyviolation", (event) => window.violations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sourceFile ?? ""}`));
  });
  if (signedIn) await cookie(signedIn);
  if (path) await page.goto(BASE + path);
  return page;
}

/** Nothing happened that should not; expected refusals are named. */
export async function clean(page, except = /^$/) {
  const violations = await page.evaluate(() => window.violations);
  assert.deepEqual(violations, []);
  assert.deepEqual(page.trouble.filter((line) => !except.test(line)), []);
}

async function cookie(user) {
  const response = await post("/api/login", { user, password: `${user}-demo` });
  const [pair] = response.headers.getSetCookie();
  const [name, value] = pair.split(";")[0].split(/=(.*)/s);
  await browser.addCookies([{ name, value, url: BASE, httpOnly: true, sameSite: "Strict" }]);
}

export async function signIn(page, user) {
  await page.fill("#user", user);
  await page.fill("#password", `${user}-demo`);
  await page.click("dialog button.main");
  await page.waitForSelector("dialog", { state: "detached" });
}

/** All cards have their answers. */
export async function settled(page, count = 1) {
  await page.waitForFunction((count) => {
    const cards = [...document.querySelectorAll(".card")];
    return cards.length >= count && cards.every((card) => card.getAttribute("aria-busy") === "false");
  }, count);
  await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
}

export const card = (page, name) => page.locator(`[data-chart="${name}"]`);

function post(path, body, headers = {}) {
  return fetch(BASE + path, { method: "POST", headers: { "content-type": "application/json", ...headers }, body: JSON.stringify(body) });
}

export const basic = (user) => ({ authorization: `Basic ${Buffer.from(`${user}:${user}-demo`).toString("base64")}` });

/** Rows of a statement as lists, straight from the API: the other side of every comparison. */
export async function rows(user, sql, more = {}) {
  const response = await post("/api/query", { sql, ...more }, basic(user));
  const answer = await response.json();
  if (!response.ok) throw new Error(`${user}: ${sql}: ${JSON.stringify(answer)}`);
  return answer.rows;
}

export async function raw(user, body) {
  const response = await post("/api/query", body, basic(user));
  return Buffer.from(await response.arrayBuffer());
}

/** What axe finds, in one line each. */
export async function axe(page) {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  return violations.map((found) => `${found.id}: ${found.nodes.map((node) => node.target.join(" ")).slice(0, 4).join(" | ")}`);
}

export const near = (a, b, tolerance = 1e-9) => assert.ok(Math.abs(a - b) <= tolerance * Math.max(1, Math.abs(b)), `${a} is not ${b}`);

/** Waits until an answer is as wanted. */
export async function until(what, ask) {
  const deadline = Date.now() + PATIENCE;
  for (;;) {
    const answer = await ask();
    if (answer) return answer;
    assert.ok(Date.now() < deadline, `never: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
