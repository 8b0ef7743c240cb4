"""Tokens of the feed: which are taken, which are damaged or another's, and which are too old."""

import asyncio
import re
import string
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx2
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

import queries
from config import Settings
from db import Database
from live import MOST_STREAMS_OF_ONE
from routes.http.opaque import seal
from routes.http.token import Place, belongs_to, encode_token
from schemas import LARGEST_ID
from tests.support.copy import Copy
from tests.support.process import ROOT
from tests.support.service import User, check_problem, running, settings_for, wait_until


def token(user: User, since: datetime | str, after_id: int = LARGEST_ID, *, snapshot: bool = False) -> str:
    moment = since if isinstance(since, str) else since.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return encode_token(Place(moment, after_id, snapshot), user.id)


def forget(settings: Settings) -> None:
    async def run() -> None:
        async with Database(settings) as database:
            while (await database.fetch(queries.FORGET_DELETIONS, {})).number:
                pass

    asyncio.run(run())


@pytest.fixture
def alone(empty_database: str) -> Iterator[User]:
    """A user in a database of their own, since each service that starts forgets the old deletions of all owners."""
    with running(empty_database) as client:
        yield User(client)


def test_deletions_are_forgotten_after_30_days_and_tokens_before_them_are_gone(
    alone: User, empty_database: str
) -> None:
    old, older, recent, kept = (alone.create()["id"] for _ in range(4))
    copy = Copy(alone).read()
    alone.send("DELETE", f"?ids={old},{older},{recent}")
    now = datetime.now(UTC)
    with psycopg.connect(empty_database) as connection:
        connection.execute("UPDATE users SET known_since = %s WHERE id = %s", [now - timedelta(90), alone.id])
        for id_, age in ((old, timedelta(31)), (older, timedelta(32))):
            deleted_at = now - age
            connection.execute("UPDATE deletions SET deleted_at = %s WHERE id = %s", [deleted_at, id_])

    def poll(days: float, after_id: int = LARGEST_ID, *, snapshot: bool = False) -> httpx2.Response:
        since = token(alone, now - timedelta(days), after_id, snapshot=snapshot)
        return alone.get("/changes", params={"since": since})

    assert poll(33).json()["deleted"] == [older, old, recent]
    forget(settings_for(empty_database))
    for days in (33.0, 32.0, 31.5):
        check_problem(poll(days), 410)
    check_problem(poll(31, after_id=1), 410)
    check_problem(poll(33, after_id=1, snapshot=True), 410)
    for days in (31.0, 30.5):
        assert poll(days).json()["deleted"] == [recent]
    assert copy.read_page()["deleted"] == [recent]
    assert [task["id"] for task in Copy(alone).read_page()["changed"]] == [kept]


def test_a_token_of_another_history_is_gone(user: User, database_url: str) -> None:
    nobody = Copy(user).read()
    copy = Copy(user)
    user.create()
    copy.read()
    future = datetime.now(UTC) + timedelta(1)
    for lost in (token(user, future), token(user, future, 1, snapshot=True)):
        assert "start again without since" in check_problem(user.get("/changes", params={"since": lost}), 410)["detail"]
        for _ in range(MOST_STREAMS_OF_ONE + 1):  # which give their places back
            check_problem(user.get("/changes/stream", params={"since": lost}), 410)
    with psycopg.connect(database_url) as connection:  # an account that is made again
        connection.execute("DELETE FROM users WHERE id = %s", [user.id])
    check_problem(user.get("/changes", params={"since": copy.token or ""}), 410)
    user.create()
    check_problem(user.get("/changes", params={"since": copy.token or ""}), 410)
    nobody.read().check()


RUNBOOK = (ROOT / "docs" / "restore.md").read_text()


def test_after_a_restore_the_runbook_voids_all_tokens_and_counts_again(empty_database: str) -> None:
    with running(empty_database) as client:
        user, idle = User(client), User(client)
        user.create()
        idle.send("DELETE", f"/{idle.create()['id']}")
        copies = [Copy(user).read(), Copy(idle).read()]
        with psycopg.connect(empty_database) as connection:  # as a worker of the version before, or by hand
            connection.execute("INSERT INTO tasks (user_id, title) VALUES (%s, 'x')", [user.id])
        with psycopg.connect(empty_database, autocommit=True) as connection:
            for block in re.findall(r"```sql\n(.*?)```", RUNBOOK, re.DOTALL):
                connection.execute(block.encode())
        for copy in copies:
            check_problem(copy.user.get("/changes", params={"since": copy.token or ""}), 410)
            again = Copy(copy.user).read()
            again.check()
            assert copy.user.get("?count=true").headers["X-Total-Count"] == str(len(again.tasks))
            copy.user.create()
            again.read().check()


def test_what_deletions_of_long_ago_have_left_is_cleared(empty_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("db.CLEARING_SECONDS", 0.05)
    with running(empty_database) as client, psycopg.connect(empty_database, autocommit=True) as connection:
        user = User(client)
        user.create()
        old = "INSERT INTO deletions SELECT %s, now() - interval '31 days', n FROM generate_series(-2500, -1) AS n"
        connection.execute(old.encode(), [user.id])
        user.send("DELETE", "?all=true")
        wait_until(lambda: connection.execute("SELECT count(*) FROM deletions").fetchone() == (1,))


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


@given(
    since=st.text(max_size=600) | st.binary(max_size=300).map(lambda data: data.decode("latin-1")), sealed=st.booleans()
)
def test_any_token_gets_its_answer(someone: User, since: str, sealed: bool) -> None:
    since = seal(since, belongs_to(someone.id)) if sealed else since
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
