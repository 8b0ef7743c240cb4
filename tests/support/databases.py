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
def new_database(server: str, *, plain: bool = False) -> Iterator[str]:
    """A database for the length of the block, on the server of this URL, whose role may create databases.

    On Citus it is one of all nodes, unless it is to be a plain one.
    """
    name = f"task_api_test_{secrets.token_hex(4)}"
    nodes = [] if plain else nodes_of_citus(server)
    urls = [url_with(server, **node) for node in nodes] or [server]
    made = [url_with(url, dbname=name) for url in urls]
    for url in urls:
        _run(url, f"CREATE DATABASE {name}")
    try:
        if nodes:
            for url in made:
                _run(url, "CREATE EXTENSION citus")
            coordinator, *workers = ["'{host}', {port}".format(**node) for node in nodes]
            joined = "; ".join(f"SELECT citus_add_node({worker})" for worker in workers)
            _run(made[0], f"SELECT citus_set_coordinator_host({coordinator}); {joined}")
        yield made[0]
    finally:
        for url in urls:
            _run(url, f"DROP DATABASE {name} WITH (FORCE)")


def nodes_of_citus(server: str) -> list[dict[str, Any]]:
    """Host and port of each, the coordinator's first; nothing where the server is a plain one."""
    with psycopg.connect(server) as connection:
        if connection.execute("SELECT to_regclass('pg_dist_node')").fetchone() == (None,):
            return []
        nodes = "SELECT nodename, nodeport FROM pg_dist_node WHERE noderole = 'primary' ORDER BY groupid"
        return [{"host": host, "port": port} for host, port in connection.execute(nodes)]


def _run(url: str, sql: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.encode())
