"""What reaches the database: one statement a request, each bound to the owner."""

import secrets
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from sqlalchemy import (
    CTE,
    BinaryExpression,
    BindParameter,
    ClauseElement,
    ColumnClause,
    Delete,
    Insert,
    Join,
    Label,
    Select,
    Table,
    Update,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.sql import visitors

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


OWNER_COLUMN = {"tasks": "user_id", "idempotency_keys": "user_id", "users": "id"}


def is_owner(value: object) -> bool:
    inner = value.element if isinstance(value, Label) else value
    return isinstance(inner, BindParameter) and inner.key == "owner"


def tables_of(source: object) -> list[Table]:
    """The tables named in a FROM itself; CTEs and subqueries are parts of their own."""
    if isinstance(source, Join):
        return tables_of(source.left) + tables_of(source.right)
    return [source] if isinstance(source, Table) else []


def inserts_for_the_owner(part: Insert) -> bool:
    owner = OWNER_COLUMN[part.table.name]
    if part.select is None:
        return is_owner((part._values or {}).get(part.table.c[owner]) or (part._values or {}).get(owner))  # type: ignore[call-overload]
    written = part.select.selected_columns.values()[[str(name) for name in part._select_names or []].index(owner)]
    if isinstance(written, ColumnClause) and isinstance(written.table, CTE):  # selected from what an earlier part bound
        written = written.table.element.selected_columns[written.key]  # type: ignore[attr-defined]
    return is_owner(written)


def unscoped(statement: ClauseElement) -> list[str]:
    """The parts of a statement that read, change or write a table without comparing its owner with the bound one."""
    found = []
    for part in visitors.iterate(statement):
        if isinstance(part, Insert) and not inserts_for_the_owner(part):
            found.append(f"Insert {part.table.name}")
        if not isinstance(part, Select | Update | Delete):
            continue
        tables = [part.table] if isinstance(part, Update | Delete) else part.get_final_froms()
        conditions = list(visitors.iterate(part.whereclause)) if part.whereclause is not None else []
        for table in [inner for outer in tables for inner in tables_of(outer)]:
            owner = table.c[OWNER_COLUMN[table.name]]
            if not any(isinstance(c, BinaryExpression) and c.left is owner and is_owner(c.right) for c in conditions):
                found.append(f"{type(part).__name__} {table.name}")
    return found


@pytest.mark.parametrize("name", STATEMENTS)
def test_a_statement_binds_the_owner_wherever_it_touches_a_table(name: str) -> None:
    assert unscoped(STATEMENTS[name]) == []
    sql = str(STATEMENTS[name].compile(dialect=postgresql.dialect()))  # type: ignore[no-untyped-call]
    assert "%(owner)s" in sql
    assert " OR tasks.user_id" not in sql


tasks, users = queries.tasks, queries.users
UNSCOPED: dict[str, ClauseElement] = {
    "no owner": select(tasks.c.id),
    "another's owner": select(users.c.id, tasks.c.title).where(users.c.id == queries.OWNER),
    "a join": select(users.c.id).select_from(users.join(tasks, tasks.c.id > 0)).where(users.c.id == queries.OWNER),
    "a subquery": select(select(tasks.c.id).scalar_subquery()).where(queries.OWNER.is_not(None)),
    "a delete in a CTE": select(delete(tasks).returning(tasks.c.id).cte("gone")),
    "an update": update(tasks).where(tasks.c.id == 1).values(title="x"),
    "an insert for another": insert(tasks).values(user_id="mallory", title="x"),
}


@pytest.mark.parametrize("name", UNSCOPED)
def test_the_walk_finds_a_statement_without_its_owner(name: str) -> None:
    assert unscoped(UNSCOPED[name])


def test_the_walk_over_the_statements_finds_them_all() -> None:
    assert STATEMENTS.keys() >= {"GET", "CREATE", "CREATE_ONCE", "UPDATE", "COMPLETE", "DELETE", "UPDATE_ALL"}
    assert len([name for name in STATEMENTS if name.startswith("LIST")]) == 6
