"""The database's schema: migrations at start, and the reference to Better Auth's users."""

import logging
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from connections import Connect, engine_over
from models import ACCOUNT_COLUMN

logger = logging.getLogger(__name__)

MIGRATION_LOCK = 7_461_736_500  # any number, but the same in every worker


async def migrate(connect: Connect, better_auth_user_table: str | None) -> bool:
    """Bring the schema up to date, and say whether Citus has distributed the tables.

    Raises:
        SQLAlchemyError, psycopg.Error, LookupError: the database is away, or not ready for it.
    """
    async with engine_over(connect).begin() as connection:
        await connection.run_sync(upgrade)
        distributed = await connection.run_sync(is_distributed)
        if better_auth_user_table:
            if distributed:
                raise LookupError(
                    "BETTER_AUTH_USER_TABLE can't be set on Citus, whose tables can't reference Better Auth's."
                )
            await connection.run_sync(link_accounts, better_auth_user_table)
    return distributed


def is_distributed(connection: Connection) -> bool:
    """Whether the tables are spread over the nodes of Citus."""
    if connection.scalar(text("SELECT to_regclass('pg_dist_partition')")) is None:
        return False
    distributed = "SELECT count(*) FROM pg_dist_partition WHERE logicalrelid = 'users'::regclass"
    return bool(connection.scalar(text(distributed)))


def upgrade(connection: Connection) -> None:
    """Bring the schema up to date, once among all workers that start together."""
    # Whoever waits for a table's lock makes all others wait behind, and a start should not wait for one that
    # another holds for good: give up soon, and try again.
    connection.execute(text("SET LOCAL lock_timeout = '3s'"))
    connection.execute(text(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"))
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


def alembic_config(connection: Connection | None) -> Config:
    """Alembic's configuration for ``migrations/``, on an open connection."""
    folder = Path(__file__).parent
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.set_main_option("file_template", "%%(year)d%%(month).2d%%(day).2d_%%(slug)s")
    return config
