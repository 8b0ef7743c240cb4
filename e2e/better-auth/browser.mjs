// A browser's part for the modules of the example frontend: a fetch with cookies and CORS. Then one computer's visitors, printed as JSON.
import assert from "node:assert/strict";

const plainFetch = globalThis.fetch;
const origin = new URL(process.env.BETTER_AUTH_URL).origin;
const cookies = new Map();
let spoilToken = false;

globalThis.fetch = async (address, options = {}) => {
  const headers = new Headers(options.headers);
  headers.set("Origin", origin);
  return String(address).startsWith(`${origin}/`)
    ? fetchOwn(address, { ...options, headers })
    : fetchForeign(address, { ...options, headers });
};

async function fetchOwn(address, options) {
  options.headers.set("Cookie", [...cookies].map((pair) => pair.join("=")).join("; "));
  const response = await plainFetch(address, options);
  for (const cookie of response.headers.getSetCookie()) {
    const [name, value] = cookie.split(";")[0].split(/=(.*)/s);
    if (value) cookies.set(name, value);
    else cookies.delete(name);
  }
  return response;
}

async function fetchForeign(address, options) {
  const asked = [...options.headers.keys()].filter((name) => name !== "origin");
  const preflight = await plainFetch(address, {
    method: "OPTIONS",
    headers: {
      Origin: origin,
      "Access-Control-Request-Method": options.method ?? "GET",
      "Access-Control-Request-Headers": asked.join(","),
    },
  });
  assert.equal(preflight.status, 200, "the preflight is refused: CORS_ORIGINS lacks the frontend's origin");
  if (spoilToken) options.headers.set("Authorization", "Bearer expired");
  spoilToken = false;
  const response = await plainFetch(address, options);
  assert.equal(response.headers.get("Access-Control-Allow-Origin"), origin, "the browser would hide this response");
  return response;
}

// Now, since they take the fetch that is there.
const { authClient, browserToken } = await import("./generated/auth-client.js");
const { caller, createTask, deleteTask, editTask, readPage, search } = await import("./generated/tasks.js");

async function signUp(name) {
  const email = `${name}-${crypto.randomUUID()}@example.com`;
  const { data, error } = await authClient.signUp.email({ name, email, password: "correct horse battery" });
  assert.equal(error, null);
  return data.user.id;
}

const alice = await signUp("alice");
const call = caller(alice, browserToken);
const created = await createTask(call, { title: "Buy milk" }, crypto.randomUUID());
const completed = await editTask(call, created, { completed: true });
spoilToken = true; // as if the key were withdrawn: a new one is taken
const { tasks: listed } = await readPage(call, search());
await deleteTask(call, completed);
await authClient.signOut();
await assert.rejects(caller("nobody", browserToken)(), { message: /signed out/ });

const bob = await signUp("bob");
const { tasks: bobs } = await readPage(caller(bob, browserToken), search());
const foreign = await caller("somebody", browserToken)();
console.log(JSON.stringify({ alice, listed, bobs, foreign: foreign.status }));
process.exit();
