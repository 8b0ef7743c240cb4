"""The event loop: uvloop, with a door that keeps pace.

uvloop accepts one connection a turn, so that under load new ones wait for seconds, ``/health`` among them. asyncio's
own loop accepts all that wait, and when they are many, a turn is so long that nothing else gets done.
"""

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Callable
from ssl import SSLContext
from typing import cast

import uvloop

from edge.protocol import Protocol
from edge.refusals import HEALTH, beginning, refuse

logger = logging.getLogger(__name__)


class Loop(uvloop.Loop):
    """Accepts as many connections a turn as ``Door`` lets in."""

    async def create_server(  # type: ignore[override]
        self,
        protocol_factory: Callable[[], Protocol],
        host: str = "",
        port: int = 0,
        *,
        sock: socket.socket | None = None,
        ssl: SSLContext | None = None,
        backlog: int = 2048,
    ) -> asyncio.AbstractServer:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = sock or socket.create_server((host, port), family=family)
        listener.listen(backlog)
        listener.setblocking(False)
        return cast(asyncio.AbstractServer, Door(self, listener, protocol_factory, ssl))


class Door:
    """A listening socket's server, as far as uvicorn needs one."""

    share = 1 / 8  # of the time goes to new connections, so that those inside get their answers
    held_seconds = 1.0  # as Retry-After says
    silent_seconds = 0.1  # for a first word, where there is hardly any room
    most_held = 10_000
    report_seconds = 1.0

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listener: socket.socket,
        new_protocol: Callable[[], Protocol],
        ssl: SSLContext | None,
    ) -> None:
        self.sockets = [listener]
        self._loop = loop
        self._listener = listener
        self._new_protocol = new_protocol
        self._ssl = ssl
        self._next = new_protocol()
        self._entering: set[asyncio.Task[None]] = set()
        self._held: set[socket.socket] = set()
        self._opened = self._reported = time.perf_counter()
        self._turned_away = 0
        loop.add_reader(listener, self._open)

    def close(self) -> None:
        self._loop.remove_reader(self._listener)
        self._listener.close()
        self.most_held = 0
        for connection in self._held:
            connection.close()

    async def wait_closed(self) -> None:
        """Nothing to wait for: uvicorn sees to the connections."""

    def _open(self) -> None:
        """Once a turn, while somebody waits."""
        opened = time.perf_counter()
        until = opened + self.share * (opened - self._opened)
        with contextlib.suppress(OSError):  # nobody waits any more, or there are no more files
            while True:
                connection, _address = self._listener.accept()
                connection.setblocking(False)
                self._admit(connection)
                if time.perf_counter() >= until:
                    break
        self._opened = time.perf_counter()
        if self._turned_away and self._opened - self._reported > self.report_seconds:
            logger.warning("There are too many connections: %d were turned away.", self._turned_away)
            self._turned_away, self._reported = 0, self._opened

    def _admit(self, connection: socket.socket, was_silent: bool = False) -> None:
        """Let a connection in, or refuse its request before that costs more than these few calls.

        Who asks for ``/health`` may enter until there are three times too many, who has not asked yet until there are
        twice. Who was refused may stay, and is heard again after a while: if all came back at once, that would cost
        more than to serve them.
        """
        self._held.discard(connection)
        excess, most = self._next.excess + len(self._entering), self._next.most_connections
        if self._ssl or excess < 0:
            self._enter(connection)
            return
        said = beginning(connection)
        if excess < most * {None: 1, HEALTH: 2}.get(said, 0):
            self._enter(connection)
        elif said is None and not was_silent:
            self._hold(connection, self.silent_seconds, was_silent=True)
        else:
            self._turned_away += 1
            if refuse(connection):
                self._hold(connection, self.held_seconds, was_silent=False)
            else:
                connection.close()

    def _hold(self, connection: socket.socket, seconds: float, was_silent: bool) -> None:
        if len(self._held) < self.most_held:
            self._held.add(connection)
            self._loop.call_later(seconds, self._admit, connection, was_silent)
        else:
            connection.close()

    def _enter(self, connection: socket.socket) -> None:
        protocol, self._next = self._next, self._new_protocol()

        async def enter() -> None:
            with contextlib.suppress(OSError):  # the client is gone already, or TLS failed
                await self._loop.connect_accepted_socket(lambda: protocol, connection, ssl=self._ssl)

        task = self._loop.create_task(enter())
        self._entering.add(task)
        task.add_done_callback(self._entering.discard)
