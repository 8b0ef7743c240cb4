"""Request headers that make a request conditional (RFC 9110, section 13) or safe to repeat."""

import re
from typing import Annotated

from fastapi import Depends, Header, Request

from middleware.errors import bad_request

_TAG = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
# Each blank can be matched in one way only: no header makes this slow.
ETAG_LIST = re.compile(rf"[ \t,]*{_TAG}(?:[ \t]*,(?:[ \t]*{_TAG})?)*[ \t]*")
ETAG = re.compile(r'((?:W/)?)"([^"]*)"')
BARE_KEY = re.compile(r"[\x21-\x7e]{1,255}")
QUOTED_KEY = re.compile(r'"((?:[\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"')


async def if_match(
    request: Request,
    value: Annotated[
        str | None, Header(alias="If-Match", description="Change the task only while it has this ETag.")
    ] = None,
) -> list[str] | None:
    """The tags one of which the task must have; None where any version will do.

    A weak tag never matches here (RFC 9110, 13.1.1).
    """
    if value is None:
        return None
    text = ",".join(request.headers.getlist("if-match"))
    if text.strip() == "*":
        return None
    if not ETAG_LIST.fullmatch(text):
        raise bad_request("/header/If-Match", 'Send * or entity tags, each in quotes: "…", "…".')
    return [tag for weak, tag in ETAG.findall(text) if not weak]


def is_known(request: Request, etag: str | None) -> bool:
    """Whether ``If-None-Match`` names this ETag, by weak comparison (RFC 9110, 13.1.2)."""
    lines = [value for name, value in request.scope["headers"] if name == b"if-none-match"]
    if not lines or etag is None:
        return False
    text = b",".join(lines).decode("latin-1")
    return text.strip() == "*" or any(f'"{tag}"' == etag for _, tag in ETAG.findall(text))


async def idempotency_key(
    request: Request,
    value: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            description="1 to 255 visible ASCII characters, new for each task you mean to make. "
            "Sent again within 24 hours, it gets the first answer again.",
            examples=["8e03978e-40d5-43dd-bc93-6894a57f9324"],
        ),
    ] = None,
) -> str | None:
    """The key, without the quotes that the IETF draft gives it."""
    if value is None:
        return None
    sent = request.headers.getlist("idempotency-key")
    key = value
    if quoted := QUOTED_KEY.fullmatch(value):
        key = re.sub(r'\\(["\\])', r"\1", quoted[1])
    if len(sent) > 1 or not BARE_KEY.fullmatch(key) or (key.startswith('"') and not quoted):
        raise bad_request("/header/Idempotency-Key", "Send one key of 1 to 255 visible ASCII characters.")
    return key


IfMatch = Annotated[list[str] | None, Depends(if_match)]
IdempotencyKey = Annotated[str | None, Depends(idempotency_key)]
