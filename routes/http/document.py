"""The OpenAPI document as a whole: what it is about, and what FastAPI leaves out of it."""

import functools
import json
from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from problems import ProblemBody
from routes.http.openapi import REQUEST_ID
from routes.http.query import query_fields

ABOUT: Any = {
    "title": "Task API",
    "version": "1.0.0",
    "description": """\
The backend of a todo frontend. Each user has their own tasks under `/api/{user_id}/tasks`.

Send a bearer token with every request; `user_id` is the user it was issued for. An error is always
`application/problem+json` (RFC 9457), whose `detail` is a sentence for people. Lists come in pages: follow the `Link`
header. To edit safely, send back a task's `ETag` as `If-Match`; to retry safely, send an `Idempotency-Key`. To keep a
copy of the tasks, follow their changes.""",
    "contact": {"name": "The maintainers of the Task API"},
    "license_info": {"name": "MIT License", "identifier": "MIT"},
    "servers": [{"url": "/", "description": "This service"}],
    "openapi_tags": [
        {"name": "tasks", "description": "The tasks of one user."},
        {"name": "changes", "description": "What has changed since you last asked: what a copy of the tasks follows."},
        {"name": "health", "description": "For whoever runs the service: is it alive, and is it ready?"},
    ],
}
# The session's dependency reads the path by itself.
OWNER = {
    "name": "user_id",
    "in": "path",
    "required": True,
    "description": "The owner: the token's user id.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    "example": "alice",
}
# What Pydantic calls a bound that it checks around a validator of ours.
BOUNDS = {"ge": "minimum", "le": "maximum", "gt": "exclusiveMinimum", "lt": "exclusiveMaximum"}


def complete_document(app: FastAPI) -> None:
    """Add what FastAPI leaves out: query models, and the error's schema, which it would call ``application/json``."""
    generate = app.openapi

    @functools.cache
    def openapi() -> dict[str, Any]:
        document = generate()
        schema = ProblemBody.model_json_schema(ref_template="#/components/schemas/{model}")
        definitions = schema.pop("$defs")
        document["components"]["schemas"].update({"ProblemBody": schema, **definitions})
        for route, operation in _operations(app, document):
            operation["parameters"] = [
                *([OWNER] if "{user_id}" in route.path_format else []),
                *map(_own_parameter, operation.get("parameters", [])),
                *(_query_parameter(name, s) for name, s in query_fields(route.dependant).items() if s),
            ]
            for answer in operation["responses"].values():
                answer.setdefault("headers", {})["X-Request-Id"] = REQUEST_ID
        return document

    app.openapi = openapi  # type: ignore[method-assign]
    app.state.openapi_json = functools.cache(lambda: json.dumps(openapi(), separators=(",", ":")).encode())


def _operations(app: FastAPI, document: dict[str, Any]) -> Iterator[tuple[APIRoute, dict[str, Any]]]:
    for route in app.router.routes:
        if isinstance(route, APIRoute) and route.include_in_schema:
            for method in route.methods or ():
                yield route, document["paths"][route.path_format][method.lower()]


def _own_parameter(parameter: dict[str, Any]) -> dict[str, Any]:
    """As FastAPI wrote it; what is required has its example where /docs fills it in."""
    schema = dict(parameter["schema"])
    if not parameter["required"] or "examples" not in schema:
        return parameter
    return {**parameter, "example": schema.pop("examples")[0], "schema": schema}


def _query_parameter(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    """A field of a query model; with ``example`` beside ``examples``, /docs fills it in."""
    schema = {BOUNDS.get(key, key): value for key, value in schema.items()}
    described: dict[str, Any] = {"required": "default" not in schema}
    described |= {key: schema.pop(key) for key in ("description", "example") if key in schema}
    schema.pop("title", None)
    if "anyOf" in schema:  # absent, where Python has None
        [kind, _null] = schema.pop("anyOf")
        schema = {**kind, **{key: value for key, value in schema.items() if value is not None}}
    return {"name": name, "in": "query", **described, "schema": schema}
