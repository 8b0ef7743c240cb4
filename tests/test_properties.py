"""Whatever a client sends, it never gets a 500, and what is accepted comes back as it was sent."""

import json
import string
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.service import User, check_problem

anything = st.text(st.characters(codec="utf-8"), max_size=300)
surrogates = st.text(st.characters(categories=["Cs"]), min_size=1, max_size=3)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | anything | surrogates,
    lambda children: st.lists(children, max_size=3) | st.dictionaries(anything, children, max_size=3),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def someone(session_client: httpx2.Client) -> User:
    return User(session_client)


@given(title=anything, description=st.none() | anything | st.text(min_size=990, max_size=1010))
def test_any_text_is_kept_as_it_is_or_refused(someone: User, title: str, description: str | None) -> None:
    response = someone.send("POST", json={"title": title, "description": description})

    if response.status_code == 201:
        task = response.json()
        assert task["title"] == title.strip()
        assert task["description"] == description
        assert someone.get(f"/{task['id']}").json() == task
    else:
        check_problem(response, 400)


@given(title=st.text(st.sampled_from(string.ascii_letters), min_size=1, max_size=200))
def test_every_plain_title_is_accepted(someone: User, title: str) -> None:
    assert someone.create(title)["title"] == title


@given(body=st.dictionaries(st.sampled_from(["title", "description", "completed", "id"]), values) | values)
def test_any_json_gets_its_answer(someone: User, body: Any) -> None:
    content = json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    for method, path in [("POST", ""), ("PATCH", "/1"), ("PUT", "/1"), ("PATCH", "/1/complete"), ("POST", "/batch")]:
        response = someone.send(method, path, content=content, headers=headers)
        assert response.status_code in {200, 201, 400, 404}, response.text


@given(body=st.binary(max_size=200))
def test_any_bytes_get_their_answer(someone: User, body: bytes) -> None:
    response = someone.send("POST", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code in {201, 400}


@given(task_id=anything | st.integers().map(str))
def test_any_task_id_gets_its_answer(someone: User, task_id: str) -> None:
    path = httpx2.QueryParams({"x": task_id})
    response = someone.get("/" + str(path)[2:].replace("+", "%20"))
    assert response.status_code in {200, 400, 403, 404}, response.text


@given(
    query=st.dictionaries(
        st.sampled_from(["completed", "q", "sort", "limit", "cursor", "count"]) | anything, anything, max_size=4
    )
)
def test_any_query_gets_its_answer(someone: User, query: dict[str, str]) -> None:
    response = someone.get("", params=query)
    assert response.status_code in {200, 400}, response.text


@given(damage=st.integers(0, 200), character=st.sampled_from(string.ascii_letters + string.digits + "-_=. "))
def test_a_damaged_cursor_is_refused(someone: User, damage: int, character: str) -> None:
    while len(someone.tasks()) < 2:
        someone.create()
    cursor = httpx2.URL(someone.get("?limit=1").links["next"]["url"]).params["cursor"]
    place = damage % len(cursor)
    damaged = cursor[:place] + character + cursor[place + 1 :]

    response = someone.get("", params={"limit": "1", "cursor": damaged})

    if damaged == cursor:
        assert response.status_code == 200
    else:
        check_problem(response, 400, "/query/cursor")


@given(
    headers=st.dictionaries(
        st.sampled_from(["If-Match", "If-None-Match", "Idempotency-Key", "X-Request-Id", "Content-Type", "Origin"]),
        st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60).map(str.strip),
    )
)
def test_any_header_gets_its_answer(someone: User, headers: dict[str, str]) -> None:
    for method, path in [("GET", ""), ("PATCH", "/1"), ("POST", ""), ("DELETE", "/1")]:
        body = {"content": b'{"title":"x"}'} if method in {"PATCH", "POST"} else {}
        response = someone.send(method, path, headers={"Content-Type": "application/json", **headers}, **body)
        assert response.status_code in {200, 201, 400, 404, 412, 415, 422}, response.text
