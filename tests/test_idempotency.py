"""Requests that are safe to repeat."""

import asyncio
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import psycopg
import pytest

import db
import queries
from tests.support.proxy import RunningProxy
from tests.support.service import User, check_problem, running, settings_for, wait_until

POSTS: dict[str, tuple[str, Any, Any]] = {
    "one": ("", {"title": "x"}, {"title": "y"}),
    "many": ("/batch", [{"title": "x"}, {"title": "z"}], [{"title": "z"}, {"title": "x"}]),
}


def post(user: User, path: str, body: Any, key: str) -> httpx2.Response:
    return user.send("POST", path, json=body, headers={"Idempotency-Key": key})


@pytest.mark.parametrize("kind", POSTS)
def test_a_repeated_request_gets_the_first_answer_again(user: User, kind: str) -> None:
    path, body, other = POSTS[kind]

    first = post(user, path, body, "key-1")
    user.send("PATCH", "?all=true", json={"completed": True})
    again = post(user, path, body, '"key-1"')

    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert [first.headers.get(name) for name in ("Location", "ETag")] == [
        again.headers.get(name) for name in ("Location", "ETag")
    ]
    assert len(user.tasks()) == (1 if kind == "one" else 2)
    check_problem(post(user, path, other, "key-1"), 422)
    assert post(user, path, body, "key-2").status_code == 201


def test_the_same_means_the_same_content_not_the_same_bytes(user: User, stranger: User) -> None:
    headers = {"Idempotency-Key": "k", "Content-Type": "application/json"}
    first = user.send("POST", content=b'{"title":"x","completed":false}', headers=headers)
    again = user.send("POST", content=b' { "completed" : false, "title" : " x " , "id": 7}', headers=headers)
    assert again.content == first.content
    check_problem(post(user, "/batch", [{"title": "x"}], "k"), 422)
    assert post(stranger, "", {"title": "x"}, "k").json()["user_id"] == stranger.id
    assert len(user.tasks()) == 1


def test_a_refused_request_uses_no_key_up(user: User) -> None:
    check_problem(post(user, "", {"title": ""}, "k"), 400)
    check_problem(post(user, "/batch", [], "k"), 400)
    assert post(user, "", {"title": "x"}, "k").status_code == 201


@pytest.mark.parametrize("kind", POSTS)
@pytest.mark.concurrency
def test_fifty_at_once_make_it_once_and_all_get_the_answer(user: User, kind: str) -> None:
    path, body, _ = POSTS[kind]
    for key in ["a", "b"]:
        with ThreadPoolExecutor(50) as clients:
            answers = list(clients.map(lambda _, key=key: post(user, path, body, key), range(50)))
        assert {answer.status_code for answer in answers} == {201}
        assert len({answer.content for answer in answers}) == 1
    assert len(user.tasks()) == (2 if kind == "one" else 4)


@pytest.mark.parametrize("key", ["", '""', "a b", "x" * 256, "a\tb", '"a', 'a"b"c d', '"\\x"', "é"])
def test_a_malformed_key_is_refused(user: User, key: str) -> None:
    headers = [(b"Idempotency-Key", key.encode("latin-1")), (b"Authorization", user.headers["Authorization"].encode())]
    check_problem(user.client.post(user.path, json={"title": "x"}, headers=headers), 400, "/header/Idempotency-Key")
    assert user.tasks() == []


@pytest.mark.parametrize("key", ["x", "x" * 255, "!~", '"quoted\\"key\\\\"', "a,b;c=d"])
def test_any_other_key_is_accepted(user: User, key: str) -> None:
    assert post(user, "", {"title": "x"}, key).status_code == 201


def test_two_keys_are_none(user: User) -> None:
    headers = [("Idempotency-Key", "a"), ("Idempotency-Key", "b"), *user.headers.items()]
    check_problem(user.client.post(user.path, json={"title": "x"}, headers=headers), 400, "/header/Idempotency-Key")


@pytest.fixture
def fresh(wire: RunningProxy) -> Iterator[User]:
    """A user of a service of its own, behind a wire that can be cut."""
    with running(wire.url) as client:
        yield User(client)


@pytest.mark.parametrize("kind", POSTS)
def test_a_retry_is_safe_when_the_connection_dies_between_commit_and_answer(
    fresh: User, wire: RunningProxy, kind: str
) -> None:
    path, body, _ = POSTS[kind]
    post(fresh, path, body, "warm-up")
    before = len(fresh.tasks())
    wire.proxy.swallow = b"the-key"

    check_problem(post(fresh, path, body, "the-key"), 503)
    again = post(fresh, path, body, "the-key")

    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (201, "true")
    assert len(fresh.tasks()) == before * 2


