"""Better Auth's published key set (RFC 7517), and what any way of verifying tokens has in common."""

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Callable
from typing import Any, Self

import httpx2
import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from pydantic_core import from_json

from config import Settings
from problems import Unavailable

logger = logging.getLogger(__name__)

CLOCK_SKEW = 30  # seconds that clocks may differ
FETCH_SECONDS = 2.5
LARGEST_KEY_SET = 256 * 1024
REFRESH_SECONDS = 240.0  # a withdrawn key is refused after this and one fetch, within 5 minutes
FLOOR_SECONDS = 10.0  # between fetches, however many unknown keys are asked for
RETRY_SECONDS = 2.0  # while no key was ever fetched

# The key's own type decides the algorithm (RFC 8725, section 3.1), never the token.
ALGORITHMS = {
    ("OKP", "Ed25519"): {"EdDSA"},
    ("EC", "P-256"): {"ES256"},
    ("EC", "P-521"): {"ES512"},
    ("RSA", None): {"RS256", "PS256"},
}
SMALLEST_RSA_KEY = 2048


class InvalidToken(Exception):
    """The token must not be accepted. Why is for tests and debugging; a client is never told."""


class Keys:
    """Where tokens are verified; usable within ``async with``."""

    fetched: float | None = None
    """When they were fetched (of ``time.monotonic``), where they are."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing to close."""

    async def check(self) -> None:
        """Raise ``Unavailable`` where there are no keys to verify tokens with."""

    async def verify(self, token: str) -> dict[str, Any]:
        """The claims of a token whose signature, expiry, issuer and audience hold.

        Raises:
            jwt.PyJWTError, InvalidToken: they don't.
            Unavailable: there are no keys to verify with yet.
        """
        raise NotImplementedError


class KeySet(Keys):
    """Better Auth's key set: fetched once for all who wait, kept fresh, and kept when a fetch fails."""

    def __init__(self, settings: Settings, on_change: Callable[[], None]) -> None:
        self._url = settings.key_set_url
        self._issuers = settings.jwt_issuer or [settings.better_auth_origin]
        self._audiences = settings.jwt_audience or [settings.better_auth_origin]
        self._on_change = on_change
        self._published: object = None
        self._keys: dict[str, tuple[Any, set[str]]] = {}
        self._fetching = asyncio.Lock()
        self._fresh = False
        self._next_fetch = 0.0
        self._refreshing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._refreshing = asyncio.create_task(self._refresh_for_ever())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._refreshing:
            self._refreshing.cancel()

    async def check(self) -> None:
        if not self._keys:
            raise Unavailable("The key server can't be reached.", math.ceil(RETRY_SECONDS))

    async def verify(self, token: str) -> dict[str, Any]:
        kid = jwt.get_unverified_header(token).get("kid")
        if kid not in self._keys:
            await self._fetch_once()
            await self.check()
        if kid not in self._keys:
            raise InvalidToken("unknown key")
        key, algorithms = self._keys[kid]
        return decode(token, key, algorithms, self._issuers, self._audiences)

    async def _refresh_for_ever(self) -> None:
        while True:
            await self._fetch_once()
            pause = REFRESH_SECONDS if self._fresh else FLOOR_SECONDS
            await asyncio.sleep(pause if self._keys else RETRY_SECONDS)

    async def _fetch_once(self) -> None:
        """Fetch, unless that was done a short while ago; who comes meanwhile waits for the same fetch."""
        async with self._fetching:
            if time.monotonic() < self._next_fetch:
                return
            self._fresh = False
            try:
                published = await fetch(self._url)
                keys = usable_keys(published)
                if not keys:
                    raise ValueError("the set has no usable key")
            except Exception as error:  # whatever it is: keys that are never fetched again would be worse
                logger.warning("The key set can't be fetched: %s", str(error) or type(error).__name__)
            else:
                changed, self._published, self._keys = published != self._published, published, keys
                self._fresh = True
                self.fetched = time.monotonic()
                if changed:
                    self._on_change()
            self._next_fetch = time.monotonic() + (FLOOR_SECONDS if self._keys else RETRY_SECONDS)


async def fetch(url: str) -> Any:
    """The JSON at ``url``: a short time, a limited size, no redirects."""
    client = await asyncio.to_thread(httpx2.AsyncClient)  # it reads certificates
    async with (
        asyncio.timeout(FETCH_SECONDS),
        client,
        client.stream("GET", url, headers={"Accept-Encoding": "identity"}) as response,
    ):
        if response.status_code != 200:
            raise ValueError(f"status {response.status_code}")
        body = b""
        async for chunk in response.aiter_bytes():
            if len(body := body + chunk) > LARGEST_KEY_SET:
                raise ValueError("the answer is too large")
        return from_json(body)


def usable_keys(published: Any) -> dict[str, tuple[Any, set[str]]]:
    """By key id: each public signing key of a kind we verify, and its algorithms. All others are passed over."""
    listed = published.get("keys") if isinstance(published, dict) else None
    keys: dict[str, tuple[Any, set[str]]] = {}
    for key in listed if isinstance(listed, list) else []:
        with contextlib.suppress(jwt.PyJWTError, ValueError, TypeError, KeyError, AttributeError):
            algorithms = ALGORITHMS[key["kty"], key.get("crv")]
            if "alg" in key:
                algorithms = algorithms & {key["alg"]}
            # A private key that was published is anybody's.
            if not algorithms or "d" in key or key.get("use", "sig") != "sig":
                continue
            public = jwt.PyJWK(key, min(algorithms)).key
            if isinstance(public, RSAPublicKey) and public.key_size < SMALLEST_RSA_KEY:
                continue
            if isinstance(key["kid"], str):
                keys.setdefault(key["kid"], (public, algorithms))
    return keys


def decode(token: str, key: Any, algorithms: set[str], issuers: list[str], audiences: list[str]) -> dict[str, Any]:
    """The claims of a token whose signature, expiry, issuer and audience hold; an empty list is not checked."""
    claims: dict[str, Any] = jwt.decode(
        token,
        key,
        algorithms=sorted(algorithms),
        issuer=issuers or None,
        audience=audiences or None,
        leeway=CLOCK_SKEW,
        options={"require": ["exp"], "verify_aud": bool(audiences)},
    )
    return claims
