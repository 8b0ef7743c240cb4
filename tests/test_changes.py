"""A client that applies the pages of changes comes out equal to the owner's tasks, whatever is written meanwhile."""

import asyncio
import string
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import psycopg
import pytest
from alembic import command
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, delete, update
from sqlalchemy.orm import aliased
from sqlmodel import select

import queries
from auth.owner import OwnerSession
from config import Settings
from db import Database
from migrations.upgrade import alembic_config, transaction
from models import Task
from routes.http.opaque import seal
from routes.http.token import EVERY_ID, Place, belongs_to, encode_token
from tests.support.copy import Copy
from tests.support.service import SECRET, User, check_problem

BEFORE = "a16e261fb28a"
NEWEST = datetime(2077, 1, 1, tzinfo=UTC)


def test_the_migration_counts_and_stamps_what_is_there(empty_database: str) -> None:
    settings = Settings(_env_file=None, database_url=empty_database, better_auth_secret=SECRET)

    def upgrade(connection: Connection) -> None:
        command.upgrade(alembic_config(connection), BEFORE)

    async def migrate() -> None:
        async with transaction(Database(settings).connector()) as connection:
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
        user.send("POST", json={"title": "x"}, headers=headers)
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


def token(user: User, since: datetime | str, after_id: int = EVERY_ID, *, snapshot: bool = False) -> str:
    moment = since if isinstance(since, str) else since.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return encode_token(Place(moment, after_id, snapshot), user.id)


def forget(settings: Settings) -> None:
    async def run() -> None:
        async with Database(settings) as database:
            while (await database.fetch(queries.FORGET_DELETIONS, {})).number:
                pass

    asyncio.run(run())


def test_deletions_are_forgotten_after_30_days_and_tokens_before_them_are_gone(
    user: User, settings: Settings, database_url: str
) -> None:
    old, older, recent, kept = (user.create()["id"] for _ in range(4))
    copy = Copy(user).read()
    user.send("DELETE", f"?ids={old},{older},{recent}")
    now = datetime.now(UTC)
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE users SET known_since = %s WHERE id = %s", [now - timedelta(90), user.id])
        for id_, age in ((old, timedelta(31)), (older, timedelta(32))):
            deleted_at = now - age
            connection.execute("UPDATE deletions SET deleted_at = %s WHERE id = %s", [deleted_at, id_])

    def poll(days: float, after_id: int = EVERY_ID, *, snapshot: bool = False) -> httpx2.Response:
        since = token(user, now - timedelta(days), after_id, snapshot=snapshot)
        return user.get("/changes", params={"since": since})

    assert poll(33).json()["deleted"] == [older, old, recent]
    forget(settings)
    for days in (33.0, 32.0, 31.5):
        check_problem(poll(days), 410)
    check_problem(poll(31, after_id=1), 410)
    check_problem(poll(33, after_id=1, snapshot=True), 410)
    for days in (31.0, 30.5):
        assert poll(days).json()["deleted"] == [recent]
    assert copy.read_page()["deleted"] == [recent]
    assert [task["id"] for task in Copy(user).read_page()["changed"]] == [kept]


def test_a_token_of_another_history_is_gone(user: User, database_url: str) -> None:
    nobody = Copy(user).read()
    copy = Copy(user)
    user.create()
    copy.read()
    future = datetime.now(UTC) + timedelta(1)
    for lost in (token(user, future), token(user, future, 1, snapshot=True)):
        check_problem(user.get("/changes", params={"since": lost}), 410)
    with psycopg.connect(database_url) as connection:  # as after a restore, see models.py
        connection.execute("UPDATE users SET known_since = now(), changed_at = now() WHERE id = %s", [user.id])
    check_problem(user.get("/changes", params={"since": copy.token or ""}), 410)
    with psycopg.connect(database_url) as connection:  # and an account that is made again
        connection.execute("DELETE FROM users WHERE id = %s", [user.id])
    check_problem(user.get("/changes", params={"since": copy.token or ""}), 410)
    user.create()
    check_problem(user.get("/changes", params={"since": copy.token or ""}), 410)
    nobody.read().check()


def test_a_token_belongs_to_its_owner(user: User, stranger: User) -> None:
    stranger.create()
    for theirs in (Copy(stranger).read().token, Copy(User(user.client)).read().token):
        check_problem(user.get("/changes", params={"since": theirs or ""}), 400, "/query/since")
        check_problem(user.get("/changes/stream", params={"since": theirs or ""}), 400, "/query/since")
        check_problem(
            user.get("/changes/stream", headers={"Last-Event-ID": theirs or ""}), 400, "/header/Last-Event-ID"
        )


MADE_UP = [
    '["2026-02-30T00:00:00.000000Z",9223372036854775807,false]',
    '["2026-02-20 00:00:00.000000Z",9223372036854775807,false]',
    '["infinity",9223372036854775807,false]',
    '["2026-02-20T00:00:00.000000Z",9223372036854775808,false]',
    '["2026-02-20T00:00:00.000000Z",-1,false]',
    '["2026-02-20T00:00:00.000000Z",true,false]',
    '["2026-02-20T00:00:00.000000Z",1,0]',
    '["2026-02-20T00:00:00.000000Z",1]',
    "[null,0,true]",
    "[null,1,false]",
    "[null,1.0,false]",
    "[[],1,false]",
    "{}",
    "7",
    "[" * 300,
]


@pytest.mark.parametrize("content", MADE_UP)
def test_a_token_that_was_made_up_is_refused(user: User, content: str) -> None:
    made_up = seal(content, belongs_to(user.id))
    check_problem(user.get("/changes", params={"since": made_up}), 400, "/query/since")


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("since=", "/query/since"),
        ("since=" + "A" * 513, "/query/since"),
        ("since=%C3%A9", "/query/since"),
        ("since=%00", "/query/since"),
        ("since=MTIz", "/query/since"),
        ("limit=0", "/query/limit"),
        ("limit=1001", "/query/limit"),
        ("limit=x", "/query/limit"),
        ("limit=1&limit=1", "/query/limit"),
        ("completed=true", "/query/completed"),
    ],
)
@pytest.mark.parametrize("path", ["/changes", "/changes/stream"])
def test_a_query_that_is_wrong_is_refused(user: User, path: str, query: str, pointer: str) -> None:
    check_problem(user.get(f"{path}?{query}"), 400, pointer)


@pytest.fixture(scope="module")
def someone(session_client: httpx2.Client) -> User:
    someone = User(session_client)
    someone.create()
    return someone


@given(since=st.text(max_size=600) | st.binary(max_size=300).map(lambda data: seal(data.decode("latin-1"), "")))
def test_any_token_gets_its_answer(someone: User, since: str) -> None:
    check_problem(someone.get("/changes", params={"since": since}), 400, "/query/since")


@given(damage=st.integers(0, 200), character=st.sampled_from(string.ascii_letters + string.digits + "-_=. "))
def test_a_damaged_token_is_refused(someone: User, damage: int, character: str) -> None:
    whole = Copy(someone).read().token or ""
    place = damage % len(whole)
    damaged = whole[:place] + character + whole[place + 1 :]
    response = someone.get("/changes", params={"since": damaged})
    if damaged == whole:
        assert response.status_code == 200
    else:
        check_problem(response, 400, "/query/since")


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


SCENES = [_add, _change, _delete, _all_three, _change_many, _delete_many, _merge]


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