def test_a_retry_is_safe_when_the_client_is_gone_before_the_answer(user: User) -> None:
    body = b'{"title":"x"}'
    head = f"POST {user.path} HTTP/1.1\r\nHost: x\r\nAuthorization: {user.headers['Authorization']}\r\n"
    head += f"Content-Type: application/json\r\nIdempotency-Key: k\r\nContent-Length: {len(body)}\r\n\r\n"
    base = user.client.base_url
    with socket.create_connection((base.host, base.port or 80)) as connection:
        connection.sendall(head.encode() + body)
    wait_until(user.tasks)

    again = post(user, "", {"title": "x"}, "k")

    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (201, "true")
    assert user.tasks() == [again.json()]


@pytest.fixture
def old_keys(empty_database: str) -> Iterator[psycopg.Connection]:
    """A database of one owner, whose keys have all expired: many small ones, and large ones."""
    with running(empty_database):
        pass
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute("INSERT INTO users VALUES ('alice')")
        connection.execute(
            "INSERT INTO idempotency_keys SELECT 'alice', 'small-' || n, 'f', 'r', now() - interval '25 hours' "
            "FROM generate_series(1, 2500) AS n"
        )
        connection.execute(
            "INSERT INTO idempotency_keys SELECT 'alice', 'large-' || n, 'f', "
            "(SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 32768) WHERE n > 0), "
            "now() - interval '26 hours' FROM generate_series(1, 10) AS n"
        )
        yield connection


WAITING = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"


def left(connection: psycopg.Connection) -> int:
    row = connection.execute("SELECT count(*) FROM idempotency_keys").fetchone()
    return int(row[0]) if row else 0


def test_expired_keys_are_taken_again(old_keys: psycopg.Connection, empty_database: str) -> None:
    with running(empty_database) as client:
        user = User(client, "alice")
        taken = post(user, "", {"title": "x"}, "small-1")
        assert (taken.status_code, "Idempotency-Replayed" in taken.headers) == (201, False)
        wait_until(lambda: left(old_keys) == 1)
        assert post(user, "", {"title": "x"}, "small-1").headers["Idempotency-Replayed"] == "true"


def test_expired_keys_of_an_idle_service_are_cleared_and_a_failure_is_tried_again(
    old_keys: psycopg.Connection, empty_database: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(db, "CLEARING_AGAIN_SECONDS", 0.05)
    with psycopg.connect(empty_database) as blocker:
        blocker.execute("LOCK TABLE idempotency_keys")
        with running(empty_database, database_statement_timeout=0.3):
            wait_until(lambda: "not cleared yet: The database took too long" in caplog.text)
            blocker.rollback()
            wait_until(lambda: left(old_keys) == 0)


def test_a_few_megabytes_are_cleared_at_a_time(old_keys: psycopg.Connection) -> None:
    numbers = []
    while number := old_keys.execute(queries.CLEAR_EXPIRED_KEYS.sql, queries.CLEAR_EXPIRED_KEYS.constants).fetchone():
        if not number[0]:
            break
        numbers.append(number[0])
    assert sum(numbers) == 2510
    assert len(numbers) > 4  # ten of a megabyte each, four at a time, and a thousand small ones


def test_a_key_that_is_taken_again_meanwhile_is_not_cleared(plain_database: str) -> None:
    with running(plain_database):
        pass
    clear = queries.CLEAR_EXPIRED_KEYS
    with psycopg.connect(plain_database) as taker, psycopg.connect(plain_database, autocommit=True) as connection:
        connection.execute("INSERT INTO users VALUES ('alice')")
        key = "INSERT INTO idempotency_keys VALUES ('alice', %s, 'f', 'r', now() - interval '25 hours')"
        connection.cursor().executemany(key, [["old"], ["taken"]])
        taker.execute("UPDATE idempotency_keys SET created_at = now() WHERE key = 'taken'")
        with ThreadPoolExecutor() as threads, psycopg.connect(plain_database, autocommit=True) as observer:
            clearing = threads.submit(connection.execute, clear.sql, clear.constants)
            wait_until(lambda: observer.execute(WAITING).fetchone())
            taker.commit()
            assert clearing.result().fetchone() == (1,)
        assert left(connection) == 1


def test_an_idle_database_is_left_when_the_last_key_has_expired(
    empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db, "CLEARING_SECONDS", 0.02)
    monkeypatch.setattr(db, "KEPT_SECONDS", 0.1)

    async def play() -> None:
        async with db.Database(settings_for(empty_database)) as database:
            async with asyncio.timeout(10):
                assert database._clearing
                await database._clearing

    asyncio.run(play())
