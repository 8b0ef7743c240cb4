"""What has changed in the tasks of one owner: a page at a time, and as a stream."""

import contextlib
import time
from collections.abc import AsyncGenerator
from typing import Annotated, NamedTuple

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field
from pydantic_core import from_json
from starlette.responses import Response

import queries
from auth.owner import OwnerSession, OwnSession
from live import Listener
from problems import Problem, bad_request
from routes.http import openapi as docs
from routes.http.events import HEARTBEAT, HEARTBEAT_SECONDS, EventStream, event
from routes.http.parameters import PlainInteger
from routes.http.query import FromQuery
from routes.http.token import LONGEST, Place, decode_token, encode_token
from routes.owned import OwnedRoute
from schemas import EXAMPLE_SINCE, LARGEST_ID, Changes

NOT_KNOWN = "What has changed since this token is no longer known: forget your copy, and start again without since."
GONE = docs.problem(410, "The token is too old, or of another history of the database.", NOT_KNOWN)

router = APIRouter(
    prefix="/api/{user_id:owner}/tasks",
    tags=["changes"],
    route_class=OwnedRoute,
    responses={**docs.ERRORS, 410: GONE},
)


class ChangesParameters(BaseModel):
    """One page of changes."""

    since: str | None = Field(
        None, max_length=LONGEST, description="The next of the page before; without it, everything."
    )
    limit: PlainInteger = Field(
        100, ge=1, le=1000, description="How many tasks and ids a page has at most.", examples=[50]
    )


STREAMED = {
    "description": "Events: `id` is the token, and `data` is the JSON of a page in one line.",
    "content": {EventStream.media_type: {"schema": {"type": "string"}}},
}
LAST_EVENT_ID = docs.header_parameter(
    "Last-Event-ID", "The id of the last event that came. It wins over since.", EXAMPLE_SINCE
)

ChangesQuery = Annotated[ChangesParameters, Depends(FromQuery(ChangesParameters))]


class Page(NamedTuple):
    """``body`` is the JSON of ``Changes``, and ``place`` where its ``next`` points."""

    body: str
    token: str
    place: Place
    more: bool
    empty: bool
    version: str | None


@router.get("/changes", operation_id="listChanges", response_model=Changes)
async def list_changes(session: OwnSession, given: ChangesQuery) -> Response:
    """What has changed since the token, deletions too; without one, all tasks.

    Apply the pages in order, and go on at once while there is more: you come out equal to the owner's tasks.
    """
    place = decode_token(given.since, session.owner, "/query/since")
    page = await read_page(session, place, given.limit)
    return Response(page.body, media_type="application/json")


@router.get(
    "/changes/stream",
    operation_id="streamChanges",
    response_class=Response,
    responses={200: STREAMED},
    openapi_extra=LAST_EVENT_ID,
)
async def stream_changes(session: OwnSession, request: Request, given: ChangesQuery) -> EventStream:
    """The same pages as server-sent events, as tasks change, until the bearer token expires.

    Take the stream up again from the id of its last event, which is the body's `next`.
    """
    place = _place(session, request, given)
    listener = request.app.state.live.listen(session.owner)
    try:
        page = await read_page(session, place, given.limit)  # before the 200, so that an error is an answer
    except BaseException:
        listener.end()
        raise
    return EventStream(_events(session, request, listener, page, given.limit), listener.end)


def _place(session: OwnerSession, request: Request, given: ChangesParameters) -> Place:
    match request.headers.getlist("last-event-id"):
        case []:
            return decode_token(given.since, session.owner, "/query/since")
        case [token]:
            return decode_token(token, session.owner, "/header/Last-Event-ID")
    raise bad_request("/header/Last-Event-ID", "Send this header once.")


async def _events(
    session: OwnerSession, request: Request, listener: Listener, page: Page, limit: int
) -> AsyncGenerator[bytes]:
    verified = request.app.state.authenticator.verified
    yield event(page.token, page.body)
    with contextlib.suppress(Problem):  # the client comes again, and is told as in any answer
        expires = (await verified(request)).expires
        while True:
            place, more, listener.version = page.place, page.more, page.version
            del page  # it may have megabytes, and the stream may live for hours
            while not more and not await listener.changed(min(expires - time.time(), HEARTBEAT_SECONDS)):
                await verified(request)  # no longer where it has expired, or its key was withdrawn
                yield HEARTBEAT
            if listener.over:
                return
            await verified(request)
            page = await read_page(session, place, limit)
            yield event(page.token, page.body) if more or not page.empty else HEARTBEAT


async def read_page(session: OwnerSession, place: Place, limit: int) -> Page:
    """What follows the place.

    Raises:
        Problem: 410, not all that has changed since then is known.
    """
    row = await session.fetch(
        queries.SNAPSHOT if place.snapshot else queries.CHANGES,
        page_size=limit,
        since=place.since,
        after_id=place.after_id,
    )
    if not row.known:
        raise Problem(410, NOT_KNOWN)
    if row.position:
        since, after_id = from_json(row.position)
        following, more = Place(since, after_id, place.snapshot), True
    else:
        # A snapshot of several pages is not of one moment: what has changed since the first belongs to it.
        more = place.snapshot and place.since is not None
        following = Place(place.since if more else row.version, LARGEST_ID, snapshot=False)
    token = encode_token(following, session.owner)
    body = f'{{"changed":{row.changed},"deleted":{row.deleted},"next":"{token}","more":{str(more).lower()}}}'
    return Page(body, token, following, more, row.changed == row.deleted == "[]", row.version)
