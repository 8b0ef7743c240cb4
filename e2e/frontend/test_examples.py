"""The calls that docs/frontend.md shows, run by Node against the service."""

import re
import subprocess
from pathlib import Path

from tests.support.frontend import compile_modules
from tests.support.process import ROOT, run_service
from tests.support.service import SECRET, data_folder, make_token

PAGE = (ROOT / "docs" / "frontend.md").read_text()
[BROWSER_TOKEN] = re.findall(r"^```js\n(export async function browserToken.*?)^```", PAGE, re.DOTALL | re.MULTILINE)

PLAY = """
import assert from "node:assert/strict";
import { caller, clearCompleted, countOpen, createTask, editTask, readPage, readTask, search } from "./tasks.js";
import { browserToken } from "./browser-token.js";

let signedIn = true;
const fetchFromApi = globalThis.fetch;
globalThis.fetch = async (address, options) => {
  if (address !== "/api/task-token") return fetchFromApi(address, options);
  return signedIn ? Response.json({ token: process.env.TOKEN }) : new Response(null, { status: 401 });
};

const call = caller("alice", browserToken);
const milk = await createTask(call, { title: "Buy milk" }, "once");
assert.deepEqual(await createTask(call, { title: "Buy milk" }, "once"), milk);
for (const number of Array(60).keys()) {
  await createTask(call, { title: `Task ${number}`, completed: number < 2 }, `${number}`);
}

const renamed = await editTask(call, milk, { title: "Buy oat milk" });
await assert.rejects(editTask(call, milk, { title: "Too late" }), { status: 412 });
assert.deepEqual(await readTask(call, milk.id), renamed);

const titles = [];
for (let path = search(); path; ) {
  const page = await readPage(call, path);
  titles.push(page.tasks.map(({ title }) => title));
  path = page.next;
}
assert.deepEqual(titles.map(({ length }) => length), [50, 11]);
assert.deepEqual([titles[0][0], titles[1][10]], ["Task 59", "Buy oat milk"]);
assert.deepEqual((await readPage(call, search("OAT"))).tasks, [renamed]);

assert.equal(await countOpen(call), 59);
await clearCompleted(call);
assert.deepEqual((await readPage(call, search("task 1"))).tasks.length, 10);
assert.equal(await countOpen(call), 59);
signedIn = false;
await assert.rejects(caller("alice", browserToken)(), { message: /signed out/ });
console.log("all examples work");
"""


def test_the_examples_work(tmp_path: Path) -> None:
    compile_modules(tmp_path, "tasks")
    (tmp_path / "browser-token.js").write_text(f'import {{ Problem }} from "./tasks.js";\n{BROWSER_TOKEN}')
    (tmp_path / "play.js").write_text(PLAY)
    with data_folder() as folder, run_service(folder, environment={"BETTER_AUTH_SECRET": SECRET}) as service:
        environment = {"NEXT_PUBLIC_API_URL": service.url(), "TOKEN": make_token(sub="alice")}
        play = subprocess.run(
            ["node", "play.js"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
    assert "all examples work" in play.stdout, play.stderr


def test_the_route_for_a_shared_secret_is_what_the_tests_of_better_auth_run() -> None:
    assert (ROOT / "e2e" / "better-auth" / "task-token.mjs").read_text().rstrip() in PAGE
