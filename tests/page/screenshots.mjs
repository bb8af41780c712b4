// The README's pictures, from a running demo:
// LABHOUSE_HTTP=http://127.0.0.1:8080 LABHOUSE_NODE=~/.cache/labhouse/page node tests/page/screenshots.mjs examples/screenshots

import { mkdirSync } from "node:fs";
import { join } from "node:path";

import { finish, open, settled, start } from "./lib.mjs";

const folder = process.argv[2];
mkdirSync(folder, { recursive: true });
await start();
for (const [name, user, query, there, height] of [
  ["overview", "sam", "?view=overview", 6, 1130],
  ["plates", "sam", "?view=plates&f.plate=P0057", 5, 1000],
  ["insight", "sam", "?view=insight", 5, 1000],
  ["lineage", "sam", "?view=data&table=chemistry.reactions", ".origin .node", 1560],
]) {
  const page = await open(`/${query}`, { signedIn: user });
  await page.setViewportSize({ width: 1180, height });
  if (typeof there === "number") await settled(page, there);
  else {
    await page.locator(there).first().waitFor();
    await page.locator(".histogram").first().waitFor();
    await page.waitForLoadState("networkidle");
  }
  await page.screenshot({ path: join(folder, `${name}.png`) });
  await page.close();
}
await finish();
