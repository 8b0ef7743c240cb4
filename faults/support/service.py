"""The service as production runs it: a process with two workers, reached over TCP."""

import contextlib
import os
import re
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx2

from tests.support.process import ROOT, Process, run
from tests.support.service import SECRET, User, wait_until

WORKERS = 2


def _command_of(pid: str) -> bytes:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


class Service:
    """A running service, with a client for it."""

    def __init__(self, process: Process) -> None:
        self._process = process
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
        self.url = process.url()
        self.port = int(self.url.rpartition(":")[2])
        self.client = httpx2.Client(base_url=self.url, timeout=30, trust_env=False, limits=limits)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.client.close()

    @property
    def log(self) -> str:
        return self._process.output

    @property
    def last_warnings(self) -> list[str]:
        return [line for line in self.log.splitlines() if " WARNING " in line][-5:]

    @property
    def pid(self) -> int:
        return self._process.process.pid

    @property
    def workers(self) -> list[int]:
        """The processes that serve; another child of the first one is multiprocessing's own."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return [int(pid) for pid in children if b"spawn_main" in _command_of(pid)]

    def user(self, name: str | None = None) -> User:
        return User(self.client, name)

    def health(self, path: str = "") -> int:
        """The status of /health on a new connection."""
        with contextlib.suppress(httpx2.TransportError):
            return httpx2.get(f"{self.url}/health{path}", timeout=30, trust_env=False).status_code
        return 0

    def connected_ports(self) -> set[int]:
        """The ports of the clients that are connected, as the kernel knows."""
        local = f":{self.port:04X}"
        lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        return {int(there[-4:], 16) for _, here, there, state, *_ in lines if here.endswith(local) and state == "01"}

    def connect(self, receive_buffer: int = 0) -> socket.socket:
        client = socket.socket()
        if receive_buffer:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        client.settimeout(60)
        client.connect(("127.0.0.1", self.port))
        return client

    def kill(self) -> None:
        """End all of its processes at once, as the kernel does where memory is short."""
        for pid in [self.pid, *self.workers]:
            os.kill(pid, signal.SIGKILL)
        self._process.process.wait()

    def stop(self) -> int:
        """Ask it to stop, wait, and return its exit code."""
        self._process.process.send_signal(signal.SIGTERM)
        return self._process.process.wait(60)


@contextlib.contextmanager
def serving(
    database_url: str | None = None,
    *options: str,
    port: int = 0,
    project: Path = ROOT,
    folder: Path | None = None,
    **settings: object,
) -> Iterator[Service]:
    """Run the service until the end of the block, where its log must hold no traceback and no 500."""
    with tempfile.TemporaryDirectory() as name:
        environment = {key.upper(): str(value) for key, value in settings.items()}
        environment |= {"BETTER_AUTH_SECRET": SECRET}
        if database_url:
            environment["DATABASE_URL"] = database_url
        start = [sys.executable, str(project / "serve.py"), "--port", str(port), "--workers", str(WORKERS), *options]
        with run(start, folder or Path(name), environment) as process:
            with Service(process) as service:
                wait_until(lambda: service.log.count("Application startup complete") >= WORKERS, 60)
                yield service
            log = process.output
        check_log(log)


def check_log(log: str) -> None:
    found = re.search(r"^.*(?:Traceback|Unforeseen| access: \S+ \S+ 500 )(?:.*\n){1,40}", log, re.MULTILINE)
    assert not found, found[0]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
