"""Two limits: the service's dependencies and middleware around its own statements on bare psycopg, and around nothing.

What they take from the service: these imports, the statements, and the names of the values bound to them.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import psycopg
from fastapi import APIRouter, FastAPI
from psycopg.types.numeric import Int8Dumper
from starlette.responses import Response

import queries
from auth.owner import OwnSession
from config import load_settings
from main import create_app
from routes.http.parameters import ListQuery, TaskId
from routes.owned import OwnedRoute
from schemas import TaskCreate, TaskPublic, TaskUpdate

STATEMENTS = {
    "list": queries.LIST["created_at"],
    "get": queries.GET,
    "create": queries.CREATE,
    "update": queries.UPDATE,
}
FIRST_PAGE = {"after_id": None, "after_key": None, "count": False}
TASK = (
    '{"id":1,"user_id":"owner","title":"Task number 1","description":"A few words that say what is to be done",'
    '"completed":false,"created_at":"2026-01-01T00:00:00.000000Z","updated_at":"2026-01-01T00:00:00.000000Z"}'
)
LISTS = {size: f"[{','.join([TASK] * size)}]" for size in (1, 20, 100)}

Fetch = Callable[[str, dict[str, Any]], Awaitable[str]]

turns = asyncio.Semaphore(10)  # as many connections as the service has by default
idle: list[psycopg.AsyncConnection] = []


async def _connect() -> psycopg.AsyncConnection:
    connection = await psycopg.AsyncConnection.connect(os.environ["DATABASE_URL"], autocommit=True)
    connection.adapters.register_dumper(int, Int8Dumper)
    return connection


async def _ask(statement: str, values: dict[str, Any]) -> str:
    async with turns:
        connection = idle.pop() if idle else await _connect()
        cursor = await connection.execute(STATEMENTS[statement].sql, values, prepare=True)
        row = await cursor.fetchone()
        idle.append(connection)
    return row[0]


async def _at_once(statement: str, values: dict[str, Any]) -> str:
    return TASK if statement in ("get", "update") else LISTS[values.get("page_size", 1)]


def _application(fetch: Fetch) -> FastAPI:
    """The service's application, with task routes that only fetch."""
    router = APIRouter(prefix="/api/{user_id:path}/tasks", route_class=OwnedRoute)

    def answer(body: str, status: int = 200) -> Response:
        return Response(body, status, media_type="application/json")

    @router.get("", response_model=list[TaskPublic])
    async def list_tasks(session: OwnSession, given: ListQuery) -> Response:
        return answer(
            await fetch("list", {**given.bound(), **FIRST_PAGE, "owner": session.owner, "page_size": given.limit})
        )

    @router.post("", response_model=TaskPublic, status_code=201)
    async def create_task(session: OwnSession, task: TaskCreate) -> Response:
        values = {"owner": session.owner, "new_tasks": f"[{task.model_dump_json()}]", "most_tasks": 100_000}
        tasks = await fetch("create", values)
        return answer(tasks[1:-1], 201)

    @router.get("/{task_id}", response_model=TaskPublic)
    async def get_task(session: OwnSession, task_id: TaskId) -> Response:
        return answer(await fetch("get", {"owner": session.owner, "task_id": task_id}))

    @router.patch("/{task_id}", response_model=TaskPublic)
    async def update_task(session: OwnSession, task_id: TaskId, task: TaskUpdate) -> Response:
        changes = task.model_dump_json(exclude_unset=True)
        values = {"owner": session.owner, "task_id": task_id, "if_match": None, "changes": changes}
        return answer(await fetch("update", values))

    app = create_app(load_settings())
    others = [route for route in app.router.routes if "tasks" not in getattr(route, "path", "")]
    app.router.routes[:] = [*others, *router.routes]
    return app


bare = partial(_application, _ask)
nodatabase = partial(_application, _at_once)
