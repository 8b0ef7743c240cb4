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
const edit = { kind: "edit", seen: { ...tasks[0] }, fields: { completed: true } };
const junk = [
  ...["{nope", "null", "5", "{}"],
  ...[
    { ...edit, kind: "other" },
    { ...edit, seen: { ...edit.seen, id: "1" } },
    { ...edit, seen: { ...edit.seen, title: {} } },
    { ...edit, seen: { ...edit.seen, updated_at: "\n" } },
    { ...edit, fields: undefined },
    { ...edit, kind: "create", fields: 7 },
    { ...edit, fields: { description: [] } },
    { ...edit, refused: { status: 404, message: {} } },
    { ...edit, seen: { id: -1, draft: { key: "once", fields: { title: 5 } } } },
    { ...edit, seen: { id: -1, draft: { key: "é", fields: { title: "Made" } } } },
  ].map((write) => JSON.stringify(write)),
];
junk.forEach((text, number) => (storage[`tasks:1:alice:${number}`] = text));
const again = createSync(caller("alice", async () => token), storage, "alice");
again.look();
assert.deepEqual(again.state().refused, refused);
again.dismiss(refused[0]);
assert.deepEqual(again.state().refused, []);
const stop = new AbortController();
void again.follow(stop.signal);
await new Promise((resolve) => again.subscribe(() => again.state().tasks && resolve()));
stop.abort();
assert.deepEqual(Object.values(storage), junk); // what it takes for a write is sent before it follows
assert.deepEqual(again.state().refused, []);

// Where nothing can be stored, a write waits in the window, which says so.
const full = createSync(caller("alice", async () => BOB), Object.freeze({}), "alice");
full.write("create", undefined, { title: "In the window alone" });
assert.equal(full.state().waiting, 1);
assert.equal(full.state().kept, false);
assert.equal(full.show([])[0].title, "In the window alone");
process.exit();
