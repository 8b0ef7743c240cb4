"""The migrations lead to what models.py describes."""

import asyncio

import psycopg
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection
from sqlmodel import SQLModel

from config import Settings
from db import Database


def test_migrations_and_models_agree(settings: Settings) -> None:
    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        return list(compare_metadata(context, SQLModel.metadata))

    async def compare() -> list[object]:
        async with Database(settings) as database, database.transaction() as connection:
            return await connection.run_sync(differences)

    assert asyncio.run(compare()) == []


def test_an_account_that_is_removed_takes_its_tasks_along(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("INSERT INTO users VALUES ('leaver')")
        connection.execute("INSERT INTO tasks (user_id, title) VALUES ('leaver', 'x')")
        connection.execute("DELETE FROM users WHERE id = 'leaver'")
        assert connection.execute("SELECT count(*) FROM tasks WHERE user_id = 'leaver'").fetchone() == (0,)
        connection.rollback()
