"""An owner's session without a request around it."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

from auth.owner import OwnerSession
from config import Settings
from db import Database


def play(settings: Settings, owner: str, scene: Callable[[OwnerSession], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        async with Database(settings) as database, AsyncExitStack() as closing:
            return await scene(OwnerSession(owner, database, closing))

    return asyncio.run(run())
