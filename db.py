"""The database's life: opened, migrated, asked, tidied, closed."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Self, TypeVar

import psycopg
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

import queries
from config import Settings
from connections import Connect, Connection, Connections, connector, embedded_connector, engine_over
from embedded.server import EmbeddedServer
from logs import Reminder
from migrations.upgrade import migrate
from problems import Unavailable
from sqlstates import NO_ACCOUNT, ROLLED_BACK, first_line, problem_of, sqlstate
from statements import OWNER, Prepared
from turns import Turns

logger = logging.getLogger(__name__)

HEALING_SECONDS = 1.0
WHAT_TO_CHECK = (
    "Check that it runs, that this machine may reach it, and the host, port, user, password and database in "
    "DATABASE_URL; meanwhile it is tried every second. "
)
CHECK_SECONDS = 1.0
# Before a statement that the server has rolled back is run again: whoever was in its way goes first.
RETRY_PAUSES = (0.0, 0.02, 0.1)
KEPT_SECONDS = 24 * 3600.0 + 60  # idempotency keys; deletions are kept longer, but needn't go at once
CLEARING_SECONDS = 3600.0
CLEARING_AGAIN_SECONDS = 60.0

Row = TypeVar("Row", bound=tuple[Any, ...])


class Database:
    """PostgreSQL as the service uses it; open within ``async with``."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.max_tasks = settings.max_tasks
        """How many tasks a user may have."""
        self.on_write: Callable[[str], None] = lambda _owner: None
        """Called with an owner after each change of theirs."""
        self._embedded: EmbeddedServer | None = None
        self._not_ready = "The database is not ready yet."
        self._waiting = Reminder(logger)
        self._checking = asyncio.Lock()
        self._checked: tuple[float, Unavailable | None] = (0.0, None)
        self._healing: asyncio.Task[None] | None = None
        self._clearing: asyncio.Task[None] | None = None
        self._last_write = 0.0
        self._on_citus = False
        self._connections: Connections
        self.engine: AsyncEngine
        """For sessions: a transaction each, on connections of the same supply."""

    async def __aenter__(self) -> Self:
        """Open the connections and migrate; while the database is away, go on trying in the background.

        Raises:
            EmbeddedServerError: the embedded server does not start.
        """
        if not self._settings.database_url:
            # Whoever set another name, such as DATABASE_URI, would find out when the disk is gone.
            logger.info("Without DATABASE_URL, an embedded PostgreSQL keeps the tasks, as for development.")
            self._embedded = await asyncio.to_thread(EmbeddedServer, self._settings.data_dir)
        self._connections = Connections(
            self._connect, self._settings.database_pool_size, self._settings.database_pool_timeout
        )
        self.engine = engine_over(self._connections.lend)
        if not await self._try_to_migrate():
            self._healing = asyncio.create_task(self._migrate_when_back())
        return self

    async def __aexit__(self, *_: object) -> None:
        running = [task for task in (self._healing, self._clearing) if task]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await self._connections.close()
        if self._embedded:
            self._embedded.release()

    @property
    def turns(self) -> Turns:
        """How its connections are used at this moment."""
        return self._connections.turns

    def connector(self, limit: float | None = None) -> Connect:
        """Opens connections on which nothing takes longer than ``limit`` seconds."""
        if self._embedded:
            return embedded_connector(self._embedded, self._settings, limit)
        assert self._settings.database_url  # noqa: S101 (without one, there is an embedded server)
        url = self._settings.database_url.get_secret_value()
        return connector(url, self._settings, limit, on_citus=self._on_citus)

    async def _connect(self) -> Connection:
        # Not before migrations are through, which tell whether it is on Citus.
        return await self.connector(self._settings.database_statement_timeout)()

    async def fetch(
        self, statement: Prepared[Row], values: Mapping[str, Any], owner: str = "", within: Connection | None = None
    ) -> Row:
        """Run one statement in one round trip, and return its one row.

        ``owner`` is whose share of the connections it takes; ``within`` a connection that has its transaction already.

        Raises:
            Unavailable: nothing is known to have been changed, or the connection was lost meanwhile.
            psycopg.Error: the statement itself is at fault.
        """
        if self._not_ready:
            raise Unavailable(self._not_ready)
        if self._on_citus:
            statement = statement.on_citus
        if logger.isEnabledFor(logging.DEBUG):
            logger.debug("%s", statement.sql.decode())
        if statement.constants:
            values = {**statement.constants, **values}
        try:
            row = await (within.fetch(statement.sql, values) if within else self._run(statement, values, owner))
        except psycopg.Error as error:
            if problem := problem_of(error):
                logger.warning("%s %s", problem.detail, first_line(error))
                raise problem from None
            raise
        return statement.row(*row)

    async def _run(self, statement: Prepared[Any], values: Mapping[str, Any], owner: str) -> Any:
        for pause in RETRY_PAUSES:
            try:
                return await self._connections.fetch(statement.sql, values, owner)
            except psycopg.Error as error:
                if error.sqlstate not in ROLLED_BACK:
                    raise
                await asyncio.sleep(pause)
        return await self._connections.fetch(statement.sql, values, owner)

    async def lacks_account(self, owner: str, error: psycopg.Error) -> bool:
        """Whether a statement failed because BETTER_AUTH_USER_TABLE has no account for the owner."""
        if not self._settings.better_auth_user_table or error.sqlstate not in NO_ACCOUNT:
            return False
        try:
            await self.fetch(queries.JOIN, {OWNER.key: owner}, owner)
        except psycopg.Error as again:
            return again.sqlstate in NO_ACCOUNT
        return False

    def check_migrated(self) -> None:
        """Raise ``Unavailable`` while the schema is not there yet."""
        if self._not_ready:
            raise Unavailable(self._not_ready)

    async def check(self) -> None:
        """Raise ``Unavailable`` where a request would. Remembered for a second, since anybody may ask."""
        async with self._checking:
            until, problem = self._checked
            if time.monotonic() > until:
                try:
                    await self.fetch(queries.READY, {})
                    problem = None
                except Unavailable as error:
                    problem = error
                self._checked = (time.monotonic() + CHECK_SECONDS, problem)
        if problem:
            raise Unavailable(problem.detail)

    def written(self, owner: str) -> None:
        """See to it that an owner's streams are told of a change, and that what it leaves behind is cleared in time."""
        self.on_write(owner)
        self._last_write = time.monotonic()
        if self._clearing is None or self._clearing.done():
            self._clearing = asyncio.create_task(self._clear_regularly())

    async def _clear_regularly(self) -> None:
        """Every hour in which somebody wrote, and once when the last keys have expired: the database may sleep then."""
        last = self._last_write  # what was written before is cleared; of this it isn't known yet
        while True:
            begun = time.monotonic()
            is_last = begun - self._last_write > KEPT_SECONDS
            cleared = (self._last_write < last and not is_last) or await self._clear()
            if cleared and is_last:
                return
            last = begun if cleared else last
            await asyncio.sleep(CLEARING_SECONDS if cleared else CLEARING_AGAIN_SECONDS)

    async def _clear(self) -> bool:
        try:
            for statement in (queries.CLEAR_EXPIRED_KEYS, queries.FORGET_DELETIONS):
                while (await self.fetch(statement, {})).number:
                    pass
        except (Unavailable, psycopg.Error) as error:
            logger.warning(
                "Old keys and deletions are not cleared yet: %s", getattr(error, "detail", first_line(error))
            )
            return False
        return True

    async def _try_to_migrate(self) -> bool:
        try:
            self._on_citus = await migrate(self.connector(), self._settings.better_auth_user_table)
        except (SQLAlchemyError, psycopg.Error, OSError, TimeoutError, LookupError) as error:
            problem = problem_of(error)
            self._not_ready = problem.detail if problem else "The database is not ready yet."
            # With an SQLSTATE it was the server that refused, and says why.
            advice = "" if sqlstate(error) else WHAT_TO_CHECK
            self._waiting.warn(f"Waiting for the database. {self._not_ready}", f"{advice}{first_line(error)}")
            return False
        self._not_ready = ""
        self.written("")  # perhaps by an earlier process
        return True

    async def _migrate_when_back(self) -> None:
        while True:
            await asyncio.sleep(HEALING_SECONDS)
            if await self._try_to_migrate():
                logger.info("The database is ready")
                return
