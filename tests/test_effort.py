"""How much work a request is, counted in Python function calls: no clock, so a slow machine passes too.

A change that needs more than the margin allows is either a mistake, or raises the number here for all to see.
"""

import asyncio
import json
import secrets
import sys
from types import FrameType
from typing import Any

import pytest
from fastapi import FastAPI

from config import Settings
from main import create_app
from tests.support.service import make_token

# Measured on Python 3.11 with the access log on. Newer versions need fewer.
CALLS = {"list of 20": 469, "read one": 445, "create": 488, "patch": 534}
MARGIN = 1.06


async def request(app: FastAPI, method: str, path: str, body: bytes = b"", query: bytes = b"") -> dict[str, Any]:
    """Call the app as uvicorn would."""
    headers = [
        (b"host", b"localhost"),
        (b"content-type", b"application/json"),
        (b"authorization", f"Bearer {TOKEN}".encode()),
    ]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "path": path,
        "query_string": query,
        "root_path": "",
        "scheme": "http",
        "headers": headers,
        "state": {},
    }
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)  # type: ignore[arg-type]
    assert sent[0]["status"] < 300
    return {**sent[0], **sent[1]}


OWNER = secrets.token_hex(16)
TOKEN = make_token(sub=OWNER)
PATH = f"/api/{OWNER}/tasks"


async def count_calls(settings: Settings) -> dict[str, int]:
    app = create_app(settings)
    counted: dict[str, int] = {}
    async with app.router.lifespan_context(app):
        for _ in range(20):
            made = await request(app, "POST", PATH, b'{"title":"x"}')
        task = f"{PATH}/{json.loads(made['body'])['id']}"
        requests: dict[str, tuple[Any, ...]] = {
            "list of 20": ("GET", PATH, b"", b"limit=20"),
            "read one": ("GET", task),
            "create": ("POST", PATH, b'{"title":"x"}'),
            "patch": ("PATCH", task, b'{"title":"y"}'),
        }
        for name, arguments in requests.items():
            for _ in range(8):  # until statements are prepared and caches warm
                await request(app, *arguments)
            counted[name] = sys.maxsize
            for _ in range(200):  # on a busy machine, most wait for the database, which takes calls
                counted[name] = min(counted[name], await calls_of(app, arguments))
                if counted[name] <= CALLS[name]:
                    break
    return counted


async def calls_of(app: FastAPI, arguments: tuple[Any, ...]) -> int:
    calls = 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        await request(app, *arguments)
    finally:
        sys.setprofile(None)
    return calls


@pytest.fixture(scope="module")
def counted(settings: Settings) -> dict[str, int]:
    return asyncio.run(count_calls(settings))


@pytest.mark.parametrize("name", CALLS)
def test_a_request_needs_no_more_calls_than_before(counted: dict[str, int], name: str) -> None:
    assert counted[name] <= CALLS[name] * MARGIN, counted
