"""Filter, search, sort, count and pages, freely combined."""

from concurrent.futures import ThreadPoolExecutor
from itertools import product
from threading import Event
from typing import Any

import pytest

from queries import LIST
from routes.http.cursor import encode_cursor
from routes.http.parameters import ListParameters
from tests.support.service import User, check_problem

SORTS = list(LIST)


def sort_key(task: dict[str, Any], sort: str) -> tuple[Any, int]:
    name = sort.removeprefix("-")
    value = task[name].lower() if name == "title" else task["id"] if name == "created_at" else task[name]
    return value, task["id"]


def walk(user: User, query: str) -> list[dict[str, Any]]:
    """All tasks on the pages that Link leads to."""
    found, address = [], query
    while address:
        response = user.get(address)
        assert response.status_code == 200, response.text
        found += response.json()
        address = response.links.get("next", {}).get("url", "")
    return found


@pytest.mark.parametrize(
    ("sort", "completed", "q", "limit"), list(product(SORTS, ["", "true", "false"], ["", "an"], [1, 2, 5]))
)
def test_a_walk_finds_what_matches_in_order(
    user: User, shelf: list[dict[str, Any]], sort: str, completed: str, q: str, limit: int
) -> None:
    query = f"?sort={sort}&limit={limit}&count=true" + (f"&completed={completed}" if completed else "")
    query += f"&q={q}" if q else ""
    expected = [
        task
        for task in sorted(shelf, key=lambda task: sort_key(task, sort), reverse=sort.startswith("-"))
        if (not completed or task["completed"] == (completed == "true"))
        and (q in task["title"].lower() or q in task["description"].lower())
    ]

    assert walk(user, query) == expected
    assert user.get(query).headers["X-Total-Count"] == str(len(expected))
    assert "X-Total-Count" not in user.get("?limit=1").headers


@pytest.mark.parametrize(
    ("title", "found", "not_found"),
    [
        ("100% sure", ["100%", "% s", "%"], ["%%", "1%0", "_"]),
        ("snake_case", ["_", "E_C"], ["snake%case", "-"]),
        ("C:\\temp", ["\\", ":\\T"], ["\\\\", "/"]),
        ("Ägypten ÉCOLE", ["ägypten", "ÄGY", "école"], ["agypten"]),
        ("Привет", ["ПРИВЕТ", "вет"], ["privet"]),
        ("ΑΒΓ", ["αβγ"], ["abg"]),
        ('it\'s "quoted" 💚', ["'s \"Q", "💚"], ["💙"]),
    ],
)
def test_search_is_literal_and_knows_no_case(user: User, title: str, found: list[str], not_found: list[str]) -> None:
    by_title, by_description = user.create(title), user.create("Other", description=title)
    for q in found:
        assert user.get("", params={"q": q}).json() == [by_title, by_description], q
    for q in not_found:
        assert user.get("", params={"q": q}).json() == [], q


@pytest.mark.parametrize("changes", [{"sort": "title"}, {"completed": "true"}, {"q": "a"}, {"sort": "-created_at"}])
def test_a_cursor_belongs_to_its_sort_and_filters(
    user: User, shelf: list[dict[str, Any]], changes: dict[str, str]
) -> None:
    assert len(shelf) == 5
    plain = user.get("?limit=1").links["next"]["url"].partition("cursor=")[2]
    other = user.get("?limit=1", params={"limit": "1", **changes}).links["next"]["url"].partition("cursor=")[2]
    check_problem(user.get("", params={"cursor": plain, **changes}), 400, "/query/cursor")
    check_problem(user.get("", params={"cursor": other}), 400, "/query/cursor")
    assert user.get("", params={"cursor": other, "limit": "3", "count": "true", **changes}).status_code == 200


FORGED = {
    "created_at": ["[0]", "[-1]", "[true]", "[1.5]", '["1"]', "[9223372036854775808]", "{}", "1", "[1,2,3]"],
    "updated_at": [
        "[1]",
        '[1,"2026-11- 3T10:00:00.500000Z"]',
        '[1,"2026-13-01T10:00:00.500000Z"]',
        '[1,"\\u0662026-11-03T10:00:00.500000Z"]',
        '[1,"2026-W01-1T00:00:00Z"]',
        '[1,"infinity"]',
    ],
    "title": ["[1]", "[1,null]", "[1,2]", '[1,"\\u0000"]', '[1,"\\ud800"]', "[" * 2000],
}


@pytest.mark.parametrize(("sort", "position"), [(sort, each) for sort, forged in FORGED.items() for each in forged])
def test_a_cursor_that_was_made_up_is_refused(user: User, sort: str, position: str) -> None:
    cursor = encode_cursor(ListParameters.model_validate({"sort": sort}), position)
    check_problem(user.get("", params={"sort": sort, "cursor": cursor}), 400, "/query/cursor")


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.concurrency
def test_a_walk_among_writers_skips_and_doubles_nothing_that_stays_put(user: User, sort: str) -> None:
    steady = [user.create(f"steady {number:03}") for number in range(30)]
    movers = [user.create(f"mover {number}") for number in range(10)]
    stop = Event()

    def write(number: int) -> None:
        while not stop.is_set():
            task = user.create(f"new {number}")
            user.send("PATCH", f"/{movers[number]['id']}", json={"title": f"zz {number}"})
            user.send("DELETE", f"/{task['id']}")

    with ThreadPoolExecutor(3) as writers:
        writing = [writers.submit(write, number) for number in range(3)]
        walks = [walk(user, f"?sort={sort}&limit=4") for _ in range(3)]
        stop.set()
        assert not [future.exception() for future in writing if future.exception()]

    steady_ids = {task["id"] for task in steady}
    for found in walks:
        seen = [task["id"] for task in found if task["id"] in steady_ids]
        assert len(seen) == len(set(seen))
        assert set(seen) == steady_ids


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("q=", "/query/q"),
        ("q=" + "x" * 201, "/query/q"),
        ("q=%00", "/query/q"),
        ("sort=nothing", "/query/sort"),
        ("sort=", "/query/sort"),
        ("sort=TITLE", "/query/sort"),
        ("count=1", "/query/count"),
        ("all=true", "/query/all"),
        ("ids=1", "/query/ids"),
        ("cursor=" + "A" * 5000, "/query/cursor"),
    ],
)
def test_a_list_parameter_outside_its_range_is_named(user: User, query: str, pointer: str) -> None:
    check_problem(user.get(f"?{query}"), 400, pointer)
