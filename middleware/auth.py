"""Who is calling: from a bearer token to the one owner whose rows a request may touch.

The configuration, never the token, decides how tokens are verified. Asymmetric keys (Better Auth's
key set) have their place beside ``SecretKey``.
"""

import hashlib
import re
import time
from collections.abc import Mapping
from typing import Annotated, Any

import jwt
from fastapi import Depends, Path
from fastapi.security import HTTPBearer
from sqlalchemy import Executable, Row
from starlette.requests import HTTPConnection, Request

from config import Settings
from db import Database
from middleware.errors import Problem

CLOCK_SKEW = 30  # seconds that clocks may differ
LONGEST_TOKEN = 8192
LONGEST_OWNER = 255
REMEMBERED_TOKENS = 10_000
COMPACT_JWS = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


class InvalidToken(Exception):
    """The token must not be accepted. Why is for tests and debugging; a client is never told."""


def unauthorized(detail: str, error: str = "") -> Problem:
    """A 401 as RFC 6750 (section 3) has it: ``error`` only where a token was presented."""
    challenge = f'Bearer error="{error}"' if error else "Bearer"
    return Problem(401, detail, headers={"WWW-Authenticate": challenge})


class SecretKey:
    """HS256 under the secret that this service shares with the frontend's server."""

    def __init__(self, secret: str, settings: Settings) -> None:
        self._secret = secret
        self._issuer = settings.jwt_issuer or None
        self._audience = settings.jwt_audience or None

    async def verify(self, token: str) -> dict[str, Any]:
        """The token's claims.

        Raises:
            jwt.PyJWTError: the signature or a claim does not hold.
        """
        claims: dict[str, Any] = jwt.decode(
            token,
            self._secret,
            algorithms=["HS256"],
            issuer=self._issuer,
            audience=self._audience,
            leeway=CLOCK_SKEW,
            options={"require": ["exp"], "verify_aud": self._audience is not None},
        )
        return claims


class Authenticator:
    """Verifies bearer tokens and remembers those that verified, never past their expiry."""

    def __init__(self, keys: SecretKey) -> None:
        self._keys = keys
        self._remembered: dict[bytes, tuple[str, float]] = {}

    async def owner(self, connection: HTTPConnection) -> str:
        """The user id that the request's token was issued for.

        Raises:
            Problem: 401, with a sentence that tells an expired token from an invalid one.
        """
        headers = [value for name, value in connection.scope["headers"] if name == b"authorization"]
        if not headers:
            raise unauthorized("This address needs a bearer token.")
        scheme, _, token = headers[0].partition(b" ")
        if len(headers) > 1 or scheme.lower() != b"bearer" or not token:
            raise unauthorized("Send one Authorization header: Bearer, a space, and the token.")
        digest = hashlib.sha256(token).digest()
        owner, expires = self._remembered.get(digest, ("", 0.0))
        if expires > time.time():
            return owner
        try:
            owner, expires = await self._verify(token)
        except jwt.ExpiredSignatureError:
            raise unauthorized("The token has expired.", "invalid_token") from None
        except (jwt.PyJWTError, InvalidToken, ValueError, TypeError, RecursionError):
            raise unauthorized("The token is not valid.", "invalid_token") from None
        if len(self._remembered) >= REMEMBERED_TOKENS:
            del self._remembered[next(iter(self._remembered))]
        self._remembered[digest] = (owner, expires)
        return owner

    async def _verify(self, token: bytes) -> tuple[str, float]:
        text = token.decode("latin-1")
        if len(text) > LONGEST_TOKEN or not COMPACT_JWS.fullmatch(text):
            raise InvalidToken("not a compact JWS")
        claims = await self._keys.verify(text)
        return user_id(claims), float(claims["exp"]) + CLOCK_SKEW


def user_id(claims: Mapping[str, Any]) -> str:
    """The owner in ``sub``, or in ``user_id`` where there is no ``sub``; two that differ are refused."""
    named = [claims[name] for name in ("sub", "user_id") if name in claims]
    if not named or any(value != named[0] for value in named):
        raise InvalidToken("no user id, or two")
    owner = named[0]
    if not isinstance(owner, str) or not 0 < len(owner) <= LONGEST_OWNER or "\0" in owner:
        raise InvalidToken("the user id is not text, empty or too long")
    owner.encode()  # a lone surrogate is a ValueError
    return owner


class OwnerScope:
    """The database as one owner may see it: every statement runs with the owner bound."""

    def __init__(self, owner: str, database: Database) -> None:
        self.owner = owner
        self._database = database

    async def fetch(self, statement: Executable, **values: Any) -> Row[Any]:
        """Run a statement of ``queries`` for this owner and return its row; raises as ``Database.fetch``."""
        return await self._database.fetch(statement, {**values, "owner": self.owner})


async def authenticate(request: Request) -> None:
    """Verify the token and compare its owner with the path's, before anything else is read.

    Raises:
        Problem: 401 or 403.
    """
    owner = await request.app.state.authenticator.owner(request)
    if owner != request.path_params["user_id"]:
        raise Problem(403, "The token belongs to another user than this address.")
    request.state.owner = owner


UserId = Annotated[str, Path(description="The owner: the token's user id.", examples=["alice"])]


class _OwnerBearer(HTTPBearer):
    """Documents the bearer scheme, and hands a route its scope, which exists only after ``authenticate``."""

    async def __call__(self, request: Request, user_id: UserId) -> OwnerScope:  # type: ignore[override]  # noqa: ARG002
        return OwnerScope(request.state.owner, request.app.state.database)


Scoped = Annotated[OwnerScope, Depends(_OwnerBearer(bearerFormat="JWT", scheme_name="bearer"))]
