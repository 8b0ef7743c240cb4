// Better Auth behind node:http, where a Next.js project has app/api/auth/[...all]/route.js.
import { createServer } from "node:http";

import { getMigrations } from "better-auth/db/migration";
import { toNodeHandler } from "better-auth/node";

import { auth } from "./auth.mjs";
import { GET as getTaskToken } from "./task-token.mjs";

const { runMigrations } = await getMigrations(auth.options);
await runMigrations();

const betterAuth = toNodeHandler(auth);
const taskToken = toNodeHandler(getTaskToken);

createServer((request, response) =>
  request.url === "/api/task-token" ? taskToken(request, response) : betterAuth(request, response),
).listen(Number(process.env.PORT || 3000), "localhost");
