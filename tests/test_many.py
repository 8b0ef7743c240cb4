"""Batches, and changes to many."""

from typing import Any

import pytest

from tests.support.service import User, check_problem


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
