"""What nobody foresaw is a 500 with its reason in the log, and never tells what somebody wrote."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import NamedTuple

import httpx2
import psycopg
import pytest
from fastapi import APIRouter
from sqlalchemy import BigInteger, Integer, bindparam, cast, select
from starlette.responses import StreamingResponse

from auth.owner import OwnSession
from models import Task
from queries import tasks
from statements import OWNER, Statement
from tests.support.service import User, check_problem, running, wait_until

PRIVATE = "nobody's business"


class Number(NamedTuple):
    number: int


# A column that is narrower than what its schema lets pass.
NARROW = Statement(
    select(cast(bindparam("wide", type_=BigInteger), Integer).label("number")).where(
        tasks.c.user_id == OWNER, tasks.c.title == PRIVATE
    ),
    Number,
)

router = APIRouter(prefix="/broken/{user_id}")


@router.get("/number")
async def overflow(session: OwnSession) -> int:
    return (await session.fetch(NARROW, wide=2**40)).number


@router.get("/row")
async def violate(session: OwnSession) -> None:
    session.add(Task(title=None, description=PRIVATE))  # type: ignore[call-arg, arg-type]
    await session.commit()


@router.get("/chain")
async def wrap(session: OwnSession) -> None:
    try:
        await violate(session)
    except Exception as error:
        raise RuntimeError("wrapped") from error


@router.get("/group")
async def gather(session: OwnSession) -> None:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(violate(session))


@router.get("/answer")
async def answer_wrongly() -> int:
    return PRIVATE  # type: ignore[return-value]


@router.get("/begun")
async def begin_and_fail(session: OwnSession) -> StreamingResponse:
    violation = asyncio.create_task(violate(session))
    await asyncio.wait([violation])

    async def body() -> AsyncIterator[str]:
        yield "begun"
        await violation

    return StreamingResponse(body())


@pytest.fixture
def accounts(plain_database: str) -> Iterator[psycopg.Connection]:
    """A database in which Better Auth has its table, with uuids."""
    with psycopg.connect(plain_database, autocommit=True) as connection:
        connection.execute('CREATE TABLE "user" (id uuid PRIMARY KEY)')
        yield connection


@pytest.fixture
def client(plain_database: str, accounts: psycopg.Connection) -> Iterator[httpx2.Client]:  # noqa: ARG001
    with running(plain_database, router, better_auth_user_table="user") as client:
        yield client


@pytest.fixture
def member(client: httpx2.Client, accounts: psycopg.Connection) -> User:
    """Somebody with an account."""
    account = str(uuid.uuid4())
    accounts.execute('INSERT INTO "user" VALUES (%s)', [account])
    return User(client, account)


@pytest.mark.parametrize("owner", ["8f14e45f-ceea-467f-9a3b-111111111111", "no-uuid", "9" * 40])
def test_who_has_no_account_is_told_so(client: httpx2.Client, owner: str) -> None:
    nobody = User(client, owner)
    for response in [
        nobody.send("POST", json={"title": "x"}),
        nobody.send("POST", "/batch", json=[{"title": "x"}]),
        client.get(f"/broken/{owner}/row", headers=nobody.headers),
    ]:
        assert "account" in check_problem(response, 401)["detail"]
    assert nobody.tasks() == []


def test_a_value_that_a_column_can_t_hold_is_no_lost_account(
    member: User, client: httpx2.Client, caplog: pytest.LogCaptureFixture
) -> None:
    member.create(PRIVATE)
    check_problem(client.get(f"/broken/{member.id}/number", headers=member.headers), 500)
    assert "SQLSTATE 22003: integer out of range" in caplog.text


FAILURES = {
    "row": "SQLSTATE 23502",
    "chain": "SQLSTATE 23502",
    "group": "SQLSTATE 23502",
    "answer": "int_parsing at ('response',)",
}


@pytest.mark.parametrize("address", FAILURES)
def test_the_log_of_a_500_says_what_failed_and_not_on_which_row(
    member: User, client: httpx2.Client, caplog: pytest.LogCaptureFixture, address: str
) -> None:
    problem = check_problem(client.get(f"/broken/{member.id}/{address}", headers=member.headers), 500)

    logged = caplog.text
    assert FAILURES[address] in logged
    assert problem["request_id"] in logged
    assert PRIVATE not in logged


def test_an_answer_that_fails_after_its_beginning_is_cut_and_logged_without_the_row(
    member: User, client: httpx2.Client, caplog: pytest.LogCaptureFixture
) -> None:
    with contextlib.suppress(httpx2.RemoteProtocolError):
        answer = client.get(f"/broken/{member.id}/begun", headers={**member.headers, "X-Request-Id": "begun-and-cut"})
        pytest.fail(f"came to its end: {answer.text}")
    wait_until(lambda: "begun-and-cut" in caplog.text)
    assert "SQLSTATE 23502" in caplog.text
    assert PRIVATE not in caplog.text
