"""The owner's session is a SQLModel session of one owner's rows, and of no other."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import httpx2
import psycopg
import pytest
from fastapi import APIRouter
from sqlalchemy import delete, exists, func, insert, literal_column, text, update
from sqlalchemy.orm import aliased, make_transient_to_detached
from sqlmodel import select

import queries
from auth.owner import OwnerSession, OwnSession
from auth.scope import ForbiddenError
from config import Settings
from db import Database
from main import create_app
from models import IdempotencyKey, Task, User
from problems import Problem
from queries import tasks
from tests.support.service import User as Caller
from tests.support.service import check_problem, serve

Other: Any = aliased(Task)
Newer: Any = aliased(Task)
ids: Any = Task.id
titles: Any = Task.title


@pytest.fixture
def pair(user: Caller, stranger: Caller) -> tuple[Caller, Caller]:
    """Two owners whose tasks have the same titles."""
    for caller in (user, stranger):
        for title in ("one", "two"):
            caller.create(title)
    return user, stranger


def play(settings: Settings, owner: str, scene: Callable[[OwnerSession], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        async with Database(settings) as database, AsyncExitStack() as closing:
            return await scene(OwnerSession(owner, database, closing))

    return asyncio.run(run())


READS: dict[str, tuple[Any, list[Any] | None]] = {
    "entities": (select(Task.title, Task.user_id), ["one", "two"]),
    "a condition": (select(Task.title).where(Task.title == "two"), ["two"]),
    "a condition by the table's column": (select(Task.title).where(tasks.c.title == "two"), ["two"]),
    "a count": (select(func.count()).select_from(Task), [2]),
    "a count by condition alone": (select(func.count()).where(titles != ""), [2]),
    "a count of a column": (select(func.count(ids)), [2]),
    "an alias": (select(Other.title), ["one", "two"]),
    "a join of an alias": (select(Task.title).join(Other, Other.title == Task.title), ["one", "two"]),
    "an outer join": (select(Other.user_id).select_from(Task).outerjoin(Other, Other.title != Task.title), None),
    "two sources": (select(Task.title).where(Other.title == Task.title), ["one", "two"]),
    "a subquery": (select(Task.title).where(ids.in_(select(Other.id))), ["one", "two"]),
    "a scalar subquery": (select(select(func.count(ids)).scalar_subquery()), [2]),
    "exists": (select(Task.title).where(exists().where(Other.title == Task.title, Other.id != Task.id)), []),
    "a common table expression": (select(func.count()).select_from(select(Task).cte("mine")), [2]),
    "a union": (select(Task.title).union_all(select(Other.title)), ["one", "one", "two", "two"]),
    "the keys": (select(IdempotencyKey.key), []),
}


@pytest.mark.parametrize("name", READS)
def test_what_is_read_is_the_owner_s(settings: Settings, pair: tuple[Caller, Caller], name: str) -> None:
    statement, expected = READS[name]

    async def scene(session: OwnerSession) -> list[Any]:
        rows: Any = (await session.exec(statement)).all()
        return [row if isinstance(row, str | int) else row[0] for row in rows]

    for caller in pair:  # the same statement, since SQLAlchemy remembers how it was compiled
        found = play(settings, caller.id, scene)
        assert set(found) == {caller.id} if expected is None else sorted(found) == expected


def test_a_task_of_another_can_t_be_got_by_its_key(settings: Settings, pair: tuple[Caller, Caller]) -> None:
    mine, theirs = (caller.tasks()[0]["id"] for caller in pair)

    async def scene(session: OwnerSession) -> list[Task | None]:
        keys = [(pair[0].id, mine), (pair[1].id, theirs)]
        return [await session.get(Task, key) for key in keys]

    got = play(settings, pair[0].id, scene)
    assert got[0] is not None
    assert got[1] is None


def test_what_is_added_changed_and_deleted_is_the_owner_s(settings: Settings, pair: tuple[Caller, Caller]) -> None:
    user, stranger = pair

    async def scene(session: OwnerSession) -> None:
        session.add(Task(title="three", description=None))  # type: ignore[call-arg]
        await session.commit()
        two = (await session.exec(select(Task).where(Task.title == "two"))).one()
        two.completed = True
        await session.flush()
        await session.refresh(two)
        await session.delete((await session.exec(select(Task).where(Task.title == "one"))).one())
        await session.exec(update(Task).where(titles == "three").values(description="changed"))
        await session.commit()

    before = stranger.tasks()
    play(settings, user.id, scene)
    assert [(task["title"], task["completed"], task["description"]) for task in user.tasks()] == [
        ("two", True, None),
        ("three", False, "changed"),
    ]
    assert stranger.tasks() == before


def test_the_first_task_makes_the_owner(settings: Settings, user: Caller) -> None:
    async def scene(session: OwnerSession) -> None:
        session.add(Task(title="first", description=None))  # type: ignore[call-arg]
        await session.commit()

    play(settings, user.id, scene)
    assert [task["title"] for task in user.tasks()] == ["first"]


def test_what_is_not_committed_is_rolled_back(settings: Settings, user: Caller) -> None:
    async def scene(session: OwnerSession) -> None:
        session.add(Task(title="never", description=None))  # type: ignore[call-arg]
        await session.flush()

    play(settings, user.id, scene)
    assert user.tasks() == []


def test_changes_to_many_touch_the_owner_s_alone(settings: Settings, pair: tuple[Caller, Caller]) -> None:
    user, stranger = pair
    before = stranger.tasks()

    async def scene(session: OwnerSession) -> None:
        await session.exec(update(Task).values(completed=True))
        await session.exec(delete(Task).where(ids.in_(select(Other.id).where(Other.title == "one"))))
        await session.commit()

    play(settings, user.id, scene)
    assert [(task["title"], task["completed"]) for task in user.tasks()] == [("two", True)]
    assert stranger.tasks() == before


REFUSED: dict[str, Any] = {
    "a table": select(tasks),
    "a table in a subquery": select(Task).where(ids.in_(select(tasks.c.id))),
    "a table in exists": select(Task).where(exists(select(tasks.c.id))),
    "a table that is joined": select(Task).join(tasks.alias(), literal_column("true")),
    "a table in a subquery of nothing else": select(Task).where(exists(select(literal_column("1")).select_from(tasks))),
    "a table beside an entity in a subquery": select(Task).select_from(tasks.alias()).where(ids.in_(select(Other.id))),
    "a union with a table": select(Task.id).union(select(tasks.c.id)),
    "text": text("SELECT 1"),
    "text in a condition": select(Task).where(text("true")),
    "text as entities": select(Task).from_statement(text("SELECT * FROM tasks")),
    "a literal": select(Task.id, literal_column("(SELECT max(title) FROM tasks)")),
    "an update within a query": select(update(Task).values(title="x").returning(ids).cte("changed")),
    "a delete within a query": select(func.count()).select_from(delete(Task).returning(ids).cte("gone")),
    "an insert": insert(Task).values(user_id="mallory", title="x"),
    "an insert into a table": insert(tasks).values(user_id="mallory", title="x"),
    "an update that gives tasks away": update(Task).values(user_id="mallory"),
    "an update that gives tasks away by their column": update(Task).values({Task.user_id: "mallory"}),
    "an update that reads a second entity": update(Task).where(Other.title == Task.title).values(title=Other.title),
    "a delete that reads a second entity": delete(Task).where(Other.title == Task.title),
    "the users, who belong to nobody": select(User),
    "the users beside tasks": select(Task).join(User),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_can_t_be_bound_to_the_owner_is_refused(
    settings: Settings, pair: tuple[Caller, Caller], name: str
) -> None:
    async def scene(session: OwnerSession) -> None:
        with pytest.raises(ForbiddenError):
            await session.exec(REFUSED[name])

    before = [caller.tasks() for caller in pair]
    play(settings, pair[0].id, scene)
    assert [caller.tasks() for caller in pair] == before


async def _take_over(session: OwnerSession, theirs: Task) -> None:
    session.add(theirs)
    theirs.title = "mine now"
    await session.commit()


async def _give_away(session: OwnerSession, theirs: Task) -> None:
    mine = (await session.exec(select(Task).where(Task.title == "one"))).one()
    mine.user_id = theirs.user_id
    await session.commit()


async def _add_for_another(session: OwnerSession, theirs: Task) -> None:
    session.add(Task(user_id=theirs.user_id, title="x", description=None))  # type: ignore[call-arg]
    await session.commit()


async def _delete(session: OwnerSession, theirs: Task) -> None:
    await session.delete(theirs)
    await session.commit()


async def _merge(session: OwnerSession, theirs: Task) -> None:
    merged = await session.merge(theirs)
    merged.title = "mine now"
    await session.commit()


async def _merge_without_loading(session: OwnerSession, theirs: Task) -> None:
    merged = await session.merge(theirs, load=False)
    merged.title = "mine now"
    await session.commit()


async def _refresh_what_was_never_loaded(session: OwnerSession, theirs: Task) -> None:
    stub = Task(user_id=theirs.user_id, id=theirs.id)  # type: ignore[call-arg]
    make_transient_to_detached(stub)
    session.add(stub)
    await session.refresh(stub)


async def _add_a_user(session: OwnerSession, _theirs: Task) -> None:
    session.add(User(id="mallory"))  # type: ignore[call-arg]
    await session.commit()


async def _take_the_connection(session: OwnerSession, _theirs: Task) -> None:
    await session.connection()


async def _insert_in_bulk(session: OwnerSession, theirs: Task) -> None:
    rows = [{"user_id": theirs.user_id, "title": "x"}]
    await session.run_sync(lambda sync: sync.bulk_insert_mappings(Task, rows))


async def _update_by_key(session: OwnerSession, theirs: Task) -> None:
    rows = [{"user_id": theirs.user_id, "id": theirs.id, "title": "x"}]
    await session.exec(update(Task), params=rows)


async def _update_by_parameters(session: OwnerSession, theirs: Task) -> None:
    await session.exec(update(Task), params={"user_id": theirs.user_id})


ATTEMPTS = [
    _take_over,
    _give_away,
    _add_for_another,
    _delete,
    _merge,
    _merge_without_loading,
    _refresh_what_was_never_loaded,
    _add_a_user,
    _take_the_connection,
    _insert_in_bulk,
    _update_by_key,
    _update_by_parameters,
]


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=lambda attempt: attempt.__name__)
def test_another_s_task_can_t_be_changed_or_added(
    settings: Settings, pair: tuple[Caller, Caller], attempt: Callable[[OwnerSession, Task], Awaitable[None]]
) -> None:
    before = [caller.tasks() for caller in pair]

    async def theirs(session: OwnerSession) -> Task:
        return (await session.exec(select(Task).where(Task.title == "one"))).one()

    task = play(settings, pair[1].id, theirs)

    async def scene(session: OwnerSession) -> None:
        with pytest.raises(ForbiddenError):
            await attempt(session, task)

    play(settings, pair[0].id, scene)
    assert [caller.tasks() for caller in pair] == before


def test_a_statement_that_is_not_one_is_refused(settings: Settings, user: Caller) -> None:
    async def scene(session: OwnerSession) -> None:
        with pytest.raises(TypeError, match="build one"):
            await session.fetch(select(Task))  # type: ignore[arg-type]

    play(settings, user.id, scene)


plain = APIRouter(prefix="/plain/{user_id}")


@plain.get("/titles")
async def read_titles(session: OwnSession) -> list[str]:
    return list(await session.exec(select(Task.title).order_by(ids)))


@plain.post("/titles")
async def write_title(session: OwnSession, fail: bool = False) -> int:
    session.add(Task(title="by session", description=None))  # type: ignore[call-arg]
    await session.flush()
    if fail:
        raise Problem(409, "On purpose.")
    await session.commit()
    return 1


@plain.delete("/titles")
async def wait_for_titles(session: OwnSession) -> None:
    await session.exec(delete(Task))
    await session.commit()


@pytest.fixture
def plain_client(settings: Settings) -> Iterator[httpx2.Client]:
    """A service with one connection, and with a router that knows nothing of owners."""
    impatient = {"database_pool_size": 1, "database_statement_timeout": 0.5, "database_pool_timeout": 5.0}
    app = create_app(settings.model_copy(update=impatient))
    app.include_router(plain)
    with serve(app) as url, httpx2.Client(base_url=url) as client:
        yield client


def test_the_dependency_stands_alone(plain_client: httpx2.Client) -> None:
    user, stranger = Caller(plain_client), Caller(plain_client)
    address = f"/plain/{user.id}/titles"
    stranger.create("theirs")

    check_problem(plain_client.get(address), 401)
    check_problem(plain_client.get(address, headers=stranger.headers), 403)
    for _ in range(3):  # the one connection is given back, whatever happens
        check_problem(plain_client.post(address, params={"fail": True}, headers=user.headers), 409)
        assert plain_client.get(address, headers=user.headers).json() == []
    assert plain_client.post(address, headers=user.headers).status_code == 200
    assert plain_client.get(address, headers=user.headers).json() == ["by session"]
    assert [task["title"] for task in user.tasks()] == ["by session"]


def test_a_session_whose_statement_takes_too_long_is_a_503(plain_client: httpx2.Client, database_url: str) -> None:
    user = Caller(plain_client)
    user.create()
    with psycopg.connect(database_url) as locker:
        locker.execute("SELECT 1 FROM tasks WHERE user_id = %s FOR UPDATE", [user.id])
        slow = plain_client.delete(f"/plain/{user.id}/titles", headers=user.headers)
        assert "too long" in check_problem(slow, 503)["detail"]
    assert len(user.tasks()) == 1


def test_a_request_that_uses_no_session_makes_none(settings: Settings, user: Caller) -> None:
    async def scene(session: OwnerSession) -> None:
        await session.fetch(queries.GET, task_id=1)
        assert "sync_session" not in vars(session)

    play(settings, user.id, scene)
