"""The engine, one statement per request, and the migrations at start."""

import asyncio
import contextlib
import logging
import select
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, Self

import psycopg
from psycopg.types.numeric import Int8Dumper
from sqlalchemy import Connection, Executable, Row, event, inspect, text
from sqlalchemy.exc import DBAPIError, DisconnectionError, InvalidRequestError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.util.concurrency import greenlet_spawn
from sqlmodel import Session

from config import Settings
from embedded import EmbeddedServer, EmbeddedServerError
from middleware.errors import Problem

Connect = Callable[[], Coroutine[Any, Any, psycopg.AsyncConnection]]

logger = logging.getLogger(__name__)

ACCOUNT_COLUMN = "account_id"
MIGRATION_LOCK = 7_461_736_500  # any number, but the same in every worker
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
# The server rolled the statement back and says so: admin shutdown, deadlock, serialization failure.
UNAVAILABLE = {
    "57014": "The database took too long to answer.",  # statement_timeout, where the server has one
    "55P03": "The database took too long to answer.",  # lock_timeout, likewise
    "25006": "The database takes no changes at the moment.",  # a standby, as during a failover
    # A transaction pooler gave the connection to another client meanwhile.
    "26000": "The database needs DATABASE_PREPARE=false.",
    "42P05": "The database needs DATABASE_PREPARE=false.",
}
ROLLED_BACK = {"57P01", "40P01", "40001"}


class Unavailable(Problem):
    """The database can't answer now; the client should try again."""

    def __init__(self, detail: str) -> None:
        super().__init__(503, detail, headers={"Retry-After": "1"})


class Database:
    """The pool of autocommit connections to PostgreSQL, open within ``async with``."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.has_accounts = settings.better_auth_user_table is not None
        self._embedded: EmbeddedServer | None = None
        self._healing: asyncio.Task[None] | None = None
        self._migrated = False
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
        self.engine = make_engine(connect, self._settings)
        if not await self._try_to_migrate():
            self._healing = asyncio.create_task(self._migrate_when_back())
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in (self._healing, self._clearing):
            if task:
                task.cancel()
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
        except PoolTimeoutError:
            raise Unavailable("All connections to the database are busy.") from None
        except InvalidRequestError:  # connections that are closed as soon as they are opened
            raise Unavailable("The database can't be reached.") from None
        except DBAPIError as error:
            if detail := why_unavailable(error):
                logger.warning("%s %s", detail, first_line(error))
                raise Unavailable(detail) from None
            raise

    async def _fetch(self, statement: Executable, values: Mapping[str, Any]) -> Row[Any]:
        limit = self._settings.database_statement_timeout
        # The first timeout cancels at the server; where the network is dead that hangs, and the second closes.
        async with asyncio.timeout(limit + 1), asyncio.timeout(limit):
            # What AsyncSession does for each of its methods, but once for all: less than 4/5 of the CPU time.
            return await greenlet_spawn(self._exec, statement, values)

    def _exec(self, statement: Executable, values: Mapping[str, Any]) -> Row[Any]:
        with Session(self.engine.sync_engine) as session:
            row: Row[Any] = session.exec(statement, params=values).one()  # type: ignore[call-overload]
            return row

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
                await connection.run_sync(upgrade)
                if table := self._settings.better_auth_user_table:
                    await connection.run_sync(link_accounts, table)
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


def connector(url: str, settings: Settings) -> Connect:
    """Opens connections to a libpq URL, just as a PostgreSQL provider shows it."""
    pooled = "-pooler." in url  # Neon's transaction pooler
    prepare_threshold = 0 if settings.database_prepare and not pooled else None

    async def connect() -> psycopg.AsyncConnection:
        connection = await psycopg.AsyncConnection.connect(
            url, autocommit=True, prepare_threshold=prepare_threshold, connect_timeout=5
        )
        # One width for every integer, or a statement would be prepared once for each.
        connection.adapters.register_dumper(int, Int8Dumper)
        return connection

    return connect


def make_engine(connect: Connect, settings: Settings) -> AsyncEngine:
    """A pool of autocommit connections: a statement is a transaction of its own."""
    engine = create_async_engine(
        "postgresql+psycopg://",
        async_creator=connect,
        isolation_level="AUTOCOMMIT",
        skip_autocommit_rollback=True,
        use_native_hstore=False,
        pool_size=settings.database_pool_size,
        max_overflow=0,
        pool_timeout=settings.database_pool_timeout,
        hide_parameters=True,
    )
    event.listen(engine.sync_engine, "checkout", _refuse_dead_connection)
    return engine


def _refuse_dead_connection(connection: Any, *_: object) -> None:
    # An idle connection has nothing to say: if it can be read, the server has closed it. No round trip.
    poller = select.poll()
    poller.register(connection.driver_connection.pgconn.socket, select.POLLIN)
    if poller.poll(0):
        raise DisconnectionError


def upgrade(connection: Connection) -> None:
    """Bring the schema up to date, once among all workers that start together."""
    from alembic import command  # noqa: PLC0415 (serving needs none of it)
    from alembic.runtime.migration import MigrationContext  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    connection.execute(text(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"))
    # Whoever waits for a table's lock makes all others wait behind: give up soon, and try again.
    connection.execute(text("SET LOCAL lock_timeout = '3s'"))
    config = alembic_config(connection)
    current = MigrationContext.configure(connection).get_current_revision()
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if current and current not in known:
        logger.warning("The schema is newer than this version of the service (%s): left as it is.", current)
        return
    command.upgrade(config, "head")


def link_accounts(connection: Connection, table: str) -> None:
    """Make ``users`` reference Better Auth's table, so that deleting an account deletes its tasks.

    The reference is a column of its own, generated from ``users.id`` in the type of Better Auth's id
    (text or uuid): so statements are the same with and without it. Better Auth's table stays as it is.

    Raises:
        LookupError: there is no such table yet.
    """
    if ACCOUNT_COLUMN in {column["name"] for column in inspect(connection).get_columns("users")}:
        return
    quoted = ".".join(f'"{part}"' for part in table.split("."))
    id_type = "SELECT format_type(atttypid, NULL) FROM pg_attribute WHERE attrelid = to_regclass(:t) AND attname = 'id'"
    kind = connection.scalar(text(id_type), {"t": quoted})
    if kind is None:
        raise LookupError(f"BETTER_AUTH_USER_TABLE: the database has no table {quoted} with an id yet.")
    connection.execute(
        text(
            f"ALTER TABLE users ADD COLUMN {ACCOUNT_COLUMN} {kind} "
            f"GENERATED ALWAYS AS (id::{kind}) STORED REFERENCES {quoted} (id) ON DELETE CASCADE"
        )
    )
    connection.execute(text(f"CREATE INDEX users_{ACCOUNT_COLUMN} ON users ({ACCOUNT_COLUMN})"))


def alembic_config(connection: Any) -> Any:
    """Alembic's configuration for ``migrations/``, on an open connection."""
    from alembic.config import Config  # noqa: PLC0415

    folder = Path(__file__).parent / "migrations"
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.set_main_option("file_template", "%%(year)d%%(month).2d%%(day).2d_%%(slug)s")
    return config
