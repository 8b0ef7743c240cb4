"""Opening connections to PostgreSQL, and keeping a bounded number of them between requests."""

import asyncio
import select
import time
from collections.abc import Callable, Coroutine, Mapping
from contextvars import ContextVar
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import TransactionStatus
from psycopg.types.numeric import Int8Dumper
from sqlalchemy import NullPool
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from config import Settings
from embedded.home import EmbeddedServerError
from embedded.server import EmbeddedServer
from turns import Turns

# Unless the URL has its own. A connection that a firewall has forgotten is noticed while it is idle, and one whose
# other end is gone while it is used.
DEFAULTS = {
    "connect_timeout": 5,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
# PostgreSQL would go on planning LIST anew for each request, which costs twice what running it does.
GENERIC_PLANS = "-c plan_cache_mode=force_generic_plan"
IN_UTC = "-c TimeZone=UTC"  # for another, the driver would read a file in the middle of a request

CANCEL_SECONDS = 1.0
LIFE_SECONDS = 1800.0  # then a connection is opened anew, and a failover or new settings are found

T = TypeVar("T")


class Connection(psycopg.AsyncConnection[Any]):
    """An autocommit connection on which nothing takes longer than ``limit`` seconds."""

    limit: float | None = None
    supply: "Connections | None" = None
    """Where ``close`` gives the connection back to, while it is lent."""
    owner = ""
    """Whose statement it runs."""
    revoked = False
    """Whether its session has ended, so that nobody may say anything on it any more."""

    async def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:  # noqa: ASYNC109
        """Everything that is said to the server goes through here (psycopg's own method).

        Raises:
            psycopg.errors.QueryCanceled: it took longer than ``limit``.
        """
        if self.revoked:
            raise psycopg.InterfaceError("the session has ended meanwhile")
        try:
            return await super().wait(gen, interval, timeout or self.limit)
        except psycopg.errors._WaitTimeout:
            pass
        try:
            await self.cancel_safe(timeout=CANCEL_SECONDS)
            return await super().wait(gen, interval, CANCEL_SECONDS)
        except psycopg.errors.QueryCanceled:
            raise
        except psycopg.Error:  # the network is dead
            self.pgconn.finish()
            raise psycopg.errors.QueryCanceled("no answer, and none to the request to cancel") from None

    async def close(self) -> None:
        """Close it, or give it back where it is lent."""
        if self.supply is None:
            await super().close()
        else:
            supply, self.supply = self.supply, None
            await supply.take_back(self)

    def is_usable(self) -> bool:
        # An idle connection has nothing to say: where there is something to read, the server has closed it.
        return not self._poller.poll(0) and time.monotonic() < self._ends

    def prepare(self) -> None:
        """Make what one statement after another can use: autocommit leaves nothing in a cursor."""
        self._ends = time.monotonic() + LIFE_SECONDS
        self._kept_cursor = self.cursor()
        self._poller = select.poll()
        self._poller.register(self.pgconn.socket, select.POLLIN)

    def add_notice_handler(self, callback: object) -> None:
        """Nothing: SQLAlchemy would add one each time that a session takes the connection."""

    async def fetch(self, sql: bytes, values: Mapping[str, Any]) -> Any:
        """Run a statement in one round trip, and return its first row as a tuple."""
        await self._kept_cursor.execute(sql, values)
        return await self._kept_cursor.fetchone()


class Loan:
    """What an owner's session has borrowed."""

    def __init__(self, owner: str) -> None:
        self.owner = owner
        self._lent: list[Connection] = []
        self._ended = False

    async def add(self, connection: "Connection", supply: "Connections") -> None:
        connection.supply = supply
        self._lent.append(connection)
        if self._ended:
            await self.end()
            raise psycopg.InterfaceError("the session has ended meanwhile")

    async def end(self) -> None:
        """Close what the session itself has not, as when its statements ran into each other."""
        self._ended = True
        for connection in self._lent:
            if connection.supply:
                connection.revoked = True
                # Not in the middle of what another task says on it: libpq would not survive that.
                async with connection.lock:
                    pass
                await connection.close()


loan: ContextVar[Loan] = ContextVar("loan")
"""Whose connections are lent: SQLAlchemy calls ``Connections.lend`` by itself, with nothing to tell.

Where one task makes sessions for two owners, both borrow for the last one.
"""

Connect = Callable[[], Coroutine[Any, Any, Connection]]


def connector(url: str, settings: Settings, limit: float | None = None, *, on_citus: bool = False) -> Connect:
    """Opens connections to a libpq URL, just as a PostgreSQL provider shows it."""
    given = conninfo_to_dict(url)
    # Behind a transaction pooler, such as Neon's, the next statement may meet another connection.
    direct = settings.database_prepare and "-pooler." not in url
    if direct:
        plans = "" if on_citus else GENERIC_PLANS  # Citus chooses the node by the owner, and refuses a plan without
        given["options"] = f"{IN_UTC} {plans} {given.get('options', '')}".strip()
    conninfo = make_conninfo("", **{**DEFAULTS, **given, "client_encoding": "utf8"})

    async def connect() -> Connection:
        connection = await Connection.connect(conninfo, autocommit=True, prepare_threshold=0 if direct else None)
        # One width for every integer, or a statement would be prepared once for each.
        connection.adapters.register_dumper(int, Int8Dumper)
        connection.limit = limit
        connection.prepare()
        return connection

    return connect


def embedded_connector(server: EmbeddedServer, settings: Settings, limit: float | None = None) -> Connect:
    """Opens connections to the embedded server, and starts it again where it was killed."""

    async def connect() -> Connection:
        try:
            return await connector(server.url, settings, limit)()
        except (psycopg.OperationalError, IndexError):  # it was killed, and may have left no address
            try:
                await asyncio.to_thread(server.ensure_running)
            except (EmbeddedServerError, OSError) as error:
                raise psycopg.OperationalError(str(error)) from error
            return await connector(server.url, settings, limit)()

    return connect


class Connections:
    """At most ``size`` connections, kept while they live."""

    def __init__(self, connect: Connect, size: int, patience: float) -> None:
        """``patience`` is how many seconds a request waits for a connection."""
        self._connect = connect
        self._patience = patience
        self.turns = Turns(size)
        self._idle: list[Connection] = []

    async def fetch(self, sql: bytes, values: Mapping[str, Any], owner: str = "") -> Any:
        """Run a statement on one of the connections; see ``Connection.fetch``.

        Raises:
            Unavailable: all connections are busy.
            psycopg.Error: there is no connection to be had, or the statement failed.
        """
        connection = await self._take(owner)
        try:
            return await connection.fetch(sql, values)
        finally:
            await self.take_back(connection)

    async def lend(self) -> Connection:
        """A connection on the present ``loan``, until it is closed. Raises as ``fetch``."""
        borrower = loan.get()
        connection = await self._take(borrower.owner)
        await borrower.add(connection, self)
        return connection

    async def take_back(self, connection: Connection) -> None:
        """Keep the connection for the next, unless it is broken or in the middle of something."""
        try:
            if connection.pgconn.transaction_status == TransactionStatus.IDLE and not connection.revoked:
                if not connection.autocommit:
                    await connection.set_autocommit(True)
                self._idle.append(connection)
            else:
                broken = connection.broken
                await connection.close()
                if broken:  # what cut this one may have cut all, without a word
                    await self.close()
        finally:
            self.turns.leave(connection.owner)

    async def close(self) -> None:
        """Close what is idle."""
        while self._idle:
            await self._idle.pop().close()

    async def _take(self, owner: str) -> Connection:
        await self.turns.enter(owner, self._patience)
        try:
            while self._idle:
                connection = self._idle.pop()
                if connection.is_usable():
                    break
                await connection.close()
            else:
                connection = await self._connect()
        except BaseException:
            self.turns.leave(owner)
            raise
        connection.owner = owner
        return connection


def engine_over(connect: Connect) -> AsyncEngine:
    """An engine of transactions. It has no pool: what it closes goes back to where it was lent."""
    return create_async_engine(
        "postgresql+psycopg://",
        async_creator=connect,
        isolation_level="READ COMMITTED",
        poolclass=NullPool,
        use_native_hstore=False,
        hide_parameters=True,
    )
