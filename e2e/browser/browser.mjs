// A browser that reaches this computer alone, and remembers what a person would call broken.
import { readFile } from "node:fs/promises";

import { chromium } from "playwright-core";

const axe = await readFile(new URL("node_modules/axe-core/axe.min.js", import.meta.url), "utf8");
const screenshots = new URL("screenshots/", import.meta.url).pathname;

/** Open a page of `width`; `faults` collects console errors, requests to other hosts, and critical findings of axe. */
export async function open(origin, width) {
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
  const page = await browser.newPage({ viewport: { width, height: 844 } });
  page.setDefaultTimeout(30_000);
  const faults = [];
  page.on("console", (message) => message.type() === "error" && faults.push(message.text()));
  page.on("pageerror", (error) => faults.push(error.message));
  page.on("request", (request) => {
    const url = request.url().replace(/^blob:/, "");
    if (!url.startsWith(`${origin}/`) && !url.startsWith("data:")) faults.push(`a request to ${url}`);
  });

  /** Keep a picture, and check what it shows. */
  async function look(name, options = {}) {
    await page.screenshot({ path: `${screenshots}${name}-${width}.png`, ...options });
    const { violations } = await page.evaluate(`${axe}; axe.run()`);
    for (const { id, impact, nodes } of violations) {
      const finding = `${impact}: ${id}, ${nodes.length} times, first at ${nodes[0].target}`;
      if (impact === "critical") faults.push(`${name}: ${finding}`);
      else console.log(`${name}-${width}: ${finding}`);
    }
  }

  return { page, faults, look, close: () => browser.close() };
}
