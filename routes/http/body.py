"""Bodies: JSON, of a limited size, in a limited time."""

import asyncio
import re
from typing import Any

from pydantic_core import from_json
from starlette.requests import Request

from problems import Problem, bad_request

LARGEST_BODY = 2 * 1024 * 1024
BODY_SECONDS = 15
JSON_TYPE = re.compile(rb"application/(?:[\w.+-]+\+)?json\s*(?:;.*)?", re.IGNORECASE)


class JsonRequest(Request):
    """A request whose body is at most ``LARGEST_BODY`` bytes of JSON, as RFC 8259 has it, in UTF-8."""

    async def check_content_type(self) -> None:
        if b"content-encoding" in dict(self.scope["headers"]):
            raise Problem(415, "Send the body without a Content-Encoding.", headers={"Accept-Encoding": "identity"})
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
