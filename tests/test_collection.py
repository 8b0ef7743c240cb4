"""Filter, search, sort, count, pages and changes to many, freely combined."""

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


@pytest.fixture
def shelf(user: User) -> list[dict[str, Any]]:
    """Tasks whose order differs by each sort."""
    for title, completed in [("banana", True), ("Apple", False), ("cherry", True), ("apple", False), ("Banana", True)]:
        user.create(title, completed=completed, description=f"A {title}")
    for task in user.tasks()[1::2]:
        user.send("PATCH", f"/{task['id']}", json={"description": "changed"})
    return user.tasks()


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


def test_a_batch_comes_back_in_the_order_sent(user: User) -> None:
    sent = [{"title": f"Task {number % 7}", "completed": number % 2 == 0} for number in range(1000)]

    response = user.send("POST", "/batch", json=sent)

    made = response.json()
    assert response.status_code == 201
    assert [{"title": task["title"], "completed": task["completed"]} for task in made] == sent
    assert user.tasks() == made


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ([], ""),
        ([{"title": "x"}] * 1001, ""),
        ({"title": "x"}, ""),
        ([{"title": "x"}] * 17 + [{"title": " "}], "/17/title"),
        ([{"title": "x"}, {}], "/1/title"),
        ([{"title": "x"}, 5], "/1"),
    ],
)
def test_a_batch_is_all_or_none_and_an_error_names_the_element(user: User, body: Any, pointer: str) -> None:
    check_problem(user.send("POST", "/batch", json=body), 400, pointer)
    assert user.tasks() == []


# Each is asked of the tasks as they are, and once more when all that it is true of are completed.
FILTERS: dict[str, Any] = {
    "completed=true": lambda task: task["completed"],
    "completed=false": lambda task: not task["completed"],
    "q=AN": lambda task: "an" in task["title"].lower() or "an" in task["description"],
    "all=true": lambda _: True,
    "ids=0,99999999999999999999": lambda _: False,
    "q=nothing": lambda _: False,
    "completed=true&q=cherry": lambda task: task["completed"] and task["title"] == "cherry",
}


@pytest.mark.parametrize("query", FILTERS)
def test_a_change_to_many_touches_what_matches_and_nothing_else(
    user: User, stranger: User, shelf: list[dict[str, Any]], query: str
) -> None:
    theirs = [stranger.create("banana", completed=True)]
    matching = [task["id"] for task in shelf if FILTERS[query](task)]

    response = user.send("PATCH", f"?{query}", json={"completed": True})

    changed = user.tasks()
    assert (response.status_code, response.json()) == (200, {"updated": len(matching)})
    for before, after in zip(shelf, changed, strict=True):
        if before["id"] in matching:
            assert after == {**before, "completed": True, "updated_at": after["updated_at"]}
            assert after["updated_at"] > before["updated_at"]
        else:
            assert after == before

    matching = [task["id"] for task in changed if FILTERS[query](task)]
    response = user.send("DELETE", f"?{query}")
    assert (response.status_code, response.json()) == (200, {"deleted": len(matching)})
    assert user.tasks() == [task for task in changed if task["id"] not in matching]
    assert stranger.tasks() == theirs


def test_ids_of_others_and_unknown_ids_are_passed_over(user: User, stranger: User) -> None:
    mine, kept, theirs = user.create(), user.create(), stranger.create()
    response = user.send("DELETE", f"?ids={mine['id']},{theirs['id']},{mine['id']},99999999")
    assert response.json() == {"deleted": 1}
    assert (user.tasks(), stranger.tasks()) == ([kept], [theirs])


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("", "/query/all"),
        ("all=false", "/query/all"),
        ("all=true&completed=true", "/query/all"),
        ("all=true&ids=1", "/query/all"),
        ("complete=true", "/query/complete"),
        ("completed=true&Q=x", "/query/Q"),
        ("completed=yes", "/query/completed"),
        ("q=", "/query/q"),
        ("ids=", "/query/ids"),
        ("ids=1,,2", "/query/ids"),
        ("ids=1,x", "/query/ids"),
        ("ids=1&ids=2", "/query/ids"),
        ("ids=" + ",".join(["1"] * 1001), "/query/ids"),
        ("all=1", "/query/all"),
        ("limit=1", "/query/limit"),
    ],
)
def test_a_change_to_many_is_guarded_against_accidents(user: User, method: str, query: str, pointer: str) -> None:
    task = user.create()
    body = {"json": {"completed": True}} if method == "PATCH" else {}
    check_problem(user.send(method, f"?{query}", **body), 400, pointer)
    assert user.tasks() == [task]


@pytest.mark.parametrize("body", [None, {}, {"completed": None}, {"title": "x"}, {"completed": "true"}])
def test_a_change_to_many_sets_completed_alone(user: User, body: Any) -> None:
    check_problem(user.send("PATCH", "?all=true", json=body), 400)


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
