"""Long random sequences of all operations by two owners, held against a simple model in memory."""

import copy
from typing import Any

import httpx2
import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    multiple,
    rule,
    run_state_machine_as_test,
)

from tests.support.service import User, check_problem

titles = st.sampled_from(["Apple", "apple", "Éclair", "éclair", "b%", "b_", "\\", "Zoë", "x" * 200])
descriptions = st.none() | st.sampled_from(["", "an apple", "100%", "ÉCLAIR"])
fields = st.fixed_dictionaries({}, optional={"title": titles, "description": descriptions, "completed": st.booleans()})
new_tasks = st.fixed_dictionaries(
    {"title": titles}, optional={"description": descriptions, "completed": st.booleans(), "id": st.integers()}
)
filters = st.fixed_dictionaries(
    {}, optional={"completed": st.booleans(), "q": st.sampled_from(["APP", "é", "%", "_", "\\", "zzz"])}
)
sorts = st.sampled_from(["created_at", "-created_at", "updated_at", "-updated_at", "title", "-title"])
owners = st.integers(0, 1)
DEFAULTS = {"description": None, "completed": False}


def matches(task: dict[str, Any], chosen: dict[str, Any]) -> bool:
    text = f"{task['title']}\0{task['description'] or ''}".lower()
    return chosen.get("completed", task["completed"]) == task["completed"] and (
        "q" not in chosen or chosen["q"].lower() in text
    )


def query(chosen: dict[str, Any]) -> dict[str, str]:
    return {name: str(value).lower() if isinstance(value, bool) else value for name, value in chosen.items()}


