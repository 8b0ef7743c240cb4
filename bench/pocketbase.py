"""PocketBase with the same tasks: its users, its tokens, its rules, its own database."""

import contextlib
import json
import sqlite3
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from database import OTHER, OWNER
from systems import DESCRIPTION, PEERS, PYTHON, Running, System, free_port, running

PASSWORD = "a-password-of-the-benchmark"
POCKETBASE = System(
    "pocketbase",
    "PocketBase",
    lambda _: [],
    base="/api/collections/tasks/records",
    list_query="?perPage={}&skipTotal=true&sort=created",
    health="/api/health",
    id_format="task%011d",
    create=f'{{"owner":"{OWNER}","title":"A new task #","description":"{DESCRIPTION}"}}',
)


def _post(url: str, body: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        result: dict[str, Any] = json.load(answer)
        return result


def _sign_up(users: str, owner: str) -> str:
    email = f"{owner}@example.com"
    _post(f"{users}/records", {"id": owner, "email": email, "password": PASSWORD, "passwordConfirm": PASSWORD})
    answer = _post(f"{users}/auth-with-password", {"identity": email, "password": PASSWORD})
    return str(answer["token"])


def _fill(database: Path, count: int) -> None:
    # Straight into its tables: over HTTP this would take many minutes.
    with contextlib.closing(sqlite3.connect(database, timeout=60)) as connection, connection:
        connection.execute(
            """WITH RECURSIVE number(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM number WHERE i < ?)
               INSERT INTO tasks (id, owner, title, description, completed, created, updated)
               SELECT printf('task%011d', i), CASE WHEN i % 10 = 0 THEN ? ELSE printf('other%010d', i % 90) END,
                 'Task number ' || i, ?, i % 3 = 0, t, t
               FROM (SELECT i, strftime('%Y-%m-%d %H:%M:%fZ', 1767225600 + i, 'unixepoch') AS t FROM number)""",
            (count, OWNER, DESCRIPTION),
        )
        connection.execute("ANALYZE")


@contextlib.contextmanager
def pocketbase(folder: Path, env: dict[str, str], count: int) -> Iterator[Running]:
    """Start PocketBase in an empty folder, with two users and ``count`` tasks."""
    port = free_port()
    data = folder / "pocketbase"
    migrations = PEERS / "pocketbase" / "pb_migrations"
    command: list[str | Path] = [PYTHON.parent / "pocketbase", "serve", f"--http=127.0.0.1:{port}"]
    command += [f"--dir={data}", f"--migrationsDir={migrations}", "--automigrate=false"]
    ready = f"http://127.0.0.1:{port}{POCKETBASE.health}"
    with running(command, folder, env, ready, folder / "pocketbase.log") as process:
        users = f"http://127.0.0.1:{port}/api/collections/users"
        tokens = [_sign_up(users, owner) for owner in (OWNER, OTHER)]
        _fill(data / "data.db", count)
        yield Running(POCKETBASE, port, process, *tokens)
