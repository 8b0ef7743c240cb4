"""A connection, guarded: uvicorn's own class for it, with limits.

By itself that one limits neither the size of a request's head nor the time it takes, believes trailers, loses the body
of a request that asks for another protocol, and keeps an answer for ever that nobody reads.
"""

import asyncio
import logging
import math
from itertools import chain
from typing import Any

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from edge.refusals import answer, too_large, too_many
from edge.unread import unread
from live import Live
from problems import Problem, Unavailable

logger = logging.getLogger(__name__)


class Protocol(HttpToolsProtocol):
    """One connection, HTTP/1.1. What it refuses is answered in the one error shape, where an answer can be given.

    The application has the word while it answers; this class limits only the times in which nobody else would.
    ``--limit-concurrency`` is how many connections are served, beside those that follow a stream: more get a 503, and
    ``/health``.
    """

    largest_head = 64 * 1024  # bytes: of request line and headers, and of whatever else is no body
    most_lines = 100  # of headers
    most_pipelined = 16  # requests that wait for the answer to the one before them
    head_seconds = 10.0  # for a head, from its first byte; or for what is left of a request that was answered
    unread_seconds = 30.0  # to take ``least_read`` of an answer, or what is left of it
    least_read = 32 * 1024  # bytes
    stop_seconds = 5.0  # for the rest of bodies and answers when the service stops
    linger_seconds = 1.0  # for a client to read a refusal (RFC 9112, 9.6)

    # With more than 30 attributes in its dictionary, a connection would cost 1.2 KiB more (PEP 412).
    __slots__ = (
        *("_in_head", "_in_request", "_is_excess", "_is_refused", "_running", "_timer"),
        *("_unparsed", "_unread", "_unread_since", "_waits_since", "most_connections"),
    )

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.most_connections = self.limit_concurrency or math.inf
        self.limit_concurrency = None  # uvicorn's own way refuses in text/plain, and /health too
        self._is_excess = False
        self._is_refused = False
        self._in_head = False
        self._in_request = False
        self._unparsed = 0  # bytes since the parser last made something of them
        self._waits_since: float | None = None  # for the client, unless a request is being answered
        self._unread: float = math.inf  # bytes of answers
        self._unread_since = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._running: RequestResponseCycle | None = None

    @property
    def excess(self) -> float:
        """How many connections are open beyond those that are served; negative where there is room."""
        live: Live | None = self.app_state.get("live")
        return len(self.connections) - (live.number if live else 0) - self.most_connections

    # What asyncio calls

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._is_excess = self.excess > 0
        self._waits_since = self.loop.time()
        self._timer = self.loop.call_later(self.head_seconds, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer:
            self._timer.cancel()
        # uvicorn tells the request that came last; the one that is being answered may be another.
        self.pipeline.clear()
        if self._running:
            self._running.disconnected = True
            self._running.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        if self.timeout_keep_alive_task is not None:
            self._unset_keepalive_if_required()
        if self._waits_since is None:
            self._waits_since = self.loop.time()
        self._unparsed += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self.data_received(self._head_without_upgrade() + data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            cause = error.__context__
            self._refuse(cause if isinstance(cause, Problem) else Problem(400, "This is not a request of HTTP/1.1."))
        else:
            if self._unparsed > self.largest_head:
                self._refuse(too_large())

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread, self._unread_since = unread(self.transport), self.loop.time()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._unread = math.inf

    # What the parser calls

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = self._in_request = True

    def on_headers_complete(self) -> None:
        self._unparsed = 0
        size = len(self.url) + sum(map(len, chain.from_iterable(self.headers)))
        if size > self.largest_head or len(self.headers) > self.most_lines:
            raise too_large()
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                raise Problem(400, "This service is no proxy.")
            return
        if self._is_excess and self.url != b"/health":
            raise too_many()
        if len(self.pipeline) >= self.most_pipelined:
            raise Unavailable("Wait for answers before you send so many requests.")
        self._in_head = False
        super().on_headers_complete()
        # Trailers come as headers do: nobody reads them, since who is calling was decided (RFC 9110, 6.5.1).
        self.headers = []
        if self._is_excess:
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        self._unparsed = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unparsed = 0
        if not self.parser.should_upgrade():
            self._in_request = False
            super().on_message_complete()

    # What uvicorn calls

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        self._waits_since = self.loop.time() if self._in_request else None
        super().on_response_complete()

    def shutdown(self) -> None:
        super().shutdown()
        if self._timer:
            self._timer.cancel()
        self._timer = self.loop.call_later(self.stop_seconds, self._stop)

    def _stop(self) -> None:
        """End what waits for the client. The application takes a body that breaks off for a client that left."""
        if self._in_request or self.transport.get_write_buffer_size():
            self.transport.abort()

    def _look(self) -> None:
        """See whether the client may go on: one timer a connection, at least every ``head_seconds``."""
        now = self.loop.time()
        due = [now + self.head_seconds]
        if self._waits_since is not None and not self._is_answering():
            due.append(self._waits_since + self.head_seconds)
            if due[-1] <= now:
                self._end_wait()
        if self.flow.write_paused or self.transport.is_closing():
            # Nothing is added then, so that less is left only if the client reads.
            left = unread(self.transport)
            if left <= self._unread - self.least_read:
                self._unread, self._unread_since = left, now
            due.append(self._unread_since + self.unread_seconds)
            if due[-1] <= now:
                self.transport.abort()
                return
        self._timer = self.loop.call_at(max(now, min(due)), self._look)

    def _end_wait(self) -> None:
        if self._in_head and not self._is_refused:
            self._refuse(Problem(408, "The headers took too long to arrive."))
        else:
            self.transport.close()

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete  # type: ignore[redundant-expr]

    def _head_without_upgrade(self) -> bytes:
        """The head that was just read, to be read again: who asks for another protocol may be answered in this one.

        The parser takes what follows for that protocol, and would lose the body (RFC 9110, 7.8).
        """
        line = b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        kept = [b"%b: %b" % header for header in self.headers if header[0] != b"upgrade"]
        return b"\r\n".join([line, *kept, b"", b""])

    def _refuse(self, problem: Problem) -> None:
        """Answer with the problem and close; behind answers that are still owed, close without it."""
        self._is_refused = True
        if problem.status_code != 503:  # under load there is no time for lines; see Door
            logger.info("A connection was refused with %d. %s", problem.status_code, problem.detail)
        if self._is_answering():
            if self._in_head:
                self.cycle.keep_alive = False
                return
            # It is in the body of what is being answered: for the application, the client has left.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            if self.cycle.response_started or self.pipeline:
                self.transport.abort()
                return
        self.transport.write(answer(problem))
        if self.transport.can_write_eof():
            # Closing at once would take the answer back from a client that is still sending.
            self.transport.write_eof()
            self.loop.call_later(self.linger_seconds, self.transport.abort)
        else:
            self.transport.close()
