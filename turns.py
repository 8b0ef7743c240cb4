"""Who waits for a place is served in order."""

import asyncio
import time
from collections import deque


class Full(Exception):
    """Nobody may wait any more, or the wait was too long."""


class Turns:
    """At most ``places`` at once, and at most ``waiting`` who wait for one."""

    def __init__(self, places: int, waiting: int) -> None:
        self.free = self.places = places
        self._most_waiting = waiting
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def waiting(self) -> int:
        """How many wait for a place."""
        return sum(not place.done() for place in tuple(self._waiting))

    async def enter(self, deadline: float) -> None:
        """Take a place, until ``leave``.

        Raises:
            Full: none came free before ``deadline`` (of ``time.monotonic``), or too many wait already.
        """
        if self.free:
            self.free -= 1
            return
        if len(self._waiting) >= self._most_waiting:
            raise Full
        place = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                await place
        except BaseException as error:
            if place.done() and not place.cancelled():
                self.leave()  # it came at the very moment
            if isinstance(error, TimeoutError):
                raise Full from None
            raise

    def leave(self) -> None:
        """Hand the place on to who waits longest."""
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                return
        self.free += 1
