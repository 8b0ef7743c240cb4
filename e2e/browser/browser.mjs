// A browser that reaches this computer alone, and remembers what a person would call broken.
import { readFile } from "node:fs/promises";

import { chromium } from "playwright-core";

const axe = await readFile(new URL("node_modules/axe-core/axe.min.js", import.meta.url), "utf8");
const here = new URL("screenshots/", import.meta.url).pathname;

/**
 * Open a page of `width`; `faults` collects console errors, requests to other origins than these, and what axe finds
 * that is as `grave`. `another` opens a second page beside it.
 */
export async function open(origins, width, { screenshots = here, grave = ["critical"] } = {}) {
  const browser = await chromium.launch({
    executablePath: "/usr/bin/chromium",
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
    ],
  });
  const context = await browser.newContext({ viewport: { width, height: 844 } });
  context.setDefaultTimeout(30_000);
  const faults = [];
  context.on("console", (message) => message.type() === "error" && faults.push(message.text()));
  context.on("weberror", (error) => faults.push(error.error().message));
  context.on("request", (request) => {
    const url = request.url().replace(/^blob:/, "");
    if (![...origins.map((origin) => `${origin}/`), "data:"].some((start) => url.startsWith(start)))
      faults.push(`a request to ${url}`);
  });
  const page = await context.newPage();

  /** Keep a picture, and check what it shows. */
  async function look(name, options = {}) {
    await page.screenshot({ path: `${screenshots}${name}-${width}.png`, ...options });
    const { violations } = await page.evaluate(`${axe}; axe.run()`);
    for (const { id, impact, nodes } of violations) {
      const finding = `${impact}: ${id}, ${nodes.length} times, first at ${nodes[0].target}`;
      if (grave.includes(impact)) faults.push(`${name}: ${finding}`);
      else console.log(`${name}-${width}: ${finding}`);
    }
  }

  return { page, faults, look, another: () => context.newPage(), close: () => browser.close() };
}
