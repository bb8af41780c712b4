// Each kind of chart against the picture of it that is committed, in a font of the tests' own. LABHOUSE_BLESS=1 writes the
// pictures anew: look at them before you commit them.
//
// The demo's data are of a fixed seed. What a model says of them is not the same on every machine, so the kind of chart that shows
// predictions is drawn of made numbers. The pictures are of one Chromium; another one may round curves and letters otherwise.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { assert, card, check, finish, open, require, settled, start } from "./lib.mjs";

const FOLDER = join(dirname(fileURLToPath(import.meta.url)), "snapshots");
const IS_BLESSING = Boolean(process.env.LABHOUSE_BLESS);
/** A pixel is another one when a channel differs by more. */
const CHANNEL = 16;
/** For how long a chart may still be drawn, in milliseconds. */
const STILL = 15_000;
const browser = await start({ bypassCSP: true, deviceScaleFactor: 1 });
const major = browser.browser()?.version().split(".")[0] ?? (await (await browser.newPage()).evaluate(() => /Chrome\/(\d+)/.exec(navigator.userAgent)[1]));
const written = join(FOLDER, "CHROMIUM");
const isSame = existsSync(written) && readFileSync(written, "utf8").trim() === major;
const SHARE = isSame ? 0.001 : 0.02;
if (IS_BLESSING) {
  mkdirSync(FOLDER, { recursive: true });
  writeFileSync(written, `${major}\n`);
} else if (!isSame) console.log(`     the pictures are of another Chromium than ${major}: ${100 * SHARE} % of the pixels may differ`);

const face = (weight) => {
  const bytes = readFileSync(require.resolve(`@fontsource/inter/files/inter-latin-${weight}-normal.woff2`)).toString("base64");
  return `@font-face { font-family: Snapshot; font-weight: ${weight === 400 ? "100 500" : "501 900"}; src: url(data:font/woff2;base64,${bytes}) format("woff2"); }`;
};
const STYLE = `${face(400)}${face(600)} :root { --font: Snapshot; --mono: Snapshot; --chart-font: 12px Snapshot; } * { font-family: Snapshot !important; caret-color: transparent; }`;

/** A view, drawn in the tests' font. */
async function view(path, cards) {
  const page = await open(path, { signedIn: "sam" });
  await page.addStyleTag({ content: STYLE });
  await page.evaluate(() => Promise.all([document.fonts.load("12px Snapshot"), document.fonts.load("600 12px Snapshot")]));
  await settled(page, cards);
  // Another width and back: what is on a canvas is drawn anew.
  for (const width of [1180, 1280]) {
    await page.setViewportSize({ width, height: 900 });
    await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
  }
  await page.mouse.move(0, 0);
  return page;
}

/** The share of pixels in which two pictures differ; all of them when their sizes do. */
function difference(page, one, other) {
  const urls = [one, other].map((bytes) => `data:image/png;base64,${bytes.toString("base64")}`);
  return page.evaluate(
    async ([urls, channel]) => {
      const read = async (url) => {
        const image = new Image();
        image.src = url;
        await image.decode();
        const canvas = document.createElement("canvas");
        [canvas.width, canvas.height] = [image.width, image.height];
        const context = canvas.getContext("2d");
        context.drawImage(image, 0, 0);
        return context.getImageData(0, 0, image.width, image.height);
      };
      const [a, b] = [await read(urls[0]), await read(urls[1])];
      if (a.width !== b.width || a.height !== b.height) return 1;
      let others = 0;
      for (let at = 0; at < a.data.length; at += 4) if ([0, 1, 2].some((part) => Math.abs(a.data[at + part] - b.data[at + part]) > channel)) others += 1;
      return others / (a.data.length / 4);
    },
    [urls, CHANNEL],
  );
}

