"""The tasks of one owner. Each route is one statement, and PostgreSQL writes the body."""

import hashlib
from typing import Annotated, Any
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Body
from pydantic import TypeAdapter
from pydantic_core import from_json
from sqlalchemy import Executable
from starlette.responses import Response

import queries
from db import Unavailable
from middleware.auth import OwnerScope, Scoped
from middleware.errors import Problem
from routes import documentation as docs
from routes.conditions import IdempotencyKey, IfMatch
from routes.cursor import Filters, decode_cursor, encode_cursor
from routes.owned import OwnedRoute
from routes.parameters import Count, Cursor, Everything, Ids, Limit, OnlyCompleted, Search, Sort, TaskId, choose
from schemas import Deleted, TaskComplete, TaskCreate, TaskPublic, TaskUpdate, Updated

router = APIRouter(prefix="/api/{user_id:path}/tasks", tags=["tasks"], route_class=OwnedRoute, responses=docs.ERRORS)

TOGGLE: Any = None  # no body; a type with None in it would take the body null as well
NewTasks = TypeAdapter(list[TaskCreate])


@router.get(
    "",
    operation_id="listTasks",
    response_model=list[TaskPublic],
    responses={**docs.LISTED, **docs.NOT_MODIFIED},
    openapi_extra=docs.IF_NONE_MATCH,
)
async def list_tasks(
    scope: Scoped,
    completed: OnlyCompleted = None,
    q: Search = None,
    sort: Sort = "created_at",
    limit: Limit = 100,
    cursor: Cursor = None,
    count: Count = False,
) -> Response:
    """One page of tasks; the Link header leads to the next while there is more."""
    filters = Filters(sort, completed, q)
    after_id, after_key = decode_cursor(filters, cursor)
    row = await scope.fetch(
        queries.LIST[sort],
        only_completed=completed,
        q=q,
        page_size=limit,
        after_id=after_id,
        after_key=after_key,
        count=count,
    )
    headers = {}
    if row.next:
        headers["Link"] = f'<{_link(scope, filters, limit, count, row.next)}>; rel="next"'
    if count:
        headers["X-Total-Count"] = str(row.total)
    version = hashlib.sha256(f"{row.body}{headers}".encode()).hexdigest()[:32]
    return Response(row.body, 200, {**headers, "ETag": f'"{version}"'}, "application/json")


@router.post(
    "",
    operation_id="createTask",
    status_code=201,
    response_model=TaskPublic,
    responses={**docs.CREATED, **docs.BODY, **docs.KEY_REUSED},
)
async def create_task(scope: Scoped, task: TaskCreate, key: IdempotencyKey) -> Response:
    """Create a task."""
    body, headers = await _create(scope, "createTask", [task], key)
    [created] = from_json(body)
    headers |= {"ETag": _etag(created), "Location": f"{_address(scope)}/{created['id']}"}
    return Response(body[1:-1], 201, headers, "application/json")


@router.post(
    "/batch",
    operation_id="createTasks",
    status_code=201,
    response_model=list[TaskPublic],
    responses={**docs.CREATED_MANY, **docs.BODY, **docs.KEY_REUSED},
)
async def create_tasks(
    scope: Scoped, new: Annotated[list[TaskCreate], Body(min_length=1, max_length=1000)], key: IdempotencyKey
) -> Response:
    """Create 1 to 1000 tasks, all or none; they come back in the order sent."""
    body, headers = await _create(scope, "createTasks", new, key)
    return Response(body, 201, headers, "application/json")


@router.patch("", operation_id="updateTasks", response_model=Updated, responses=docs.BODY)
async def update_tasks(
    scope: Scoped,
    change: TaskComplete,
    completed: OnlyCompleted = None,
    q: Search = None,
    ids: Ids = None,
    everything: Everything = False,
) -> Updated:
    """Set the state of all tasks that match the filter ("complete all")."""
    row = await scope.fetch(queries.UPDATE_ALL, wanted=change.completed, **choose(completed, q, ids, everything))
    return Updated(updated=row[0])


@router.delete("", operation_id="deleteTasks", response_model=Deleted)
async def delete_tasks(
    scope: Scoped,
    completed: OnlyCompleted = None,
    q: Search = None,
    ids: Ids = None,
    everything: Everything = False,
) -> Deleted:
    """Delete all tasks that match the filter ("clear completed")."""
    row = await scope.fetch(queries.DELETE_ALL, **choose(completed, q, ids, everything))
    return Deleted(deleted=row[0])


