// A developer looks at what make demo started: under the wrong address first.
import assert from "node:assert/strict";

import { open } from "../browser/browser.mjs";

const { PAGE, API } = process.env;
const wrong = PAGE.replace("localhost", "127.0.0.1");
const { page, faults, close } = await open([PAGE, wrong, API], 1280);

async function signUp(email) {
  await page.getByLabel("Name").fill("Alice");
  await page.getByLabel("E-mail").fill(email);
  await page.getByLabel("Password").fill("correct horse battery");
  await page.getByRole("button", { name: "Sign up" }).click();
}

/** The page is alive as soon as a button does something. */
async function whenAlive() {
  for (let alive = false; !alive; ) {
    await page.getByRole("button", { name: /I am new here|I have an account/ }).click();
    alive = await page.getByRole("button", { name: "I am new here" }).isVisible();
  }
  await page.getByRole("button", { name: "I am new here" }).click();
}

await page.goto(wrong);
await whenAlive();
await signUp("alice@example.com");
await page.getByText(`To sign in, open this page as ${PAGE}.`).waitFor();
faults.length = 0; // of the refusal

await page.goto(PAGE);
await whenAlive();
await signUp("alice@example.com");
await page.getByText("Nothing to do.").waitFor();
await page.getByLabel("New task").fill("Buy milk");
await page.getByRole("button", { name: "Add" }).click();
await page.getByText("Up to date").waitFor();
await page.reload();
await page.getByRole("checkbox", { name: "Buy milk" }).waitFor();

await close();
assert.deepEqual(faults, []);
