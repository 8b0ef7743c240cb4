"""The route class of everything that belongs to an owner: what is checked before FastAPI reads on."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi.routing import APIRoute
from starlette.convertors import PathConvertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response

from auth.owner import authenticate
from routes.http.body import JsonRequest
from routes.http.conditions import revalidated
from routes.http.query import check_query, query_fields


class OwnerConvertor(PathConvertor):
    """Any text: a user id is opaque, and may have slashes and, unlike a path of Starlette's, line breaks."""

    regex = r"[\s\S]*"


register_url_convertor("owner", OwnerConvertor())


class OwnedRoute(APIRoute):
    """Decides the order: 401 and 403 come before a query, a header or the body is looked at.

    Then it refuses what FastAPI would let pass, and runs the route. A GET whose answer carries an ETag answers
    ``If-None-Match`` by itself.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        known = query_fields(self.dependant)
        if None in known.values():
            raise TypeError("Take query parameters as a model: Annotated[Model, Depends(FromQuery(Model))].")
        takes_body = self.body_field is not None
        reads = "GET" in (self.methods or ())

        async def handle_owned(request: Request) -> Response:
            await authenticate(request)
            if request.scope["query_string"]:
                check_query(request.scope["query_string"], known)
            if takes_body:
                request = JsonRequest(request.scope, request.receive)
                await request.check_content_type()
            response = await handle(request)
            return revalidated(request, response) if reads else response

        return handle_owned
