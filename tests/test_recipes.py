"""The recipes of CONTRIBUTING.md, followed to the letter in a copy of the project."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
import psycopg
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
    "-m pytest -n 0 tests/test_clients.py tests/test_openapi.py tests/test_session_routes.py tests/test_statements.py",
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
        ["git", "ls-files", "*.py", "*.mako", "*.toml", "routes/pages", "examples/frontend/lib"], cwd=ROOT, text=True
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
        done = subprocess.run(
            [sys.executable, *command.split()],
            cwd=project,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            pytest.fail(f"{command} (does make check pass?)\n{done.stdout}{done.stderr}", pytrace=False)

    with (
        run_service(tmp_path, environment=environment, project=project) as service,
        httpx2.Client(base_url=service.url()) as client,
    ):
        check_field(User(client))
        check_filter(User(client))
        check_sort(User(client), made_up_cursors(project, environment))
        check_copy(User(client), User(client))
        check_forgotten(User(client), User(client), empty_database)
        paths: dict[str, Any] = client.get("/openapi.json").json()["paths"]
        names = {parameter["name"]: parameter for parameter in paths["/api/{user_id}/tasks"]["get"]["parameters"]}
        assert "created_after" in names
        assert "-priority" in str(names["sort"])


def check_field(user: User) -> None:
    task = user.create("x", priority=3)
    assert task["priority"] == 3
    assert user.send("PATCH", f"/{task['id']}", json={"priority": 5}).json()["priority"] == 5
    assert user.send("POST", "/batch", json=[{"title": "y", "priority": 1}]).json()[0]["priority"] == 1
    for wrong in (True, "2", 2.5, 0, 6, 3_000_000_000):
        check_problem(user.send("POST", json={"title": "z", "priority": wrong}), 400, "/priority")


def check_filter(user: User) -> None:
    first, second = user.create("x"), user.create("y")
    after = {"created_after": first["created_at"]}
    assert user.get("", params=after).json() == [second]
    assert user.send("DELETE", params=after).json() == {"deleted": 1}
    for moment in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "2026-11-23", "1e9", "5"):
        check_problem(user.get("", params={"created_after": moment}), 400, "/query/created_after")
    for moment in ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"):
        assert user.get("", params={"created_after": moment}).status_code == 200


def check_sort(user: User, made_up: list[str]) -> None:
    for priority in (None, 5, 2, 4):
        user.create(f"of {priority}", priority=priority)
    by_priority = [task["id"] for task in sorted(user.tasks(), key=lambda task: (task["priority"] or 0, task["id"]))]
    for sort, expected in (("priority", by_priority), ("-priority", by_priority[::-1])):
        walked, path = [], f"?sort={sort}&limit=1"
        while path:
            page = user.get(path)
            walked += [each["id"] for each in page.json()]
            path = page.links["next"]["url"].removeprefix(user.path) if "next" in page.links else ""
        assert walked == expected
    for cursor in made_up:
        check_problem(user.get("", params={"sort": "priority", "cursor": cursor}), 400, "/query/cursor")


def made_up_cursors(project: Path, environment: dict[str, str]) -> list[str]:
    make_up = [sys.executable, "-c", MAKE_UP, *MADE_UP]
    return subprocess.check_output(make_up, cwd=project, env=environment, text=True).split()


def check_copy(user: User, stranger: User) -> None:
    task = user.create("x", description="as it was")
    since = user.get("/changes").json()["next"]
    copied = user.send("POST", f"/{task['id']}/copy")
    assert copied.status_code == 201
    assert (copied.json()["title"], copied.json()["description"]) == ("x", "as it was")
    assert copied.json()["created_at"] == copied.json()["updated_at"]
    assert user.get("/changes", params={"since": since}).json()["changed"] == [copied.json()]
    assert user.get("", params={"count": "true"}).headers["X-Total-Count"] == "2"
    check_problem(stranger.send("POST", f"/{task['id']}/copy"), 404)
    check_problem(stranger.client.post(f"{user.path}/{task['id']}/copy", headers=stranger.headers), 403)


def check_forgotten(user: User, stranger: User, database_url: str) -> None:
    user.create("done", completed=True)
    old = user.create("old")
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE tasks SET updated_at = date_trunc('second', updated_at) - interval '3 days'")
    user.create("new")
    assert user.get("/forgotten").json() == []
    assert user.get("/forgotten", params={"days": 2}).json() == [user.get(f"/{old['id']}").json()]
    for days in ("0", "3651", "2.0", "x"):
        check_problem(user.get("/forgotten", params={"days": days}), 400, "/query/days")
    assert stranger.get("/forgotten").json() == []
    check_problem(stranger.client.get(f"{user.path}/forgotten", headers=stranger.headers), 403)
