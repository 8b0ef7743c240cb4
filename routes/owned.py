"""The route class of everything that belongs to an owner: what is checked before FastAPI reads on."""

import asyncio
import re
from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import parse_qsl

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic_core import from_json
from starlette.requests import Request
from starlette.responses import Response

from middleware.auth import authenticate
from middleware.errors import Problem, bad_request
from routes.conditions import is_known

LARGEST_BODY = 2 * 1024 * 1024
BODY_SECONDS = 30
JSON_TYPE = re.compile(rb"application/(?:[\w.+-]+\+)?json\s*(?:;.*)?", re.IGNORECASE)


class OwnedRoute(APIRoute):
    """Authenticates first, then refuses what FastAPI would let pass, then runs the route.

    The order is the contract's: 401 and 403 come before a query, a header or the body is looked at.
    A GET whose answer carries an ETag answers ``If-None-Match`` by itself.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        known = _query_names(self.dependant)
        takes_body = self.body_field is not None
        reads = "GET" in (self.methods or ())

        async def handle_owned(request: Request) -> Response:
            await authenticate(request)
            if request.scope["query_string"]:
                _check_query_names(request, known)
            if takes_body:
                request = JsonRequest(request.scope, request.receive)
                await request.check_content_type()
            response = await handle(request)
            if reads and is_known(request, response.headers.get("etag")):
                return _not_modified(response)
            return response

        return handle_owned


def _not_modified(response: Response) -> Response:
    kept = {name: value for name, value in response.headers.items() if not name.startswith("content-")}
    return Response(status_code=304, headers=kept)


def _query_names(dependant: Dependant) -> set[str]:
    own = {parameter.alias for parameter in dependant.query_params}
    return own.union(*map(_query_names, dependant.dependencies))


def _check_query_names(request: Request, known: set[str]) -> None:
    try:
        pairs = parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        raise bad_request("/query", "The query is not UTF-8.") from None
    names = [name for name, _ in pairs]
    faults = []
    for name in dict.fromkeys(names):
        shown = re.sub(r"[^\w.-]", "?", name)[:50]
        if name not in known:
            faults.append((f"/query/{shown}", "There is no such query parameter."))
        elif names.count(name) > 1:
            faults.append((f"/query/{shown}", "This query parameter stands more than once."))
    if faults:
        raise Problem(400, "The request is not valid.", faults=faults)


class JsonRequest(Request):
    """A request whose body is at most ``LARGEST_BODY`` bytes of JSON, as RFC 8259 has it, in UTF-8."""

    async def check_content_type(self) -> None:
        sent = [value for name, value in self.scope["headers"] if name == b"content-type"]
        if await self.body() and not (len(sent) == 1 and JSON_TYPE.fullmatch(sent[0])):
            raise Problem(415, "Send the body as application/json.")

    async def body(self) -> bytes:
        if not hasattr(self, "_body"):
            try:
                async with asyncio.timeout(BODY_SECONDS):
                    self._body = await self._limited_body()
            except TimeoutError:
                raise Problem(408, "The body took too long to arrive.", headers={"Connection": "close"}) from None
        return self._body

    async def _limited_body(self) -> bytes:
        body = bytearray()
        async for chunk in self.stream():
            body += chunk
            if len(body) > LARGEST_BODY:
                raise Problem(413, f"A body may have at most {LARGEST_BODY} bytes.")
        return bytes(body)

    async def json(self) -> Any:
        try:
            # Stricter than json.loads: no NaN, no lone surrogate, no UTF-16, no endless nesting.
            return from_json(await self.body(), allow_inf_nan=False)
        except ValueError as error:
            message = re.sub(r" at line.*", "", str(error))
            raise bad_request("", f"The body is not JSON: {message}.") from None
