// A client of @hey-api/openapi-ts.
import assert from "node:assert/strict";

import { client } from "../generated/hey/client.gen.js";
import { createTask, deleteTasks, getTask, listTasks, updateTask } from "../generated/hey/sdk.gen.js";
import type { ProblemBody, TaskPublic } from "../generated/hey/types.gen.js";

client.setConfig({ baseUrl: process.env["API"]!, auth: () => process.env["TOKEN"]! });
const owner = { user_id: "alice" };

const created = await createTask({ path: owner, body: { title: "Buy milk" } });
assert(created.data, "not created");
const task: TaskPublic = created.data;

const listed = await listTasks({ path: owner, query: { q: "milk", limit: 10 } });
assert.deepEqual(listed.data?.map(({ id }) => id), [task.id]);

const rename = (title: string) =>
  updateTask({
    path: { ...owner, task_id: task.id },
    headers: { "If-Match": `"${task.updated_at}"` },
    body: { title },
  });
assert.equal((await rename("Buy oat milk")).data?.title, "Buy oat milk");
assert.equal((await rename("Too late")).error?.status, 412);

const missing = await getTask({ path: { ...owner, task_id: 4711 } });
assert(missing.error, "found");
const problem: ProblemBody = missing.error;
assert.deepEqual([problem.status, problem.detail, problem.errors], [404, "There is no such task.", undefined]);

await deleteTasks({ path: owner, query: { all: true } });
