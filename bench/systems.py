"""The systems that are measured: how each is started, how it is asked, and how it knows a caller."""

import contextlib
import json
import sqlite3
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt

from database import DESCRIPTION, OTHER, OWNER, OWNERS, TASKS

HERE = Path(__file__).resolve().parent
PEERS = HERE / "peers"
PYTHON = HERE / ".venv" / "bin" / "python"
"""Of the peers in Python and the plot: an environment of their own, which ``make bench`` makes."""
SECRET = "aQ7xN2vLr9TzW4kHc8Ys3MfPd6GjBe5U"


def _jwts(_url: str, _folder: Path) -> list[str]:
    expiry = int(time.time()) + 86_400
    return [jwt.encode({"sub": owner, "exp": expiry}, SECRET, "HS256") for owner in (OWNER, OTHER)]


@dataclass(frozen=True)
class System:
    """One thing to measure; the defaults are what all but PocketBase share."""

    key: str
    label: str
    command: Callable[[int, Path], list[str | Path]]
    """Its command line, for a port and a folder that it may write to."""
    database: str = "plain"
    """The one that its own, named as its key, is copied from."""
    sign_in: Callable[[str, Path], list[str]] = _jwts
    """The tokens of OWNER and OTHER, once it answers at an address."""
    base: str = f"/api/{OWNER}/tasks"
    list_query: str = "?limit={}"
    health: str = "/health"
    id_format: str = "%d"
    new_task: str = f'{{"title":"A new task","description":"{DESCRIPTION}"}}'

    def calls(self) -> dict[str, tuple[str, str, str]]:
        """Each kind of work: the method, the path, where # stands for a task's id, and the body."""
        return {
            "list 20": ("GET", self.base + self.list_query.format(20), ""),
            "list 100": ("GET", self.base + self.list_query.format(100), ""),
            "read one": ("GET", f"{self.base}/#", ""),
            "create": ("POST", self.base, self.new_task),
            "patch": ("PATCH", f"{self.base}/#", '{"completed":true}'),
            "health": ("GET", self.health, ""),
        }


def _uvicorn(*arguments: str) -> Callable[[int, Path], list[str | Path]]:
    return lambda port, _: [sys.executable, "-m", "uvicorn", *arguments, "--port", str(port)]


def _gunicorn(port: int, _: Path) -> list[str | Path]:
    # Threads keep connections of clients and of the database open; the plain worker closes both.
    threads = ["--worker-class", "gthread", "--threads", "4", "--keep-alive", "75"]
    application = "django.core.wsgi:get_wsgi_application()"
    return [PYTHON, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", *threads, application]


def _pocketbase(port: int, folder: Path) -> list[str | Path]:
    options = [f"--http=127.0.0.1:{port}", f"--dir={folder / 'pocketbase'}", "--automigrate=false"]
    return [PYTHON.parent / "pocketbase", "serve", *options, f"--migrationsDir={PEERS / 'pb_migrations'}"]


def _fill_pocketbase(url: str, folder: Path) -> list[str]:
    """Sign both users up. The tasks go straight into its tables: over HTTP this would take many minutes."""
    tokens = [_sign_up(f"{url}/api/collections/users", owner) for owner in (OWNER, OTHER)]
    with contextlib.closing(sqlite3.connect(folder / "pocketbase" / "data.db", timeout=60)) as file, file:
        file.execute(
            """WITH RECURSIVE number(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM number WHERE i < ?)
               INSERT INTO tasks (id, owner, title, description, completed, created, updated)
               SELECT printf('task%011d', i), CASE WHEN i % ? = 0 THEN ? ELSE printf('other%010d', i % ?) END,
                 'Task number ' || i, ?, i % 3 = 0, t, t
               FROM (SELECT i, strftime('%Y-%m-%d %H:%M:%fZ', 1767225600 + i, 'unixepoch') AS t FROM number)""",
            (TASKS, OWNERS, OWNER, OWNERS, DESCRIPTION),
        )
        file.execute("ANALYZE")
    return tokens


def _sign_up(users: str, owner: str) -> str:
    def post(path: str, body: dict[str, str]) -> Any:
        request = urllib.request.Request(users + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    email = f"{owner}@example.com"
    post("/records", {"id": owner, "email": email, "password": SECRET, "passwordConfirm": SECRET})
    return str(post("/auth-with-password", {"identity": email, "password": SECRET})["token"])


SERVICE = System(
    "service",
    "This service",
    lambda port, _: [sys.executable, HERE.parent / "serve.py", "--port", str(port)],
    "migrated",
)
DJANGO = System("django", "Django Ninja", _gunicorn)
NODATABASE = System("nodatabase", "Limit: no database", _uvicorn("--factory", "limits:nodatabase"), "migrated")
SYSTEMS = [
    SERVICE,
    System("textbook", "Textbook FastAPI", _uvicorn("textbook:app")),
    System("express", "Express 5", lambda *_: ["node", "express.js"]),
    System("fastify", "Fastify 5", lambda *_: ["node", "fastify.js"]),
    DJANGO,
    System(
        "pocketbase",
        "PocketBase",
        _pocketbase,
        database="",
        sign_in=_fill_pocketbase,
        base="/api/collections/tasks/records",
        list_query="?perPage={}&skipTotal=true&sort=created",
        health="/api/health",
        id_format="task%011d",
        new_task=f'{{"owner":"{OWNER}","title":"A new task","description":"{DESCRIPTION}"}}',
    ),
    System("bare", "Limit: bare psycopg", _uvicorn("--factory", "limits:bare"), "migrated"),
    NODATABASE,
]
