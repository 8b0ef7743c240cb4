"""Request headers that make a request conditional (RFC 9110, section 13) or safe to repeat."""

import re
from datetime import datetime

from starlette.requests import Request
from starlette.responses import Response

from problems import bad_request
from routes.http.opaque import moment_of

_TAG = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
# Each blank can be matched in one way only: no header makes this slow.
ETAG_LIST = re.compile(rf"[ \t,]*{_TAG}(?:[ \t]*,(?:[ \t]*{_TAG})?)*[ \t]*")
ETAG = re.compile(r'((?:W/)?)"([^"]*)"')
BARE_KEY = re.compile(r"[\x21-\x7e]{1,255}")
QUOTED_KEY = re.compile(r'"((?:[\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"')


IfMatch = list[datetime] | None
"""The moments of change one of which the task must have; None where any version will do."""


def if_match(request: Request) -> IfMatch:
    """What ``If-Match`` asks for.

    A weak tag never matches here (RFC 9110, 13.1.1), and neither does one that no task can have.

    Raises:
        Problem: 400, the header is malformed.
    """
    lines = _lines(request, b"if-match")
    text = ",".join(lines)
    if not lines or text.strip(" \t") == "*":
        return None
    if not ETAG_LIST.fullmatch(text):
        raise bad_request("/header/If-Match", 'Send * or entity tags, each in quotes: "…", "…".')
    moments = (moment_of(tag) for weak, tag in ETAG.findall(text) if not weak)
    return [moment for moment in moments if moment]


def revalidated(request: Request, response: Response) -> Response:
    """The answer, or a 304 where ``If-None-Match`` names its ETag."""
    if not _is_known(request, response):
        return response
    kept = {name: value for name, value in response.headers.items() if not name.startswith("content-")}
    return Response(status_code=304, headers=kept)


def _is_known(request: Request, response: Response) -> bool:
    """By weak comparison (RFC 9110, 13.1.2)."""
    lines = _lines(request, b"if-none-match")
    if not lines or (etag := response.headers.get("etag")) is None:
        return False
    text = ",".join(lines)
    return text.strip(" \t") == "*" or any(f'"{tag}"' == etag for _, tag in ETAG.findall(text))


def idempotency_key(request: Request) -> str | None:
    """The key, without the quotes that the IETF draft gives it.

    Raises:
        Problem: 400, it is malformed, or there are two.
    """
    sent = _lines(request, b"idempotency-key")
    if not sent:
        return None
    key = sent[0]
    if quoted := QUOTED_KEY.fullmatch(key):
        key = re.sub(r'\\(["\\])', r"\1", quoted[1])
    if len(sent) > 1 or not BARE_KEY.fullmatch(key) or (key.startswith('"') and not quoted):
        raise bad_request("/header/Idempotency-Key", "Send one key of 1 to 255 visible ASCII characters.")
    return key


def _lines(request: Request, name: bytes) -> list[str]:
    return [value.decode("latin-1") for header, value in request.scope["headers"] if header == name]
