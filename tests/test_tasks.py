"""What a frontend does with tasks, over HTTP."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import httpx2
import pytest
from pydantic import TypeAdapter

from schemas import TaskPublic
from tests.support.service import User, check_problem

Tasks = TypeAdapter(list[TaskPublic])


def test_a_new_task_comes_back_whole_and_can_be_read_at_its_location(user: User) -> None:
    response = user.send("POST", json={"title": "  Buy milk ", "description": "Oat"})

    task = response.json()
    assert response.status_code == 201
    expected = {"user_id": user.id, "title": "Buy milk", "description": "Oat", "completed": False}
    assert task == {**task, **expected, "updated_at": task["created_at"]}
    assert response.headers["Location"] == f"{user.path}/{task['id']}"
    read = user.get(response.headers["Location"])
    assert (read.status_code, read.json(), read.headers["ETag"]) == (200, task, response.headers["ETag"])


def test_the_bytes_are_those_of_the_response_schema(user: User) -> None:
    created = user.create('Ünïcode \U0001f600 "quoted" \\ / \u2028 \t', description="a\nb")

    body = user.get().content

    assert [task.model_dump(mode="json") for task in Tasks.validate_json(body, strict=True)] == [created]
    assert list(user.get().json()[0]) == list(TaskPublic.model_fields)
    assert datetime.fromisoformat(created["created_at"]).utcoffset() is not None
    assert created["created_at"].endswith("Z")


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_a_change_keeps_what_was_not_sent(user: User, method: str) -> None:
    task = user.create("Old", description="Keep me")

    response = user.send(method, f"/{task['id']}", json={"title": "New"})

    changed = response.json()
    assert response.status_code == 200
    assert changed == {**task, "title": "New", "updated_at": changed["updated_at"]}
    assert changed["updated_at"] > task["updated_at"]
    assert user.get(f"/{task['id']}").json() == changed
    assert user.send(method, f"/{task['id']}", json={"description": None}).json()["description"] is None


def test_what_belongs_to_the_server_is_ignored_in_a_body(user: User, stranger: User) -> None:
    whole = {"id": 1, "user_id": stranger.id, "created_at": "2001-01-01T00:00:00Z", "updated_at": 0, "unknown": "red"}

    task = user.create("Mine", **whole)
    changed = user.send("PUT", f"/{task['id']}", json={**task, **whole, "completed": True}).json()

    assert changed == {**task, "completed": True, "updated_at": changed["updated_at"]}
    assert task["user_id"] == user.id
    assert task["created_at"] > "2026"
    assert stranger.tasks() == []


def test_completing_toggles_without_a_body_and_sets_with_one(user: User) -> None:
    address = f"/{user.create()['id']}/complete"

    toggled = [user.send("PATCH", address).json()["completed"] for _ in range(3)]
    repeated = [user.send("PATCH", address, json={"completed": False}).json()["completed"] for _ in range(2)]

    assert toggled == [True, False, True]
    assert repeated == [False, False]


@pytest.mark.parametrize("body", ["null", "{}", "[]", '{"completed":null}', '{"completed":1}', '"true"'])
def test_a_body_that_does_not_say_the_state_never_toggles(user: User, body: str) -> None:
    task = user.create()
    headers = {"Content-Type": "application/json"}
    check_problem(user.send("PATCH", f"/{task['id']}/complete", content=body, headers=headers), 400)
    assert user.tasks() == [task]


def test_zeros_before_an_id_or_a_limit_change_nothing(user: User) -> None:
    tasks = [user.create() for _ in range(12)]
    padded = "0" * 18 + str(tasks[0]["id"])
    assert user.get(f"/{padded}9").status_code == 404
    assert user.send("DELETE", f"?ids={padded}9").json() == {"deleted": 0}
    assert user.get(f"/{padded}").json() == tasks[0]
    assert len(user.get(f"?limit={'0' * 30}11").json()) == 11


def test_a_deleted_task_is_gone(user: User) -> None:
    task, kept = user.create(), user.create("Kept")

    response = user.send("DELETE", f"/{task['id']}")

    assert (response.status_code, response.content) == (204, b"")
    assert user.tasks() == [kept]
    for method in ["GET", "PUT", "PATCH", "DELETE"]:
        check_problem(user.send(method, f"/{task['id']}", **({"json": {"title": "x"}} if "P" in method else {})), 404)


def test_a_list_is_an_array_in_order_of_creation_page_by_page(user: User) -> None:
    created = [user.create(f"Task {number}") for number in range(5)]

    pages, address = [], "?limit=2"
    while address:
        response = user.get(address)
        pages.append(response.json())
        address = response.links.get("next", {}).get("url", "")
        assert not address or address.startswith("/api/")

    assert [len(page) for page in pages] == [2, 2, 1]
    assert [task for page in pages for task in page] == created
    assert User(user.client).get().json() == []


@pytest.mark.parametrize(
    "id",
    ["a b", "ünï", "a/b", "x/tasks/1", "a%2Fb", "a?b#c", "me@example.com", "'; DROP TABLE tasks; --", "💚", "a" * 255],
)
def test_a_user_id_is_opaque_text(client: httpx2.Client, id: str) -> None:  # noqa: A002
    user = User(client, id)
    user.path = f"/api/{httpx2.URL('http://h', params={'x': id}).query.decode()[2:].replace('+', '%20')}/tasks"

    response = user.send("POST", json={"title": "Mine"})

    task = response.json()
    assert (response.status_code, task["user_id"]) == (201, id)
    assert user.get(response.headers["Location"]).json() == task
    assert task in user.get("?limit=1000").json()
    user.send("DELETE", f"/{task['id']}")


def test_head_answers_as_get_does_without_a_body(user: User, client: httpx2.Client) -> None:
    task = user.create()

    for address in [user.path, f"{user.path}/{task['id']}", "/health", "/health/ready", "/docs", "/openapi.json"]:
        get, head = (client.request(method, address, headers=user.headers) for method in ("GET", "HEAD"))

        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["Content-Length"] == str(len(get.content))
        assert head.headers.get("ETag") == get.headers.get("ETag")
    missing = user.send("HEAD", "/9999999")
    assert (missing.status_code, missing.content) == (404, b"")


@pytest.mark.concurrency
def test_every_change_is_later_than_the_one_before_also_among_concurrent_writers(user: User) -> None:
    address = f"/{user.create()['id']}"

    def change(number: int) -> str:
        changed: dict[str, Any] = user.send("PATCH", address, json={"title": str(number)}).json()
        return str(changed["updated_at"])

    with ThreadPoolExecutor(16) as pool:
        stamps = list(pool.map(change, range(100)))

    assert len(set(stamps)) == 100
    assert user.get(address).json()["updated_at"] == max(stamps)


@pytest.mark.concurrency
def test_many_first_tasks_of_a_new_user_at_once_are_all_kept(user: User) -> None:
    with ThreadPoolExecutor(32) as pool:
        created = list(pool.map(lambda number: user.create(str(number)), range(50)))

    assert {task["id"] for task in user.tasks()} == {task["id"] for task in created}
    assert len(user.tasks()) == 50


def test_health_needs_no_token_and_the_root_leads_to_the_docs(client: httpx2.Client) -> None:
    assert client.get("/health").json() == {"status": "ok"}
    assert client.get("/health/ready").json() == {"status": "ok"}
    assert client.get("/").headers["Location"] == "/docs"
    assert "swagger" in client.get("/", follow_redirects=True).text
