"""The examples of docs/frontend.md, run by Node against the service."""

import re
import subprocess

from routes.http.token import Place, encode_token
from schemas import LARGEST_ID
from tests.support.process import ROOT, run_service
from tests.support.service import SECRET, data_folder, make_token

PAGE = (ROOT / "docs" / "frontend.md").read_text()

# Stands for lib/tasks.js, which the Better Auth tests run as it is: here the first request of each kind gets lost.
PRELUDE = """
import assert from "node:assert/strict";
const lost = new Set();
async function tasks(user, path = "", options = {}) {
  const headers = { ...options.headers, Authorization: `Bearer ${process.env.TOKEN}` };
  const response = await fetch(`${process.env.API}/api/${user}/tasks${path}`, { ...options, headers });
  if (options.method === "POST" && !lost.has(options.body)) {
    lost.add(options.body);
    throw new TypeError("the answer was lost in a tunnel");
  }
  return response;
}
"""

PLAY = """
const user = "alice";
const milk = await create(user, { title: "Buy milk" });
for (const number of [1, 2, 3, 4]) await create(user, { title: `Task ${number}`, completed: number % 2 === 0 });
const renamed = await rename(user, milk, "Buy oat milk");
assert.equal(renamed.title, "Buy oat milk");
assert.equal((await rename(user, milk, "Too late")).title, "Buy oat milk");
const titles = [];
for await (const page of pages(user, "?limit=2&sort=-created_at")) titles.push(page.map((task) => task.title));
assert.deepEqual(titles, [["Task 4", "Task 3"], ["Task 2", "Task 1"], ["Buy oat milk"]]);
assert.equal(await left(user), 3);
assert.deepEqual((await search(user, "OAT")).map((task) => task.id), [milk.id]);
assert.deepEqual(await clearCompleted(user), { deleted: 2 });
assert.equal(await left(user), 3);
const copy = new Map([[0, { id: 0, title: "of another history" }]]);
const since = await catchUp(user, copy, process.env.GONE);
const shown = () => [...copy.values()].map((task) => task.title);
assert.deepEqual(shown(), ["Buy oat milk", "Task 1", "Task 3"]);
await create(user, { title: "Task 5" });
await tasks(user, `/${milk.id}`, { method: "DELETE" });
await catchUp(user, copy, since);
assert.deepEqual(shown(), ["Task 1", "Task 3", "Task 5"]);
console.log("all examples work");
"""


def blocks(title: str) -> str:
    section = PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    return "\n".join(re.findall(r"```js\n(.*?)```", section, re.DOTALL))


def test_the_examples_work() -> None:
    with data_folder() as folder, run_service(folder, environment={"BETTER_AUTH_SECRET": SECRET}) as service:
        script = folder / "examples.mjs"
        script.write_text(PRELUDE + blocks("What your frontend can do") + PLAY)
        gone = encode_token(Place("2020-01-01T00:00:00.000000Z", LARGEST_ID, snapshot=False), "alice")
        environment = {"API": service.url(), "TOKEN": make_token(sub="alice"), "GONE": gone}
        played = subprocess.run(["node", script], env=environment, capture_output=True, text=True, check=False)
    assert "all examples work" in played.stdout, played.stderr


def test_the_connection_to_better_auth_is_what_its_tests_run() -> None:
    for file in ["tasks.mjs", "task-token.mjs"]:
        assert (ROOT / "e2e" / "better-auth" / file).read_text().rstrip() in blocks("Connect your Better Auth frontend")
