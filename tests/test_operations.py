"""What every operation of the OpenAPI document does alike, future ones too: requests are made from its examples."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from main import READABLE_HEADERS
from routes.tasks import BESIDE_IDS
from tests.support.operations import DOCUMENT, OPERATIONS, Operation, address, ask, each, example, populate, resolve
from tests.support.service import User, check_problem

JSON = {"Content-Type": "application/json"}
BEYOND = str(2**63 - 1)


@each(OPERATIONS)
def test_an_operation_answers_requests_made_from_its_examples_as_documented(user: User, operation: Operation) -> None:
    populate(user)
    succeeded = []
    for request in operation.requests:
        where = address(operation.path, user)
        for response in [ask(user, operation, where, request), ask(user, operation, where, request)]:
            status = str(response.status_code)
            assert status in operation.statuses, f"{request.name} answers {status}, which the document doesn't name."
            described = operation.described["responses"][status]
            unnamed = {name for name in READABLE_HEADERS if name in response.headers} - {*described["headers"]}
            assert not unnamed, f"{request.name}: the document doesn't name {unnamed} of the answer {status}."
            if status.startswith("2"):
                succeeded.append(request)
                assert (status != "204") == ("content" in described), f"{request.name}: is there a body, or not?"
            else:
                check_problem(response, response.status_code)
    assert succeeded, (
        f"{operation.name}: no request succeeds, the last with {response.status_code}: {response.text}. Give its "
        "parameters and body examples that are valid."
    )


def test_a_name_beside_the_ids_is_known_as_such() -> None:
    segments = {path.partition("/tasks/")[2].partition("/")[0] for path in DOCUMENT["paths"]}
    unknown = {name for name in segments if name and not name.startswith("{")} - {*BESIDE_IDS}
    assert not unknown, f"Add {unknown} to BESIDE_IDS in routes/tasks.py, or it could be taken for a task's id."


@each(OPERATIONS)
def test_an_operation_asks_for_its_owner_s_token_before_anything_else(
    user: User, stranger: User, operation: Operation
) -> None:
    assert operation.described.get("security") == [{"bearer": []}], f"{operation.name} asks for no token."
    broken: dict[str, Any] = {"params": {"unknown": "1"}, "content": b"\xff" * 3_000_000}
    for where in {address(operation.path, stranger), operation.path.replace("{user_id}", stranger.id)}:
        for token, status in [(None, 401), ("Bearer not.a.token", 401), (user.headers["Authorization"], 403)]:
            headers = {"Content-Type": "text/plain", "If-Match": "?", "Idempotency-Key": "a b"}
            headers |= {"Authorization": token} if token else {}
            check_problem(user.client.request(operation.method, where, headers=headers, **broken), status)


@dataclass(frozen=True)
class Fault:
    """Something wrong with a request: ``changes`` are arguments of the client's."""

    status: int
    pointer: str | None
    changes: dict[str, Any]
    concerns: Callable[[Operation], Any]


def has_body(operation: Operation) -> bool:
    return operation.body is not None


def takes(header: str) -> Callable[[Operation], bool]:
    return lambda operation: operation.takes(header)


FAULTS = {
    "an unknown parameter": Fault(400, "/query/unknown", {"params": {"unknown": "1"}}, lambda _: True),
    "no JSON": Fault(400, "", {"content": b"{", "headers": JSON}, has_body),
    "undeclared JSON": Fault(415, None, {"content": b"{}", "headers": {"Content-Type": "text/plain"}}, has_body),
    "a huge body": Fault(413, None, {"content": b" " * (2**21 + 1), "headers": JSON}, has_body),
    "a changed version": Fault(412, None, {"headers": {"If-Match": '"old"'}}, takes("If-Match")),
    "a malformed version": Fault(400, "/header/If-Match", {"headers": {"If-Match": "old"}}, takes("If-Match")),
    "a malformed key": Fault(
        400, "/header/Idempotency-Key", {"headers": {"Idempotency-Key": "a b"}}, takes("Idempotency-Key")
    ),
}
FAULTY = [(one, name) for one in OPERATIONS for name, fault in FAULTS.items() if fault.concerns(one)]