/** What is on a canvas may be drawn a moment later on a busy machine: a picture that is another one is taken again, for a while. */
async function compare(page, name, place) {
  const path = join(FOLDER, `${name}.png`);
  const take = () => place.screenshot({ animations: "disabled" });
  if (IS_BLESSING) return writeFileSync(path, await take());
  const written = readFileSync(path);
  const end = Date.now() + STILL;
  let [picture, share] = [null, 1];
  do {
    picture = await take();
    share = await difference(page, written, picture);
  } while (share > SHARE && Date.now() < end);
  if (share > SHARE && process.env.LABHOUSE_SHOTS) writeFileSync(join(process.env.LABHOUSE_SHOTS, `${name}.png`), picture);
  assert.ok(share <= SHARE, `${name}: ${(100 * share).toFixed(2)} % of its pixels are others`);
}

for (const [path, cards, names] of [
  ["/?view=overview", 6, ["at_a_glance", "daily_yield", "by_lot", "by_region"]],
  ["/?view=reagents", 4, ["composition", "stock"]],
  ["/?view=plates&f.plate=P0057", 5, ["plates", "plate", "edge_columns"]],
])
  await check(`22 snapshots: ${names.join(", ")}`, async () => {
    const page = await view(path, cards);
    for (const name of names) await compare(page, name, card(page, name).locator(".chart"));
    await page.close();
  });

await check("22 snapshots: points with intervals, of made numbers", async () => {
  const page = await view("/?view=overview", 6);
  await page.evaluate(async () => {
    const base = document.querySelector("script[type=module]").src;
    const { draw } = await import(base.replace("app.js", "charts/points.js"));
    const { Rows } = await import(base.replace("app.js", "rows.js"));
    const count = 60;
    const made = (value) => Array.from({ length: count }, (_, at) => value(at));
    const x = made((at) => 5 + 1.5 * at);
    const y = made((at) => 5 + 1.5 * at + 9 * Math.sin(at));
    const columns = { well: made((at) => `A${at}`), measured: x, predicted: y, lower: y.map((value) => value - 6), upper: y.map((value) => value + 6) };
    const place = document.createElement("div");
    Object.assign(place, { id: "made", className: "card" });
    document.querySelector("main").prepend(place);
    draw(place, new Rows(Object.entries(columns).map(([name, values]) => ({ name, values, kind: name === "well" ? "text" : "number" })), count), { title: "t", description: "d", x: "measured", y: ["predicted"], low: "lower", high: "upper", unit: "%" }, { say() {} });
    while (!place.querySelector("canvas")) await new Promise((resolve) => requestAnimationFrame(resolve));
  });
  await compare(page, "points", page.locator("#made .plot"));
  await page.close();
});

await check("22 snapshots: lineage, boxes and arrows of made names", async () => {
  const page = await view("/?view=overview", 6);
  await page.evaluate(async () => {
    const { graph } = await import(document.querySelector("script[type=module]").src.replace("app.js", "charts/graph.js"));
    const node = (id, kind, more = {}) => ({ id, kind, title: `chemistry.${id}`, canPick: true, ...more });
    const made = graph(
      [node("files", "files", { note: "12 landed" }), node("readings", "table"), node("layout", "table"), node("joined", "view", { isHere: true, note: "fresh" }), node("late", "view", { isBad: true, note: "failed" }), node("yield_model", "model")],
      [["files", "readings"], ["readings", "joined"], ["layout", "joined"], ["joined", "late"], ["joined", "yield_model"]],
      { label: "Made" },
    );
    made.id = "made";
    document.querySelector("main").prepend(made);
  });
  await compare(page, "graph", page.locator("#made .scroll"));
  await page.close();
});

await check("22 snapshots: a changed chart is seen", async () => {
  const page = await view("/?view=overview", 6);
  await page.addStyleTag({ content: ".bars .fill { fill: #444 !important; }" });
  const share = await difference(page, readFileSync(join(FOLDER, "by_lot.png")), await card(page, "by_lot").locator(".chart").screenshot());
  assert.ok(share > 0.02, `${share}`);
  await page.close();
});

await finish();