class TaskApi(RuleBasedStateMachine):
    """The model: for each owner the tasks by id, exactly as they were last answered."""

    tasks = Bundle("tasks")  # (owner, id)
    keys = Bundle("keys")  # (owner, key, body, answer)
    client: httpx2.Client

    @initialize()
    def new_users(self) -> None:
        self.users = [User(self.client), User(self.client)]
        self.model: list[dict[int, dict[str, Any]]] = [{}, {}]
        self.used_keys = 0

    def remember(self, owner: int, answer: dict[str, Any], expected: dict[str, Any]) -> tuple[int, int]:
        assert answer == {**answer, **{name: expected[name] for name in ("title", "description", "completed")}}
        assert answer["user_id"] == self.users[owner].id
        self.model[owner][answer["id"]] = answer
        return owner, answer["id"]

    @rule(target=tasks, owner=owners, new=new_tasks)
    def create(self, owner: int, new: dict[str, Any]) -> tuple[int, int]:
        response = self.users[owner].send("POST", json=new)
        assert response.status_code == 201
        assert response.json()["id"] not in self.model[owner]
        return self.remember(owner, response.json(), {**DEFAULTS, **new})

    @rule(target=tasks, owner=owners, new=st.lists(new_tasks, min_size=1, max_size=4))
    def create_many(self, owner: int, new: list[dict[str, Any]]) -> Any:
        response = self.users[owner].send("POST", "/batch", json=new)
        assert response.status_code == 201
        pairs = zip(response.json(), new, strict=True)
        return multiple(*(self.remember(owner, answer, {**DEFAULTS, **sent}) for answer, sent in pairs))

    @rule(target=keys, owner=owners, new=new_tasks)
    def create_once(self, owner: int, new: dict[str, Any]) -> tuple[int, str, dict[str, Any], bytes]:
        self.used_keys += 1
        key = f"key-{self.used_keys}"
        response = self.users[owner].send("POST", json=new, headers={"Idempotency-Key": key})
        assert response.status_code == 201
        self.remember(owner, response.json(), {**DEFAULTS, **new})
        return owner, key, new, response.content

    @rule(used=keys)
    def repeat(self, used: tuple[int, str, dict[str, Any], bytes]) -> None:
        owner, key, new, answer = used
        headers = {"Idempotency-Key": key}
        again = self.users[owner].send("POST", json=new, headers=headers)
        assert (again.status_code, again.content) == (201, answer)
        check_problem(self.users[owner].send("POST", json={"title": "another"}, headers=headers), 422)

    @rule(
        task=tasks,
        changes=fields,
        method=st.sampled_from(["PUT", "PATCH"]),
        version=st.sampled_from(["", "*", "now", "old"]),
    )
    def change(self, task: tuple[int, int], changes: dict[str, Any], method: str, version: str) -> None:
        owner, id_ = task
        known = self.model[owner].get(id_)
        headers = {"If-Match": '"old"' if version == "old" else "*"} if version else {}
        if version == "now" and known:
            headers = {"If-Match": f'"{known["updated_at"]}"'}
        response = self.users[owner].send(method, f"/{id_}", json=changes, headers=headers)
        if not changes:
            check_problem(response, 400)
        elif known is None:
            check_problem(response, 404)
        elif version == "old":
            check_problem(response, 412)
        else:
            assert response.status_code == 200
            assert response.json()["updated_at"] > known["updated_at"]
            self.remember(owner, response.json(), {**known, **changes})

    @rule(task=tasks, wanted=st.none() | st.booleans())
    def complete(self, task: tuple[int, int], wanted: bool | None) -> None:
        owner, id_ = task
        known = self.model[owner].get(id_)
        body = {} if wanted is None else {"json": {"completed": wanted}}
        response = self.users[owner].send("PATCH", f"/{id_}/complete", **body)
        if known is None:
            check_problem(response, 404)
        else:
            expected = not known["completed"] if wanted is None else wanted
            self.remember(owner, response.json(), {**known, "completed": expected})

    @rule(task=consumes(tasks))
    def delete(self, task: tuple[int, int]) -> None:
        owner, id_ = task
        response = self.users[owner].send("DELETE", f"/{id_}")
        assert response.status_code == (204 if self.model[owner].pop(id_, None) else 404)

    @rule(task=tasks)
    def read(self, task: tuple[int, int]) -> None:
        owner, id_ = task
        known = self.model[owner].get(id_)
        response = self.users[owner].get(f"/{id_}")
        assert (response.status_code, response.json() if known else None) == (200 if known else 404, known)
        check_problem(self.users[1 - owner].get(f"/{id_}"), 404)

    @rule(owner=owners, chosen=filters, completed=st.booleans())
    def change_many(self, owner: int, chosen: dict[str, Any], completed: bool) -> None:
        matching = [task for task in self.model[owner].values() if matches(task, chosen)]
        response = self.users[owner].send(
            "PATCH", params=query(chosen) or {"all": "true"}, json={"completed": completed}
        )
        assert response.json() == {"updated": len(matching)}
        now = {task["id"]: task for task in self.users[owner].tasks()}
        for task in matching:
            assert now[task["id"]]["updated_at"] > task["updated_at"]
            self.remember(owner, now[task["id"]], {**task, "completed": completed})

    @rule(owner=owners, chosen=filters)
    def delete_many(self, owner: int, chosen: dict[str, Any]) -> None:
        matching = [task for task in self.model[owner].values() if chosen and matches(task, chosen)]
        response = self.users[owner].send("DELETE", params=query(chosen))
        if not chosen:
            check_problem(response, 400)
        else:
            assert response.json() == {"deleted": len(matching)}
        for task in matching:
            del self.model[owner][task["id"]]

    @rule(owner=owners, chosen=filters, sort=sorts, limit=st.integers(1, 5), count=st.booleans())
    def walk(self, owner: int, chosen: dict[str, Any], sort: str, limit: int, count: bool) -> None:
        def key(task: dict[str, Any]) -> tuple[Any, ...]:
            name = sort.removeprefix("-")
            own = {"title": task["title"].lower(), "created_at": task["id"], "updated_at": task["updated_at"]}
            return own[name], task["id"]

        expected = sorted(
            (task for task in self.model[owner].values() if matches(task, chosen)),
            key=key,
            reverse=sort.startswith("-"),
        )
        found: list[dict[str, Any]] = []
        parameters = {**query(chosen), "sort": sort, "limit": str(limit)} | ({"count": "true"} if count else {})
        response = self.users[owner].get("", params=parameters)
        while True:
            assert response.status_code == 200
            assert response.headers.get("X-Total-Count") == (str(len(expected)) if count else None)
            assert len(response.json()) <= limit
            found += response.json()
            if "next" not in response.links:
                break
            response = self.users[owner].get(response.links["next"]["url"])
        assert found == expected

    def teardown(self) -> None:
        if hasattr(self, "users"):
            for user, known in zip(self.users, copy.deepcopy(self.model), strict=True):
                assert {task["id"]: task for task in user.tasks()} == known


def test_the_api_behaves_as_the_model_does(session_client: httpx2.Client, pytestconfig: pytest.Config) -> None:
    class WithClient(TaskApi):
        client = session_client

    # "make test args='-k model --examples 1000'" looks for longer.
    examples = pytestconfig.getoption("examples")
    run_state_machine_as_test(
        WithClient, settings=hypothesis_settings(max_examples=examples, stateful_step_count=50, deadline=None)
    )
