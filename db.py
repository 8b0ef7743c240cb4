"""Connections to PostgreSQL, and one statement a request over them."""

import asyncio
import contextlib
import logging
import select
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any, Self

import psycopg
from sqlalchemy import Executable, Row, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.util.concurrency import greenlet_spawn
from sqlmodel import Session

import schema
from config import Settings
from embedded import EmbeddedServer
from embedded_home import EmbeddedServerError
from engine import connector, make_engine
from middleware.errors import Problem

logger = logging.getLogger(__name__)

RETRY_SECONDS = 1.0
CLEARING_SECONDS = 3600.0
# A thousand at a time, so that it never holds many locks. Of all owners: it is no request's statement.
CLEAR_EXPIRED_KEYS = text("""
    WITH cleared AS (
        DELETE FROM idempotency_keys WHERE (user_id, key) IN (
            SELECT user_id, key FROM idempotency_keys WHERE created_at < now() - interval '24 hours'
            LIMIT 1000 FOR UPDATE SKIP LOCKED)
        RETURNING 1)
    SELECT count(*) FROM cleared""")
UNAVAILABLE = {
    "57014": "The database took too long to answer.",  # statement_timeout, where the server has one
    "55P03": "The database took too long to answer.",  # lock_timeout, likewise
    "25006": "The database takes no changes at the moment.",  # a standby, as during a failover
    # A transaction pooler gave the connection to another client meanwhile.
    "26000": "The database needs DATABASE_PREPARE=false.",
    "42P05": "The database needs DATABASE_PREPARE=false.",
}
# The server rolled the statement back and says so: admin shutdown, deadlock, serialization failure.
ROLLED_BACK = {"57P01", "40P01", "40001"}


class Unavailable(Problem):
    """The database can't answer now; the client should try again."""

    def __init__(self, detail: str) -> None:
        super().__init__(503, detail, headers={"Retry-After": "1"})


