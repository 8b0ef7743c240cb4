"""HEAD works wherever GET does (RFC 9110, 9.3.2)."""

from collections.abc import Awaitable

from starlette.types import ASGIApp, Message, Receive, Scope, Send


def head_middleware(app: ASGIApp) -> ASGIApp:
    """Answers HEAD as GET, without the body."""

    def answer(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        is_head = scope["type"] == "http" and scope["method"] == "HEAD"
        return answer_head(scope, receive, send) if is_head else app(scope, receive, send)

    async def answer_head(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.start":  # the whole answer, also where the body would never end
                await send(message)
                await send({"type": "http.response.body", "body": b""})

        # A copy: the server reads its own, to expect no body.
        as_get = {**scope, "method": "GET"}
        try:
            await app(as_get, receive, send_head)
        finally:
            scope["route"] = as_get.get("route")  # for the log

    return answer
