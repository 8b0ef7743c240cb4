"""The systems that are measured: how each is started, where its routes are, and how it knows a caller."""

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import jwt

from database import OTHER, OWNER, Cluster
from install import HERE, PYTHON

SECRET = "aQ7xN2vLr9TzW4kHc8Ys3MfPd6GjBe5U"
PEERS = HERE / "peers"
DESCRIPTION = "A few words that say what is to be done"


def token(owner: str) -> str:
    return jwt.encode({"sub": owner, "exp": int(time.time()) + 86_400}, SECRET, "HS256")


@dataclass(frozen=True)
class System:
    """One thing to measure; the defaults are the routes that all but PocketBase share."""

    key: str
    label: str
    command: Callable[[int], list[str | Path]]
    folder: Path = HERE.parent
    database: str = ""
    env: dict[str, str] = field(default_factory=dict)
    base: str = f"/api/{OWNER}/tasks"
    list_query: str = "?limit={}"
    health: str = "/health"
    id_format: str = "%d"
    create: str = f'{{"title":"A new task #","description":"{DESCRIPTION}"}}'


@dataclass
class Running:
    """A started system, with tokens of the owner and of another."""

    system: System
    port: int
    process: int
    token: str
    other: str

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"


def _uvicorn(app: str) -> Callable[[int], list[str | Path]]:
    return lambda port: [sys.executable, "-m", "uvicorn", app, "--port", str(port), "--no-access-log"]


def _service(port: int) -> list[str | Path]:
    return [sys.executable, "-m", "uvicorn", "main:app", "--port", str(port)]


def _django(port: int) -> list[str | Path]:
    # Threads keep connections of clients and of the database open; the plain worker closes both.
    threads = ["--worker-class", "gthread", "--threads", "4", "--keep-alive", "75", "--log-level", "warning"]
    return [PYTHON, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--workers", "1", *threads, "wsgi:application"]


SERVICE = System("service", "This service", _service, database="service")
TEXTBOOK = System(
    "textbook", "Textbook FastAPI", _uvicorn("textbook:app"), PEERS, "textbook", {"PYTHONPATH": str(HERE.parent)}
)
EXPRESS = System("express", "Express 5", lambda _: ["node", "express.js"], PEERS, "express")
FASTIFY = System("fastify", "Fastify 5", lambda _: ["node", "fastify.js"], PEERS, "fastify")
DJANGO = System("django", "Django Ninja", _django, PEERS / "django", "django")
IN_PROJECT = {"PYTHONPATH": str(HERE.parent)}
BARE = System("bare", "Limit: bare psycopg", _uvicorn("bare:app"), PEERS, "service", IN_PROJECT)
NODATABASE = System("nodatabase", "Limit: no database", _uvicorn("nodatabase:app"), PEERS, "service", IN_PROJECT)
POSTGRES_PEERS = [TEXTBOOK, EXPRESS, FASTIFY, DJANGO]


def environment(system: System, cluster: Cluster, port: int) -> dict[str, str]:
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    url = cluster.url(system.database) if system.database else ""
    return {
        **inherited,
        "DATABASE_URL": url.replace("postgresql:", "postgresql+psycopg:") if system is TEXTBOOK else url,
        "PGHOST": cluster.socket,
        "PGUSER": "postgres",
        "PGDATABASE": system.database,
        "BETTER_AUTH_SECRET": SECRET,
        "ACCESS_LOG": "false",
        "NODE_ENV": "production",
        "PORT": str(port),
        **system.env,
    }


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def running(command: list[str | Path], folder: Path, env: dict[str, str], ready: str, log: Path) -> Iterator[int]:
    """Run a server until the block ends. Yields its process id once it answers at ``ready``."""
    with log.open("ab") as output:
        process = subprocess.Popen(command, cwd=folder, env=env, stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + 60
        while not _answers(ready):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{log.stem} did not start:\n{log.read_text()[-2000:]}")
            time.sleep(0.02)
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except (urllib.error.URLError, ConnectionError):
        return False


@contextlib.contextmanager
def started(system: System, cluster: Cluster, folder: Path, database_url: str = "") -> Iterator[Running]:
    """Start a system that works on PostgreSQL, where ``database_url`` is given through that address."""
    port = free_port()
    env = environment(system, cluster, port)
    if database_url:
        env["DATABASE_URL"] = database_url
    ready = f"http://127.0.0.1:{port}{system.health}"
    with running(system.command(port), system.folder, env, ready, folder / f"{system.key}.log") as process:
        yield Running(system, port, process, token(OWNER), token(OTHER))
