"""What the OpenAPI document says of answers that FastAPI does not derive by itself."""

from typing import Any

from fastapi import FastAPI

from middleware.errors import MEDIA_TYPE, ProblemBody

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
IF_NONE_MATCH = {
    "parameters": [
        {
            "name": "If-None-Match",
            "in": "header",
            "description": "Answer 304 without a body while this is the ETag.",
            "schema": {"type": "string"},
        }
    ]
}
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


def document_errors(app: FastAPI) -> None:
    """Add the error's schema to the document: FastAPI would do so only as ``application/json``."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        schema = ProblemBody.model_json_schema(ref_template="#/components/schemas/{model}")
        definitions = schema.pop("$defs")
        document["components"]["schemas"].update({"ProblemBody": schema, **definitions})
        for operation in (operation for path in document["paths"].values() for operation in path.values()):
            for answer in operation["responses"].values():
                answer.setdefault("headers", {})["X-Request-Id"] = REQUEST_ID
        return document

    app.openapi = openapi  # type: ignore[method-assign]
