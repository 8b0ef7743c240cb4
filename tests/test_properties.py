"""Whatever a client sends, it never gets a 500, and what is accepted comes back as it was sent."""

import json
import string
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from routes.http.parameters import PlainInteger
from tests.support.operations import OPERATIONS, Operation, address, ask, each, values_of
from tests.support.service import User, check_problem

anything = st.text(st.characters(codec="utf-8"), max_size=300)
surrogates = st.text(st.characters(categories=["Cs"]), min_size=1, max_size=3)
edges = st.sampled_from([2**31, 2**63, 10**19 - 1, -(2**63) - 1])  # what the one or the other can't hold
values = st.recursive(
    st.none() | st.booleans() | st.integers() | edges | st.floats() | anything | surrogates,
    lambda children: st.lists(children, max_size=3) | st.dictionaries(anything, children, max_size=3),
    max_leaves=8,
)
few = hypothesis_settings(max_examples=25)  # for each operation


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


def answer_to(someone: User, operation: Operation, where: str | None = None, **changes: Any) -> str:
    """The status of an answer, which must be one that the document names."""
    response = ask(someone, operation, where or address(operation.path, someone), operation.requests[0], **changes)
    status = str(response.status_code)
    assert status in operation.statuses | ({"405"} if where else set()), f"{operation.name}: {status} {response.text}"
    return status


def one_of(names: Iterable[str]) -> st.SearchStrategy[str]:
    return st.sampled_from(sorted(names))


@each(operation for operation in OPERATIONS if operation.body)
@given(data=st.data())
@few
def test_any_body_gets_its_answer(someone: User, operation: Operation, data: st.DataObject) -> None:
    names = one_of([*operation.element["properties"], "id", "user_id"])
    likely = st.dictionaries(names, values | st.just("x") | st.booleans())
    body = data.draw(likely | st.lists(likely, max_size=3) | values | st.binary(max_size=200))
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer_to(someone, operation, content=content, headers={"Content-Type": "application/json"})


@each(OPERATIONS)
@given(data=st.data())
@few
def test_any_query_gets_its_answer(someone: User, operation: Operation, data: st.DataObject) -> None:
    known = {parameter["name"]: values_of(parameter) or ["x"] for parameter in operation.parameters("query")}
    likely = one_of(known).flatmap(
        lambda name: st.tuples(st.just(name), st.sampled_from(known[name]) | anything | edges.map(str))
    )
    pairs = st.tuples(anything, anything) | likely if known else st.tuples(anything, anything)
    answer_to(someone, operation, params=data.draw(st.lists(pairs, max_size=4)))


@each(OPERATIONS)
@given(data=st.data())
@few
def test_any_header_gets_its_answer(someone: User, operation: Operation, data: st.DataObject) -> None:
    known = {parameter["name"] for parameter in operation.parameters("header")}
    names = one_of(known | {"X-Request-Id", "Content-Type", "Accept", "Origin", "If-None-Match", "Range"})
    text = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60).map(str.strip)
    answer_to(someone, operation, headers=data.draw(st.dictionaries(names, text | st.just("*"))))


@each(operation for operation in OPERATIONS if operation.inner_parameters)
@given(value=anything | (st.integers() | edges).map(str))
@few
def test_any_id_gets_its_answer(someone: User, operation: Operation, value: str) -> None:
    before, _, after = operation.path.rpartition("}")
    outer = before.rpartition("/")[0].replace("{user_id}", someone.id)
    answer_to(someone, operation, f"{outer}/{quote(value, safe='')}{after}")


@pytest.mark.parametrize(("sent", "read"), [("-5", -5), ("-0", 0), ("007", 7), (str(2**63 - 1), 2**63 - 1)])
def test_a_plain_integer_is_what_was_sent(sent: str, read: int) -> None:
    assert TypeAdapter(PlainInteger).validate_python(sent) == read


@pytest.mark.parametrize("sent", [str(2**63), "-" + "9" * 5000, "1.0", "+1", "\u0661"])
def test_a_plain_integer_that_a_column_can_t_hold_is_refused(sent: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(PlainInteger).validate_python(sent)
