"""The secret that this service shares with the frontend's server, in place of a key set."""

import contextlib
import os
import secrets
import tempfile
import time
from pathlib import Path
from typing import Any

import jwt

from auth.keys import Keys, decode
from config import Settings

TOKEN_SECONDS = 24 * 60 * 60


class SecretKey(Keys):
    """HS256 under the shared secret."""

    def __init__(self, settings: Settings) -> None:
        self._secret = shared_secret(settings)
        self._issuers = settings.jwt_issuer
        self._audiences = settings.jwt_audience

    async def verify(self, token: str) -> dict[str, Any]:
        return decode(token, self._secret, {"HS256"}, self._issuers, self._audiences)

    def sign(self, user: str) -> str:
        """A token for a developer to try the service with."""
        claims: dict[str, Any] = {"sub": user, "exp": int(time.time()) + TOKEN_SECONDS}
        if self._issuers:
            claims["iss"] = self._issuers[0]
        if self._audiences:
            claims["aud"] = self._audiences[0]
        return jwt.encode(claims, self._secret, "HS256")


def is_made_up(settings: Settings) -> bool:
    """Whether the service verifies by a secret of its own, as it does for development alone."""
    return not (settings.better_auth_url or settings.better_auth_secret or settings.database_url)


def shared_secret(settings: Settings) -> str:
    """The secret that is configured, or the one of a service on the embedded database that has none."""
    configured = settings.better_auth_secret
    return configured.get_secret_value() if configured else _development_secret(settings.data_dir)


def _development_secret(data_dir: Path) -> str:
    """Made once, and kept beside the data."""
    path = data_dir / "development-secret"
    data_dir.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        with tempfile.NamedTemporaryFile("w", dir=data_dir) as draft:
            draft.write(secrets.token_urlsafe(48))
            draft.flush()
            # A link appears whole or not at all, so workers that start together agree.
            with contextlib.suppress(FileExistsError):
                os.link(draft.name, path)
    return path.read_text()