class Database:
    """Sessions with autocommit connections to PostgreSQL, kept between requests; open within ``async with``."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._embedded: EmbeddedServer | None = None
        self._healing: asyncio.Task[None] | None = None
        self._migrated = False
        self._slots = asyncio.Semaphore(settings.database_pool_size)
        # Autocommit leaves nothing in a session, so it can be kept, and with it the work of making one.
        self._idle: list[tuple[Session, select.poll]] = []
        self._clearing: asyncio.Task[None] | None = None
        self._next_clearing = 0.0
        self.engine: AsyncEngine

    async def __aenter__(self) -> Self:
        """Open the pool and migrate; while the database is away, go on trying in the background.

        Raises:
            EmbeddedServerError: the embedded server does not start.
        """
        if self._settings.database_url:
            connect = connector(self._settings.database_url.get_secret_value(), self._settings)
        else:
            self._embedded = await asyncio.to_thread(EmbeddedServer, self._settings.data_dir)
            connect = self._connect_to_embedded
        self.engine = make_engine(connect)
        if not await self._try_to_migrate():
            self._healing = asyncio.create_task(self._migrate_when_back())
        return self

    async def __aexit__(self, *_: object) -> None:
        running = [task for task in (self._healing, self._clearing) if task]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        while self._idle:
            await greenlet_spawn(self._idle.pop()[0].close)
        await self.engine.dispose()
        if self._embedded:
            self._embedded.release()

    async def fetch(self, statement: Executable, values: Mapping[str, Any]) -> Row[Any]:
        """Run one statement in one round trip, and return its one row.

        Raises:
            Unavailable: nothing is known to have been changed, or the connection was lost meanwhile.
        """
        if not self._migrated:
            raise Unavailable("The database is not ready yet.")
        try:
            try:
                return await self._fetch(statement, values)
            except DBAPIError as error:
                if sqlstate(error) not in ROLLED_BACK:
                    raise
                return await self._fetch(statement, values)
        except TimeoutError:
            raise Unavailable("The database took too long to answer.") from None
        except DBAPIError as error:
            if detail := why_unavailable(error):
                logger.warning("%s %s", detail, first_line(error))
                raise Unavailable(detail) from None
            raise

    async def _fetch(self, statement: Executable, values: Mapping[str, Any]) -> Row[Any]:
        limit = self._settings.database_statement_timeout
        await self._wait_for_slot()
        try:
            # The first timeout cancels at the server; where the network is dead that hangs, and the second closes.
            async with asyncio.timeout(limit + 1), asyncio.timeout(limit):
                # What AsyncSession does for each of its methods, but once for all: less than 4/5 of the CPU time.
                return await greenlet_spawn(self._exec, statement, values)
        finally:
            self._slots.release()

    async def _wait_for_slot(self) -> None:
        # First come, first served, which a pool alone would not be.
        if not self._slots.locked():
            await self._slots.acquire()
            return
        try:
            async with asyncio.timeout(self._settings.database_pool_timeout):
                await self._slots.acquire()
        except TimeoutError:
            raise Unavailable("All connections to the database are busy.") from None

    def _exec(self, statement: Executable, values: Mapping[str, Any]) -> Row[Any]:
        session, poller = self._session()
        try:
            row: Row[Any] = session.exec(statement, params=values).one()  # type: ignore[call-overload]
        except BaseException:
            session.close()
            raise
        self._idle.append((session, poller))
        return row

    def _session(self) -> tuple[Session, select.poll]:
        """A session with a connection of its own, kept from an earlier request where there is one."""
        while self._idle:
            session, poller = self._idle.pop()
            if not poller.poll(0):
                return session, poller
            session.invalidate()  # an idle connection has nothing to say: the server has closed it
        session, poller = Session(self.engine.sync_engine), select.poll()
        driver: Any = session.connection().connection.driver_connection
        poller.register(driver.pgconn.socket, select.POLLIN)
        return session, poller

    def clear_expired_keys(self) -> None:
        """Clear what idempotency keys leave behind, in the background, at most once in a while.

        Requests that carry a key call this, so nobody has to schedule it, and an idle database stays idle.
        """
        if time.monotonic() >= self._next_clearing:
            self._next_clearing = time.monotonic() + CLEARING_SECONDS
            self._clearing = asyncio.create_task(self._clear_expired_keys())

    async def _clear_expired_keys(self) -> None:
        with contextlib.suppress(Unavailable):  # the next one will do
            while (await self.fetch(CLEAR_EXPIRED_KEYS, {}))[0]:
                pass

    async def check(self) -> None:
        """Raise ``Unavailable`` where a request would."""
        await self.fetch(text("SELECT 1"), {})

    async def _connect_to_embedded(self) -> psycopg.AsyncConnection:
        assert self._embedded  # noqa: S101
        try:
            return await connector(self._embedded.url, self._settings)()
        except (psycopg.OperationalError, IndexError):  # it was killed, and may have left no address
            try:
                await asyncio.to_thread(self._embedded.ensure_running)
            except (EmbeddedServerError, OSError) as error:
                raise psycopg.OperationalError(str(error)) from error
            return await connector(self._embedded.url, self._settings)()

    async def _try_to_migrate(self) -> bool:
        try:
            async with asyncio.timeout(self._settings.database_statement_timeout), self.transaction() as connection:
                await connection.execute(text("SELECT 1"))
            async with self.transaction() as connection:
                await connection.run_sync(schema.upgrade)
                if table := self._settings.better_auth_user_table:
                    await connection.run_sync(schema.link_accounts, table)
        except (SQLAlchemyError, OSError, TimeoutError, LookupError) as error:
            logger.warning("Waiting for the database: %s", first_line(error))
            return False
        self._migrated = True
        return True

    async def _migrate_when_back(self) -> None:
        while True:
            await asyncio.sleep(RETRY_SECONDS)
            if await self._try_to_migrate():
                logger.info("The database is ready")
                return

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """A connection in a transaction, for migrations; requests use ``fetch``."""
        async with self.engine.connect() as connection:
            await connection.execution_options(isolation_level="READ COMMITTED")
            async with connection.begin():
                yield connection


def why_unavailable(error: DBAPIError) -> str | None:
    """What to tell a client whom the database can't serve now; None where the statement itself is at fault."""
    if detail := UNAVAILABLE.get(sqlstate(error) or ""):
        return detail
    lost = error.connection_invalidated or isinstance(error.orig, psycopg.OperationalError)
    return "The database can't be reached." if lost else None


def first_line(error: BaseException) -> str:
    """What the driver or the server says, without the statement."""
    reason = getattr(error, "orig", error)
    return (str(reason) or type(reason).__name__).splitlines()[0]


def sqlstate(error: DBAPIError) -> str | None:
    return getattr(error.orig, "sqlstate", None)
