"""A client that follows a stream of changes."""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

from tests.support.copy import Copy, lines
from tests.support.service import User

STREAM = "/changes/stream"


@contextlib.contextmanager
def stream(user: User, **options: Any) -> Iterator[Iterator[tuple[str, str]]]:
    """The fields of a stream's lines, and their values; where nothing comes, not even a heartbeat is waited for."""
    headers = {**user.headers, **options.pop("headers", {})}
    with user.client.stream("GET", user.path + STREAM, headers=headers, timeout=10, **options) as response:
        assert response.status_code == 200
        assert response.headers["Content-Type"].startswith("text/event-stream")
        yield lines(response)


def next_page(fields: Iterator[tuple[str, str]], copy: Copy) -> dict[str, Any]:
    """Apply the next event; comments are passed over."""
    field, token = next((field, value) for field, value in fields if field)
    assert field == "id"
    field, data = next(fields)
    assert field == "data"
    page: dict[str, Any] = json.loads(data)
    assert page["next"] == token
    copy.apply(page)
    return page
