"""Every operation of the OpenAPI document, and valid requests for it made from the document's own examples.

Whoever adds an operation to the API adds it to the tests that use this, by giving its parameters and its body
examples (``examples=[…]``), as ``/docs`` wants them too.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import quote

import httpx2
import pytest

from main import create_app
from tests.support.mistakes import mistakes
from tests.support.service import User, settings_for

DOCUMENT = create_app(settings_for()).openapi()
EVENTS = "text/event-stream"
NOTHING: Any = object()


@dataclass(frozen=True)
class Request:
    """What is sent to an operation, beside its path and the token."""

    name: str
    query: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = NOTHING

    def options(self) -> dict[str, Any]:
        """The arguments for a client of httpx."""
        body = {} if self.body is NOTHING else {"json": self.body}
        return {"params": self.query, "headers": self.headers, **body}


@dataclass(frozen=True)
class Operation:
    """An operation as the document describes it."""

    method: str
    path: str
    described: dict[str, Any] = field(repr=False)

    @property
    def name(self) -> str:
        return str(self.described["operationId"])

    @property
    def statuses(self) -> set[str]:
        """The answers that the document names one by one."""
        return set(self.described["responses"]) - {"default"}

    @property
    def inner_parameters(self) -> list[str]:
        """What its path names beside the owner."""
        return [name for name in re.findall(r"{(\w+)}", self.path) if name != "user_id"]

    @property
    def streams(self) -> bool:
        """Whether its answer has no end."""
        return any(EVENTS in answer.get("content", {}) for answer in self.described["responses"].values())

    def parameters(self, place: str) -> list[dict[str, Any]]:
        return [parameter for parameter in self.described.get("parameters", []) if parameter["in"] == place]

    def takes(self, header: str) -> bool:
        return header in [parameter["name"] for parameter in self.parameters("header")]

    def answers_with(self, header: str) -> bool:
        answers = [answer for status, answer in self.described["responses"].items() if status.startswith("2")]
        return any(header in answer.get("headers", {}) for answer in answers)

    @cached_property
    def body(self) -> dict[str, Any] | None:
        """The schema of its body."""
        content: dict[str, Any] = self.described.get("requestBody", {}).get("content", {})
        return resolve(content["application/json"]["schema"]) if content else None

    @property
    def element(self) -> dict[str, Any]:
        """The schema of what its body has, be it one or an array of them."""
        body = self.body or {}
        return resolve(body["items"]) if body.get("type") == "array" else body

    @cached_property
    def requests(self) -> list[Request]:
        """A request with what must be there, and one more for each value of each thing that may."""
        place = {"query": "query", "header": "headers"}
        optional: list[tuple[str, dict[str, Any]]] = []
        plain: dict[str, Any] = {"query": {}, "headers": {}}
        for parameter in [*self.parameters("query"), *self.parameters("header")]:
            name, values = parameter["name"], values_of(parameter)
            if parameter.get("required"):
                assert values, f"{self.name}: give the parameter {name} an example, so that tests can send it."
                plain[place[parameter["in"]]][name] = values[0]
            else:
                optional += [(f"{name}={value}", {place[parameter["in"]]: {name: value}}) for value in values]
        if self.body:
            if self.described["requestBody"].get("required"):
                plain["body"] = example(self.body)
            else:
                optional.append(("with a body", {"body": example(self.body)}))
        return [
            Request(self.name, **plain),
            *(Request(f"{self.name} {name}", **merged(plain, more)) for name, more in optional),
        ]


def merged(plain: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    return {**plain, **{name: {**plain[name], **v} if name in ("query", "headers") else v for name, v in more.items()}}


def values_of(parameter: dict[str, Any]) -> list[str]:
    """What a parameter may be: its example, each of the few values that it can have, or the least."""
    schema = parameter["schema"]
    named = [named["value"] for named in parameter.get("examples", {}).values()]
    values = [parameter["example"]] if "example" in parameter else named or schema.get("examples", [])
    values = values or schema.get("enum") or ["true", "false"] * (schema.get("type") == "boolean")
    values = values or [schema[key] for key in ("minimum", "default") if key in schema][:1]
    return [value if isinstance(value, str) else json.dumps(value) for value in values]


def resolve(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema itself, where it is a reference, and the first of several."""
    while "$ref" in schema or "anyOf" in schema:
        found = DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else None
        schema = found or {**schema["anyOf"][0], **{key: schema[key] for key in ("examples",) if key in schema}}
    return schema


def example(schema: dict[str, Any]) -> Any:
    """A valid value; a property that has no example is left out where it may be."""
    schema = resolve(schema)
    if "examples" in schema:
        return schema["examples"][0]
    if schema.get("type") == "array":
        return [example(schema["items"])]
    if "properties" in schema:
        required = schema.get("required", [])
        shown = {name: s for name, s in schema["properties"].items() if name in required or "examples" in resolve(s)}
        return {name: example(property_) for name, property_ in shown.items()}
    known = [schema[key] for key in ("default", "const") if key in schema] + schema.get("enum", [])
    assert known, f"Give this an example, so that tests can send it: {schema}"
    return known[0]


def operations() -> Iterator[Operation]:
    for path, methods in DOCUMENT["paths"].items():
        if path.startswith("/api/"):
            for method, described in methods.items():
                yield Operation(method.upper(), path, described)


OPERATIONS = list(operations())


def each(chosen: Iterable[Operation]) -> pytest.MarkDecorator:
    """Run a test for each of these."""
    listed = list(chosen)
    return pytest.mark.parametrize("operation", listed, ids=[operation.name for operation in listed])


def each_request(chosen: Iterable[Operation]) -> pytest.MarkDecorator:
    """Run a test for each request to each of these."""
    listed = [(operation, request) for operation in chosen for request in operation.requests]
    return pytest.mark.parametrize(("operation", "sent"), listed, ids=[request.name for _, request in listed])


def populate(user: User) -> None:
    """Let the user have two of everything that can be made."""
    for operation in [operation for operation in OPERATIONS if operation.method == "POST"] * 2:
        ask(user, operation, address(operation.path, user), operation.requests[0])


def address(template: str, user: User) -> str:
    """A path whose parameters are filled; what they name is made, by a POST to the collection that it stands in."""
    outer, found, rest = template.rpartition("/{")
    if not found:
        return template
    name, _, rest = rest.partition("}")
    within = address(outer, user)
    makers = [maker for maker in OPERATIONS if (maker.method, maker.path) == ("POST", outer)]
    if name == "user_id":
        value = user.id
    elif makers:
        made = ask(user, makers[0], within, makers[0].requests[0])
        assert made.is_success, f"{makers[0].name} refuses a request made from its examples: {made.text}"
        value = made.json()["id"]
    else:
        parameters = [p for each in OPERATIONS if each.path == template for p in each.parameters("path")]
        value = next(example(parameter["schema"]) for parameter in parameters if parameter["name"] == name)
    return f"{within}/{quote(str(value), safe='')}{rest}"


def ask(user: User, operation: Operation, where: str, request: Request, **changes: Any) -> httpx2.Response:
    """Send a request that must not fail; ``changes`` take the place of parts of it, as httpx names them."""
    options = {**request.options(), **changes}
    if "content" in changes:
        options.pop("json", None)
    options["headers"] = {**user.headers, **options["headers"]}
    mistakes.clear()
    with user.client.stream(operation.method, where, **options) as response:
        if not response.headers.get("Content-Type", "").startswith(EVENTS):
            response.read()
    if response.status_code >= 500:
        pytest.fail(f"{request.name} answers {response.status_code}. {mistakes or response.text}", pytrace=False)
    return response
