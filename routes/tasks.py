"""The tasks of one owner. Each route is one statement, and PostgreSQL writes the body."""

import hashlib
from typing import Annotated, Any
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Body, Request
from pydantic import TypeAdapter
from pydantic_core import from_json
from starlette.convertors import StringConvertor, register_url_convertor
from starlette.responses import Response

import queries
from auth.owner import OwnerSession, OwnSession
from problems import Problem, too_many_tasks
from routes.http import openapi as docs
from routes.http.conditions import IfMatch, idempotency_key, if_match
from routes.http.cursor import decode_cursor, encode_cursor
from routes.http.parameters import ListQuery, Selected, TaskId
from routes.owned import OwnedRoute
from schemas import Deleted, TaskComplete, TaskCreate, TaskPublic, TaskUpdate, Updated
from statements import Statement

router = APIRouter(prefix="/api/{user_id:owner}/tasks", tags=["tasks"], route_class=OwnedRoute, responses=docs.ERRORS)


BESIDE_IDS = [
    "batch",
    "changes",
]


class TaskSegment(StringConvertor):
    """What stands for a task's id: all but the names beside it, whose routes may so come in any order."""

    regex = f"(?!(?:{'|'.join(BESIDE_IDS)})$)[^/]+"


register_url_convertor("task", TaskSegment())

TOGGLE: Any = None  # no body; a type with None in it would take the body null as well
NewTasks = TypeAdapter(list[TaskCreate])


@router.get(
    "",
    operation_id="listTasks",
    response_model=list[TaskPublic],
    responses={**docs.LISTED, **docs.NOT_MODIFIED},
    openapi_extra=docs.IF_NONE_MATCH,
)
async def list_tasks(session: OwnSession, request: Request, given: ListQuery) -> Response:
    """One page of tasks; the Link header leads to the next while there is more."""
    after_id, after_key = decode_cursor(given)
    page = await session.fetch(
        queries.LIST[given.sort],
        **given.bound(),
        page_size=given.limit,
        after_id=after_id,
        after_key=after_key,
        count=given.count,
    )
    headers = {}
    if page.next:
        following = {**request.query_params, "limit": given.limit, "cursor": encode_cursor(given, page.next)}
        headers["Link"] = f'<{_address(session)}?{urlencode(following)}>; rel="next"'
    if given.count:
        headers["X-Total-Count"] = str(page.total)
    body = page.body.encode()
    version = hashlib.sha256(body + str(headers).encode()).hexdigest()[:32]
    return Response(body, 200, {**headers, "ETag": f'"{version}"'}, "application/json")


@router.get(
    "/{task_id:task}",
    operation_id="getTask",
    response_model=TaskPublic,
    responses={**docs.READ, **docs.NOT_MODIFIED, **docs.NO_SUCH_TASK},
    openapi_extra=docs.IF_NONE_MATCH,
)
async def get_task(session: OwnSession, task_id: TaskId) -> Response:
    """Read a task."""
    row = await session.fetch(queries.GET, task_id=task_id)
    if row.body is None:
        raise _no_such_task()
    return _answer(row.body)


@router.post(
    "",
    operation_id="createTask",
    status_code=201,
    response_model=TaskPublic,
    responses={**docs.CREATED, **docs.BODY, **docs.KEY_REUSED, **docs.OVER_QUOTA},
    openapi_extra=docs.IDEMPOTENCY_KEY,
)
async def create_task(session: OwnSession, request: Request, task: TaskCreate) -> Response:
    """Create a task."""
    body, headers = await _create(session, "createTask", [task], idempotency_key(request))
    [created] = from_json(body)
    headers |= {"ETag": _etag(created), "Location": f"{_address(session)}/{created['id']}"}
    return Response(body[1:-1], 201, headers, "application/json")


CHANGES: Any = {
    "response_model": TaskPublic,
    "responses": {**docs.WRITTEN, **docs.NO_SUCH_TASK, **docs.CHANGED, **docs.BODY},
    "openapi_extra": docs.IF_MATCH,
}


@router.put("/{task_id:task}", operation_id="putTask", **CHANGES)
@router.patch("/{task_id:task}", operation_id="updateTask", **CHANGES)
async def update_task(session: OwnSession, request: Request, task_id: TaskId, task: TaskUpdate) -> Response:
    """Change the fields sent. With PUT too, what isn't sent stays, so nobody loses what they didn't know of."""
    return await _change(
        session, queries.UPDATE, task_id, if_match(request), changes=task.model_dump_json(exclude_unset=True)
    )


