"""Clients that keep on asking, and what they were answered."""

import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any, Self

import httpx2
import psycopg

from faults.support.service import Service
from tests.support.service import User, wait_until

NO_ANSWER = 0
PATIENCE = 60.0


def status_of(send: Callable[[], httpx2.Response]) -> int:
    """The status that a request is answered with, or NO_ANSWER.

    Half an answer raises; a 503 must say when to come again.
    """
    try:
        response = send()
    except httpx2.TransportError as error:
        if "incomplete" in str(error):
            raise
        return NO_ANSWER
    if response.status_code == 503:
        assert int(response.headers["Retry-After"]) > 0
    return response.status_code


class Load:
    """So many clients, each in a thread, that take one step after another until the end of the block."""

    def __init__(self, clients: int, step: Callable[[int], int]) -> None:
        """``step`` gets the client's number, and returns a status."""
        self._step = step
        self._clients = clients
        self._answers: list[tuple[float, int]] = []
        self._running: list[Any] = []
        self.ending = threading.Event()

    def __enter__(self) -> Self:
        self.ending.clear()
        threads = ThreadPoolExecutor(self._clients)
        self._running = [threads.submit(self._go_on, number) for number in range(self._clients)]
        threads.shutdown(wait=False)
        return self

    def __exit__(self, *_: object) -> None:
        self.finish()

    def finish(self) -> None:
        """Let each client take its step to the end, and no other."""
        self.ending.set()
        for client in self._running:
            client.result()

    def _go_on(self, number: int) -> None:
        while not self.ending.is_set():
            status = self._step(number)
            self._answers.append((time.monotonic(), status))
            if status in {NO_ANSWER, 503}:
                self.ending.wait(0.05)

    @property
    def statuses(self) -> Counter[int]:
        return Counter(status for _, status in list(self._answers))

    @property
    def good(self) -> list[float]:
        """When the answers came that were what was asked for."""
        return sorted(moment for moment, status in list(self._answers) if 200 <= status < 300)

    def wait_for(self, more: int) -> None:
        """Wait until so many more requests were answered well."""
        before = len(self.good)
        wait_until(lambda: len(self.good) >= before + more or any(client.done() for client in self._running), PATIENCE)

    def wait_for_refusals(self, more: int) -> None:
        before = self.count(503)
        wait_until(lambda: self.count(503) >= before + more, PATIENCE)

    def gap(self, since: float) -> float:
        """The longest time without a good answer, from a moment on."""
        moments = [since, *(moment for moment in self.good if moment > since)]
        return max((later - earlier for earlier, later in pairwise(moments)), default=0.0)

    def count(self, status: int) -> int:
        return self.statuses[status]


class Writers(Load):
    """Clients that create tasks, each of which has a title of its own.

    Every other client sends an Idempotency-Key, and sends again until it is answered, as docs/frontend.md
    tells frontends to. The rest send once. ``check`` says what became of all that.
    """

    def __init__(self, service: Service, clients: int = 8, *, gives_up: bool = False) -> None:
        """``gives_up``: the service goes for good, so nobody insists when the block ends."""
        super().__init__(clients, self._write)
        self._gives_up = gives_up
        self.user = service.user()
        self._sent_with_key: list[str] = []
        self._acknowledged: list[str] = []

    def _write(self, number: int) -> int:
        title = f"{number} {secrets.token_hex(8)}"
        headers = {}
        if number % 2 == 0:
            self._sent_with_key.append(title)
            headers["Idempotency-Key"] = title.replace(" ", "-")
        status = create(self.user, title, headers)
        deadline = time.monotonic() + PATIENCE
        while headers and status in {NO_ANSWER, 503} and time.monotonic() < deadline:
            if self._gives_up and self.ending.is_set():
                break
            self._answers.append((time.monotonic(), status))
            time.sleep(0.05)
            status = create(self.user, title, headers)
        if status == 201:
            self._acknowledged.append(title)
        return status

    def check(self, database_url: str) -> str:
        """Every acknowledged task is there once, and none is there twice. Says so, with numbers."""
        with psycopg.connect(database_url) as connection:
            rows = connection.execute(
                "SELECT title, count(*) FROM tasks WHERE user_id = %s GROUP BY title", [self.user.id]
            )
            found: dict[str, int] = dict(rows.fetchall())
        assert set(self.statuses) <= {201, 503, NO_ANSWER}, self.statuses
        assert self._gives_up or set(self._sent_with_key) <= set(self._acknowledged), (
            "a client that goes on is served in the end"
        )
        lost = [title for title in self._acknowledged if title not in found]
        doubled = [title for title, times in found.items() if times > 1]
        assert (lost, doubled) == ([], [])
        return f"{len(self._acknowledged)} writes acknowledged, all there once"


def create(user: User, title: str = "x", headers: dict[str, str] | None = None) -> int:
    return status_of(lambda: user.send("POST", json={"title": title}, headers=headers or {}))


def read(user: User) -> int:
    return status_of(user.get)
