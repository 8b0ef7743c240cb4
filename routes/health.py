"""Liveness, readiness, and the way to the documentation."""

from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel

from routes.http.openapi import REFUSED, RETRY, problem

router = APIRouter(tags=["health"], responses=REFUSED)

NO_TOKEN: dict[str, Any] = {"security": []}


class Health(BaseModel):
    """The service, or all it needs, is up."""

    status: Literal["ok"]


@router.get("/health", operation_id="getHealth", openapi_extra=NO_TOKEN)
async def get_health() -> Health:
    """Liveness: the process answers. Never asks the database."""
    return Health(status="ok")


@router.get(
    "/health/ready",
    operation_id="getReadiness",
    responses={503: problem(503, "Not ready, with the reason.", "The database can't be reached.", headers=RETRY)},
    openapi_extra=NO_TOKEN,
)
async def get_readiness(request: Request) -> Health:
    """Readiness: the database answers, its schema is up to date, and there are keys to verify tokens with."""
    await request.app.state.database.check()
    await request.app.state.authenticator.keys.check()
    return Health(status="ok")