@router.patch("/{task_id}/complete", operation_id="completeTask", **CHANGES)
async def complete_task(
    session: OwnSession,
    request: Request,
    task_id: TaskId,
    wanted: Annotated[TaskComplete, Body()] = TOGGLE,
) -> Response:
    """Toggle a task, or set it by a body, so that a retry is safe."""
    completed = getattr(wanted, "completed", None)
    return await _change(session, queries.COMPLETE, task_id, if_match(request), wanted=completed)


@router.delete(
    "/{task_id:task}",
    operation_id="deleteTask",
    status_code=204,
    response_class=Response,
    responses={**docs.DELETED, **docs.NO_SUCH_TASK, **docs.CHANGED},
    openapi_extra=docs.IF_MATCH,
)
async def delete_task(session: OwnSession, request: Request, task_id: TaskId) -> Response:
    """Delete a task."""
    tags = if_match(request)
    row = await session.fetch(queries.DELETE, task_id=task_id, if_match=tags)
    if not row.done:
        raise _not_done(row.found, tags)
    return Response(status_code=204)


@router.post(
    "/batch",
    operation_id="createTasks",
    status_code=201,
    response_model=list[TaskPublic],
    responses={**docs.CREATED_MANY, **docs.BODY, **docs.KEY_REUSED, **docs.OVER_QUOTA},
    openapi_extra=docs.IDEMPOTENCY_KEY,
)
async def create_tasks(
    session: OwnSession, request: Request, new: Annotated[list[TaskCreate], Body(min_length=1, max_length=1000)]
) -> Response:
    """Create 1 to 1000 tasks, all or none; they come back in the order sent."""
    body, headers = await _create(session, "createTasks", new, idempotency_key(request))
    return Response(body, 201, headers, "application/json")


@router.patch("", operation_id="updateTasks", response_model=Updated, responses=docs.BODY)
async def update_tasks(session: OwnSession, change: TaskComplete, selected: Selected) -> Updated:
    """Set the state of all tasks that match the filter ("complete all")."""
    count = await session.fetch(queries.UPDATE_ALL, wanted=change.completed, **selected.bound())
    return Updated(updated=count.number)


@router.delete("", operation_id="deleteTasks", response_model=Deleted)
async def delete_tasks(session: OwnSession, selected: Selected) -> Deleted:
    """Delete all tasks that match the filter ("clear completed")."""
    count = await session.fetch(queries.DELETE_ALL, **selected.bound())
    return Deleted(deleted=count.number)


async def _create(
    session: OwnerSession, operation: str, new: list[TaskCreate], key: str | None
) -> tuple[str, dict[str, str]]:
    values = {"new_tasks": NewTasks.dump_json(new).decode(), "most_tasks": session.max_tasks}
    if key is None:
        row = await session.fetch(queries.CREATE, **values)
        if row.body is None:
            raise too_many_tasks(session.max_tasks)
        return row.body, {}
    # Without defaults, or a field that is added one day would make retries look like other requests.
    meant = NewTasks.dump_json(new, exclude_defaults=True).decode()
    fingerprint = hashlib.sha256(f"{operation} {meant}".encode()).hexdigest()
    values |= {"idempotency_key": key, "fingerprint": fingerprint}
    for _ in range(2):  # one with the same key may just have taken the last places: then its answer is there now
        answer = await session.fetch(queries.CREATE_ONCE, **values)
        if answer.body:
            return answer.body, {}
        if answer.replay and answer.same:
            return answer.replay, {"Idempotency-Replayed": "true"}
        if answer.replay:
            raise Problem(422, "This Idempotency-Key was used for another request. Take a new key.")
    raise too_many_tasks(session.max_tasks)


async def _change(
    session: OwnerSession, statement: Statement[queries.Changed], task_id: int, tags: IfMatch, **values: Any
) -> Response:
    row = await session.fetch(statement, task_id=task_id, if_match=tags, **values)
    if row.body is None:
        raise _not_done(row.found, tags)
    return _answer(row.body)


def _not_done(found: bool, tags: IfMatch) -> Problem:
    if found and tags is not None:
        return Problem(412, "The task has changed since you read it. Read it again, then decide.")
    return _no_such_task()


def _no_such_task() -> Problem:
    return Problem(404, "There is no such task.")


def _answer(body: str) -> Response:
    return Response(body, 200, {"ETag": _etag(from_json(body))}, "application/json")


def _etag(task: dict[str, Any]) -> str:
    return f'"{task["updated_at"]}"'


def _address(session: OwnerSession) -> str:
    return f"/api/{quote(session.owner, safe='')}/tasks"
