"""Commands for developers, behind ``make token`` and ``make migration``."""

import asyncio
import sys
import time
from typing import Any

import jwt
from alembic import command

from auth.secret import shared_secret
from config import Settings, load_settings
from db import Database
from migrations.upgrade import alembic_config, transaction

TOKEN_SECONDS = 24 * 60 * 60


def token(settings: Settings, user: str) -> str:
    """A bearer token for ``user``, signed with the secret that the service verifies with."""
    if settings.better_auth_url:
        sys.exit("The service verifies by Better Auth's keys (BETTER_AUTH_URL is set): sign in there to get a token.")
    claims: dict[str, Any] = {"sub": user, "exp": int(time.time()) + TOKEN_SECONDS}
    if settings.jwt_issuer:
        claims["iss"] = settings.jwt_issuer[0]
    if settings.jwt_audience:
        claims["aud"] = settings.jwt_audience[0]
    return jwt.encode(claims, shared_secret(settings), "HS256")


async def migration(settings: Settings, message: str) -> None:
    """Write the migration that leads from the existing ones to ``models.py``."""
    async with Database(settings) as database, transaction(database.connector()) as connection:
        await connection.run_sync(lambda sync: command.revision(alembic_config(sync), message, autogenerate=True))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["token", user] if user:
            print(token(load_settings(), user))  # noqa: T201
        case ["migration", message] if message:
            asyncio.run(migration(load_settings(), message))
        case _:
            sys.exit('Usage: make token user=alice, or make migration m="add priority"')
