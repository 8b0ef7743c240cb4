"""What migrations leave alone, and what a removed account takes along.

That they lead to what models.py describes is checked before the first test: ``conftest.pytest_sessionstart``.
"""

import asyncio
import tempfile
from pathlib import Path

import psycopg
from alembic import command
from sqlalchemy import Connection, inspect

from connections import engine_over
from db import Database
from migrations import upgrade
from migrations.upgrade import alembic_config
from tests.support.service import settings_for


def test_the_reference_to_better_auth_s_table_is_no_difference(plain_database: str) -> None:
    with psycopg.connect(plain_database) as connection:
        connection.execute('CREATE TABLE "user" (id uuid PRIMARY KEY, "createdAt" timestamptz)')
    settings = settings_for(plain_database, better_auth_user_table="user")

    async def draft() -> tuple[str, str]:
        async with Database(settings) as database, engine_over(database.connector()).begin() as connection:
            columns = await connection.run_sync(lambda sync: inspect(sync).get_columns("users"))
            return str(columns), await connection.run_sync(drafted)

    columns, migration = asyncio.run(draft())
    assert "account_id" in columns
    assert "op." not in migration


def drafted(connection: Connection) -> str:
    """What ``make migration`` would write."""
    with tempfile.TemporaryDirectory() as folder:
        config = alembic_config(connection)
        config.set_main_option("version_locations", f"{Path(upgrade.__file__).parent}/versions:{folder}")
        config.set_main_option("path_separator", ":")
        command.revision(config, "nothing", autogenerate=True, version_path=folder)
        return next(Path(folder).glob("*.py")).read_text()


def test_an_account_that_is_removed_takes_its_tasks_along(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("INSERT INTO users VALUES ('leaver')")
        connection.execute("INSERT INTO tasks (user_id, title) VALUES ('leaver', 'x')")
        connection.execute("DELETE FROM users WHERE id = 'leaver'")
        assert connection.execute("SELECT count(*) FROM tasks WHERE user_id = 'leaver'").fetchone() == (0,)
        connection.rollback()