@pytest.mark.parametrize(("operation", "name"), FAULTY, ids=[f"{one.name}, {name}" for one, name in FAULTY])
def test_what_is_wrong_with_a_request_is_told_in_the_one_shape(user: User, operation: Operation, name: str) -> None:
    fault = FAULTS[name]
    response = ask(user, operation, address(operation.path, user), operation.requests[0], **fault.changes)
    check_problem(response, fault.status, fault.pointer)
    assert str(fault.status) in operation.statuses, f"{operation.name}: the document doesn't name {fault.status}."


@each(operation for operation in OPERATIONS if operation.inner_parameters)
def test_what_is_not_there_is_404_and_what_can_t_be_is_400(user: User, operation: Operation) -> None:
    name = operation.inner_parameters[-1]
    before, _, after = operation.path.rpartition(f"{{{name}}}")
    collection = address(before.rstrip("/"), user)
    for value, status, pointer in [(BEYOND, 404, None), ("word", 400, f"/path/{name}")]:
        response = ask(user, operation, f"{collection}/{value}{after}", operation.requests[0])
        check_problem(response, status, pointer)
        assert str(status) in operation.statuses, f"{operation.name}: the document doesn't name {status}."


def test_keys_of_repeated_requests_have_their_answer_in_the_document() -> None:
    for operation in OPERATIONS:
        if operation.takes("Idempotency-Key"):
            assert "422" in operation.statuses, operation.name
            assert operation.answers_with("Idempotency-Replayed"), operation.name


# What Pydantic would take for the type, unless it is told to be strict; and what no column holds.
LOOK_ALIKES: dict[str, list[Any]] = {
    "integer": [True, "2", 2.5, 2.0, 2**63, -(2**63) - 1],
    "number": [True, "2.5"],
    "boolean": [1, 0, "true", "on"],
    "string": [1, True, ["x"]],
    "date-time": ["5", "2026-11-23", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00"],
    "date": ["86400", "2026-11-23T00:00:00Z"],
    "array": [{}, "x"],
    "object": [[], "x"],
}
STRICT = (
    "give it a strict type, and bounds, in schemas.py: Annotated[StrictInt, Field(ge=1, le=5)], StrictBool, Moment, "
    "or one that is made as Moment is"
)


def fields() -> list[tuple[Operation, str, list[str]]]:
    """Each property of each body: the operation, the property, and its type and format."""
    found = []
    for operation in [operation for operation in OPERATIONS if operation.body]:
        for name, property_ in operation.element["properties"].items():
            schema = resolve(property_)
            found.append((operation, name, [kind for kind in (schema.get("type"), schema.get("format")) if kind]))
    return found


FIELDS = fields()


@pytest.mark.parametrize(("operation", "name", "kinds"), FIELDS, ids=[f"{o.name} {n}" for o, n, _ in FIELDS])
def test_a_field_takes_its_own_type_alone(user: User, operation: Operation, name: str, kinds: list[str]) -> None:
    valid = next(r for r in operation.requests if ask(user, operation, address(operation.path, user), r).is_success)
    where = address(operation.path, user)
    many = (operation.body or {}).get("type") == "array"
    for value in [value for kind in kinds for value in LOOK_ALIKES.get(kind, [])]:
        body = {**example(operation.element), name: value}
        options = {**valid.options(), "json": [body] if many else body}
        response = user.send(operation.method, where, **options)
        if response.status_code != 400:
            taken = f"{operation.name} answers {response.status_code} to {value!r} in {name}, which is a {kinds[-1]}"
            pytest.fail(f"{taken}: {STRICT}.", pytrace=False)
        check_problem(response, 400, f"/0/{name}" if many else f"/{name}")
