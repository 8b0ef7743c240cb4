"""The event loop: uvloop, which accepts connections one by one, so that under load new ones would wait for seconds."""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from ssl import SSLContext

import uvloop


class Loop(uvloop.Loop):
    """uvloop takes one new connection a turn; this one takes all that wait, as asyncio's own loop does."""

    async def create_server(  # type: ignore[override]
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: str = "",
        port: int = 0,
        *,
        sock: socket.socket | None = None,
        ssl: SSLContext | None = None,
        backlog: int = 2048,
    ) -> asyncio.AbstractServer:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = sock or socket.create_server((host, port), family=family, backlog=backlog)
        opening: set[asyncio.Task[None]] = set()

        async def open_connection(connection: socket.socket) -> None:
            with contextlib.suppress(OSError):  # it is gone already, or TLS failed
                await self.connect_accepted_socket(protocol_factory, connection, ssl=ssl)

        def accept() -> asyncio.BaseProtocol:
            """Called for one connection; the others that wait come along."""
            with contextlib.suppress(OSError):  # there are no more, or no more files
                for _ in range(backlog):
                    connection, _address = listener.accept()
                    connection.setblocking(False)
                    opening.add(task := self.create_task(open_connection(connection)))
                    task.add_done_callback(opening.discard)
            return protocol_factory()

        return await super().create_server(accept, sock=listener, ssl=ssl, backlog=backlog)
