// Fastify 5, pg and @fastify/jwt with its cache of verified tokens; response schemas, as its documentation advises.
import fastifyJwt from "@fastify/jwt";
import fastify from "fastify";
import { SECRET, createTask, getTask, listTasks, listen, updateTask } from "./statements.js";

const app = fastify();
await app.register(fastifyJwt, {
  secret: SECRET,
  verify: { algorithms: ["HS256"], requiredClaims: ["exp"], cache: true },
});

const task = {
  type: "object",
  properties: {
    id: { type: "integer" },
    user_id: { type: "string" },
    title: { type: "string" },
    description: { type: "string", nullable: true },
    completed: { type: "boolean" },
    created_at: { type: "string", format: "date-time" },
    updated_at: { type: "string", format: "date-time" },
  },
};
const body = {
  type: "object",
  properties: {
    title: { type: "string", minLength: 1, maxLength: 200, pattern: "\\S" },
    description: { type: "string", nullable: true, maxLength: 1000 },
    completed: { type: "boolean" },
  },
};
const params = { type: "object", properties: { user_id: { type: "string" }, task_id: { type: "integer" } } };

async function authenticate(request, reply) {
  await request.jwtVerify();
  if (request.user.sub !== request.params.user_id) {
    return reply.code(403).send({ detail: "The token belongs to another user." });
  }
}

const missing = (reply) => reply.code(404).send({ detail: "There is no such task." });

app.get(
  "/health",
  { schema: { response: { 200: { type: "object", properties: { status: { type: "string" } } } } } },
  async () => ({ status: "ok" }),
);

app.register(
  async (owned) => {
    owned.addHook("onRequest", authenticate);

    const querystring = {
      type: "object",
      properties: { limit: { type: "integer", minimum: 1, maximum: 1000, default: 100 } },
    };
    owned.get(
      "/",
      { schema: { params, querystring, response: { 200: { type: "array", items: task } } } },
      (request) => listTasks(request.params.user_id, request.query.limit),
    );

    owned.get("/:task_id", { schema: { params, response: { 200: task } } }, async (request, reply) => {
      const [found] = await getTask(request.params.user_id, request.params.task_id);
      return found ?? missing(reply);
    });

    owned.post(
      "/",
      { schema: { params, body: { ...body, required: ["title"] }, response: { 201: task } } },
      async (request, reply) => {
        const { title, description = null, completed = false } = request.body;
        const [created] = await createTask(request.params.user_id, title.trim(), description, completed);
        reply.code(201);
        return created;
      },
    );

    owned.patch("/:task_id", { schema: { params, body, response: { 200: task } } }, async (request, reply) => {
      const { title, description, completed } = request.body;
      const [changed] = await updateTask(
        request.params.user_id, request.params.task_id, title?.trim(), description !== undefined, description, completed,
      );
      return changed ?? missing(reply);
    });
  },
  { prefix: "/api/:user_id/tasks" },
);

await app.listen(listen);
