"""A limit: the service's dependencies and middleware around its own statements on bare psycopg, and nothing more."""

import asyncio
import os
from typing import Any

import psycopg
from auth.owner import OwnSession
from fastapi import APIRouter
from nodatabase import without_tasks
from psycopg.types.numeric import Int8Dumper
from starlette.responses import Response

import queries
from config import load_settings
from main import create_app
from routes.http.parameters import ListQuery, TaskId
from routes.owned import OwnedRoute
from schemas import TaskCreate, TaskPublic, TaskUpdate

LIST, GET, CREATE, UPDATE = (
    statement.sql for statement in (queries.LIST["created_at"], queries.GET, queries.CREATE, queries.UPDATE)
)
FIRST_PAGE = {"only_completed": None, "only_q": None, "after_id": None, "after_key": None, "count": False}
CONNECTIONS = 10

idle: asyncio.Queue[psycopg.AsyncConnection] = asyncio.Queue()
opened = 0


async def _connect() -> psycopg.AsyncConnection:
    connection = await psycopg.AsyncConnection.connect(os.environ["DATABASE_URL"], autocommit=True, prepare_threshold=0)
    connection.adapters.register_dumper(int, Int8Dumper)
    return connection


async def _fetch(statement: bytes, values: dict[str, Any]) -> str:
    global opened  # noqa: PLW0603
    if opened < CONNECTIONS:
        opened += 1
        connection = await _connect()
    else:
        connection = await idle.get()
    try:
        cursor = await connection.execute(statement, values)
        row = await cursor.fetchone()
    finally:
        idle.put_nowait(connection)
    return row[0]


router = APIRouter(prefix="/api/{user_id:path}/tasks", route_class=OwnedRoute)


@router.get("", response_model=list[TaskPublic])
async def list_tasks(session: OwnSession, given: ListQuery) -> Response:
    body = await _fetch(LIST, {**FIRST_PAGE, "owner": session.owner, "page_size": given.limit})
    return Response(body, media_type="application/json")


@router.post("", response_model=TaskPublic, status_code=201)
async def create_task(session: OwnSession, task: TaskCreate) -> Response:
    body = await _fetch(CREATE, {"owner": session.owner, "new_tasks": f"[{task.model_dump_json()}]"})
    return Response(body[1:-1], 201, media_type="application/json")


@router.get("/{task_id}", response_model=TaskPublic)
async def get_task(session: OwnSession, task_id: TaskId) -> Response:
    body = await _fetch(GET, {"owner": session.owner, "task_id": task_id})
    return Response(body, media_type="application/json")


@router.patch("/{task_id}", response_model=TaskPublic)
async def update_task(session: OwnSession, task_id: TaskId, task: TaskUpdate) -> Response:
    changes = task.model_dump_json(exclude_unset=True)
    values = {"owner": session.owner, "task_id": task_id, "if_match": None, "changes": changes}
    return Response(await _fetch(UPDATE, values), media_type="application/json")


app = without_tasks(create_app(load_settings()))
app.router.routes.extend(router.routes)
