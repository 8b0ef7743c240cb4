// Three windows of one person, two of them of one browser, on a network that cuts, loses and holds back what it carries.
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer } from "node:net";

const { API, SYNC, OWNER, TOKEN, SECONDS } = process.env;
const service = new URL(API);
let calm = false;

/** Each connection has a fate: how much of what is asked and answered comes through, and for how long it lives. */
const network = createServer((client) => {
  const server = connect(Number(service.port), service.hostname);
  let asked = Infinity;
  let answered = Infinity; // what is answered and gets lost was done all the same
  const end = () => [client, server].forEach((socket) => socket.destroy());
  if (!calm) {
    const fate = Math.random();
    if (fate < 0.4) asked = Math.random() * 800;
    else if (fate < 0.8) answered = Math.random() * 3000;
    setTimeout(end, Math.random() * 2000);
  }
  client.on("data", (data) => ((asked -= data.length) > 0 ? server.write(data) : end()));
  server.on("data", (data) => ((answered -= data.length) > 0 ? client.write(data) : end()));
  for (const socket of [client, server]) socket.on("error", end).on("close", end);
}).listen(0, "127.0.0.1");
await once(network, "listening");
process.env.NEXT_PUBLIC_API_URL = `http://127.0.0.1:${network.address().port}`;

// The Web Locks that a browser has.
const turns = new Map();
const request = (name, work) => {
  const turn = (turns.get(name) ?? Promise.resolve()).catch(() => {}).then(work);
  turns.set(name, turn);
  return turn;
};
Object.defineProperty(globalThis, "navigator", { value: { locks: { request } } });

const { createSync } = await import(`${SYNC}/sync.js`);
const { caller } = await import(`${SYNC}/tasks.js`);

const stop = new AbortController();
const [laptop, phone] = [{}, {}];
const windows = { left: laptop, right: laptop, phone };
const syncs = Object.entries(windows).map(([name, storage]) => {
  const call = caller(OWNER, async () => TOKEN);
  // The phone's network lets no stream through.
  const polling = async (path, options) =>
    path?.startsWith("/changes/stream") ? Response.error() : call(path, options);
  const sync = createSync(name === "phone" ? polling : call, storage, OWNER);
  void sync.follow(stop.signal);
  return { name, storage, sync };
});

const pick = (list) => list[Math.floor(Math.random() * list.length)];
const shown = (sync) => sync.show(sync.state().tasks ?? []);
const pause = (most) => new Promise((resolve) => setTimeout(resolve, Math.random() * most));
const nameOf = (title) => title.split(" v")[0];
const written = new Map(); // the last title of each task, by the name that it keeps; null where it was deleted
let version = 0;

/** A window writes titles of its own tasks, and ticks those of others: nobody's write is in another's way. */
function write({ name, sync }) {
  const rows = shown(sync);
  const own = pick(rows.filter(({ title }) => title.startsWith(`${name} `)));
  const other = pick(rows.filter(({ id, title }) => id > 0 && !title.startsWith(`${name} `)));
  const kind = Math.random();
  version += 1;
  if (!own || kind < 0.3) {
    const title = `${name} ${version} v${version}`;
    written.set(nameOf(title), title);
    sync.write("create", undefined, { title });
  } else if (kind < 0.6) {
    const title = `${nameOf(own.title)} v${version}`;
    written.set(nameOf(title), title);
    sync.write("edit", own, { title });
  } else if (kind < 0.7) {
    written.set(nameOf(own.title), null);
    sync.write("delete", own);
  } else if (other) {
    sync.write("edit", other, { completed: !other.completed });
  }
}

async function served() {
  const headers = { Authorization: `Bearer ${TOKEN}` };
  const tasks = await (await fetch(`${API}/api/${OWNER}/tasks?limit=1000`, { headers })).json();
  return tasks.sort((a, b) => b.id - a.id);
}

const end = Date.now() + SECONDS * 1000;
for (let told = false; Date.now() < end; await pause(100)) {
  write(pick(syncs));
  if (Math.random() < 0.3) pick(syncs).sync.wake(); // as when a network comes back
  if (!told && Date.now() > end - SECONDS * 500) console.log((told = "half-time"));
}
calm = true;

const deadline = Date.now() + 30_000;
for (let equal = false; !equal; await pause(200)) {
  for (const { sync } of syncs) sync.wake();
  await pause(500);
  const tasks = JSON.stringify(await served());
  equal = syncs.every(
    ({ storage, sync }) =>
      Object.values(storage).every((text) => JSON.parse(text).refused) &&
      sync.state().waiting === 0 &&
      JSON.stringify(shown(sync)) === tasks,
  );
  assert.ok(Date.now() < deadline, "the windows don't come out equal to the server");
}
const titles = (await served()).map(({ title }) => title);
const refused = [laptop, phone].flatMap((storage) => Object.values(storage).map((text) => JSON.parse(text)));
stop.abort();
console.log(JSON.stringify({ titles, written: Object.fromEntries(written), refused }));
process.exit();
