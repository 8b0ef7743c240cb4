"""A start that fails says why in one sentence."""

import sys
from collections.abc import Awaitable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from embedded.home import EmbeddedServerError


def startup_middleware(app: ASGIApp) -> ASGIApp:
    """Sends the server a foreseen failure's own message in place of its traceback."""

    def answer(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        return app(scope, receive, _worded(send) if scope["type"] == "lifespan" else send)

    return answer


def _worded(send: Send) -> Send:
    async def worded_send(message: Message) -> None:
        error = sys.exception()
        if message["type"] == "lifespan.startup.failed" and isinstance(error, EmbeddedServerError | OSError):
            message = {**message, "message": str(error)}
        await send(message)

    return worded_send
