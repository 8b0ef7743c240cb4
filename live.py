"""Wakes the streams of owners whose tasks have changed, by this worker or by another."""

import asyncio
import contextlib
import json
import logging
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

import queries
from db import Database
from problems import Unavailable

logger = logging.getLogger(__name__)

POLL_SECONDS = 1.0
MOST_STREAMS = 5000
MOST_STREAMS_OF_ONE = 10
STREAMS_AGAIN_SECONDS = 10


class Listener:
    """One stream, as ``Live`` knows it."""

    def __init__(self, live: "Live", owner: str) -> None:
        self.owner = owner
        self.version: str | None = None
        """The moment of the newest change that the stream has seen."""
        self.over = False
        self._live = live
        self._woken = False
        self._waiting: asyncio.Future[None] | None = None

    async def changed(self, seconds: float) -> bool:
        """Wait so long at most, and say whether the owner's tasks may have changed, or the stream is ``over``."""
        if not self._woken:  # a future and a timer, since an event and a timeout weigh 1.5 KiB
            loop = asyncio.get_running_loop()
            self._waiting = loop.create_future()
            timer = loop.call_later(seconds, self._go_on)
            try:
                await self._waiting
            finally:
                timer.cancel()
        woken, self._woken = self._woken, False
        return woken

    def wake(self) -> None:
        self._woken = True
        self._go_on()

    def _go_on(self) -> None:
        if self._waiting and not self._waiting.done():
            self._waiting.set_result(None)

    def end(self) -> None:
        """End the stream, and give its place to another."""
        if not self.over:
            self.over = True
            self._live.forget(self)
            self.wake()


class Live:
    """The streams of this worker. While there are any, one statement a second asks for all of their owners at once.

    So a database that falls asleep without requests may do so, and no stream holds a connection.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._listeners: dict[str, set[Listener]] = {}
        self.number = 0
        """How many streams there are."""
        self._polling: asyncio.Task[None] | None = None
        self._stopping = False

    def listen(self, owner: str) -> Listener:
        """Take a place for a stream, until its ``end``.

        Raises:
            Unavailable: there are too many, or the service is stopping.
        """
        if self._stopping:
            raise Unavailable("The service is stopping.")
        if len(self._listeners.get(owner, ())) >= MOST_STREAMS_OF_ONE:
            raise Unavailable(f"You have {MOST_STREAMS_OF_ONE} streams already.", STREAMS_AGAIN_SECONDS)
        if self.number >= MOST_STREAMS:
            raise Unavailable("The service has no place for another stream.", STREAMS_AGAIN_SECONDS)
        listener = Listener(self, owner)
        self._listeners.setdefault(owner, set()).add(listener)
        self.number += 1
        if self._polling is None:
            self._polling = asyncio.create_task(self._poll())
        return listener

    def forget(self, listener: Listener) -> None:
        mine = self._listeners[listener.owner]
        mine.remove(listener)
        self.number -= 1
        if not mine:
            del self._listeners[listener.owner]

    def wake(self, owner: str) -> None:
        for listener in self._listeners.get(owner, ()):
            listener.wake()

    def end(self) -> None:
        """End all streams, and take no more."""
        self._stopping = True
        for listener in [listener for of_one in self._listeners.values() for listener in of_one]:
            listener.end()

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """End all streams at SIGTERM: the server waits for open answers before it tells the application to stop."""
        loop = asyncio.get_running_loop()
        before: dict[int, Any] = {}

        def end(number: int, frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(self.end)
            before[number](number, frame)

        if threading.current_thread() is threading.main_thread():  # no other may handle signals
            handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
            before |= {number: handler for number, handler in handlers.items() if callable(handler)}
        for number in before:
            signal.signal(number, end)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            self.end()
            if self._polling:
                self._polling.cancel()

    async def _poll(self) -> None:
        while self._listeners:
            try:
                row = await self._database.fetch(queries.VERSIONS, {"owners": list(self._listeners)})
                self._compare(json.loads(row.versions or "{}"))
            except Unavailable:
                pass  # the next one will do
            except Exception:  # a bug, but streams to which nothing comes would be worse
                logger.exception("Streams are not told of what other workers write")
            await asyncio.sleep(POLL_SECONDS)
        self._polling = None

    def _compare(self, versions: dict[str, str]) -> None:
        for owner, listeners in self._listeners.items():
            for listener in listeners:
                if listener.version != versions.get(owner):
                    listener.wake()
