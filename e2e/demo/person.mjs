// A person signs up, and works in two windows and in a tunnel.
import assert from "node:assert/strict";

import { open } from "../browser/browser.mjs";

const { PAGE, API, WIDTH } = process.env;
const screenshots = new URL("screenshots/", import.meta.url).pathname;
const { page, faults, look, another, close } = await open([PAGE, API], Number(WIDTH), {
  screenshots,
  grave: ["serious", "critical"],
});
const email = `${crypto.randomUUID()}@example.com`;

const row = (where, title) => where.getByRole("listitem").filter({ has: where.getByLabel(title, { exact: true }) });
const seen = (where, title) => row(where, title).waitFor();
const gone = (where, title) => row(where, title).waitFor({ state: "detached" });
const calm = (where) => where.getByText("Up to date").waitFor();

async function add(where, title) {
  await where.getByLabel("New task").fill(title);
  await where.getByRole("button", { name: "Add" }).click();
  await seen(where, title);
}

async function edit(where, title, fields) {
  await where.getByRole("button", { name: `Edit ${title}`, exact: true }).click();
  for (const [label, text] of Object.entries(fields)) await where.getByLabel(label, { exact: true }).fill(text);
}

async function signIn(where) {
  await where.getByRole("button", { name: "I have an account" }).click();
  await where.getByLabel("E-mail").fill(email);
  await where.getByLabel("Password").fill("correct horse battery");
  await where.getByRole("button", { name: "Sign in" }).click();
}

const save = (where) => where.getByRole("button", { name: "Save" }).click();

/** What had the focus has gone, and who works with the keyboard is still there. */
async function focusIsInList(where) {
  // What is hidden loses the focus only when it is drawn.
  await where.evaluate(() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn))));
  assert.equal(await where.evaluate(() => document.activeElement.getAttribute("aria-label")), "Tasks");
}

/** What the browser itself says of an answer that the page expects. */
function expected(message) {
  const found = faults.filter((fault) => fault.includes(message));
  for (const fault of found) faults.splice(faults.indexOf(fault), 1);
  return found.length;
}

await page.goto(PAGE);
await look("signed-out");
await page.getByLabel("Name").fill("Alice");
await page.getByLabel("E-mail").fill(email);
await page.getByLabel("Password").fill("correct horse battery");
await page.getByRole("button", { name: "Sign up" }).click();
await page.getByText("Nothing to do.").waitFor();

await add(page, "The only one");
await edit(page, "The only one", {});
await page.getByRole("button", { name: "Delete" }).click();
await page.getByText("Nothing to do.").waitFor();
await focusIsInList(page);
for (const title of ["Read the chapter on indexes", "Water the plants", "Call Bob", "Buy milk"]) await add(page, title);
await edit(page, "Call Bob", { Description: "Ask for the slides, and whether the room is free on Friday." });
await save(page);
await page.getByText("Ask for the slides").waitFor();

// Lengths are those of the service: an emoji is one character.
await page.getByLabel("New task").fill("a".repeat(201));
await page.getByRole("button", { name: "Add" }).click();
assert.equal(await page.getByLabel("New task").inputValue(), "a".repeat(201));
await page.getByLabel("New task").fill("");
await add(page, "😀".repeat(200));
await edit(page, "😀".repeat(200), { Description: "😀".repeat(1001) });
await save(page);
await page.getByLabel("Description").fill("😀".repeat(1000));
await save(page);
await row(page, "😀".repeat(200)).getByText("😀".repeat(1000)).waitFor();
await page.getByRole("button", { name: /^Edit 😀/ }).click();
await page.getByRole("button", { name: "Delete" }).click();
await gone(page, "😀".repeat(200));

// Two windows: each sees at once what the other does.
const second = await another();
await second.goto(PAGE);
await calm(second);
await edit(second, "Buy milk", { Title: "Buy oat milk" });
await save(second);
await seen(page, "Buy oat milk");
await row(page, "Water the plants").getByRole("checkbox").check();
await second.getByRole("checkbox", { name: "Water the plants", checked: true }).waitFor();
assert.equal(await page.getByText("3 left").count(), 1);
await look("list");
await page.emulateMedia({ colorScheme: "dark" });
await look("dark");
await page.emulateMedia({ colorScheme: "light" });

// Both edit the same version: exactly one wins, and the other is told.
await edit(page, "Call Bob", { Title: "Call Bob at nine" });
await edit(second, "Call Bob", { Title: "Call Bob at ten" });
await look("editing");
await save(page);
await seen(second, "Call Bob at nine");
await save(second);
await second.getByRole("alert").getByText("Call Bob at ten").waitFor();
await seen(second, "Call Bob at nine");
await second.screenshot({ path: `${screenshots}refused-${WIDTH}.png` });
await second.getByRole("button", { name: "Dismiss" }).click();
await focusIsInList(second);
assert.equal(expected("412"), 1);

await second.getByRole("button", { name: "Clear completed" }).click();
await gone(page, "Water the plants");
await gone(second, "Water the plants");
await focusIsInList(second);

