"""What reaches the database: one statement a request, each bound to the owner."""

import secrets
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from sqlalchemy import ClauseElement
from sqlalchemy.dialects import postgresql

import queries
from config import Settings
from main import create_app
from tests.proxy import RunningProxy, proxied
from tests.service import User, serve

ONE_STATEMENT = ["B", "D", "E", "S"]  # bind, describe, execute, sync: one round trip of a prepared statement

STATEMENTS: dict[str, ClauseElement] = {
    **{name: value for name, value in vars(queries).items() if isinstance(value, ClauseElement) and name.isupper()},
    **{f"LIST[{sort}]": statement for sort, statement in queries.LIST.items() if isinstance(statement, ClauseElement)},
}

REQUESTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "list": ("GET", "", {}),
    "list with everything": ("GET", "?completed=false&q=milk&sort=-title&limit=2&count=true", {}),
    "read": ("GET", "/{id}", {}),
    "read what is not there": ("GET", "/99999999", {}),
    "create": ("POST", "", {"json": {"title": "x"}}),
    "create many": ("POST", "/batch", {"json": [{"title": "x"}, {"title": "y"}]}),
    "create once": ("POST", "", {"json": {"title": "x"}, "headers": {"Idempotency-Key": "{key}"}}),
    "replay": ("POST", "", {"json": {"title": "x"}, "headers": {"Idempotency-Key": "same"}}),
    "put": ("PUT", "/{id}", {"json": {"title": "y"}}),
    "patch": ("PATCH", "/{id}", {"json": {"description": "y"}}),
    "patch a changed task": ("PATCH", "/{id}", {"json": {"title": "y"}, "headers": {"If-Match": '"old"'}}),
    "toggle": ("PATCH", "/{id}/complete", {}),
    "complete all": ("PATCH", "?all=true", {"json": {"completed": True}}),
    "clear by id": ("DELETE", "?ids=1,2", {}),
    "delete": ("DELETE", "/{other}", {}),
    "readiness": ("GET", "/health/ready", {}),
}


@pytest.fixture(scope="module")
def wire(database_url: str) -> Iterator[RunningProxy]:
    with proxied(database_url) as running:
        yield running


@pytest.fixture(scope="module")
def watched(wire: RunningProxy, settings: Settings) -> Iterator[httpx2.Client]:
    """A client of a service with one connection, which goes over the wire that is watched."""
    one = Settings(
        _env_file=None,
        database_url=wire.url,
        database_pool_size=1,
        better_auth_secret=settings.better_auth_secret,
    )
    with serve(create_app(one)) as url, httpx2.Client(base_url=url) as client:
        yield client


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_is_one_statement_and_one_round_trip(name: str, watched: httpx2.Client, wire: RunningProxy) -> None:
    user = User(watched)
    method, path, options = REQUESTS[name]

    def send() -> None:
        task, other = user.create(), user.create()
        address = path.format(id=task["id"], other=other["id"])
        headers = {name: value.format(key=secrets.token_hex(8)) for name, value in options.get("headers", {}).items()}
        wire.proxy.messages.clear()
        if name == "readiness":
            response = watched.get(address)
        else:
            response = user.send(method, address, **{**options, "headers": headers})
        assert response.status_code < 500

    send()  # the first time, the connection prepares the statement
    send()

    assert wire.proxy.messages == ONE_STATEMENT


def test_health_asks_the_database_nothing(watched: httpx2.Client, wire: RunningProxy) -> None:
    wire.proxy.messages.clear()

    watched.get("/health")

    assert wire.proxy.messages == []


@pytest.mark.parametrize("name", STATEMENTS)
def test_a_statement_binds_the_owner_wherever_it_names_a_table(name: str) -> None:
    sql = str(STATEMENTS[name].compile(dialect=postgresql.dialect()))  # type: ignore[no-untyped-call]

    # Every table is read, changed or written with the owner bound: as many bindings as mentions.
    for table in ("tasks", "idempotency_keys"):
        reads = sql.count(f"FROM {table}") + sql.count(f"UPDATE {table}") - sql.count(f"DO UPDATE {table}")
        scoped = sql.count(f"{table}.user_id = %(owner)s")
        assert scoped == reads, sql
    for written in ("tasks", "idempotency_keys"):
        if f"INSERT INTO {written}" in sql:
            assert f"INSERT INTO {written} (user_id, " in sql
            assert "SELECT %(owner)s::VARCHAR AS user_id" in sql
    assert "%(owner)s" in sql


def test_the_walk_over_the_statements_finds_them_all() -> None:
    assert STATEMENTS.keys() >= {"GET", "CREATE", "CREATE_ONCE", "UPDATE", "COMPLETE", "DELETE", "UPDATE_ALL"}
    assert len([name for name in STATEMENTS if name.startswith("LIST")]) == 6
