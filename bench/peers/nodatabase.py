"""A limit: the service's dependencies and middleware around routes that ask no database."""

from auth.owner import OwnSession
from fastapi import APIRouter, FastAPI
from starlette.responses import Response

from config import load_settings
from main import create_app
from routes.http.parameters import ListQuery, TaskId
from routes.owned import OwnedRoute
from schemas import TaskCreate, TaskPublic, TaskUpdate

TASK = (
    b'{"id":1,"user_id":"owner","title":"Task number 1","description":"A few words that say what is to be done",'
    b'"completed":false,"created_at":"2026-01-01T00:00:00.000000Z","updated_at":"2026-01-01T00:00:00.000000Z"}'
)
LISTS = {size: b"[" + b",".join([TASK] * size) + b"]" for size in (20, 100)}

router = APIRouter(prefix="/api/{user_id:path}/tasks", route_class=OwnedRoute)


@router.get("", response_model=list[TaskPublic])
async def list_tasks(session: OwnSession, given: ListQuery) -> Response:
    return Response(LISTS[given.limit], media_type="application/json")


@router.post("", response_model=TaskPublic, status_code=201)
async def create_task(session: OwnSession, task: TaskCreate) -> Response:
    return Response(TASK, 201, media_type="application/json")


@router.get("/{task_id}", response_model=TaskPublic)
async def get_task(session: OwnSession, task_id: TaskId) -> Response:
    return Response(TASK, media_type="application/json")


@router.patch("/{task_id}", response_model=TaskPublic)
async def update_task(session: OwnSession, task_id: TaskId, changes: TaskUpdate) -> Response:
    return Response(TASK, media_type="application/json")


def without_tasks(app: FastAPI) -> FastAPI:
    """The service's application with everything but its own task routes."""
    app.router.routes[:] = [r for r in app.router.routes if "tasks" not in getattr(r, "path", "")]
    return app


app = without_tasks(create_app(load_settings()))
app.router.routes.extend(router.routes)
