"""How many requests an owner may send, where RATE_LIMIT is set."""

import asyncio
import logging
import math
import time
from collections.abc import Mapping

from problems import Problem, Unavailable

logger = logging.getLogger(__name__)

STORE_SECONDS = 1.0
LIMITED = "rate_limit"  # where the request's state keeps what its answer will say


class RateLimit:
    """Counts the requests of each owner in a sliding window: in this worker's memory, or in a store that all share."""

    def __init__(self, limit: str, store: str) -> None:
        # Here, so that a service without a limit loads nothing of it.
        from limits import parse  # noqa: PLC0415
        from limits.aio.strategies import SlidingWindowCounterRateLimiter  # noqa: PLC0415
        from limits.errors import StorageError  # noqa: PLC0415
        from limits.storage import storage_from_string  # noqa: PLC0415

        self._limit = parse(limit)
        self._counter = SlidingWindowCounterRateLimiter(storage_from_string(f"async+{store}", wrap_exceptions=True))
        self._failures = (StorageError, TimeoutError)
        self._policy = f'"owner";q={self._limit.amount};w={self._limit.get_expiry()}'

    async def count(self, owner: str) -> Mapping[str, str]:
        """Count a request, and return what its answer says of it (IETF draft "RateLimit header fields for HTTP").

        Raises:
            Problem: 429, the owner has sent too many.
            Unavailable: the store that is shared can't be reached.
        """
        try:
            async with asyncio.timeout(STORE_SECONDS):
                allowed = await self._counter.hit(self._limit, owner)
                stats = await self._counter.get_window_stats(self._limit, owner)
        except self._failures as error:
            logger.warning("The store of the rate limit can't be reached: %s", str(error) or type(error).__name__)
            raise Unavailable("The store of the rate limit can't be reached.") from None
        seconds = max(1, math.ceil(stats.reset_time - time.time()))
        headers = {"RateLimit-Policy": self._policy, "RateLimit": f'"owner";r={stats.remaining};t={seconds}'}
        if not allowed:
            detail = f"You have sent more than {self._limit}. Try again in {seconds} s."
            raise Problem(429, detail, headers={**headers, "Retry-After": str(seconds)})
        return headers
