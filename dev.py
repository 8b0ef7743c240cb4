"""Commands for developers, behind ``make token``, ``make migration``, ``make sql`` and ``make openapi``."""

import asyncio
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from alembic import command
from sqlfmt.api import Mode, format_string

import queries
from auth.secret import SecretKey
from config import Settings
from connections import engine_over
from db import Database
from main import create_app, settings
from migrations.upgrade import alembic_config
from statements import Prepared

ROOT = Path(__file__).parent
WIDTH = 120
TOKEN = re.compile(r"'[^']*'|\w+ WITH TIME ZONE|\w+|\S")


def token(settings: Settings, user: str) -> str:
    """A bearer token for ``user``, signed with the secret that the service verifies with."""
    if settings.better_auth_url:
        sys.exit("The service verifies by Better Auth's keys (BETTER_AUTH_URL is set): sign in there to get a token.")
    return SecretKey(settings).sign(user)


async def migration(settings: Settings, message: str) -> None:
    """Write the migration that leads from the existing ones to ``models.py``."""
    async with Database(settings) as database, engine_over(database.connector()).begin() as connection:
        await connection.run_sync(lambda sync: command.revision(alembic_config(sync), message, autogenerate=True))


def openapi(settings: Settings) -> str:
    """The document of the API, as ``openapi.json`` holds it."""
    return json.dumps(create_app(settings).openapi(), indent=2, ensure_ascii=False) + "\n"


def sql() -> str:
    """Every statement under its name, as ``queries.sql`` holds it."""
    parts = ["-- Every statement as PostgreSQL gets it, with each %(name)s as a parameter. Written by: make sql"]
    for name, statement in statements():
        constants = [f"-- {key} = {value}" for key, value in statement.constants.items()]
        parts.append("\n".join([f"-- {name}", *constants, _formatted(statement.sql.decode())]) + ";")
    return "\n\n".join(parts) + "\n"


def statements() -> Iterator[tuple[str, Prepared[Any]]]:
    """What ``queries`` has, in its order."""
    for name, value in vars(queries).items():
        named = {f'{name}["{key}"]': item for key, item in value.items()} if isinstance(value, dict) else {name: value}
        for key, item in named.items():
            if isinstance(item, Prepared):
                yield key, item
                if item.on_citus is not item:
                    yield f"{key}.on_citus", item.on_citus


def _formatted(sql: str) -> str:
    """SQL on lines that are not too long, changed in its white space alone: keywords keep their capital letters."""
    kept = iter(TOKEN.findall(sql))
    one_word = sql.replace(" WITH TIME ZONE", "_WITH_TIME_ZONE")  # or it would be taken for another WITH
    return TOKEN.sub(lambda _: next(kept), format_string(one_word, Mode(line_length=WIDTH))).rstrip()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["token", user] if user:
            print(token(settings, user))  # noqa: T201
        case ["migration", message] if message:
            asyncio.run(migration(settings, message))
        case ["sql"]:
            (ROOT / "queries.sql").write_text(sql())
        case ["openapi"]:
            (ROOT / "openapi.json").write_text(openapi(settings))
        case _:
            sys.exit('Usage: make token user=alice, or make migration m="add priority"')
