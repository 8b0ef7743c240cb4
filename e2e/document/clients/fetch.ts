// A client of openapi-typescript and openapi-fetch.
import assert from "node:assert/strict";

import createClient from "openapi-fetch";

import type { components, paths } from "../generated/fetch.js";

type Task = components["schemas"]["TaskPublic"];
type Problem = components["schemas"]["ProblemBody"];

const client = createClient<paths>({
  baseUrl: process.env["API"]!,
  headers: { Authorization: `Bearer ${process.env["TOKEN"]}` },
});
const owner = { user_id: "alice" };

const created = await client.POST("/api/{user_id}/tasks", { params: { path: owner }, body: { title: "Buy milk" } });
assert(created.data, "not created");
const task: Task = created.data;

const listed = await client.GET("/api/{user_id}/tasks", { params: { path: owner, query: { q: "milk", limit: 10 } } });
assert.deepEqual(listed.data?.map(({ id }) => id), [task.id]);

const rename = (title: string) =>
  client.PATCH("/api/{user_id}/tasks/{task_id}", {
    params: { path: { ...owner, task_id: task.id }, header: { "If-Match": `"${task.updated_at}"` } },
    body: { title },
  });
assert.equal((await rename("Buy oat milk")).data?.title, "Buy oat milk");
assert.equal((await rename("Too late")).error?.status, 412);

const missing = await client.GET("/api/{user_id}/tasks/{task_id}", { params: { path: { ...owner, task_id: 4711 } } });
assert(missing.error, "found");
const problem: Problem = missing.error;
assert.deepEqual([problem.status, problem.detail, problem.errors], [404, "There is no such task.", undefined]);

await client.DELETE("/api/{user_id}/tasks", { params: { path: owner, query: { all: true } } });
