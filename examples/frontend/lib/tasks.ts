// The task API, for server components, the browser and plain Node alike: all that differs is who gives the token.
import type { components } from "./openapi"; // made by npm run types

type Schemas = components["schemas"];
export type Task = Schemas["TaskPublic"];
export type Fields = Schemas["TaskUpdate"];
export type Changes = Schemas["Changes"];
type Fault = Schemas["Fault"];

/** Calls the tasks of one user: call("/7", { method: "DELETE" }). */
export type Call = (path?: string, options?: RequestInit) => Promise<Response>;

const FRESH = 10 * 60_000; // of the 15 minutes that a token lives: a stream ends with it
const TIMEOUT = 20_000;

export function caller(userId: string, getToken: () => Promise<string>, timeout = TIMEOUT): Call {
  let token = "";
  let taken = 0;

  async function send(path: string, options: RequestInit): Promise<Response> {
    if (Date.now() - taken > FRESH) {
      token = await getToken();
      taken = Date.now();
    }
    const headers = new Headers(options.headers);
    headers.set("Authorization", `Bearer ${token}`);
    const address = `${process.env.NEXT_PUBLIC_API_URL}/api/${encodeURIComponent(userId)}/tasks${path}`;
    return fetch(address, { signal: AbortSignal.timeout(timeout), ...options, headers });
  }

  return async (path = "", options = {}) => {
    const response = await send(path, options);
    if (![401, 403].includes(response.status)) return response;
    taken = 0; // the key was withdrawn, or it was the token of whoever was signed in before
    return send(path, options);
  };
}

/** What the service says is wrong, in a sentence for people. */
export class Problem extends Error {
  status = 0;
}

/** The response, or its problem as an error. */
export async function ok(response: Response): Promise<Response> {
  if (response.ok) return response;
  const status = `The service answered ${response.status}.`; // as a proxy does, which says no more
  const { detail = status, errors = [] } = await response.json().catch(() => ({}));
  const sentences = [detail, ...errors.map(({ pointer, detail }: Fault) => `${pointer}: ${detail}`)];
  throw Object.assign(new Problem(sentences.join(" ")), { status: response.status });
}

export interface Page {
  tasks: Task[];
  next?: string; // the path of the page that follows
}

/** A page of the list: call it with search("milk"), and then with the page's own `next`. */
export async function readPage(call: Call, path: string): Promise<Page> {
  const response = await ok(await call(path));
  const next = response.headers.get("Link")?.match(/<[^?>]*(\?[^>]*)>; rel="next"/)?.[1];
  return { tasks: await response.json(), next };
}

/** The path of all tasks, or of those with `q` in their title or description, newest first. */
export const search = (q = "") => `?${new URLSearchParams({ limit: "50", sort: "-created_at", ...(q && { q }) })}`;

/** How many are left to do. */
export async function countOpen(call: Call): Promise<number> {
  const response = await ok(await call("?completed=false&count=true&limit=1"));
  return Number(response.headers.get("X-Total-Count"));
}

export async function readTask(call: Call, id: number): Promise<Task> {
  return (await ok(await call(`/${id}`))).json();
}

/** Make a task: once, however often it is sent with the same key (for 24 hours). */
export async function createTask(call: Call, fields: Fields, key: string): Promise<Task> {
  const headers = { "Content-Type": "application/json", "Idempotency-Key": key };
  return (await ok(await call("", { method: "POST", headers, body: JSON.stringify(fields) }))).json();
}

/** Change a task if it is as it was `seen`; if another window has changed it, the problem's status is 412. */
export async function editTask(call: Call, seen: Task, fields: Fields): Promise<Task> {
  const headers = { "Content-Type": "application/json", "If-Match": `"${seen.updated_at}"` };
  return (await ok(await call(`/${seen.id}`, { method: "PATCH", headers, body: JSON.stringify(fields) }))).json();
}

/** Delete a task if it is as it was `seen`, or gone already. */
export async function deleteTask(call: Call, seen: Task): Promise<void> {
  const response = await call(`/${seen.id}`, { method: "DELETE", headers: { "If-Match": `"${seen.updated_at}"` } });
  if (response.status !== 404) await ok(response);
}

export async function clearCompleted(call: Call): Promise<void> {
  await ok(await call("?completed=true", { method: "DELETE" }));
}
