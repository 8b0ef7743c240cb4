"""A proxy before PostgreSQL that sees, delays and cuts what really goes over the wire."""

import asyncio
import contextlib
import ssl
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import NamedTuple

import httpx2
from psycopg.conninfo import conninfo_to_dict

from tests.support.databases import url_with

# "SSLRequest" (PostgreSQL documentation, "Message Formats").
TLS_PLEASE = bytes([0, 0, 0, 8, 4, 210, 22, 47])


class Message(NamedTuple):
    """What a client says: ``kind`` is P, B, D, E and S for the parts of a statement, Q for a plain query."""

    kind: str
    body: bytes


class Proxy:
    """Reads the client's side of the protocol (PostgreSQL documentation, "Message Formats")."""

    def __init__(self, database_url: str) -> None:
        self._server = conninfo_to_dict(database_url)
        self.messages: list[Message] = []
        self.refuse = False
        """Close new connections at once, as a server that is away would."""
        self.swallow: bytes | None = None
        """A value: the statement it is bound in runs, and the connection dies before the client hears of it. Once."""
        self.stall = False
        """Pass nothing on, as a network does that is dead without saying so."""
        self._writers: set[asyncio.StreamWriter] = set()
        self._silenced: set[asyncio.StreamWriter] = set()

    @property
    def connections(self) -> int:
        return len(self._writers) // 2

    def silence(self) -> None:
        """Never pass on anything again for those that are connected, as a firewall that has forgotten them."""
        self._silenced |= self._writers

    def cut(self) -> None:
        """Close all connections. Call it in the proxy's own loop."""
        for writer in self._writers:
            writer.transport.abort()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refuse:
            writer.transport.abort()
            return
        from_server, to_server = await self._connect()
        self._writers |= {writer, to_server}
        doomed = asyncio.Event()
        tasks = [
            asyncio.create_task(self._pass_on_requests(reader, to_server, doomed)),
            asyncio.create_task(self._pass_on_answers(from_server, writer, doomed)),
        ]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for end in (writer, to_server):
            end.transport.abort()
            self._writers.discard(end)
            self._silenced.discard(end)
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, port = str(self._server["host"]), int(self._server.get("port") or 5432)
        if host.startswith("/"):
            return await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        reader, writer = await asyncio.open_connection(host, port)
        if self._server.get("sslmode") in {"require", "verify-ca", "verify-full"}:
            writer.write(TLS_PLEASE)
            assert await reader.readexactly(1) == b"S"
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            await writer.start_tls(context, server_hostname=host)
        return reader, writer

    async def _pass_on_requests(
        self, reader: asyncio.StreamReader, to_server: asyncio.StreamWriter, doomed: asyncio.Event
    ) -> None:
        length = int.from_bytes(head := await reader.readexactly(4))
        to_server.write(head + await reader.readexactly(length - 4))  # the start-up message has no type
        while True:
            head = await reader.readexactly(5)
            body = await reader.readexactly(int.from_bytes(head[1:]) - 4)
            self.messages.append(Message(chr(head[0]), body))
            await self._pass_barrier(to_server)
            if self.swallow and self.swallow in body:
                self.swallow = None
                doomed.set()
            to_server.write(head + body)
            await to_server.drain()

    async def _pass_on_answers(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, doomed: asyncio.Event
    ) -> None:
        while (data := await reader.read(65536)) and not doomed.is_set():
            await self._pass_barrier(writer)
            writer.write(data)
            await writer.drain()

    async def _pass_barrier(self, writer: asyncio.StreamWriter) -> None:
        while self.stall or writer in self._silenced:
            if writer.transport.is_closing():
                raise ConnectionAbortedError
            await asyncio.sleep(0.01)


class RunningProxy:
    """A proxy in a thread, and the URL to reach PostgreSQL through it."""

    def __init__(self, proxy: Proxy, url: str, loop: asyncio.AbstractEventLoop) -> None:
        self.proxy = proxy
        self.url = url
        self._loop = loop

    def cut(self) -> None:
        async def cut() -> None:
            self.proxy.cut()
            await asyncio.sleep(0.05)  # until the other end knows

        asyncio.run_coroutine_threadsafe(cut(), self._loop).result()


class Watched(NamedTuple):
    """A client of a service, and the proxy that sees what the service says to the database."""

    client: httpx2.Client
    proxy: Proxy


@contextlib.contextmanager
def proxied(database_url: str) -> Iterator[RunningProxy]:
    """Run a proxy before the server, on a unix socket of its own."""
    proxy = Proxy(database_url)
    started, stop, loop = threading.Event(), asyncio.Event(), asyncio.new_event_loop()
    with tempfile.TemporaryDirectory(prefix="proxy-") as folder:

        async def run() -> None:
            async with _listening(proxy, Path(folder) / ".s.PGSQL.5432"):
                started.set()
                await stop.wait()

        thread = threading.Thread(target=lambda: loop.run_until_complete(run()))
        thread.start()
        started.wait()
        try:
            # Without TLS, which would hide what is said.
            way = url_with(database_url, host=folder, port=None, sslmode=None, channel_binding=None)
            yield RunningProxy(proxy, way, loop)
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join()
            loop.close()


@contextlib.asynccontextmanager
async def _listening(proxy: Proxy, path: Path) -> AsyncIterator[None]:
    server = await asyncio.start_unix_server(proxy.handle, path)
    try:
        yield
    finally:
        server.close()
        proxy.cut()
        await asyncio.sleep(0.05)
