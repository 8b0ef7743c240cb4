"""A start that fails says why in one sentence."""

import sys

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from embedded.home import EmbeddedServerError


class StartupMiddleware:
    """Sends the server a foreseen failure's own message in place of its traceback."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def worded_send(message: Message) -> None:
            error = sys.exception()
            if message["type"] == "lifespan.startup.failed" and isinstance(error, EmbeddedServerError | OSError):
                message = {**message, "message": str(error)}
            await send(message)

        await self.app(scope, receive, worded_send if scope["type"] == "lifespan" else send)
