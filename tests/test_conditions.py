"""Requests that depend on a version."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest

from tests.support.operations import OPERATIONS, Operation, Request, address, ask, each, each_request, populate
from tests.support.service import User, check_problem


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


@each(operation for operation in OPERATIONS if operation.method == "GET" and operation.answers_with("ETag"))
def test_a_version_that_is_known_is_not_sent_again(user: User, operation: Operation) -> None:
    populate(user)
    where = address(operation.path, user)
    for request in operation.requests:
        tag = ask(user, operation, where, request).headers["ETag"]
        for known in [tag, f"W/{tag}", f'"other", {tag}', f'"a,b" , W/{tag} ,', "*"]:
            response = ask(user, operation, where, request, headers={"If-None-Match": known})
            assert (response.status_code, response.content) == (304, b""), f"{request.name}: {known}"
            assert response.headers["ETag"] == tag
        head = {**request.options(), "headers": {"If-None-Match": tag}}
        assert user.send("HEAD", where, **head).status_code == 304
        assert ask(user, operation, where, request, headers={"If-None-Match": '"other"'}).status_code == 200
    assert operation.takes("If-None-Match"), f"{operation.name}: the document doesn't name If-None-Match."
    assert "304" in operation.statuses, f"{operation.name}: the document doesn't name 304."


def test_a_list_that_has_changed_is_sent_again(user: User) -> None:
    task = user.create()
    tag = user.get().headers["ETag"]
    user.send("PATCH", f"/{task['id']}", json={"title": "new"})
    assert user.get("", headers={"If-None-Match": tag}).status_code == 200


def test_the_etag_of_a_list_changes_with_what_its_headers_say(user: User) -> None:
    user.create()
    alone = user.get("?limit=1")
    user.create()
    assert user.get("?limit=1", headers={"If-None-Match": alone.headers["ETag"]}).status_code == 200


MALFORMED = [
    ", , " * 2000 + "x",
    '"a"' + ",    " * 1000 + "x",
    "",
    "other",
    '"half',
    "*, *",
    "{} {}",
    "*, {}",
    "'x'",
]


@each_request(operation for operation in OPERATIONS if operation.takes("If-Match"))
def test_a_write_depends_on_the_version_in_if_match(user: User, operation: Operation, sent: Request) -> None:
    where = address(operation.path, user)
    one, _, after = operation.path.rpartition("}")
    [reader] = [reader for reader in OPERATIONS if (reader.method, reader.path) == ("GET", one + "}")]
    read = ask(user, reader, where.removesuffix(after), reader.requests[0])
    current = read.headers["ETag"]

    def write(if_match: str, to: str = where) -> httpx2.Response:
        return ask(user, operation, to, sent, headers={"If-Match": if_match.format(current, current)})

    for stale in ['"other"', ',, "other"', "W/{}", '""', f'"{current[1:-1]}x"', '"a", "b"']:
        check_problem(write(stale), 412)
    for malformed in MALFORMED:
        check_problem(write(malformed), 400, "/header/If-Match")
    missing = f"{where.removesuffix(after).rpartition('/')[0]}/{2**63 - 1}{after}"
    for there in ["{}", "*"]:
        check_problem(write(there, missing), 404)
    assert ask(user, reader, where.removesuffix(after), reader.requests[0]).content == read.content
    assert write('"other", {}').is_success
    assert write("*", address(operation.path, user)).is_success
    assert {"404", "412"} <= operation.statuses, f"{operation.name}: the document doesn't name 404 and 412."


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
