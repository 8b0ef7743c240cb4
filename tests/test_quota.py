"""A user has at most MAX_TASKS tasks, also where many are created at once."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import psycopg
import pytest
from fastapi import APIRouter
from sqlmodel import select

from auth.owner import OwnSession
from models import Task
from tests.support.service import User, check_problem, running

MOST = 12

by_session = APIRouter(prefix="/by-session/{user_id}")


@by_session.post("")
async def create_by_session(session: OwnSession, number: int = 1) -> None:
    session.add_all(Task(title="by session", description=None) for _ in range(number))  # type: ignore[call-arg]
    await session.commit()


@by_session.put("")
async def replace_by_session(session: OwnSession) -> None:
    await session.delete((await session.exec(select(Task))).first())
    session.add(Task(title="in its place", description=None))  # type: ignore[call-arg]
    await session.commit()


@by_session.delete("/{task_id}")
async def delete_by_session(session: OwnSession, task_id: int) -> None:
    await session.delete(await session.get_one(Task, (session.owner, task_id)))
    await session.commit()


@pytest.fixture(scope="module")
def small_client(database_url: str) -> Iterator[httpx2.Client]:
    """A service where nobody may have more than a few tasks."""
    with running(database_url, by_session, max_tasks=MOST) as client:
        yield client


@pytest.fixture
def user(small_client: httpx2.Client) -> User:
    return User(small_client)


def total(user: User) -> int:
    """What the owner's row says, which must be what a count says."""
    kept = int(user.get("?count=true&limit=1").headers["X-Total-Count"])
    assert kept == len(user.tasks())
    return kept


def post(user: User, number: int = 1, key: str = "") -> httpx2.Response:
    headers = {"Idempotency-Key": key} if key else {}
    if number == 1:
        return user.send("POST", json={"title": "x"}, headers=headers)
    return user.send("POST", "/batch", json=[{"title": "x"}] * number, headers=headers)


def check_refused(response: httpx2.Response) -> None:
    assert f"at most {MOST} tasks" in check_problem(response, 403)["detail"]


@pytest.mark.parametrize("key", ["", "key"])
def test_creating_beyond_the_quota_is_refused(user: User, key: str) -> None:
    check_refused(post(user, MOST + 1, key and key + "0"))  # before there is an owner
    assert post(user, MOST - 1, key and key + "1").status_code == 201
    check_refused(post(user, 2, key and key + "2"))
    assert total(user) == MOST - 1
    assert post(user, 1, key and key + "3").status_code == 201
    check_refused(post(user, 1, key and key + "4"))
    assert total(user) == MOST


def test_who_has_too_many_may_change_and_delete_and_then_create(user: User) -> None:
    first, second, *_ = post(user, MOST).json()
    assert user.send("PATCH", f"/{first['id']}", json={"title": "y"}).status_code == 200
    assert user.send("PATCH", "?all=true", json={"completed": True}).json() == {"updated": MOST}
    check_refused(post(user))
    assert user.send("DELETE", f"/{first['id']}").status_code == 204
    assert post(user).status_code == 201
    assert user.send("DELETE", f"?ids={second['id']},{first['id']}").json() == {"deleted": 1}
    assert total(user) == MOST - 1


def test_a_refused_key_can_be_used_later(user: User) -> None:
    first, *_ = post(user, MOST).json()
    check_refused(post(user, 1, "again"))
    user.send("DELETE", f"/{first['id']}")
    made = post(user, 1, "again")
    assert made.status_code == 201
    assert "Idempotency-Replayed" not in made.headers
    replayed = post(user, 1, "again")
    assert (replayed.status_code, replayed.content) == (201, made.content)
    assert total(user) == MOST


def test_the_owner_s_session_has_the_same_quota(user: User, small_client: httpx2.Client) -> None:
    address = f"/by-session/{user.id}"
    check_refused(small_client.post(address, params={"number": MOST + 1}, headers=user.headers))
    assert small_client.post(address, params={"number": MOST}, headers=user.headers).status_code == 200
    check_refused(small_client.post(address, headers=user.headers))
    assert total(user) == MOST
    assert small_client.put(address, headers=user.headers).status_code == 200
    assert total(user) == MOST
    for task in user.tasks()[:2]:
        assert small_client.delete(f"{address}/{task['id']}", headers=user.headers).status_code == 200
    assert total(user) == MOST - 2


def test_who_has_more_than_a_lowered_quota_can_still_change_them(
    user: User, client: httpx2.Client, small_client: httpx2.Client
) -> None:
    rich = User(client, user.id)
    first, *_ = post(rich, MOST + 5).json()
    assert user.send("PATCH", f"/{first['id']}", json={"title": "y"}).status_code == 200
    deleted = small_client.delete(f"/by-session/{user.id}/{first['id']}", headers=user.headers)
    assert deleted.status_code == 200
    check_refused(post(user))
    assert total(user) == MOST + 4


@pytest.mark.concurrency
def test_the_quota_is_exact_when_many_create_and_delete_at_once(user: User, database_url: str) -> None:
    def act(number: int) -> Any:
        match number % 5:
            case 0:
                return post(user, 3)
            case 1:
                return post(user, 1, f"key-{number % 3}")
            case 2:
                return user.send("DELETE", "?completed=false")
            case 3:
                return user.client.post(f"/by-session/{user.id}", headers=user.headers)
        return [user.send("DELETE", f"/{task['id']}") for task in user.tasks()[:2]]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(act, range(120)))

    assert total(user) <= MOST
    with psycopg.connect(database_url) as connection:
        row = connection.execute("SELECT task_count FROM users WHERE id = %s", [user.id]).fetchone()
    assert row == (len(user.tasks()),)


@pytest.mark.concurrency
@pytest.mark.parametrize("attempt", range(3))
def test_of_many_who_create_at_once_just_as_many_as_fit_do(user: User, attempt: int) -> None:  # noqa: ARG001
    post(user)
    user.send("DELETE", "?all=true")  # an owner is there, whose row all wait for
    with ThreadPoolExecutor(8) as pool:
        statuses = [answer.status_code for answer in pool.map(lambda _: post(user, 2), range(24))]
    assert sorted(statuses) == [201] * (MOST // 2) + [403] * (24 - MOST // 2)
    assert total(user) == MOST


@pytest.mark.concurrency
@pytest.mark.parametrize("number", [1, MOST])
def test_of_two_with_the_same_key_one_is_counted(user: User, number: int) -> None:
    post(user)
    user.send("DELETE", "?all=true")  # an owner is there, whose row all wait for
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: post(user, number, "same"), range(8)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert sorted("Idempotency-Replayed" in answer.headers for answer in answers) == [False] + [True] * 7
    assert total(user) == number
