"""What reaches the database: one statement a request, each bound to the owner."""

import secrets
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx2
import pytest
from sqlalchemy import (
    Column,
    MetaData,
    Table,
    bindparam,
    delete,
    insert,
    literal,
    literal_column,
    or_,
    select,
    text,
    union_all,
    update,
)

import queries
from config import Settings
from main import create_app
from statements import OWNER, Statement, UnscopedStatementError
from tests.support.proxy import RunningProxy, proxied
from tests.support.service import User, serve

ONE_STATEMENT = ["B", "D", "E", "S"]  # bind, describe, execute, sync: one round trip of a prepared statement

REQUESTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "list": ("GET", "", {}),
    "list with everything": ("GET", "?completed=false&q=milk&sort=-title&limit=2&count=true", {}),
    "read": ("GET", "/{id}", {}),
    "read what is not there": ("GET", "/99999999", {}),
    "changes": ("GET", "/changes?limit=1", {}),
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


tasks, users = queries.tasks, queries.users
MINE = tasks.c.user_id == OWNER
UNSCOPED: dict[str, Any] = {
    "no owner": select(tasks.c.id),
    "another's owner": select(users.c.id, tasks.c.title).where(users.c.id == OWNER),
    "any owner but this": select(tasks.c.id).where(tasks.c.user_id != OWNER),
    "this owner or another condition": select(tasks.c.id).where(or_(MINE, tasks.c.completed)),
    "not this owner": select(tasks.c.id).where(~MINE),
    "an owner that is bound by another name": select(tasks.c.id).where(tasks.c.user_id == bindparam("somebody")),
    "a join": select(users.c.id).select_from(users.join(tasks, tasks.c.id > 0)).where(users.c.id == OWNER),
    "an alias": select(tasks.alias().c.id).where(MINE),
    "a subquery": select(select(tasks.c.id).scalar_subquery().label("id")).where(OWNER.is_not(None)),
    "a union": union_all(select(tasks.c.id).where(MINE), select(tasks.c.id)),
    "a delete in a CTE": select(delete(tasks).returning(tasks.c.id).cte("gone")),
    "an update": update(tasks).where(tasks.c.id == 1).values(title="x").returning(tasks.c.id),
    "an update that gives rows away": update(tasks).where(MINE).values(user_id="mallory").returning(tasks.c.id),
    "an insert for another": insert(tasks).values(user_id="mallory", title="x").returning(tasks.c.id),
    "an insert for nobody": insert(tasks).values(title="x").returning(tasks.c.id),
    "an insert of several": insert(tasks).values([{"user_id": "mallory"}]).returning(tasks.c.id),
    "an insert from a select": insert(tasks).from_select(["user_id"], select(literal("mallory"))).returning(tasks.c.id),
    "a table without owners": select(Table("plans", MetaData(), Column("id")).c.id),
    "text": select(text("id FROM tasks")).where(OWNER.is_not(None)),
    "a literal that reads": select(literal_column("(SELECT id FROM tasks LIMIT 1)").label("id")),
}


class Id(NamedTuple):
    id: int


@pytest.mark.parametrize("name", UNSCOPED)
def test_a_statement_without_its_owner_can_t_be_built(name: str) -> None:
    with pytest.raises(UnscopedStatementError, match=r"OWNER|owner|checked"):
        Statement(UNSCOPED[name], Id)


def test_a_statement_with_its_owner_can() -> None:
    assert b"%(owner)s" in Statement(select(tasks.c.id).where(MINE, tasks.c.completed), Id).sql


def test_a_statement_s_columns_are_its_row_s() -> None:
    with pytest.raises(TypeError, match="other columns"):
        Statement(select(tasks.c.title).where(MINE), Id)
