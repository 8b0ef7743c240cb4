// Three windows, two of them of one browser, write through a network that cuts, loses and holds back what it carries.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createRequire } from "node:module";
import { connect, createServer } from "node:net";

const { API, COMPILED, OWNER, TOKEN, SECONDS } = process.env;
const service = new URL(API);
let calm = false;

/** A connection's fate is drawn when it is opened: how many bytes of it come through, each way, and after how long. */
const network = createServer((client) => {
  const server = connect(Number(service.port), service.hostname);
  const fate = calm ? 1 : Math.random();
  let there = fate < 0.2 ? 0 : fate < 0.4 ? 300 + Math.random() * 600 : Infinity;
  let back = fate > 0.4 && fate < 0.8 ? Math.random() * 3000 : Infinity; // below an answer: done, but nobody knows
  if (fate > 0.75 && fate < 0.8) setTimeout(() => (back = 0), 50);
  const end = () => [client, server].forEach((socket) => socket.destroy());
  client.on("data", (data) => ((there -= data.length) > 0 ? server.write(data) : end()));
  server.on("data", (data) => ((back -= data.length) > 0 ? client.write(data) : end()));
  for (const socket of [client, server]) socket.on("error", end).on("close", end);
  if (!calm) setTimeout(end, Math.random() * 2000);
}).listen(0, "127.0.0.1");
await once(network, "listening");

process.env.NEXT_PUBLIC_API_URL = `http://127.0.0.1:${network.address().port}`;

// What browsers have and Node 20 has not.
const locks = new Map();
Object.defineProperty(globalThis, "navigator", {
  value: {
    locks: {
      request(name, work) {
        const turn = (locks.get(name) ?? Promise.resolve()).catch(() => {}).then(work);
        locks.set(name, turn);
        return turn;
      },
    },
  },
});

const require = createRequire(import.meta.url);
const { createSync } = require(`${COMPILED}/sync.js`);
const { caller } = require(`${COMPILED}/tasks.js`);

const stop = new AbortController();
const phone = {};
const windows = ["left", "right", "phone"].map((name) => {
  const storage = name === "phone" ? phone : (globalThis.laptop ??= {});
  const sync = createSync(caller(OWNER, async () => TOKEN), storage, OWNER);
  sync.follow(stop.signal);
  return { name, sync, storage, written: new Map(), toggled: new Map() };
});

const pick = (list) => list[Math.floor(Math.random() * list.length)];
const shown = ({ sync }) => sync.show(sync.state().tasks ?? []);
let count = 0;
const made = new Map();
const deleted = new Set();
const contested = new Set();

function act(window) {
  const { name, sync, written } = window;
  const mine = shown(window).filter((task) => task.title.startsWith(`${name} `));
  const others = shown(window).filter((task) => !task.title.startsWith(`${name} `) && task.id > 0);
  const what = Math.random();
  const task = pick(mine);
  if (what < 0.3 || !task) {
    const title = `${name} ${++count} v0`;
    made.set(title.split(" v")[0], title);
    sync.write("create", undefined, { title });
  } else if (what < 0.65) {
    const title = `${task.title.split(" v")[0]} v${++count}`;
    made.set(title.split(" v")[0], title);
    sync.write("edit", task, { title });
  } else if (what < 0.75) {
    deleted.add(task.title.split(" v")[0]);
    sync.write("delete", task);
  } else if (others.length) {
    const theirs = pick(others);
    sync.write("edit", theirs, { completed: !theirs.completed }); // another field of it: nobody may lose theirs
  }
}

const until = Date.now() + Number(SECONDS) * 1000;
while (Date.now() < until) {
  const window = pick(windows);
  act(window);
  if (Math.random() < 0.5) pick(windows).sync.wake();
  await new Promise((resolve) => setTimeout(resolve, Math.random() * 100));
}
calm = true;

const list = async () => {
  const all = [];
  for (let path = "?limit=1000"; path; ) {
    const response = await fetch(`${API}/api/${OWNER}/tasks${path}`, { headers: { Authorization: `Bearer ${TOKEN}` } });
    all.push(...(await response.json()));
    path = response.headers.get("Link")?.match(/<[^?>]*(\?[^>]*)>; rel="next"/)?.[1];
  }
  return all.sort((a, b) => b.id - a.id);
};
const settled = async () => {
  const now = JSON.stringify(await list());
  return windows.every(({ sync, storage }) => !Object.keys(storage).length && !sync.state().waiting && JSON.stringify(shown({ sync })) === now);
};
const deadline = Date.now() + 30_000;
while (!(await settled())) {
  for (const { sync } of windows) sync.wake();
  if (Date.now() > deadline) {
    const now = await list();
    for (const w of windows) console.error(w.name, Object.keys(w.storage).length, w.sync.state().waiting, w.sync.state().trouble, w.sync.state().tasks?.length, now.length);
    assert.fail("not equal");
  }
  await new Promise((resolve) => setTimeout(resolve, 500));
}

const final = await list();
const titles = new Map(final.map(({ title }) => [title.split(" v")[0], title]));
const refusals = windows.flatMap(({ sync }) => sync.state().refused);
assert.equal(titles.size, final.length, "one was made twice");
const lost = [...made].filter(([name, title]) => !deleted.has(name) && titles.get(name) !== title);
console.error({ writes: count, made: made.size, deleted: deleted.size, left: final.length, refused: refusals.length, lost: lost.length });
for (const { write, problem } of refusals) console.error(write.kind, JSON.stringify(write.fields), write.seen.id, problem.status, problem.message);
for (const [name, title] of lost) console.error(name, title, titles.get(name));
stop.abort();
process.exit();
