"""An application that does next to nothing, behind an edge with short limits."""

import asyncio

from starlette.types import Receive, Scope, Send

from edge.protocol import Protocol

ANSWER_BYTES = 8 * 1024 * 1024


class Quick(Protocol):
    head_seconds = 0.4
    unread_seconds = 0.8


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers at once; /slow a while later, /large with more than a client wants, POST with what it sent."""
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    content = b"ok"
    if scope["path"] == "/slow":
        await asyncio.sleep(3 * Quick.head_seconds)
    if scope["path"] == "/large":
        content = bytes(ANSWER_BYTES)
    if scope["method"] == "POST":
        content, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            content, more = content + message["body"], message["more_body"]
    headers = [(b"content-length", b"%d" % len(content)), (b"x-path", scope["path"].encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})
