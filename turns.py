"""Whose turn it is: who waits is served in order, and one owner's load is not everybody's."""

import asyncio

from problems import Unavailable

MOST_WAITING, MOST_WAITING_OF_ONE = 1000, 100


class Turns:
    """So many places, of which one owner has at most half."""

    def __init__(self, places: int) -> None:
        self.free = self.places = places
        self.refused = 0
        """How many got none."""
        self._share = max(1, places // 2)
        self._held: dict[str, int] = {}
        self._waiting: dict[asyncio.Future[None], str] = {}

    @property
    def waiting(self) -> int:
        """How many wait for a place."""
        return len(self._waiting)

    async def enter(self, owner: str, patience: float) -> None:
        """Take a place, until ``leave``.

        Raises:
            Unavailable: none came free in ``patience`` seconds, or too many wait already.
        """
        mine_are_taken = self._held.get(owner, 0) >= self._share
        if self.free and not mine_are_taken:
            self._take(owner)
            return
        busy = "Your other requests keep the database" if mine_are_taken else "All connections to the database are"
        full = Unavailable(f"{busy} busy.")
        if len(self._waiting) >= MOST_WAITING or [*self._waiting.values()].count(owner) >= MOST_WAITING_OF_ONE:
            self.refused += 1
            raise full
        turn = asyncio.get_running_loop().create_future()
        self._waiting[turn] = owner
        try:
            async with asyncio.timeout(patience):
                await turn
        except BaseException as error:
            if self._waiting.pop(turn, None) is None:
                self.leave(owner)  # it came at the very moment
            if isinstance(error, TimeoutError):
                self.refused += 1
                raise full from None
            raise

    def leave(self, owner: str) -> None:
        """Hand the place on to who waits longest, of those who may have one."""
        self.free += 1
        if left := self._held.pop(owner) - 1:
            self._held[owner] = left
        for turn, waiting in self._waiting.items():
            if self._held.get(waiting, 0) < self._share and not turn.done():
                del self._waiting[turn]
                self._take(waiting)
                turn.set_result(None)
                return

    def _take(self, owner: str) -> None:
        self.free -= 1
        self._held[owner] = self._held.get(owner, 0) + 1
