// A person opens /docs, takes a token, creates and lists, tries everything; then reads /redoc.
import assert from "node:assert/strict";

import { open } from "./browser.mjs";

const origin = process.env.API;
const { page, faults, look, close } = await open([origin], Number(process.env.WIDTH));

/** Open an operation and press Execute, as it stands. */
async function execute(id) {
  const operation = page.locator(`.opblock[id$="-${id}"]`);
  if (!(await operation.locator(".execute").isVisible())) await operation.locator(".opblock-summary-control").click();
  const newest = "limit=1&sort=-created_at"; // what the page itself asks for
  const asked = page.waitForRequest((request) => {
    const { origin: host, pathname } = new URL(request.url());
    return host === origin && /^\/(api|health)/.test(pathname) && !request.url().endsWith(newest);
  });
  await operation.locator(".execute").click();
  const request = await asked;
  const answer = await request.response();
  await operation.locator(".live-responses-table").waitFor();
  const shown = await operation.locator(".live-responses-table").innerText();
  assert.ok(answer.ok(), `${id}: ${shown}`);
  for (const header of ["if-match", "if-none-match", "idempotency-key"]) assert.ok(!(header in request.headers()), id);
  if (id.startsWith("stream")) assert.match(shown, /^data: /m); // there is no end of it to wait for
  return { operation, body: answer.status() === 204 || id.startsWith("stream") ? null : await answer.json() };
}

await page.goto(`${origin}/docs`);
await page.evaluate(() => (localStorage.authorized = "5")); // as another page of this computer may have it
await page.reload();
await page.locator(".opblock").first().waitFor();
assert.equal(await page.title(), "Task API");
await look("docs");

// Whoever brings a token of their own finds their own id in every operation.
await page.locator(".btn.authorize").click();
await page.locator(".auth-container input").fill(`x.${btoa('{"sub":"bob"}')}.x`);
await page.locator(".auth-container .authorize").click();
await page.locator(".btn-done").click();
const listing = page.locator('.opblock[id$="-listTasks"]');
await listing.locator(".opblock-summary-control").click();
await listing.locator('[data-param-name="user_id"] input[value="bob"]').waitFor();
await page.locator(".btn.authorize").click();
await page.locator(".auth-container").getByRole("button", { name: "Remove authorization" }).click();
await page.locator(".btn-done").click();
await listing.locator('[data-param-name="user_id"] input[value="alice"]').waitFor();
await page.getByText("This service runs for development").waitFor(); // bob's token was no good

// What was open before has the newest task, too.
const closed = page.locator(".opblock:not(.is-open) .opblock-summary-control");
while (await closed.count()) await closed.first().click();
await page.getByRole("button", { name: "Take a token for alice" }).click();
await page.getByText("You are alice.").waitFor();
await page.locator('.opblock[id$="-createTask"] [data-param-name="user_id"] input[value="alice"]').waitFor();
const created = await execute("createTask");
assert.equal(created.body.title, "Buy milk");
await created.operation.scrollIntoViewIfNeeded();
await look("docs-created");

for (const id of ["getTask", "updateTask", "deleteTask"]) assert.equal((await execute(id)).body?.id ?? 1, created.body.id);
const { body: batch } = await execute("createTasks");
const { body: completed } = await execute("completeTask");
assert.equal(completed.id, batch.at(-1).id);
await page.goto(`${origin}/docs`); // the token stays
const listed = await execute("listTasks");
assert.deepEqual(listed.body, [...batch.slice(0, -1), completed]);
await listed.operation.locator(".responses-wrapper").scrollIntoViewIfNeeded();
await look("docs-listed");
assert.ok(await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page is wider than the window");

// From top to bottom, and once more when all is deleted.
const operations = await page.locator(".opblock").evaluateAll((all) => all.map(({ id }) => id.split("-").at(-1)));
for (const id of [...operations, ...operations]) await execute(id);

await page.goto(`${origin}/redoc`);
await page.getByRole("heading", { name: "Create Tasks" }).waitFor();
assert.equal(await page.title(), "Task API: reference");
await look("redoc");

await close();
assert.deepEqual(faults, ["Failed to load resource: the server responded with a status of 401 (Unauthorized)"]); // bob
