"""A crowd of clients on plain TCP, which keep their connections: cheap, so that it is the service that sweats."""

import asyncio
import contextlib
import time
from collections import Counter
from dataclasses import dataclass, field

from faults.support.service import Service
from tests.support.service import User

ARRIVAL_SECONDS = 1.5  # not counted: all connect
ANSWER_SECONDS = 30


@dataclass
class Outcome:
    """What a crowd was answered."""

    seconds: float
    statuses: Counter[int] = field(default_factory=Counter)
    broken: int = 0
    """Connections that ended without an answer."""
    unexplained: int = 0
    """503s that don't say when to come again."""

    @property
    def goodput(self) -> float:
        return self.statuses[200] / self.seconds


def crowd(service: Service, users: list[User], clients: int, seconds: float) -> Outcome:
    """So many clients at once, which read a list again and again, and after a 503 wait as long as it says."""
    outcome = Outcome(seconds)
    requests = [
        f"GET {user.path}?limit=20 HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n\r\n".encode()
        for user in users
        for token in [user.headers["Authorization"]]
    ]

    async def run() -> None:
        begins = time.monotonic() + ARRIVAL_SECONDS
        ask = (
            _ask(service.port, requests[n % len(requests)], begins, begins + seconds, outcome) for n in range(clients)
        )
        await asyncio.gather(*ask)

    asyncio.run(run())
    return outcome


async def _ask(port: int, request: bytes, begins: float, ends: float, outcome: Outcome) -> None:
    writer: asyncio.StreamWriter | None = None
    while (now := time.monotonic()) < ends:
        pause = 0.0
        try:
            async with asyncio.timeout(ends - now + ANSWER_SECONDS):
                if writer is None:
                    reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(request)
                head = await reader.readuntil(b"\r\n\r\n")
                fields = dict(line.split(b": ", 1) for line in head.lower().split(b"\r\n")[1:-2])
                await reader.readexactly(int(fields[b"content-length"]))
        except (OSError, EOFError):
            outcome.broken += 1
            pause, writer = 1.0, None
        else:
            status = int(head[9:12])
            if begins < time.monotonic() < ends:
                outcome.statuses[status] += 1
            if status == 503:
                outcome.unexplained += b"retry-after" not in fields
                pause = float(fields.get(b"retry-after", 1))
            if fields.get(b"connection") == b"close":
                writer.close()
                writer = None
        await asyncio.sleep(min(pause, max(0.0, ends - time.monotonic())))
    if writer:
        with contextlib.suppress(OSError):
            writer.close()
