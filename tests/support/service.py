"""What tests use to talk to the service: a real server on a real port, and users with tokens."""

import contextlib
import fcntl
import secrets
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import jwt
import uvicorn
from fastapi import APIRouter
from starlette.types import ASGIApp

from config import Settings
from edge.protocol import Protocol

SECRET = secrets.token_urlsafe(48)


def settings_for(database_url: str | None = None, **changes: Any) -> Settings:
    """Nothing of the surroundings; tokens are signed with SECRET, unless ``better_auth_url`` says otherwise."""
    usual = {} if "better_auth_url" in changes else {"better_auth_secret": SECRET}
    return Settings(_env_file=None, database_url=database_url, **{**usual, **changes})


@contextlib.contextmanager
def running(database_url: str | None = None, *routers: APIRouter, **changes: Any) -> Iterator[httpx2.Client]:
    """Start a service with these settings, and with routers of a test; gives a client, whose ``base_url`` is its."""
    # Not at the top: main reads a developer's own settings, which conftest takes away before.
    from main import create_app  # noqa: PLC0415

    app = create_app(settings_for(database_url, **changes))
    for router in routers:
        app.include_router(router)
    with serving(app) as (url, _), httpx2.Client(base_url=url, timeout=30) as client:
        yield client


@contextlib.contextmanager
def serving(app: ASGIApp, **options: Any) -> Iterator[tuple[str, uvicorn.Server]]:
    """Run the app as serve.py does, in a thread, with these options of uvicorn; gives its base URL and the server."""
    guarded: dict[str, Any] = {"http": Protocol, "loop": "edge.loop:Loop", "ws": "none", "lifespan": "on"}
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, **{**guarded, **options}, log_config=None, access_log=False))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            wait_until(lambda: server.started or not thread.is_alive())
            assert server.started, "the service did not start"
            yield url, server
        finally:
            server.should_exit = True
            thread.join()


def wait_until(condition: Callable[[], Any], seconds: float = 20) -> Any:
    """Wait for a condition to hold, and return what it returned."""
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)
    return result


@contextlib.contextmanager
def data_folder() -> Iterator[Path]:
    """A folder for a service with an embedded database in ``.data``, which has stopped at the end of the block."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o711)  # as root, PostgreSQL runs under another account, which must reach its data
        try:
            yield folder
        finally:
            wait_until(lambda: not (folder / ".data").exists() or server_is_gone(folder / ".data"))


def server_is_gone(data_dir: Path) -> bool:
    """Whether the embedded server in ``data_dir`` has stopped, and the watcher that stops it, too."""
    with (data_dir / "postgres" / "watcher.lock").open() as file, contextlib.suppress(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def make_token(**claims: Any) -> str:
    return jwt.encode({"exp": int(time.time()) + 600, **claims}, SECRET, "HS256")


class User:
    """A user with a random id, who sends requests to their own tasks."""

    def __init__(self, client: httpx2.Client, id: str | None = None) -> None:  # noqa: A002
        self.id = id or secrets.token_hex(16)
        self.client = client
        self.headers = {"Authorization": f"Bearer {make_token(sub=self.id)}"}
        self.path = f"/api/{self.id}/tasks"

    def send(self, method: str, path: str = "", **options: Any) -> httpx2.Response:
        """Send a request to ``path`` below the user's own tasks, or to an address that starts with /api."""
        headers = {**self.headers, **options.pop("headers", {})}
        address = path if path.startswith("/api/") else self.path + path
        return self.client.request(method, address, headers=headers, **options)

    def get(self, path: str = "", **options: Any) -> httpx2.Response:
        return self.send("GET", path, **options)

    def create(self, title: str = "Buy milk", **fields: Any) -> dict[str, Any]:
        response = self.send("POST", json={"title": title, **fields})
        assert response.status_code == 201, response.text
        task: dict[str, Any] = response.json()
        return task

    def tasks(self) -> list[dict[str, Any]]:
        tasks: list[dict[str, Any]] = self.get("?limit=1000").json()
        return tasks


def check_problem(response: httpx2.Response, status: int, pointer: str | None = None) -> dict[str, Any]:
    """The body of an error, after checking that it has the one shape (RFC 9457)."""
    assert response.status_code == status, f"{response.status_code}: {response.text}"
    assert response.headers["Content-Type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert {"type", "title", "status", "detail", "request_id"} <= problem.keys()
    assert problem["status"] == status
    assert problem["request_id"] == response.headers["X-Request-Id"]
    if status == 503:
        assert int(response.headers["Retry-After"]) > 0
    if pointer is not None:
        assert pointer in [fault["pointer"] for fault in problem["errors"]], problem
    return problem
