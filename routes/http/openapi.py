"""What the OpenAPI document says of answers that FastAPI does not derive by itself."""

import functools
import json
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from problems import MEDIA_TYPE, ProblemBody
from routes.http.query import query_fields

_PROBLEM = {"content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemBody"}}}}


def _header(description: str, kind: str = "string") -> dict[str, Any]:
    return {"description": description, "schema": {"type": kind}}


def problem(description: str, **headers: str) -> dict[str, Any]:
    return {"description": description, "headers": {name: _header(text) for name, text in headers.items()}, **_PROBLEM}


ETAG = _header('The version, for If-Match and If-None-Match. A task\'s is its updated_at in quotes: "2026-11-23T…Z".')
REQUEST_ID = _header("The caller's own, where it is sane, else a new one; the same as in the log.")
RETRY = {"Retry-After": "Seconds to wait before trying again."}

# With "default" here, FastAPI adds no 422 of its own.
ERRORS: dict[int | str, dict[str, Any]] = {
    400: problem("The body, a parameter or a header is not valid; errors says where."),
    401: problem("No token, or one that does not verify.", **{"WWW-Authenticate": "The Bearer challenge."}),
    403: problem("The token belongs to another user."),
    503: problem("The database or the key server is away, or too busy.", **RETRY),
    "default": problem("Any other error."),
}
NO_SUCH_TASK: dict[int | str, dict[str, Any]] = {404: problem("The owner has no such task.")}
CHANGED: dict[int | str, dict[str, Any]] = {412: problem("The task has changed since the ETag in If-Match.")}
BODY: dict[int | str, dict[str, Any]] = {
    413: problem("The body has more than 2 MiB."),
    415: problem("The body is not application/json."),
}
KEY_REUSED: dict[int | str, dict[str, Any]] = {422: problem("The Idempotency-Key stands for another request.")}
NOT_MODIFIED: dict[int | str, dict[str, Any]] = {
    304: {"description": "Still the version in If-None-Match.", "headers": {"ETag": ETAG}}
}


def header_parameter(name: str, description: str, **more: Any) -> dict[str, Any]:
    parameter = {"name": name, "in": "header", "description": description, "schema": {"type": "string"}}
    return {"parameters": [{**parameter, **more}]}


# These are read where they are needed, so FastAPI doesn't know of them.
IF_NONE_MATCH = header_parameter("If-None-Match", "Answer 304 without a body while this is the ETag.")
IF_MATCH = header_parameter("If-Match", "Change the task only while it has this ETag.")
IDEMPOTENCY_KEY = header_parameter(
    "Idempotency-Key",
    "1 to 255 visible ASCII characters, new for each task you mean to make. "
    "Sent again within 24 hours, it gets the first answer again.",
    example="8e03978e-40d5-43dd-bc93-6894a57f9324",
)
WITH_ETAG: dict[int | str, dict[str, Any]] = {200: {"headers": {"ETag": ETAG}}}
REPLAYED = {"Idempotency-Replayed": _header("true, where this is the first answer to the key again.")}
LISTED: dict[int | str, dict[str, Any]] = {
    200: {
        "headers": {
            "ETag": ETAG,
            "Link": _header('The next page, while there is more: </api/…>; rel="next".'),
            "X-Total-Count": _header("How many tasks match, where count=true.", "integer"),
        }
    }
}
CREATED: dict[int | str, dict[str, Any]] = {
    201: {"headers": {"ETag": ETAG, "Location": _header("The task's address, without a host."), **REPLAYED}}
}
CREATED_MANY: dict[int | str, dict[str, Any]] = {201: {"headers": REPLAYED}}


def complete_document(app: FastAPI) -> None:
    """Add what FastAPI leaves out: query models, and the error's schema, which it would call ``application/json``."""
    generate = app.openapi

    @functools.cache
    def openapi() -> dict[str, Any]:
        document = generate()
        schema = ProblemBody.model_json_schema(ref_template="#/components/schemas/{model}")
        definitions = schema.pop("$defs")
        document["components"]["schemas"].update({"ProblemBody": schema, **definitions})
        for operation in (operation for path in document["paths"].values() for operation in path.values()):
            for answer in operation["responses"].values():
                answer.setdefault("headers", {})["X-Request-Id"] = REQUEST_ID
        for route in app.router.routes:
            if isinstance(route, APIRoute) and route.include_in_schema:
                for method in route.methods or ():
                    operation = document["paths"][route.path_format][method.lower()]
                    operation["parameters"] = [
                        *([OWNER] if "{user_id}" in route.path_format else []),
                        *operation.get("parameters", []),
                        *(_query_parameter(name, s) for name, s in query_fields(route.dependant).items() if s),
                    ]
        return document

    app.openapi = openapi  # type: ignore[method-assign]
    app.state.openapi_json = functools.cache(lambda: json.dumps(openapi(), separators=(",", ":")).encode())


# The session's dependency reads the path by itself.
OWNER = {
    "name": "user_id",
    "in": "path",
    "required": True,
    "description": "The owner: the token's user id.",
    "schema": {"type": "string"},
    "example": "alice",
}


def _query_parameter(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    schema = dict(schema)
    described: dict[str, Any] = {key: schema.pop(key) for key in ("description", "examples") if key in schema}
    schema.pop("title", None)
    if "anyOf" in schema:  # absent, where Python has None
        [kind, _null] = schema.pop("anyOf")
        schema = {**kind, **{key: value for key, value in schema.items() if value is not None}}
    parameter: dict[str, Any] = {"name": name, "in": "query", "required": False, **described, "schema": schema}
    if examples := parameter.pop("examples", None):
        parameter["example"] = examples[0]
    return parameter
