"""The recipes of CONTRIBUTING.md, followed to the letter in a copy of the project."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.process import ROOT, run_service
from tests.support.service import SECRET, User, check_problem

PAGE = (ROOT / "CONTRIBUTING.md").read_text()
TITLES = re.findall(r"^## (Add .*)$", PAGE, re.MULTILINE)
# As by make format, migration, sql, openapi and check, and what is said of the document and of the statements.
COMMANDS = [
    "-m ruff format .",
    "-m ruff check --fix .",
    "dev.py migration priority",
    "dev.py sql",
    "dev.py openapi",
    "-m mypy main.py",
    "-m pytest -n 0 tests/test_clients.py tests/test_openapi.py tests/test_statements.py",
]
# What a client could make up as a cursor for a sort by a number.
MADE_UP = ["[1]", "[1,2]", '[1,"x"]', '[1,"1.5"]', '[1,"9999999999999999999"]', '[1,"\u0661"]']
MAKE_UP = """
import sys
from routes.http.cursor import encode_cursor
from routes.http.parameters import ListParameters
for position in sys.argv[1:]:
    print(encode_cursor(ListParameters(sort="priority"), position))
"""


def follow(project: Path, title: str) -> None:
    """Apply the diffs of a recipe: what follows a line of the file is put after it."""
    recipe = PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    for diff in re.findall(r"```diff\n # (.*?)```", recipe, re.DOTALL):
        name, *lines = diff.splitlines()
        file = project / name
        text, place = file.read_text().splitlines(), 0
        for line in lines:
            if line.startswith("+"):
                text.insert(place, line[1:])
                place += 1
            elif line.startswith(" # …"):
                place = len(text)
            else:
                assert line[1:] in text[place:], (
                    f"CONTRIBUTING.md, {title!r}: {name} has no line {line[1:]!r} any more."
                )
                place = text.index(line[1:], place) + 1
        file.write_text("\n".join(text) + "\n")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recipes") / "project"
    files = subprocess.check_output(
        ["git", "ls-files", "*.py", "*.mako", "*.toml", "routes/pages"], cwd=ROOT, text=True
    ).splitlines()
    for name in files:
        if not name.startswith(("bench/", "e2e/", "faults/")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    if (ROOT / ".mypy_cache").exists():  # after make check, so that mypy looks at what is new alone
        shutil.copytree(ROOT / ".mypy_cache", folder / ".mypy_cache")
    return folder


def test_the_recipes_work(project: Path, empty_database: str, tmp_path: Path) -> None:
    for title in TITLES:
        follow(project, title)
    environment = {"DATABASE_URL": empty_database, "BETTER_AUTH_SECRET": SECRET}
    for command in COMMANDS:
        subprocess.run([sys.executable, *command.split()], cwd=project, env={**os.environ, **environment}, check=True)

    with (
        run_service(tmp_path, environment=environment, project=project) as service,
        httpx2.Client(base_url=service.url()) as client,
    ):
        user, stranger = User(client), User(client)
        task = user.create("x", priority=3)
        assert task["priority"] == 3
        assert user.send("PATCH", f"/{task['id']}", json={"priority": 5}).json()["priority"] == 5
        assert user.send("POST", "/batch", json=[{"title": "y", "priority": 1}]).json()[0]["priority"] == 1
        for wrong in (True, "2", 2.5, 0, 6, 3_000_000_000):
            check_problem(user.send("POST", json={"title": "z", "priority": wrong}), 400, "/priority")

        first, second = user.tasks()
        after = {"created_after": first["created_at"]}
        assert user.get("", params=after).json() == [second]
        assert user.send("DELETE", params=after).json() == {"deleted": 1}
        for moment in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "2026-11-23", "1e9", "5"):
            check_problem(user.get("", params={"created_after": moment}), 400, "/query/created_after")
        for moment in ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"):
            assert user.get("", params={"created_after": moment}).status_code == 200

        for priority in (None, 2, 4):
            user.create(f"of {priority}", priority=priority)
        by_priority = [
            task["id"] for task in sorted(user.tasks(), key=lambda task: (task["priority"] or 0, task["id"]))
        ]
        for sort, expected in (("priority", by_priority), ("-priority", by_priority[::-1])):
            walked, path = [], f"?sort={sort}&limit=1"
            while path:
                page = user.get(path)
                walked += [each["id"] for each in page.json()]
                path = page.links["next"]["url"].removeprefix(user.path) if "next" in page.links else ""
            assert walked == expected
        make_up = [sys.executable, "-c", MAKE_UP, *MADE_UP]
        for cursor in subprocess.check_output(make_up, cwd=project, env=environment, text=True).split():
            check_problem(user.get("", params={"sort": "priority", "cursor": cursor}), 400, "/query/cursor")

        since = user.get("/changes").json()["next"]
        copied = user.send("POST", f"/{task['id']}/copy")
        assert (copied.status_code, copied.json()["title"]) == (201, "x")
        assert user.get("/changes", params={"since": since}).json()["changed"] == [copied.json()]
        assert user.get("", params={"count": "true"}).headers["X-Total-Count"] == str(len(user.tasks()))
        check_problem(stranger.send("POST", f"/{task['id']}/copy"), 404)
        check_problem(stranger.client.post(f"{user.path}/{task['id']}/copy", headers=stranger.headers), 403)

        assert user.get("/first").json() == user.tasks()[0]
        check_problem(stranger.get("/first"), 404)
        check_problem(stranger.client.get(f"{user.path}/first", headers=stranger.headers), 403)
        names = {
            parameter["name"]: parameter for parameter in document(client)["/api/{user_id}/tasks"]["get"]["parameters"]
        }
        assert "created_after" in names
        assert "-priority" in str(names["sort"])


def document(client: httpx2.Client) -> dict[str, Any]:
    paths: dict[str, Any] = client.get("/openapi.json").json()["paths"]
    return paths