@router.get(
    "/{task_id}",
    operation_id="getTask",
    response_model=TaskPublic,
    responses={**docs.WITH_ETAG, **docs.NOT_MODIFIED, **docs.NO_SUCH_TASK},
    openapi_extra=docs.IF_NONE_MATCH,
)
async def get_task(scope: Scoped, task_id: TaskId) -> Response:
    """Read a task."""
    row = await scope.fetch(queries.GET, task_id=task_id)
    if row.body is None:
        raise _no_such_task()
    return _answer(row.body)


CHANGES: Any = {
    "response_model": TaskPublic,
    "responses": {**docs.WITH_ETAG, **docs.NO_SUCH_TASK, **docs.CHANGED, **docs.BODY},
}


@router.put("/{task_id}", operation_id="putTask", **CHANGES)
@router.patch("/{task_id}", operation_id="updateTask", **CHANGES)
async def update_task(scope: Scoped, task_id: TaskId, task: TaskUpdate, tags: IfMatch) -> Response:
    """Change the fields sent. With PUT too, what isn't sent stays, so nobody loses what they didn't know of."""
    return await _change(scope, queries.UPDATE, task_id, tags, changes=task.model_dump_json(exclude_unset=True))


@router.patch("/{task_id}/complete", operation_id="completeTask", **CHANGES)
async def complete_task(
    scope: Scoped,
    task_id: TaskId,
    tags: IfMatch,
    wanted: Annotated[TaskComplete, Body()] = TOGGLE,
) -> Response:
    """Toggle a task, or set it by a body, so that a retry is safe."""
    return await _change(scope, queries.COMPLETE, task_id, tags, wanted=getattr(wanted, "completed", None))


@router.delete(
    "/{task_id}",
    operation_id="deleteTask",
    status_code=204,
    response_class=Response,
    responses={**docs.NO_SUCH_TASK, **docs.CHANGED},
)
async def delete_task(scope: Scoped, task_id: TaskId, tags: IfMatch) -> Response:
    """Delete a task."""
    row = await scope.fetch(queries.DELETE, task_id=task_id, if_match=tags)
    if not row.done:
        raise _not_done(row.found, tags)
    return Response(status_code=204)


async def _create(
    scope: OwnerScope, operation: str, new: list[TaskCreate], key: str | None
) -> tuple[str, dict[str, str]]:
    new_tasks = NewTasks.dump_json(new).decode()
    if key is None:
        row = await scope.fetch(queries.CREATE, new_tasks=new_tasks)
        return row.body, {}
    scope.clear_expired_keys()
    # Without defaults, or a field that is added one day would make retries look like other requests.
    meant = NewTasks.dump_json(new, exclude_defaults=True).decode()
    fingerprint = hashlib.sha256(f"{operation} {meant}".encode()).hexdigest()
    for _ in range(3):
        row = await scope.fetch(queries.CREATE_ONCE, new_tasks=new_tasks, idempotency_key=key, fingerprint=fingerprint)
        if row.body:
            return row.body, {}
        if row.same:
            return row.replay, {"Idempotency-Replayed": "true"}
        if row.replay:
            raise Problem(422, "This Idempotency-Key was used for another request. Take a new key.")
        # The same key was just being claimed: its transaction has ended now, so ask again.
    raise Unavailable("A request with this Idempotency-Key is still running.")


async def _change(
    scope: OwnerScope, statement: Executable, task_id: int, tags: list[str] | None, **values: Any
) -> Response:
    row = await scope.fetch(statement, task_id=task_id, if_match=tags, **values)
    if row.body is None:
        raise _not_done(row.found, tags)
    return _answer(row.body)


def _not_done(found: bool, tags: list[str] | None) -> Problem:
    if found and tags is not None:
        return Problem(412, "The task has changed since you read it. Read it again, then decide.")
    return _no_such_task()


def _no_such_task() -> Problem:
    return Problem(404, "There is no such task.")


def _answer(body: str) -> Response:
    return Response(body, 200, {"ETag": _etag(from_json(body))}, "application/json")


def _etag(task: dict[str, Any]) -> str:
    return f'"{task["updated_at"]}"'


def _address(scope: OwnerScope) -> str:
    return f"/api/{quote(scope.owner, safe='')}/tasks"


def _link(scope: OwnerScope, filters: Filters, limit: int, count: bool, position: str) -> str:
    given = {
        "completed": None if filters.completed is None else str(filters.completed).lower(),
        "q": filters.q,
        "sort": None if filters.sort == "created_at" else filters.sort,
        "limit": limit,
        "count": "true" if count else None,
        "cursor": encode_cursor(filters, position),
    }
    return f"{_address(scope)}?{urlencode({name: value for name, value in given.items() if value is not None})}"
