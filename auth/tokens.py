"""From a bearer token to the user id that it was issued for.

The configuration, never the token, decides how tokens are verified: ``keys.py`` and ``secret.py`` have the two ways.
"""

import hashlib
import math
import re
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import jwt
from jwt.utils import base64url_decode, base64url_encode
from starlette.requests import HTTPConnection

from auth.keys import CLOCK_SKEW, InvalidToken, Keys, KeySet
from auth.limit import RateLimit
from auth.secret import SecretKey
from config import Settings
from problems import unauthorized

LONGEST_TOKEN = 8192
LONGEST_OWNER = 255
REMEMBERED_TOKENS = 10_000
# Headers that point to other keys, or change what is signed (RFC 7515, 4.1; RFC 7797).
REFUSED_HEADERS = {"b64", "crit", "jku", "jwk", "x5c", "x5u", "zip"}
TYPES = {"jwt", "at+jwt"}
COMPACT_JWS = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


class Verified(NamedTuple):
    """Whom a token was issued for, and until when it is accepted."""

    owner: str
    expires: float


class Authenticator:
    """Verifies bearer tokens and remembers those that verified, never past their expiry."""

    def __init__(self, settings: Settings) -> None:
        self._remembered: dict[bytes, Verified] = {}
        self.keys: Keys
        if settings.better_auth_url:
            self.keys = KeySet(settings, on_change=self._remembered.clear)
        else:
            self.keys = SecretKey(settings)
        self.limit = RateLimit(settings.rate_limit, settings.rate_limit_store) if settings.rate_limit else None

    async def verified(self, connection: HTTPConnection) -> Verified:
        """What the request's token says, which must hold at this moment.

        Raises:
            Problem: 401, with a sentence that tells an expired token from an invalid one.
        """
        headers = [value for name, value in connection.scope["headers"] if name == b"authorization"]
        if not headers:
            raise unauthorized("This address needs a bearer token.")
        scheme, _, token = headers[0].strip(b" \t").partition(b" ")
        if len(headers) > 1 or scheme.lower() != b"bearer" or not token:
            raise unauthorized("Send one Authorization header: Bearer, a space, and the token.")
        digest = hashlib.sha256(token).digest()
        remembered = self._remembered.get(digest)
        if remembered and remembered.expires > time.time():
            return remembered
        try:
            verified = await self._verify(token)
        except jwt.ExpiredSignatureError:
            raise unauthorized("The token has expired.", "invalid_token") from None
        except (jwt.PyJWTError, InvalidToken, ValueError, TypeError, ArithmeticError, RecursionError):
            raise unauthorized("The token is not valid.", "invalid_token") from None
        if len(self._remembered) >= REMEMBERED_TOKENS:
            del self._remembered[next(iter(self._remembered))]
        self._remembered[digest] = verified
        return verified

    async def _verify(self, token: bytes) -> Verified:
        if len(token) > LONGEST_TOKEN or not COMPACT_JWS.fullmatch(text := token.decode("latin-1")):
            raise InvalidToken("not a compact JWS")
        if any(base64url_encode(base64url_decode(part)) != part for part in token.split(b".")):
            raise InvalidToken("not canonical base64url")
        header = jwt.get_unverified_header(text)
        kind = header.get("typ", "JWT")
        if REFUSED_HEADERS & header.keys() or not isinstance(kind, str) or kind.lower() not in TYPES:
            raise InvalidToken("not a plain signed token")
        claims = await self.keys.verify(text)
        check_dates(claims)
        return Verified(user_id(claims), claims["exp"] + CLOCK_SKEW)


def check_dates(claims: Mapping[str, Any]) -> None:
    """Refuse dates that are no finite numbers (RFC 7519, section 2); PyJWT takes text that looks like one."""
    for name in ("exp", "nbf", "iat"):
        value = claims.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise InvalidToken(f"{name} is no date")


def user_id(claims: Mapping[str, Any]) -> str:
    """The owner in ``sub``, or in ``user_id`` where there is no ``sub``; two that differ are refused."""
    named = [claims[name] for name in ("sub", "user_id") if name in claims]
    if not named or any(value != named[0] for value in named):
        raise InvalidToken("no user id, or two")
    if "session" in claims and "user" in claims:
        raise InvalidToken("a session cookie of Better Auth, signed with the same secret")
    owner = named[0]
    if not isinstance(owner, str) or not 0 < len(owner) <= LONGEST_OWNER or "\0" in owner:
        raise InvalidToken("the user id is not text, empty or too long")
    owner.encode()  # a lone surrogate is a ValueError
    return owner
