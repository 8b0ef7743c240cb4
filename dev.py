"""Commands for developers, behind ``make token``, ``make migration``, ``make sql`` and ``make openapi``."""

import asyncio
import json
import re
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from alembic import command

import queries
from auth.secret import SecretKey
from config import Settings
from db import Database
from main import create_app, settings
from migrations.upgrade import alembic_config, transaction
from statements import Prepared

ROOT = Path(__file__).parent
WIDTH = 120


def token(settings: Settings, user: str) -> str:
    """A bearer token for ``user``, signed with the secret that the service verifies with."""
    if settings.better_auth_url:
        sys.exit("The service verifies by Better Auth's keys (BETTER_AUTH_URL is set): sign in there to get a token.")
    return SecretKey(settings).sign(user)


async def migration(settings: Settings, message: str) -> None:
    """Write the migration that leads from the existing ones to ``models.py``."""
    async with Database(settings) as database, transaction(database.connector()) as connection:
        await connection.run_sync(lambda sync: command.revision(alembic_config(sync), message, autogenerate=True))


def openapi(settings: Settings) -> str:
    """The document of the API, as ``openapi.json`` holds it."""
    return json.dumps(create_app(settings).openapi(), indent=2, ensure_ascii=False) + "\n"


def sql() -> str:
    """Every statement under its name, as ``queries.sql`` holds it."""
    parts = ["-- Every statement as PostgreSQL gets it, with each %(name)s as a parameter. Written by: make sql"]
    for name, statement in statements():
        text = " ".join(statement.sql.decode().split())
        constants = [f"-- {key} = {value}" for key, value in statement.constants.items()]
        parts.append("\n".join([f"-- {name}", *constants, *_lines(text)]) + ";")
    return "\n\n".join(parts) + "\n"


def statements() -> Iterator[tuple[str, Prepared[Any]]]:
    """What ``queries`` has, in its order."""
    for name, value in vars(queries).items():
        named = {f'{name}["{key}"]': item for key, item in value.items()} if isinstance(value, dict) else {name: value}
        yield from ((key, item) for key, item in named.items() if isinstance(item, Prepared))


CLAUSES = r"SELECT|FROM|WHERE|ORDER BY|LIMIT|OFFSET|FOR UPDATE|INSERT INTO|VALUES|ON CONFLICT|SET|RETURNING"
CUTS = [r"(?<=,) ", r" (?=WHEN |ELSE )", r" (?=THEN )", r" (?=OR )", r" (?=AND )"]


def _lines(text: str, indent: str = "") -> Iterator[str]:
    """SQL on lines that are not too long, changed in its white space alone."""
    outline = _outline(text)
    if len(indent + text) <= WIDTH:
        yield indent + text
    elif clauses := _cut(text, outline, rf"(?<!DELETE) (?=(?:{CLAUSES})\b)"):
        for clause in clauses:
            yield from _lines(clause, indent)
    elif head := re.match(r"(WITH|SELECT|WHERE|ORDER BY|SET|RETURNING) ", text):
        yield indent + head[1]
        yield from _lines(text[head.end() :], indent + "  ")
    elif parts := next(filter(None, (_cut(text, outline, cut) for cut in CUTS)), None):
        for part in parts:
            yield from _lines(part, indent)
    elif inner := max(re.finditer("·+", outline), key=lambda dots: len(dots[0]), default=None):
        yield indent + text[: inner.start()].rstrip()
        yield from _lines(text[inner.start() : inner.end()].strip(), indent + "  ")
        yield indent + text[inner.end() :].lstrip()
    else:
        yield indent + text


def _cut(text: str, outline: str, pattern: str) -> list[str]:
    """The parts of ``text`` between the spaces that match, or nothing if there are none."""
    cuts = [match.start() for match in re.finditer(pattern, outline)]
    return [text[start:end].strip() for start, end in pairwise([0, *cuts, len(text)])] if cuts else []


def _outline(text: str) -> str:
    """The same text with dots for what stands in quotes, in brackets, or between CASE and END."""
    outline, depth = "", 0
    for part in re.findall(r"'[^']*'|\bCASE\b|\bEND\b|%\(\w+\)s|\w+|.", text):
        depth -= part in {")", "END"}
        outline += "·" * len(part) if depth or part.startswith("'") else part
        depth += part in {"(", "CASE"}
    return outline


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
