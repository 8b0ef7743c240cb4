"""Each request gets its id and its line in the log."""

import os
import re
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from auth.limit import LIMITED
from logs import AccessLog, trace_of_now
from middleware.errors import without_rows
from middleware.headers import completed

SANE_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")


class RequestMiddleware:
    """Gives each request its id, in ``scope["state"]`` and in the answer, and its line in the log.

    Each answer gets the headers that all have, here where every answer passes.
    """

    def __init__(self, app: ASGIApp, log: AccessLog | None) -> None:
        self.app = app
        self.log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        request_id = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        status = 499  # as nginx says of a client that left before the answer

        async def tagged_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [*message["headers"], (b"x-request-id", request_id.encode())]
                if limited := scope["state"].get(LIMITED):
                    headers += [(name.lower().encode(), text.encode()) for name, text in limited.items()]
                message["headers"] = completed(scope, headers)
            await send(message)

        try:
            await self.app(scope, receive, tagged_send)
        except Exception as error:  # after the answer has begun: the server cuts it, and logs this
            failure = without_rows(error)
            failure.add_note(f"In request {request_id}")
            raise failure from failure.__cause__
        finally:
            if self.log:
                route = getattr(scope.get("route"), "path_format", "-")
                duration_ms = round((time.perf_counter() - started) * 1000, 2)
                traced = trace_of_now() if "fastapi.telemetry" in scope else {}  # else there is none, and no call
                self.log.write(scope["method"], route, status, duration_ms, request_id, **traced)


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and SANE_REQUEST_ID.fullmatch(value):
            return str(value.decode())
    return os.urandom(16).hex()
