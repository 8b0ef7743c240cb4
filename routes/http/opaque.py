"""What a client is given to hand back, and should not look into: text with a checksum."""

import base64
import hashlib
import re
from datetime import datetime
from typing import Any

from schemas import LARGEST_ID

CHECKSUM_BYTES = 8
STAMP = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")  # as queries.shown_time has it


def seal(content: str, belongs_to: str) -> str:
    """Make it URL-safe, and tie it to what it belongs to. The checksum is no secret: check what comes out of it."""
    payload = content.encode()
    return base64.urlsafe_b64encode(_checksum(payload, belongs_to) + payload).decode().rstrip("=")


def unseal(sealed: str, belongs_to: str) -> str:
    """The content.

    Raises:
        ValueError: it is damaged, or belongs to something else.
    """
    decoded = base64.b64decode(sealed + "=" * (-len(sealed) % 4), altchars=b"-_", validate=True)
    content = decoded[CHECKSUM_BYTES:].decode()
    if seal(content, belongs_to) != sealed:
        raise ValueError("the checksum is another")
    return content


def _checksum(payload: bytes, belongs_to: str) -> bytes:
    return hashlib.sha256(belongs_to.encode() + payload).digest()[:CHECKSUM_BYTES]


def moment_of(text: str) -> datetime | None:
    """The moment that PostgreSQL has written so, if it is one."""
    try:
        return datetime.fromisoformat(text) if STAMP.fullmatch(text) else None
    except ValueError:  # no calendar has it
        return None


def is_id(value: Any) -> bool:
    return type(value) is int and 0 < value <= LARGEST_ID
