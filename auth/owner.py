"""The owner's session: what a route gets, and all it gets."""

from contextlib import AsyncExitStack
from functools import cached_property
from typing import Annotated, Any, TypeVar

import psycopg
from fastapi import Depends, Request
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase
from sqlmodel.ext.asyncio.session import AsyncSession

from auth.limit import LIMITED
from auth.scope import OwnerBoundSession
from auth.tokens import Authenticator
from connections import Loan, loan
from db import Database
from problems import Problem, no_account
from statements import OWNER, Statement

VERIFIED = "task_api.owner"

Row = TypeVar("Row", bound=tuple[Any, ...])


class OwnerSession(AsyncSession):
    """The database as one owner may see it.

    ``fetch`` runs a prebuilt statement with the owner bound: one round trip, straight on the driver.

    Everything else of a SQLModel session works as SQLModel's documentation has it, on this owner's rows alone:
    ``select(Task)`` finds theirs, ``add(Task(title=…))`` makes theirs, and what can't be bound to the owner is
    refused (see ``auth.scope``). It takes a connection when it is first used, runs a transaction of its own until
    ``commit``, and is closed before the answer goes out. A request that doesn't use it makes none.
    """

    bind = None  # that is for the engine of a session which SQLAlchemy makes

    def __init__(self, owner: str, database: Database, closing: AsyncExitStack) -> None:
        """``closing`` ends the session when it is unwound."""
        self.owner = owner
        self._database = database
        self._closing = closing
        self._ended = False
        self._loan = Loan(owner)
        loan.set(self._loan)
        closing.callback(self._end)

    async def fetch(self, statement: Statement[Row], **values: Any) -> Row:
        """Run a statement of ``queries``, and return its one row; within the session's transaction, if there is one.

        Raises:
            Unavailable: nothing is known to have been changed, or the connection was lost meanwhile.
            Problem: 401, the owner's account is gone (with BETTER_AUTH_USER_TABLE).
        """
        if not isinstance(statement, Statement):
            raise TypeError("fetch runs a Statement, which is bound to its owner: build one in queries.")
        values[OWNER.key] = self.owner
        within = None
        if "sync_session" in vars(self) and self.in_transaction():
            await self.flush()
            within = await self.run_sync(OwnerBoundSession.driver_connection)  # type: ignore[arg-type]
            self.sync_session.only_reads &= not statement.writes
        try:
            row = await self._database.fetch(statement, values, self.owner, within)
        except psycopg.Error as error:
            if await self._database.lacks_account(self.owner, error):
                raise no_account() from None
            raise
        if statement.writes and not within:
            self._database.written(self.owner)
        return row

    @property
    def max_tasks(self) -> int:
        """How many tasks the owner may have."""
        return self._database.max_tasks

    @cached_property
    def sync_session(self) -> OwnerBoundSession:  # type: ignore[override]
        if self._ended:
            raise RuntimeError("The session has ended with its route: read what the answer needs before you return.")
        self._database.check_migrated()
        self._closing.push_async_callback(self._finish)
        session = OwnerBoundSession(self.owner, self._database)
        self._assign_proxied(session)
        return session

    @property
    def _proxied(self) -> OwnerBoundSession:  # type: ignore[override]
        return self.sync_session

    def _end(self) -> None:
        self._ended = True

    async def _finish(self) -> None:
        # psycopg forgets the statements that it has prepared when a transaction is rolled back.
        try:
            if self.sync_session.only_reads:
                await self.commit()
        finally:
            try:
                await self.close()
            finally:
                await self._loan.end()


async def authenticate(request: Request) -> str:
    """The owner whom the token was issued for, who must be the one in the path: verified once a request.

    Raises:
        Problem: 401, 403, or 429 where there is a rate limit.
    """
    owner: str | None = request.scope.get(VERIFIED)
    if owner is None:
        authenticator: Authenticator = request.app.state.authenticator
        owner = (await authenticator.verified(request)).owner
        if "user_id" not in request.path_params:
            raise RuntimeError("The path of a route with an owner's session must have {user_id}.")
        if owner != request.path_params["user_id"]:
            raise Problem(403, "The token belongs to another user than this address.")
        if authenticator.limit:
            request.scope["state"][LIMITED] = await authenticator.limit.count(owner)
        request.scope[VERIFIED] = owner
    return owner


class OwnerBearer(SecurityBase):
    """The dependency behind ``OwnSession``: verifies the bearer token, and opens the session of its owner."""

    def __init__(self) -> None:
        self.model = HTTPBearer(bearerFormat="JWT")
        self.scheme_name = "bearer"

    async def __call__(self, request: Request) -> OwnerSession:
        owner = await authenticate(request)
        # Unwound before the answer is sent, so that a slow reader holds no connection.
        return OwnerSession(owner, request.app.state.database, request.scope["fastapi_function_astack"])


OwnSession = Annotated[OwnerSession, Depends(OwnerBearer())]
