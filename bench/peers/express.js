// Express 5, pg and jsonwebtoken, as their documentation has it; NODE_ENV=production.
import express from "express";
import jwt from "jsonwebtoken";
import { SECRET, createTask, getTask, listTasks, listen, updateTask } from "./statements.js";

const app = express();
const router = express.Router({ mergeParams: true });

function authenticate(req, res, next) {
  const [scheme, token] = (req.headers.authorization ?? "").split(" ");
  let claims;
  try {
    if (scheme !== "Bearer") throw new Error("no bearer token");
    claims = jwt.verify(token, SECRET, { algorithms: ["HS256"] });
    if (!claims.exp) throw new Error("no expiry");
  } catch {
    return res.status(401).json({ detail: "The token is not valid." });
  }
  if (claims.sub !== req.params.user_id) {
    return res.status(403).json({ detail: "The token belongs to another user." });
  }
  next();
}

const refuse = (res) => res.status(400).json({ detail: "The request is not valid." });
const missing = (res) => res.status(404).json({ detail: "There is no such task." });
const plainInteger = (text) => (/^[0-9]{1,15}$/.test(text) ? Number(text) : undefined);

// The fields of a task in a body, or nothing where one is wrong.
function fields(body, partial) {
  if (typeof body !== "object" || body === null) return undefined;
  let { title, description, completed } = body;
  if (title === undefined ? !partial : typeof title !== "string") return undefined;
  title = title?.trim();
  if (title !== undefined && (title.length < 1 || title.length > 200)) return undefined;
  if (description != null && (typeof description !== "string" || description.length > 1000)) return undefined;
  if (completed !== undefined && typeof completed !== "boolean") return undefined;
  return { title, description, completed };
}

app.get("/health", (req, res) => res.json({ status: "ok" }));

router.get("/", async (req, res) => {
  const limit = plainInteger(req.query.limit ?? "100");
  if (!limit || limit > 1000) return refuse(res);
  res.json(await listTasks(req.params.user_id, limit));
});

router.get("/:task_id", async (req, res) => {
  const id = plainInteger(req.params.task_id);
  if (id === undefined) return refuse(res);
  const [task] = await getTask(req.params.user_id, id);
  if (!task) return missing(res);
  res.json(task);
});

router.post("/", express.json(), async (req, res) => {
  const task = fields(req.body, false);
  if (!task) return refuse(res);
  const { title, description = null, completed = false } = task;
  const [created] = await createTask(req.params.user_id, title, description, completed);
  res.status(201).json(created);
});

router.patch("/:task_id", express.json(), async (req, res) => {
  const id = plainInteger(req.params.task_id);
  const sent = fields(req.body, true);
  if (id === undefined || !sent) return refuse(res);
  const { title, description, completed } = sent;
  const [task] = await updateTask(
    req.params.user_id, id, title, description !== undefined, description, completed,
  );
  if (!task) return missing(res);
  res.json(task);
});

app.use("/api/:user_id/tasks", authenticate, router);
app.listen(listen.port, listen.host);
