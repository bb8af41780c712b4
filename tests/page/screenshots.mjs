// The README's pictures, from a running demo:
// LABHOUSE_HTTP=http://127.0.0.1:8080 LABHOUSE_NODE=~/.cache/labhouse/page node tests/page/screenshots.mjs examples/screenshots

import { mkdirSync } from "node:fs";
import { join } from "node:path";

import { finish, open, settled, start } from "./lib.mjs";

const folder = process.argv[2];
mkdirSync(folder, { recursive: true });
await start();
for (const [name, query, cards, height] of [
  ["overview", "?view=overview", 6, 1130],
  ["plates", "?view=plates&f.plate=P0057", 5, 1000],
  ["insight", "?view=insight", 5, 1000],
]) {
  const page = await open(`/${query}`, { signedIn: "sam" });
  await page.setViewportSize({ width: 1180, height });
  await settled(page, cards);
  await page.screenshot({ path: join(folder, `${name}.png`) });
  await page.close();
}
await finish();
