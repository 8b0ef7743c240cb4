"""Databases for tests, made on a server and dropped there."""

import contextlib
import secrets
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

import psycopg
from psycopg.conninfo import conninfo_to_dict


def url_with(url: str, **changes: Any) -> str:
    """The same URL with parts changed, or left out where they are None. All but the name stand in its query."""
    parts = {name: value for name, value in {**conninfo_to_dict(url), **changes}.items() if value is not None}
    return f"postgresql:///{quote(parts.pop('dbname'))}?{urlencode(parts, quote_via=quote)}"


@contextlib.contextmanager
def new_database(server: str) -> Iterator[str]:
    """A database for the length of the block, on the server of this URL, whose role may create databases."""
    name = f"task_api_test_{secrets.token_hex(4)}"
    _run(server, f"CREATE DATABASE {name}")
    try:
        yield url_with(server, dbname=name)
    finally:
        _run(server, f"DROP DATABASE {name} WITH (FORCE)")


def _run(url: str, sql: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.encode())
