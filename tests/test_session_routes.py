"""The owner's session in routes: when it begins and ends, and what it leaves behind."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import psycopg
import pytest
from fastapi import APIRouter
from sqlalchemy import delete
from sqlmodel import select
from starlette.responses import StreamingResponse

import queries
from auth.owner import OwnerSession, OwnSession
from config import Settings
from models import Task
from problems import Problem
from routes.http.parameters import TaskFilter
from tests.support.proxy import RunningProxy
from tests.support.service import User as Caller
from tests.support.service import check_problem, running
from tests.support.session import play

ids: Any = Task.id
titles: Any = Task.title


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


@plain.put("/titles/{task_id}")
async def lengthen_title(session: OwnSession, task_id: int) -> None:
    task = await session.get_one(Task, (session.owner, task_id), with_for_update=True)
    task.title += "!"
    await session.commit()


@plain.get("/both")
async def read_both(session: OwnSession) -> list[str]:
    """A statement within the session's transaction sees what the session has written."""
    session.add(Task(title="not yet committed", description=None))  # type: ignore[call-arg]
    page = await session.fetch(queries.LIST["created_at"], **FIRST_PAGE)
    return [task["title"] for task in json.loads(page.body)]


@plain.get("/at-once")
async def read_at_once(session: OwnSession) -> int:
    """What SQLAlchemy forbids: one session, three statements at once."""
    return len(await asyncio.gather(*(session.exec(select(Task)) for _ in range(3))))


@plain.get("/child")
async def read_in_a_child(session: OwnSession) -> int:
    async with asyncio.TaskGroup() as group:
        group.create_task(session.exec(select(Task)))
    await session.commit()
    return len((await session.exec(select(Task))).all())


@plain.get("/late")
async def read_late(session: OwnSession) -> StreamingResponse:
    async def lines() -> AsyncIterator[bytes]:
        with pytest.raises(RuntimeError, match="ended with its route"):
            await session.exec(select(Task))
        yield b"ended"

    return StreamingResponse(lines())


FIRST_PAGE = {
    **TaskFilter().bound(),
    "page_size": 10,
    "after_id": None,
    "after_key": None,
    "count": False,
}


@pytest.fixture
def plain_client(database_url: str) -> Iterator[httpx2.Client]:
    """A service with one connection, and with a router that knows nothing of owners."""
    impatient = {"database_pool_size": 1, "database_statement_timeout": 0.5, "database_pool_timeout": 5.0}
    with running(database_url, plain, **impatient) as client:
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


def test_a_statement_runs_within_the_session_s_transaction(plain_client: httpx2.Client) -> None:
    user = Caller(plain_client)
    assert plain_client.get(f"/plain/{user.id}/both", headers=user.headers).json() == ["not yet committed"]
    assert user.tasks() == []


def test_a_session_can_t_be_used_after_its_route(plain_client: httpx2.Client) -> None:
    user = Caller(plain_client)
    for _ in range(3):
        assert plain_client.get(f"/plain/{user.id}/late", headers=user.headers).text == "ended"
    assert user.tasks() == []


def test_a_session_that_is_used_at_once_loses_no_connection(plain_client: httpx2.Client) -> None:
    user = Caller(plain_client)
    for _ in range(3):
        plain_client.get(f"/plain/{user.id}/at-once", headers=user.headers)
        assert user.tasks() == []
    assert plain_client.get(f"/plain/{user.id}/child", headers=user.headers).json() == 0


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


def test_a_session_that_only_reads_leaves_statements_prepared(wire: RunningProxy) -> None:
    with running(wire.url, plain, database_pool_size=1) as client:
        user = Caller(client)
        for _ in range(2):  # the first session of a service asks the server what it is
            user.get()
            assert client.get(f"/plain/{user.id}/titles", headers=user.headers).json() == []
        wire.proxy.messages.clear()
        user.get()
        assert [message.kind for message in wire.proxy.messages] == ["B", "D", "E", "S"]


@pytest.mark.concurrency
def test_a_session_that_takes_a_row_and_a_statement_never_wait_for_each_other(user: Caller, database_url: str) -> None:
    task = user.create("x")
    with running(database_url, plain) as client, ThreadPoolExecutor(4) as threads:

        def write(number: int) -> int:
            if number % 2:
                return user.send("PATCH", f"/{task['id']}", json={"completed": True}).status_code
            return client.put(f"/plain/{user.id}/titles/{task['id']}", headers=user.headers).status_code

        assert set(threads.map(write, range(80))) == {200}
    assert user.tasks()[0]["title"] == "x" + "!" * 40
