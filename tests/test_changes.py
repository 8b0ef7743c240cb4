"""A client that applies the pages of changes comes out equal to the owner's tasks, whatever is written meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any

import httpx2
import psycopg
import pytest
from alembic import command
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, bindparam, delete, func, literal, update
from sqlalchemy.orm import aliased
from sqlmodel import select

from auth.owner import OwnerSession
from config import Settings
from connections import engine_over
from db import Database
from migrations.upgrade import alembic_config
from models import Task
from tests.support.copy import Copy
from tests.support.service import SECRET, User

BEFORE = "a16e261fb28a"
NEWEST = datetime(2077, 1, 1, tzinfo=UTC)


def test_the_migration_counts_and_stamps_what_is_there(empty_database: str) -> None:
    settings = Settings(_env_file=None, database_url=empty_database, better_auth_secret=SECRET)

    def upgrade(connection: Connection) -> None:
        command.upgrade(alembic_config(connection), BEFORE)

    async def migrate() -> None:
        async with engine_over(Database(settings).connector()).begin() as connection:
            await connection.run_sync(upgrade)
        with psycopg.connect(empty_database) as connection:
            connection.execute("INSERT INTO users VALUES ('alice'), ('bob'), ('carol')")
            connection.execute("INSERT INTO tasks (user_id, title) VALUES ('alice', 'x'), ('bob', 'y'), ('alice', 'z')")
            connection.execute("UPDATE tasks SET updated_at = %s WHERE title = 'z'", [NEWEST])
        async with Database(settings):
            pass

    started = datetime.now(UTC)
    asyncio.run(migrate())
    with psycopg.connect(empty_database) as connection:
        rows = connection.execute("SELECT * FROM users ORDER BY id").fetchall()
    assert [(row[0], row[3]) for row in rows] == [("alice", 2), ("bob", 1), ("carol", 0)]
    assert rows[0][1:3] == (NEWEST, NEWEST)
    for _, changed_at, known_since, _ in rows[1:]:
        assert started < changed_at == known_since < datetime.now(UTC)


def test_a_copy_follows_whatever_is_done(user: User) -> None:
    copy = Copy(user).read()
    assert copy.tasks == {}
    first, second, third = user.send("POST", "/batch", json=[{"title": title} for title in "abc"]).json()
    copy.read().check()
    user.send("PATCH", f"/{second['id']}", json={"title": "b2"})
    user.send("DELETE", f"/{first['id']}")
    page = copy.read_page()
    assert ([task["title"] for task in page["changed"]], page["deleted"]) == (["b2"], [first["id"]])
    copy.check()
    user.send("PATCH", f"/{third['id']}/complete")
    user.send("DELETE", "?completed=true")
    assert copy.read_page() == {"changed": [], "deleted": [third["id"]], "next": copy.token, "more": False}
    copy.check()
    assert copy.read_page() == {"changed": [], "deleted": [], "next": copy.token, "more": False}


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 7, 100])
def test_pages_of_any_size_make_the_same_copy(user: User, limit: int) -> None:
    user.send("POST", "/batch", json=[{"title": "x"}] * 5)
    copy = Copy(user).read(limit)
    copy.check()
    user.send("POST", "/batch", json=[{"title": "y"}] * 5)
    user.send("DELETE", "", params={"ids": ",".join(str(id_) for id_ in list(copy.tasks)[:4])})
    assert copy.read_page(limit)["more"] == (limit < 9)
    copy.read(limit).check()
    Copy(user).read(limit).check()


def test_a_snapshot_of_several_pages_is_completed_by_the_changes_meanwhile(user: User) -> None:
    first, second, *_ = user.send("POST", "/batch", json=[{"title": "x"}] * 4).json()
    copy = Copy(user)
    assert copy.read_page(2)["more"]
    user.send("PATCH", f"/{first['id']}", json={"title": "changed"})
    user.send("DELETE", f"/{second['id']}")
    assert copy.read_page(2)["more"]  # the last of the tasks, and not yet one moment
    page = copy.read_page(2)
    assert ([task["title"] for task in page["changed"]], page["deleted"]) == (["changed"], [second["id"]])
    copy.check()


def test_a_page_is_one_moment_though_a_batch_is_cut(user: User) -> None:
    copy = Copy(user).read()
    user.send("POST", "/batch", json=[{"title": "x"}] * 3)
    assert copy.read_page(2)["more"]
    user.send("PATCH", "?all=true", json={"completed": True})
    copy.read(2).check()


@pytest.mark.parametrize("key", [None, "key"])
def test_what_changes_nothing_is_no_change(user: User, database_url: str, key: str | None) -> None:
    def changed_at() -> Any:
        with psycopg.connect(database_url) as connection:
            return connection.execute("SELECT changed_at FROM users WHERE id = %s", [user.id]).fetchone()

    headers = {"Idempotency-Key": key} if key else {}
    task = user.send("POST", json={"title": "x"}, headers=headers).json()
    before = changed_at()
    if key:
        replayed = user.send("POST", json={"title": "x"}, headers=headers)
        assert (replayed.status_code, replayed.json()) == (201, task)
    user.send("PATCH", f"/{task['id']}", json={"title": "y"}, headers={"If-Match": '"2020-01-01T00:00:00.000000Z"'})
    user.send("DELETE", f"/{task['id']}", headers={"If-Match": '"old"'})
    user.send("PATCH", "/99999999", json={"title": "y"})
    user.send("DELETE", "/99999999")
    user.send("PATCH", "?q=nothing", json={"completed": True})
    user.send("DELETE", "?q=nothing")
    assert changed_at() == before


def test_updated_at_is_one_moment_for_a_batch_and_later_with_each_change(user: User) -> None:
    batch = user.send("POST", "/batch", json=[{"title": "x"}] * 3).json()
    assert len({task["updated_at"] for task in batch}) == 1
    moments = [batch[0]["updated_at"]]
    moments += [user.send("PATCH", f"/{task['id']}/complete").json()["updated_at"] for task in batch]
    user.send("PATCH", "?all=true", json={"completed": True})
    assert moments == sorted(set(moments))
    assert len({task["updated_at"] for task in user.tasks()}) == 1
    assert user.tasks()[0]["updated_at"] > moments[-1]


steps = st.one_of(
    st.tuples(st.just("POST"), st.just(""), st.just({"json": {"title": "x"}})),
    st.tuples(st.just("POST"), st.just("/batch"), st.just({"json": [{"title": "x"}] * 3})),
    st.tuples(st.just("PATCH"), st.integers(0, 9), st.just({"json": {"title": "y"}})),
    st.tuples(st.just("DELETE"), st.integers(0, 9), st.just({})),
    st.tuples(st.just("PATCH"), st.just("?completed=false"), st.just({"json": {"completed": True}})),
    st.tuples(st.just("DELETE"), st.just("?completed=true"), st.just({})),
    st.tuples(st.just("read"), st.integers(1, 5), st.just({})),
)


@given(done=st.lists(steps, min_size=1, max_size=25), limit=st.integers(1, 6))
def test_pages_between_any_changes_make_the_same_copy(session_client: httpx2.Client, done: Any, limit: int) -> None:
    user = User(session_client)
    copy = Copy(user)
    for method, what, options in done:
        if method == "read":
            copy.read_page(what)
        elif isinstance(what, str):
            user.send(method, what, **options)
        elif there := user.tasks():
            user.send(method, f"/{there[what % len(there)]['id']}", **options)
    copy.read(limit).check()


Other: Any = aliased(Task)
ids: Any = Task.id
titles: Any = Task.title


async def _add(session: OwnerSession, _: Task) -> None:
    session.add(Task(title="added", description=None))  # type: ignore[call-arg]


async def _change(_: OwnerSession, task: Task) -> None:
    task.title = "changed"


async def _delete(session: OwnerSession, task: Task) -> None:
    await session.delete(task)


async def _all_three(session: OwnerSession, task: Task) -> None:
    await _add(session, task)
    await session.flush()
    await _change(session, task)
    await session.flush()
    await session.refresh(task)
    await _delete(session, task)


async def _change_many(session: OwnerSession, _: Task) -> None:
    await session.exec(update(Task).where(ids > 0).values(completed=True))
    await session.exec(update(Task), params={"description": "by parameters"})


async def _delete_many(session: OwnerSession, task: Task) -> None:
    task.title = "not yet flushed"
    first = select(Other.id).where(Other.title == "not yet flushed")
    await session.exec(delete(Task).where(ids.in_(first)))
    await session.exec(delete(Task))


async def _merge(session: OwnerSession, task: Task) -> None:
    await session.merge(Task(user_id=task.user_id, id=task.id, title="merged"))  # type: ignore[call-arg]


async def _delete_by_parameters(session: OwnerSession, _: Task) -> None:
    await session.exec(delete(Task).where(titles == bindparam("t")), params={"t": "b"})


async def _delete_some_or_others(session: OwnerSession, _: Task) -> None:
    coin = func.random() < literal(0.5)
    left = await session.exec(delete(Task).where((titles == "a") | coin).returning(ids))
    assert left.all()


SCENES = [
    _delete_by_parameters,
    _delete_some_or_others,
    _add,
    _change,
    _delete,
    _all_three,
    _change_many,
    _delete_many,
    _merge,
]


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_what_the_owner_s_session_writes_is_in_the_feed(
    user: User, settings: Settings, scene: Callable[[OwnerSession, Task], Awaitable[None]]
) -> None:
    async def play() -> None:
        async with Database(settings) as database, AsyncExitStack() as closing:
            session = OwnerSession(user.id, database, closing)
            await scene(session, (await session.exec(select(Task).order_by(ids))).first())  # type: ignore[arg-type]
            await session.commit()

    user.send("POST", "/batch", json=[{"title": title} for title in "abc"])
    before = user.tasks()
    copy = Copy(user).read()
    asyncio.run(play())
    assert user.tasks() != before
    copy.read().check()
    assert user.get("?count=true").headers["X-Total-Count"] == str(len(copy.tasks))
