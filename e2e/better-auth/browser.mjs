// A browser's part for tasks.mjs: a fetch with cookies and CORS. Then one computer's visitors, printed as JSON.
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

const { authClient, tasks } = await import("./tasks.mjs"); // now, since it takes the fetch that is there

async function signUp(name) {
  const email = `${name}-${crypto.randomUUID()}@example.com`;
  const { data, error } = await authClient.signUp.email({ name, email, password: "correct horse battery" });
  assert.equal(error, null);
  return data.user.id;
}

const json = { "Content-Type": "application/json" };

const alice = await signUp("alice");
const created = await tasks(alice, "", { method: "POST", headers: json, body: JSON.stringify({ title: "Buy milk" }) });
assert.equal(created.status, 201);
const { id } = await created.json();
const completed = await tasks(alice, `/${id}/complete`, { method: "PATCH" });
assert.equal((await completed.json()).completed, true);
spoilToken = true; // as if the token had expired: tasks.mjs takes a new one
const listed = await (await tasks(alice)).json();
assert.equal((await tasks(alice, `/${id}`, { method: "DELETE" })).status, 204);
await authClient.signOut();
await assert.rejects(tasks("nobody"), { message: "Unauthorized" });

const bob = await signUp("bob");
const bobs = await (await tasks(bob)).json();
const foreign = await tasks("somebody", "");
console.log(JSON.stringify({ alice, listed, bobs, foreign: foreign.status }));
process.exit();
