"""What is said before there is a request, in the one error shape."""

import os

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from middleware.headers import EVERYWHERE
from problems import MEDIA_TYPE, Problem, Unavailable


def too_large() -> Problem:
    return Problem(431, "The headers have more than 64 KiB or 100 lines.")


def too_many() -> Problem:
    return Unavailable("There are too many connections.")


def answer(problem: Problem) -> bytes:
    """The whole of an answer that is the connection's last."""
    request_id = os.urandom(16).hex()
    body = problem.body(request_id).encode()
    headers = {
        "content-type": MEDIA_TYPE,
        "content-length": str(len(body)),
        "connection": "close",
        "x-request-id": request_id,
        **(problem.headers or {}),
    }
    lines = [f"{name}: {value}\r\n".encode() for name, value in headers.items()]
    lines += [b"%b: %b\r\n" % header for header in EVERYWHERE]
    return b"".join([STATUS_LINE[problem.status_code], *lines, b"\r\n", body])
