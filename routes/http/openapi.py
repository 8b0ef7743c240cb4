"""What the OpenAPI document says of answers and headers that FastAPI does not derive by itself."""

from typing import Any

from problems import MEDIA_TYPE, title

Answers = dict[int | str, dict[str, Any]]

# What conditions.py takes, bare or in quotes.
TAGS = r'^(\*|(W/)?"[!#-~]*"(, *(W/)?"[!#-~]*")*)$'
KEY = r'^([!#-~][!-~]{0,254}|"([!#-\[\]-~]|\\["\\]){1,255}")$'
VERSION = "2026-11-23T10:00:00.000000Z"


def _header(description: str, example: Any, *, required: bool = True, **schema: Any) -> dict[str, Any]:
    return {
        "description": description,
        "required": required,
        "schema": {"type": "string", **schema},
        "example": example,
    }


ETAG = _header("The version, for If-Match and If-None-Match. A task's is its updated_at in quotes.", f'"{VERSION}"')
REQUEST_ID = _header(
    "The caller's own, where it is sane, else a new one; the same as in the log.",
    "5f2b8c1e9d3a47608b1c2d3e4f5a6b7c",
    pattern="^[A-Za-z0-9._-]{1,128}$",
)
CHALLENGE = {"WWW-Authenticate": _header("What is missing (RFC 6750).", 'Bearer error="invalid_token"')}
RETRY = {"Retry-After": _header("Seconds to wait before trying again.", 1, type="integer", minimum=1)}


def problem(
    status: int,
    description: str,
    detail: str,
    *,
    fault: dict[str, str] | None = None,
    headers: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """An answer that is an error; ``detail`` and ``fault`` stand in its example."""
    example: dict[str, Any] = {
        "type": "about:blank",
        "title": title(status),
        "status": status,
        "detail": detail,
        "request_id": REQUEST_ID["example"],
    }
    if fault:
        example["errors"] = [fault]
    schema = {"$ref": "#/components/schemas/ProblemBody"}
    return {
        "description": description,
        "headers": headers or {},
        "content": {MEDIA_TYPE: {"schema": schema, "example": example}},
    }


# With "default" here, FastAPI adds no 422 of its own.
ERRORS: Answers = {
    400: problem(
        400,
        "The body, a parameter or a header is not valid; errors says where.",
        "The request is not valid.",
        fault={"detail": "String should have at least 1 character", "pointer": "/title"},
    ),
    401: problem(401, "No token, or one that does not verify.", "The token has expired.", headers=CHALLENGE),
    403: problem(403, "The token belongs to another user.", "The token belongs to another user than this address."),
    503: problem(
        503, "The database or the key server is away, or too busy.", "The database can't be reached.", headers=RETRY
    ),
    "default": problem(500, "Any other error.", "Something went wrong on our side."),
}
REFUSED: Answers = {"4XX": problem(405, "What HTTP itself refuses.", "This address answers GET, HEAD.")}
NO_SUCH_TASK: Answers = {404: problem(404, "The owner has no such task.", "There is no such task.")}
OVER_QUOTA: Answers = {
    403: problem(
        403,
        "The token belongs to another user, or the user would have too many tasks.",
        "A user may have at most 100000 tasks.",
    )
}
CHANGED: Answers = {
    412: problem(
        412,
        "The task has changed since the ETag in If-Match.",
        "The task has changed since you read it. Read it again, then decide.",
    )
}
BODY: Answers = {
    413: problem(413, "The body has more than 2 MiB.", "A body may have at most 2097152 bytes."),
    415: problem(415, "The body is not application/json.", "Send the body as application/json."),
}
KEY_REUSED: Answers = {
    422: problem(
        422,
        "The Idempotency-Key stands for another request.",
        "This Idempotency-Key was used for another request. Take a new key.",
    )
}
NOT_MODIFIED: Answers = {304: {"description": "Still the version in If-None-Match.", "headers": {"ETag": ETAG}}}


def header_parameter(name: str, description: str, example: str, **schema: Any) -> dict[str, Any]:
    # The example stands in the schema: on the parameter, /docs would fill it in and send it.
    described = {"name": name, "in": "header", "required": False, "description": description}
    return {"parameters": [{**described, "schema": {"type": "string", **schema, "examples": [example]}}]}


# These are read where they are needed, so FastAPI doesn't know of them.
IF_NONE_MATCH = header_parameter("If-None-Match", "Answer 304 without a body while this is the ETag.", f'"{VERSION}"')
IF_MATCH = header_parameter("If-Match", "Change the task only while it has this ETag.", f'"{VERSION}"', pattern=TAGS)
IDEMPOTENCY_KEY = header_parameter(
    "Idempotency-Key",
    "1 to 255 visible ASCII characters, new for each task you mean to make. "
    "Sent again within 24 hours, it gets the first answer again.",
    "8e03978e-40d5-43dd-bc93-6894a57f9324",
    pattern=KEY,
)

READ: Answers = {200: {"description": "The task.", "headers": {"ETag": ETAG}}}
WRITTEN: Answers = {200: {"description": "The task as it is now.", "headers": {"ETag": ETAG}}}
REPLAYED = {
    "Idempotency-Replayed": _header(
        "Where this is the first answer to the key again.", "true", required=False, enum=["true"]
    )
}
LISTED: Answers = {
    200: {
        "description": "A page of tasks.",
        "headers": {
            "ETag": ETAG,
            "Link": _header(
                "The next page, while there is more.",
                '</api/alice/tasks?limit=100&cursor=…>; rel="next"',
                required=False,
            ),
            "X-Total-Count": _header(
                "How many tasks match, where count=true.", 1, required=False, type="integer", minimum=0
            ),
        },
    }
}
LOCATION = _header("The task's address, without a host.", "/api/alice/tasks/1")
CREATED: Answers = {201: {"description": "The new task.", "headers": {"ETag": ETAG, "Location": LOCATION, **REPLAYED}}}
CREATED_MANY: Answers = {201: {"description": "The new tasks, in the order sent.", "headers": REPLAYED}}
DELETED: Answers = {204: {"description": "The task is gone."}}
