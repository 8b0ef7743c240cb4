"""Every error leaves the service in one shape: ``application/problem+json`` (RFC 9457)."""

import logging
from collections.abc import Mapping
from typing import Any

import psycopg
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError, ResponseValidationError
from pydantic import ValidationError
from sqlalchemy.exc import DBAPIError
from starlette.exceptions import HTTPException
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Match

from problems import MEDIA_TYPE, Problem
from sqlstates import first_line, problem_of, sqlstate

logger = logging.getLogger(__name__)

SENTENCES = {"model_attributes_type": "Input should be an object"}  # clearer than Pydantic's own


def problem_response(request: Request, problem: Problem) -> Response:
    return Response(problem.body(request.state.request_id), problem.status_code, problem.headers, MEDIA_TYPE)


async def _on_http_exception(request: Request, error: HTTPException) -> Response:
    if isinstance(error, Problem):
        return problem_response(request, error)
    if error.status_code == 404:
        return problem_response(request, Problem(404, "There is nothing at this address."))
    if error.status_code == 405:
        allowed = ", ".join(sorted(_allowed_methods(request)))
        detail = f"This address answers {allowed}."
        return problem_response(request, Problem(405, detail, headers={"Allow": allowed}))
    return problem_response(request, Problem(error.status_code, str(error.detail), headers=error.headers))


def _allowed_methods(request: Request) -> set[str]:
    """The methods of all routes at this address; each route knows only its own (RFC 9110, 15.5.6)."""
    methods: set[str] = set()
    for route in request.app.router.routes:
        if route.matches(request.scope)[0] is not Match.NONE:
            methods |= getattr(route, "methods", None) or set()
    return methods | {"HEAD"} if "GET" in methods else methods


async def _on_invalid(request: Request, error: RequestValidationError) -> Response:
    faults = [
        (_pointer(fault), SENTENCES.get(fault["type"], fault["msg"].removeprefix("Value error, ")))
        for fault in error.errors()
    ]
    return problem_response(request, Problem(400, "The request is not valid.", faults=faults))


def _pointer(fault: Mapping[str, Any]) -> str:
    source, *parts = fault["loc"]
    if fault["type"] == "json_invalid":
        return ""  # FastAPI gives an offset
    # Only names of this API's own fields stand here, so nothing needs the escapes of RFC 6901.
    return "".join(f"/{part}" for part in (parts if source == "body" else [source, *parts]))


async def _on_database_error(request: Request, error: DBAPIError) -> Response:
    """A session's statement failed; those of ``fetch`` are told from each other where they run."""
    problem = problem_of(error)
    if problem is None:
        raise error
    logger.warning("%s %s", problem.detail, first_line(error))
    return problem_response(request, problem)


async def _on_disconnect(_request: Request, _error: ClientDisconnect) -> None:
    """In the middle of its request: nobody is left to answer."""


async def _on_unforeseen(request: Request, unforeseen: Exception) -> Response:
    request_id, error = request.state.request_id, without_rows(unforeseen)
    logger.error("Unforeseen error in %s", request_id, exc_info=error, extra={"request_id": request_id})
    return problem_response(request, Problem(500, "Something went wrong on our side."))


def add_error_handlers(app: FastAPI) -> None:
    app.exception_handler(HTTPException)(_on_http_exception)
    app.exception_handler(RequestValidationError)(_on_invalid)
    app.exception_handler(DBAPIError)(_on_database_error)
    app.exception_handler(ClientDisconnect)(_on_disconnect)
    # Inside CORS, so that a browser may read it: a handler of Starlette's own for Exception stands outside of it.
    app.add_middleware(ExceptionMiddleware, handlers={Exception: _on_unforeseen})


class Failure(Exception):
    """Stands in the log for an error that would show a row, or what somebody sent."""


def without_rows(error: BaseException) -> BaseException:
    """The error as it may be logged. PostgreSQL's DETAIL holds the row that failed, and Pydantic's text the input."""
    match error:
        case psycopg.Error() | DBAPIError():
            return Failure(f"SQLSTATE {sqlstate(error)}: {first_line(error)}").with_traceback(error.__traceback__)
        case ValidationError() | ResponseValidationError():
            places = [f"{fault['type']} at {fault['loc']}" for fault in error.errors()]
            return Failure(f"{type(error).__name__}: {', '.join(places)}").with_traceback(error.__traceback__)
        case BaseExceptionGroup():
            inner = [without_rows(each) for each in error.exceptions]
            return BaseExceptionGroup(error.message, inner).with_traceback(error.__traceback__)
    for name in ("__cause__", "__context__"):
        if cause := getattr(error, name):
            setattr(error, name, None)  # it may lead back here, where the error has come out of a group
            setattr(error, name, without_rows(cause))
    return error
