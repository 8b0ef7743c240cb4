"""Requests that depend on a version, and requests that are safe to repeat."""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import psycopg
import pytest

from tests.support.proxy import RunningProxy
from tests.support.service import User, check_problem, running, wait_until


def etag(user: User, task: dict[str, Any]) -> str:
    return str(user.get(f"/{task['id']}").headers["ETag"])


def test_a_task_s_etag_is_its_updated_at_in_quotes_wherever_it_appears(user: User) -> None:
    created = user.send("POST", json={"title": "x"})
    address = f"/{created.json()['id']}"
    responses = [
        created,
        user.get(address),
        user.send("PATCH", address, json={"title": "y"}),
        user.send("PUT", address, json={"title": "z"}),
        user.send("PATCH", address + "/complete"),
    ]
    for response in responses:
        assert response.headers["ETag"] == f'"{response.json()["updated_at"]}"'
    assert len({response.headers["ETag"] for response in responses}) == 4


@pytest.mark.parametrize("form", ["{}", "W/{}", '"other", {}', '"a,b" , W/{} ,', "*"])
def test_a_version_that_is_known_is_not_sent_again(user: User, form: str) -> None:
    task = user.create()
    for path in [f"/{task['id']}", "", "?count=true&limit=1"]:
        tag = user.get(path).headers["ETag"]
        response = user.get(path, headers={"If-None-Match": form.format(tag)})
        assert (response.status_code, response.content) == (304, b"")
        assert response.headers["ETag"] == tag
        assert user.send("HEAD", path, headers={"If-None-Match": tag}).status_code == 304
    user.send("PATCH", f"/{task['id']}", json={"title": "new"})
    assert user.get("", headers={"If-None-Match": tag}).status_code == 200
    assert user.get("", headers={"If-None-Match": '"other"'}).status_code == 200


def test_the_etag_of_a_list_changes_with_what_its_headers_say(user: User) -> None:
    user.create()
    alone = user.get("?limit=1")
    user.create()
    assert user.get("?limit=1", headers={"If-None-Match": alone.headers["ETag"]}).status_code == 200


WRITES: list[tuple[str, str, dict[str, Any]]] = [
    ("PUT", "", {"json": {"title": "new"}}),
    ("PATCH", "", {"json": {"title": "new"}}),
    ("PATCH", "/complete", {}),
    ("PATCH", "/complete", {"json": {"completed": True}}),
    ("DELETE", "", {}),
]


@pytest.mark.parametrize(("method", "path", "options"), WRITES)
def test_a_write_depends_on_the_version_in_if_match(
    user: User, method: str, path: str, options: dict[str, Any]
) -> None:
    task = user.create()
    address, current = f"/{task['id']}{path}", etag(user, task)

    def write(if_match: str | list[tuple[str, str]], where: str = address) -> httpx2.Response:
        return user.send(method, where, headers={"If-Match": if_match}, **options)

    for stale in ['"other"', ',, "other"', f"W/{current}", '""', f'"{current[1:-1]}x"', '"a", "b"']:
        check_problem(write(stale), 412)
    for malformed in [
        ", , " * 2000 + "x",
        '"a"' + ",    " * 1000 + "x",
        "",
        "other",
        current[:-1],
        "*, *",
        f"{current} {current}",
        f"*, {current}",
        "'x'",
    ]:
        check_problem(write(malformed), 400, "/header/If-Match")
    check_problem(write(current, f"/9999999{path}"), 404)
    check_problem(write("*", f"/9999999{path}"), 404)
    assert user.tasks() == [task]
    assert write(f'"other", {current}').status_code < 300


@pytest.mark.parametrize(("method", "path", "options"), WRITES)
def test_any_version_will_do_for_a_star(user: User, method: str, path: str, options: dict[str, Any]) -> None:
    address = f"/{user.create()['id']}{path}"
    assert user.send(method, address, headers={"If-Match": "*"}, **options).status_code < 300


@pytest.mark.concurrency
def test_of_writers_that_read_the_same_version_exactly_one_wins(user: User) -> None:
    task = user.create("version 1")
    for _ in range(10):
        tag = etag(user, task)

        def write(number: int, tag: str = tag) -> int:
            body = {"title": f"writer {number}"}
            return user.send("PATCH", f"/{task['id']}", json=body, headers={"If-Match": tag}).status_code

        with ThreadPoolExecutor(8) as writers:
            statuses = sorted(writers.map(write, range(8)))
        assert statuses == [200] + [412] * 7


@pytest.mark.concurrency
def test_of_a_write_and_a_delete_of_the_same_version_exactly_one_wins(user: User) -> None:
    for _ in range(10):
        task = user.create()
        headers = {"If-Match": etag(user, task)}
        with ThreadPoolExecutor(2) as writers:
            change = writers.submit(user.send, "PATCH", f"/{task['id']}", json={"title": "y"}, headers=headers)
            delete = writers.submit(user.send, "DELETE", f"/{task['id']}", headers=headers)
        statuses = {change.result().status_code, delete.result().status_code}
        assert statuses in ({200, 412}, {204, 412}, {204, 404})


@pytest.mark.concurrency
def test_an_even_number_of_toggles_leaves_a_task_as_it_was(user: User) -> None:
    task = user.create()
    with ThreadPoolExecutor(16) as clients:
        answers = list(clients.map(lambda _: user.send("PATCH", f"/{task['id']}/complete").json(), range(50)))
    assert user.tasks()[0]["completed"] is False
    assert [answer["completed"] for answer in answers].count(True) == 25


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
