"""The servers of these tests, each as its user would start it, and a browser's view of Better Auth."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx2
import psycopg

HERE = Path(__file__).parent
PROJECT = HERE.parent.parent
SECRET = "a-secret-for-these-tests-only-0d5c1f8e7b6a4932"
PASSWORD = "correct horse battery"
START_SECONDS = 20.0
STOP_SECONDS = 10.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def eventually(condition: Callable[[], bool], seconds: float, message: str) -> None:
    """Wait until ``condition`` holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"after {seconds:.0f} s: {message}"
        time.sleep(0.1)


def client(url: str, **options: Any) -> httpx2.Client:
    # Each request has its own connection: none outlives a server that a test stops, none is left to close.
    limits = httpx2.Limits(max_keepalive_connections=0)
    return httpx2.Client(base_url=url, timeout=10, trust_env=False, limits=limits, **options)


@dataclass
class Server:
    """A process that answers at ``url``."""

    command: list[str]
    environment: dict[str, str]
    log: Path
    url: str
    ready_path: str
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                # Nothing of the caller's: neither a proxy, nor a .env file (it is read from the working folder).
                env={"PATH": os.environ["PATH"], "BETTER_AUTH_TELEMETRY": "0", **self.environment},
                cwd=self.log.parent,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        with client(self.url) as probe:
            eventually(lambda: self._answers(probe), START_SECONDS, f"{self.command} does not answer: {self.log}")
        return self

    def _answers(self, probe: httpx2.Client) -> bool:
        assert self.process, "not started"
        assert self.process.poll() is None, f"{self.command} ended:\n{self.log.read_text()}"
        try:
            return probe.get(self.ready_path).status_code == 200
        except httpx2.TransportError:
            return False

    def stop(self) -> None:
        if self.process:
            self.process.terminate()
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        self.stop()
        try:
            yield
        finally:
            self.start()


def auth_server(folder: Path, database: str, *, port: int | None = None, public: str = "", **options: str) -> Server:
    """Better Auth on ``port``; ``public`` is its BETTER_AUTH_URL where that is another."""
    port = port or free_port()
    url = f"http://localhost:{port}"
    environment = auth_environment(public or url, database)
    return Server(
        ["node", str(HERE / "server.mjs")],
        {**environment, "PORT": str(port), **options},
        folder / f"better-auth-{port}.log",
        url,
        "/api/auth/ok",
    )


def auth_environment(url: str, database: str) -> dict[str, str]:
    return {"DATABASE_URL": database, "BETTER_AUTH_URL": url, "BETTER_AUTH_SECRET": SECRET}


def task_api(folder: Path, database: str, **settings: str) -> Server:
    """The task API with ``settings`` as environment variables."""
    port = free_port()
    return Server(
        [sys.executable, "-B", str(PROJECT / "serve.py"), "--port", str(port)],
        {"DATABASE_URL": database, **settings},
        folder / f"task-api-{port}.log",
        f"http://127.0.0.1:{port}",
        "/health",
    )


def run_node(script: str, *arguments: str, environment: dict[str, str]) -> dict[str, Any]:
    """Run a script to its end; what it prints last is JSON."""
    done = subprocess.run(
        ["node", str(HERE / script), *arguments],
        env={"PATH": os.environ["PATH"], "BETTER_AUTH_TELEMETRY": "0", **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


@dataclass
class Visitor:
    """Someone who has just signed up with Better Auth in a browser."""

    auth: Server
    origin: str = ""
    id: str = ""
    session_token: str = ""
    email: str = field(default_factory=lambda: f"{uuid.uuid4()}@example.com")

    def __post_init__(self) -> None:
        self.browser = client(self.auth.url, headers={"Origin": self.origin or self.auth.url})
        answer = self.post("/sign-up/email", name="A visitor", email=self.email, password=PASSWORD)
        self.id = answer.json()["user"]["id"]
        self._keep_session(answer)

    def sign_in(self) -> Self:
        self.browser.cookies.clear()
        self._keep_session(self.post("/sign-in/email", email=self.email, password=PASSWORD))
        return self

    def _keep_session(self, answer: httpx2.Response) -> None:
        self.session_token = answer.headers["set-auth-token"]

    def post(self, path: str, **body: str) -> httpx2.Response:
        answer = self.browser.post(f"/api/auth{path}", json=body)
        assert answer.status_code == 200, answer.text
        return answer

    def token(self) -> str:
        """GET /api/auth/token with the session cookie."""
        token: str = self.browser.get("/api/auth/token").raise_for_status().json()["token"]
        return token

    def token_without_cookies(self) -> str:
        """GET /api/auth/token with the session token as bearer token."""
        with client(self.auth.url, headers=bearer(self.session_token)) as app:
            token: str = app.get("/api/auth/token").raise_for_status().json()["token"]
        return token

    def token_of_the_session(self) -> str:
        """The header set-auth-jwt of GET /api/auth/get-session."""
        return self.browser.get("/api/auth/get-session").raise_for_status().headers["set-auth-jwt"]

    def mailed_token(self) -> str:
        """The token in the e-mail that asks to verify the address."""
        for line in self.auth.log.read_text().splitlines():
            if self.email in line:
                return str(json.loads(line)["token"])
        raise AssertionError(f"no mail to {self.email}")


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@dataclass
class World:
    """Better Auth and the task API on one database."""

    folder: Path
    database: str
    auth: Server
    api: Server
    client: httpx2.Client = field(init=False)

    def __post_init__(self) -> None:
        self.client = client(self.api.url)

    def sql(self, statement: str, *values: str) -> list[tuple[object, ...]]:
        with psycopg.connect(self.database, autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), values)
            return cursor.fetchall() if cursor.description else []

    def status(self, user: str, token: str) -> int:
        """What a list of the user's tasks is answered with."""
        return self.client.get(f"/api/{user}/tasks", headers=bearer(token)).status_code

    def accepts(self, user: Visitor, token: str) -> bool:
        return self.status(user.id, token) == 200


@contextlib.contextmanager
def serve(*servers: Server) -> Iterator[None]:
    """Run servers, in order; all are stopped, whatever happens."""
    with contextlib.ExitStack() as stack:
        for server in servers:
            stack.callback(server.stop)
            server.start()
        yield
