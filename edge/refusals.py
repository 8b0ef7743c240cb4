"""What is said before there is a request, in the one error shape."""

import contextlib
import os
import re
import socket

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from middleware.headers import EVERYWHERE
from problems import MEDIA_TYPE, Problem, Unavailable

HEALTH = b"GET /health "
# A whole request without a body: behind it, the connection is as new.
PLAIN = re.compile(
    rb"GET [^ \r\n]+ HTTP/1\.1\r\n"
    rb"((?!(?i:connection:(?! *keep-alive\r)|content-length:|transfer-encoding:|upgrade:))"
    rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\r\n\0]*\r\n){1,100}\r\n"
)
MOST_READ = 64 * 1024


def too_large() -> Problem:
    return Problem(431, "The headers have more than 64 KiB or 100 lines.")


def too_many() -> Problem:
    return Unavailable("There are too many connections.")


def beginning(connection: socket.socket) -> bytes | None:
    """Of what the client has said, as much as ``HEALTH`` has; None where it has said nothing yet."""
    return _heard(connection, len(HEALTH), socket.MSG_PEEK)


def refuse(connection: socket.socket) -> bool:
    """Answer that there are too many connections, and say whether this one can go on being used."""
    # What is unread when it closes would take the answer back.
    can_stay = PLAIN.fullmatch(_heard(connection, MOST_READ) or b"") is not None
    with contextlib.suppress(OSError):  # the client is gone
        connection.send(answer(too_many(), is_last=not can_stay))
    return can_stay


def _heard(connection: socket.socket, size: int, flags: int = 0) -> bytes | None:
    """What the client has said; None where that is nothing yet."""
    try:
        return connection.recv(size, flags)
    except BlockingIOError:
        return None
    except OSError:  # the client is gone
        return b""


def answer(problem: Problem, *, is_last: bool = True) -> bytes:
    """The whole of an answer, which may be the connection's last."""
    request_id = os.urandom(16).hex()
    body = problem.body(request_id).encode()
    headers = {
        "content-type": MEDIA_TYPE,
        "content-length": str(len(body)),
        "x-request-id": request_id,
        **(problem.headers or {}),
    }
    if is_last:
        headers["connection"] = "close"
    lines = [f"{name}: {value}\r\n".encode() for name, value in headers.items()]
    lines += [b"%b: %b\r\n" % header for header in EVERYWHERE]
    return b"".join([STATUS_LINE[problem.status_code], *lines, b"\r\n", body])
