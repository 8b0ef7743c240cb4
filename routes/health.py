"""Liveness, readiness, and the way to the documentation."""

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from routes.http.openapi import RETRY, problem

router = APIRouter()


class Health(BaseModel):
    """The service, or all it needs, is up."""

    status: str = Field("ok", examples=["ok"])


@router.get("/health", tags=["health"], operation_id="getHealth")
async def get_health() -> Health:
    """Liveness: the process answers. Never asks the database."""
    return Health()


@router.get(
    "/health/ready",
    tags=["health"],
    operation_id="getReadiness",
    responses={503: problem("Not ready, with the reason.", **RETRY)},
)
async def get_readiness(request: Request) -> Health:
    """Readiness: the database answers, its schema is up to date, and there are keys to verify tokens with."""
    await request.app.state.database.check()
    await request.app.state.authenticator.keys.check()
    return Health()
