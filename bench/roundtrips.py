"""Round trips and statements a request, counted before the database, and latency where a round trip takes time."""

import asyncio
import contextlib
import http.client
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from database import Cluster
from install import say
from load import ask
from systems import POSTGRES_PEERS, SERVICE, Running, System, started

DELAY = 0.005
REQUESTS = 30


class Proxy:
    """Stands between a system and PostgreSQL, counts what the system sends, and delays it.

    Reads the client's side of the protocol (PostgreSQL documentation, "Message Formats"). A client waits for
    an answer after each Sync and each simple Query, so these are the round trips.
    """

    def __init__(self, target: Path) -> None:
        self.port = 0
        self.delay = 0.0
        self.sent: Counter[str] = Counter()
        self._target = target

    @property
    def round_trips(self) -> int:
        return self.sent["S"] + self.sent["Q"]

    @property
    def statements(self) -> int:
        return self.sent["E"] + self.sent["Q"]

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_unix_connection(str(self._target))
        waiting: deque[tuple[float, bytes]] = deque()
        arrived = asyncio.Event()
        tasks = [
            asyncio.create_task(self._read(reader, waiting, arrived)),
            asyncio.create_task(_forward(waiting, arrived, to_server)),
            asyncio.create_task(_copy(from_server, writer)),
        ]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for end in (writer, to_server):
            end.transport.abort()

    async def _read(
        self, reader: asyncio.StreamReader, waiting: deque[tuple[float, bytes]], arrived: asyncio.Event
    ) -> None:
        head = await reader.readexactly(4)  # the first message has no type
        message = head + await reader.readexactly(int.from_bytes(head) - 4)
        while True:
            waiting.append((time.monotonic() + self.delay, message))
            arrived.set()
            head = await reader.readexactly(5)
            message = head + await reader.readexactly(int.from_bytes(head[1:]) - 4)
            self.sent[chr(head[0])] += 1


async def _forward(
    waiting: deque[tuple[float, bytes]], arrived: asyncio.Event, to_server: asyncio.StreamWriter
) -> None:
    while True:
        await arrived.wait()
        arrived.clear()
        while waiting:
            due, message = waiting.popleft()
            if (rest := due - time.monotonic()) > 0:
                await asyncio.sleep(rest)
            to_server.write(message)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


@contextlib.contextmanager
def proxied(cluster: Cluster) -> Iterator[Proxy]:
    """Run a proxy on a port of this machine, in a thread."""
    proxy = Proxy(Path(cluster.socket) / ".s.PGSQL.5432")
    loop, ready, stop = asyncio.new_event_loop(), threading.Event(), asyncio.Event()

    async def run() -> None:
        server = await asyncio.start_server(proxy.handle, "127.0.0.1", 0)
        proxy.port = server.sockets[0].getsockname()[1]
        ready.set()
        await stop.wait()
        server.close()

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()))
    thread.start()
    ready.wait()
    try:
        yield proxy
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()


def calls(target: Running) -> dict[str, tuple[str, str, str]]:
    base = target.system.base
    return {
        "list 20": ("GET", f"{base}?limit=20", ""),
        "list 100": ("GET", f"{base}?limit=100", ""),
        "read one": ("GET", f"{base}/20", ""),
        "create": ("POST", base, target.system.create),
        "patch": ("PATCH", f"{base}/20", '{"completed":true}'),
    }


def latency(target: Running, method: str, path: str, body: str, count: int = REQUESTS) -> float:
    """The median of ``count`` requests one after the other on one connection, in milliseconds."""
    headers = {"Authorization": f"Bearer {target.token}", "Content-Type": "application/json"}
    times = []
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", target.port)) as connection:
        for _ in range(count):
            begun = time.perf_counter()
            connection.request(method, path, body or None, headers)
            answer = connection.getresponse()
            answer.read()
            times.append(time.perf_counter() - begun)
            if answer.status >= 400:
                raise SystemExit(f"{target.system.label} answered {answer.status} to {method} {path}")
    return median(times) * 1000


def _measure(system: System, cluster: Cluster, folder: Path) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    with proxied(cluster) as proxy:
        scheme = "postgresql" if system is SERVICE else "postgresql+psycopg"
        where = f"127.0.0.1:{proxy.port}/{system.database}?sslmode=disable&gssencmode=disable"
        with started(system, cluster, folder, f"{scheme}://postgres@{where}") as target:
            for work, (method, path, body) in calls(target).items():
                # Warm: connections are open, statements prepared.
                for _ in range(10):
                    ask(target, method, path, target.token, body)
                time.sleep(0.1)  # what follows an answer, such as a ROLLBACK, belongs to it
                proxy.sent.clear()
                ask(target, method, path, target.token, body)
                time.sleep(0.1)
                trips, statements = proxy.round_trips, proxy.statements
                plain = latency(target, method, path, body)
                proxy.delay = DELAY
                slow = latency(target, method, path, body)
                proxy.delay = 0
                found[work] = {"trips": trips, "statements": statements, "plain": plain, "delayed": slow}
    return found


def roundtrips(cluster: Cluster, folder: Path) -> dict[str, Any]:
    """The service beside the textbook design, for each kind of work that asks the database."""
    found = {}
    for system in (SERVICE, *(peer for peer in POSTGRES_PEERS if peer.key == "textbook")):
        say(f"Counting the round trips of {system.label} …")
        found[system.key] = _measure(system, cluster, folder)
    return found
