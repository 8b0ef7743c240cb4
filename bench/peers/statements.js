// What the two Node peers share: the pool, and the statements, named so that PostgreSQL prepares each once.
import pg from "pg";

pg.types.setTypeParser(pg.types.builtins.INT8, Number);

export const pool = new pg.Pool({ max: 10 });

const COLUMNS = "id, user_id, title, description, completed, created_at, updated_at";

const named = (name, text) => async (...values) => (await pool.query({ name, text, values })).rows;

export const listTasks = named("list", `SELECT ${COLUMNS} FROM tasks WHERE user_id = $1 ORDER BY id LIMIT $2`);
export const getTask = named("get", `SELECT ${COLUMNS} FROM tasks WHERE user_id = $1 AND id = $2`);
export const createTask = named(
  "create",
  `INSERT INTO tasks (user_id, title, description, completed) VALUES ($1, $2, $3, $4) RETURNING ${COLUMNS}`,
);
export const updateTask = named(
  "update",
  `UPDATE tasks SET title = coalesce($3, title), description = CASE WHEN $4 THEN $5 ELSE description END,
     completed = coalesce($6, completed), updated_at = clock_timestamp()
   WHERE user_id = $1 AND id = $2 RETURNING ${COLUMNS}`,
);

export const SECRET = process.env.BETTER_AUTH_SECRET;
export const listen = { host: "127.0.0.1", port: Number(process.env.PORT) };
