"""The errors that a request can be answered with, in one shape: ``application/problem+json`` (RFC 9457)."""

import json
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

MEDIA_TYPE = "application/problem+json"
MOST_FAULTS = 50
TITLES = {413: "Content Too Large", 422: "Unprocessable Content"}  # which Python 3.11 and 3.13 call differently


def title(status: int) -> str:
    """The status in words (RFC 9110, section 15)."""
    return TITLES.get(status) or HTTPStatus(status).phrase


class Fault(BaseModel):
    """One thing that is wrong with a request."""

    detail: str = Field(examples=["String should have at least 1 character"])
    pointer: str = Field(
        description="A JSON pointer into the body, or /query/…, /path/…, /header/….", examples=["/title"]
    )


class ProblemBody(BaseModel):
    """An error, as RFC 9457 describes it."""

    type: str = Field(description="Always about:blank: the status says what it is.", examples=["about:blank"])
    title: str = Field(description="The status in words.", examples=["Bad Request"])
    status: int = Field(ge=400, le=599, examples=[400])
    detail: str = Field(description="A sentence for people.", examples=["The request is not valid."])
    request_id: str = Field(
        description="The same as in X-Request-Id and in the log.", examples=["5f2b8c1e9d3a47608b1c2d3e4f5a6b7c"]
    )
    errors: list[Fault] = Field(
        default_factory=list, max_length=MOST_FAULTS, description="What is wrong, and where; for 400 only."
    )


class Problem(HTTPException):
    """Raised by a route or dependency to answer the request with it.

    An ``HTTPException``, since FastAPI answers any other exception while it reads a body with a 400 of its own.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        faults: Iterable[tuple[str, str]] = (),
    ) -> None:
        """``faults`` are pairs of pointer and detail."""
        super().__init__(status, detail, headers)
        self.faults = [{"detail": text, "pointer": pointer} for pointer, text in faults][:MOST_FAULTS]

    def body(self, request_id: str) -> str:
        """What ``ProblemBody`` describes."""
        body: dict[str, Any] = {
            "type": "about:blank",
            "title": title(self.status_code),
            "status": self.status_code,
            "detail": self.detail,
            "request_id": request_id,
        }
        return json.dumps({**body, "errors": self.faults} if self.faults else body)


class Unavailable(Problem):
    """What the service needs can't answer now; the client should try again after ``seconds``."""

    def __init__(self, detail: str, seconds: int = 1) -> None:
        super().__init__(503, detail, headers={"Retry-After": str(seconds)})


def bad_request(pointer: str, detail: str) -> Problem:
    return Problem(400, "The request is not valid.", faults=[(pointer, detail)])


def unauthorized(detail: str, error: str = "") -> Problem:
    """A 401 as RFC 6750 (section 3) has it: ``error`` only where a token was presented."""
    challenge = f'Bearer error="{error}"' if error else "Bearer"
    return Problem(401, detail, headers={"WWW-Authenticate": challenge})


def too_many_tasks(most: int) -> Problem:
    return Problem(403, f"A user may have at most {most} tasks.")


def no_account() -> Problem:
    """The 401 of an owner who is gone from BETTER_AUTH_USER_TABLE."""
    return unauthorized("The account of this token no longer exists.", "invalid_token")
