// A window that somebody else has signed in behind, and then a list that is full.
import assert from "node:assert/strict";

const { SYNC, ALICE, BOB } = process.env;
const { createSync } = await import(`${SYNC}/sync.js`);
const { caller } = await import(`${SYNC}/tasks.js`);

const storage = {};
let token = BOB;
const sync = createSync(caller("alice", async () => token), storage, "alice");
void sync.follow(new AbortController().signal);

/** Until the window's state is such. */
const state = (such) =>
  new Promise((resolve) => {
    const look = () => such(sync.state()) && resolve(sync.state());
    sync.subscribe(look);
    look();
  });

sync.write("create", undefined, { title: "Alice's" });
await state(({ trouble }) => trouble);
assert.equal(Object.keys(storage).length, 1, "what Alice wrote was lost");
assert.deepEqual(sync.state().refused, []);

token = ALICE;
sync.wake();
const { tasks } = await state(({ tasks }) => tasks?.length === 1);
assert.equal(tasks[0].title, "Alice's");
assert.equal(Object.keys(storage).length, 0);

sync.write("create", undefined, { title: "One too many" });
const { refused } = await state(({ refused, waiting }) => refused.length === 1 && waiting === 0);
assert.equal(refused[0].refused.status, 403);
assert.deepEqual(sync.show(sync.state().tasks), tasks);

// A refusal is there after a reload, until it has been seen; and what can't be read is in nobody's way.
const junk = { "{nope": "", null: "", 5: "", "{}": "", '{"kind":"create","seen":{"id":-1},"fields":7}': "" };
Object.keys(junk).forEach((text, number) => (storage[`tasks:1:alice:${number}`] = text));
const again = createSync(caller("alice", async () => token), storage, "alice");
again.look();
assert.deepEqual(again.state().refused, refused);
again.dismiss(refused[0]);
assert.deepEqual(again.state().refused, []);
assert.equal(Object.keys(storage).length, Object.keys(junk).length);
const stop = new AbortController();
void again.follow(stop.signal);
await new Promise((resolve) => again.subscribe(() => again.state().tasks && resolve()));
stop.abort();

// Where nothing can be stored, a write waits in the window, which says so.
const full = createSync(caller("alice", async () => BOB), Object.freeze({}), "alice");
full.write("create", undefined, { title: "In the window alone" });
assert.equal(full.state().waiting, 1);
assert.equal(full.state().kept, false);
assert.equal(full.show([])[0].title, "In the window alone");
process.exit();