// What is typed stays, where the task goes meanwhile; and that it was not saved is told until it has been seen.
await add(second, "Paint the fence");
await edit(page, "Paint the fence", { Description: "In green." });
await edit(second, "Paint the fence", {});
await second.getByRole("button", { name: "Delete" }).click();
await focusIsInList(second);
await row(page, "Paint the fence").getByText("No longer there").waitFor();
assert.equal(await page.getByLabel("Description").inputValue(), "In green.");
await save(page);
const told = (where) => where.getByRole("alert").getByText("You wrote: In green.");
await told(page).waitFor();
await gone(page, "Paint the fence");
await focusIsInList(page);
await page.reload();
await told(page).waitFor();
await told(second).waitFor();
await page.getByRole("button", { name: "Dismiss" }).click();
await told(second).waitFor({ state: "detached" });
assert.equal(expected("404"), 1);

// In a tunnel: what is written there waits, and is sent when it ends.
const offline = (is) => page.context().setOffline(is);
await page.bringToFront();
await offline(true);
await page.getByText("You are offline.").waitFor();
await add(page, "Written in a tunnel");
await edit(page, "Written in a tunnel", { Title: "Rewritten in a tunnel", Description: "In the dark." });
await save(page);
await row(page, "Buy oat milk").getByRole("checkbox").check();
await page.getByLabel("Search").fill("tunnel");
await gone(page, "Buy oat milk");
await page.getByLabel("Search").fill("");
await page.getByText("3 to be sent").waitFor();
await look("offline");
await second.bringToFront();
await add(second, "Left behind in a closed window");
await second.close();
await offline(false);
await calm(page);
expected("ERR_INTERNET_DISCONNECTED"); // the streams that were cut
await page.reload(); // so that what is shown can only be the server's
await calm(page);
await seen(page, "Left behind in a closed window");
await seen(page, "Rewritten in a tunnel");
await page.getByRole("checkbox", { name: "Buy oat milk", checked: true }).waitFor();
assert.equal(await page.getByRole("listitem").count(), 5);

// A long list: the page begins with 50, more come as one scrolls, and typing searches all.
const { token } = await (await page.request.get(`${PAGE}/api/auth/token`)).json();
const { sub } = JSON.parse(Buffer.from(token.split(".")[1], "base64url").toString());
const batch = await page.request.post(`${API}/api/${sub}/tasks/batch`, {
  headers: { Authorization: `Bearer ${token}` },
  data: [
    ...Array.from({ length: 200 }, (_, number) => ({ title: `Number ${number}` })),
    { title: "Two\nlines", description: "One\r\nTwo" },
    { title: "İstanbul, ΟΔΟΣΧ" },
  ],
});
assert.equal(batch.status(), 201);
await seen(page, "Number 199");
const html = await (await page.request.get(PAGE)).text();
assert.ok(html.includes("Number 199"), "the server component did not read the tasks");
await page.reload();
await calm(page);
assert.equal(await page.getByRole("listitem").count(), 50);
const patches = [];
page.on("request", (request) => request.method() === "PATCH" && patches.push(request));
await edit(page, "Two lines", {});
await save(page); // as it was
await calm(page);
assert.equal(patches.length, 0);
const cursors = [];
page.on("request", (request) => cursors.push(new URL(request.url()).searchParams.get("cursor")));
for (const title of ["Number 160", "Number 110", "Number 60", "Number 10", "Read the chapter on indexes"]) {
  await row(page, title).scrollIntoViewIfNeeded();
}
assert.ok(cursors.filter(Boolean).length >= 4, "the pages did not come by Link");
await look("long");
await page.getByLabel("Search").fill("NUMBER 17");
await page.waitForResponse((response) => response.url().includes("q=NUMBER"));
await gone(page, "Number 1");
assert.equal(await page.getByRole("listitem").count(), 11); // 17, and 170 to 179
await look("search");
await page.getByLabel("Search").fill("istanbul, οδοσ");
await seen(page, "İstanbul, ΟΔΟΣΧ");
await add(page, "Written while searching");
await calm(page);
assert.ok(
  await page.evaluate("document.documentElement.scrollWidth <= innerWidth"),
  "the page is wider than the window",
);

// Who was signed out behind the page, and signs in again elsewhere, goes on where they were.
const third = await another();
await edit(page, "Written while searching", { Description: "Half a sen" });
await page.context().clearCookies();
await third.goto(PAGE);
await signIn(third);
await calm(third);
assert.equal(await page.getByLabel("Description").inputValue(), "Half a sen");

// Who signs out is signed out in all windows, and in again in all; and finds everything.
await page.bringToFront();
await page.getByRole("button", { name: "Sign out" }).click();
await third.getByRole("button", { name: "I have an account" }).waitFor();
await page.getByRole("button", { name: "I have an account" }).waitFor();
await offline(true);
await signIn(page);
await page.getByText("The server can't be reached.").waitFor();
expected("ERR_INTERNET_DISCONNECTED");
await offline(false);
await page.getByRole("button", { name: "Sign in" }).click();
await seen(page, "Number 199");
await seen(third, "Number 199");

await close();
assert.deepEqual(faults, []);
