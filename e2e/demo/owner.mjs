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
assert.equal(refused[0].problem.status, 403);
assert.deepEqual(sync.show(sync.state().tasks), tasks);
assert.equal(Object.keys(storage).length, 0);
process.exit();
