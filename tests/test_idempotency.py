"""Requests that are safe to repeat."""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import psycopg
import pytest

from tests.support.proxy import RunningProxy
from tests.support.service import User, check_problem, running, wait_until

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


def test_expired_keys_are_taken_again_and_cleared_by_themselves(fresh: User, database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("INSERT INTO users VALUES (%s)", [fresh.id])
        connection.execute(
            "INSERT INTO idempotency_keys SELECT %s, 'old-' || n, 'f', 'r', now() - interval '25 hours' "
            "FROM generate_series(1, 2500) AS n",
            [fresh.id],
        )

        taken = post(fresh, "", {"title": "x"}, "old-1")

        def left() -> int:
            counted = connection.execute("SELECT count(*) FROM idempotency_keys WHERE user_id = %s", [fresh.id])
            row = counted.fetchone()
            return int(row[0]) if row else 0

        assert (taken.status_code, "Idempotency-Replayed" in taken.headers) == (201, False)
        wait_until(lambda: left() == 1)
    assert post(fresh, "", {"title": "x"}, "old-1").headers["Idempotency-Replayed"] == "true"
