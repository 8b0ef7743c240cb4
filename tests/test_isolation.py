"""Every operation of the OpenAPI document, by itself: nobody reaches another's tasks."""

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from config import Settings
from main import create_app
from tests.support.service import User, check_problem

DOCUMENT = create_app(Settings(_env_file=None, better_auth_secret="0123456789abcdefghijklmnopqrstuv")).openapi()


def operations() -> Iterator[tuple[str, str]]:
    for path, methods in DOCUMENT["paths"].items():
        for method in methods:
            if path.startswith("/api/"):
                yield method.upper(), path


OPERATIONS = list(operations())
ON_A_TASK = [(method, path) for method, path in OPERATIONS if "{task_id}" in path]


def example_of(method: str, path: str) -> dict[str, Any]:
    """A valid query and body for an operation, made from its own description."""
    operation = DOCUMENT["paths"][path][method.lower()]
    options: dict[str, Any] = {}
    if "requestBody" in operation:
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        options["json"] = example(schema)
    if any(parameter["name"] == "all" for parameter in operation["parameters"]):
        options["params"] = {"all": "true"}
    return options


def example(schema: dict[str, Any]) -> Any:
    if "$ref" in schema:
        schema = DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    if "examples" in schema:
        return schema["examples"][0]
    if schema.get("type") == "array":
        return [example(schema["items"])]
    if "anyOf" in schema:
        return example(schema["anyOf"][0])
    return {name: example(value) for name, value in schema["properties"].items()}


def test_the_document_has_operations_and_all_ask_for_a_token() -> None:
    assert len(OPERATIONS) >= 10
    for method, path in OPERATIONS:
        assert DOCUMENT["paths"][path][method.lower()]["security"] == [{"bearer": []}]


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_an_operation_answers_its_owner_alone(
    client: httpx2.Client, user: User, stranger: User, method: str, path: str
) -> None:
    mine, theirs = user.create("Mine"), [stranger.create("Theirs", description="Private")]
    options = example_of(method, path)

    def send(owner: str, task_id: int, headers: dict[str, str]) -> httpx2.Response:
        address = path.format(user_id=owner, task_id=task_id)
        with client.stream(method, address, headers=headers, **options) as response:
            if "event-stream" not in response.headers.get("Content-Type", ""):  # which has no end
                response.read()
            return response

    check_problem(send(stranger.id, theirs[0]["id"], {}), 401)
    check_problem(send(stranger.id, theirs[0]["id"], {"Authorization": "Bearer not.a.token"}), 401)
    check_problem(send(stranger.id, theirs[0]["id"], user.headers), 403)
    check_problem(send("nobody-at-all", 1, user.headers), 403)
    if (method, path) in ON_A_TASK:
        check_problem(send(user.id, theirs[0]["id"], user.headers), 404)
    assert send(user.id, mine["id"], user.headers).status_code < 300
    assert stranger.tasks() == theirs
