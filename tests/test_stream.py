"""Changes as they happen: what comes over a stream, when it ends, and what it may not hold."""

import contextlib
import json
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import APIRouter, FastAPI

import live
from auth.owner import OwnSession
from edge.protocol import Protocol
from main import create_app
from models import Task
from routes.http import events
from tests.support.copy import Copy, lines
from tests.support.key_server import key_server, private_key, public_jwk
from tests.support.process import run_service
from tests.support.proxy import Watched
from tests.support.service import SECRET, User, check_problem, make_token, running, serving, settings_for, wait_until

STREAM = "/changes/stream"


@contextlib.contextmanager
def stream(user: User, **options: Any) -> Iterator[Iterator[tuple[str, str]]]:
    """The fields of a stream's lines, and their values; where nothing comes, not even a heartbeat is waited for."""
    headers = {**user.headers, **options.pop("headers", {})}
    with user.client.stream("GET", user.path + STREAM, headers=headers, timeout=10, **options) as response:
        assert response.status_code == 200
        assert response.headers["Content-Type"].startswith("text/event-stream")
        yield lines(response)


def next_page(fields: Iterator[tuple[str, str]], copy: Copy) -> dict[str, Any]:
    """Apply the next event; comments are passed over."""
    field, token = next((field, value) for field, value in fields if field)
    assert field == "id"
    field, data = next(fields)
    assert field == "data"
    page: dict[str, Any] = json.loads(data)
    assert page["next"] == token
    copy.apply(page)
    return page


@pytest.fixture
def own_app(database_url: str) -> FastAPI:
    return create_app(settings_for(database_url))


@pytest.fixture
def own_client(own_app: FastAPI) -> Iterator[httpx2.Client]:
    """Of another worker than ``client``."""
    with serving(own_app) as (url, _), httpx2.Client(base_url=url, timeout=30) as client:
        yield client


def test_a_write_here_comes_at_once_and_one_elsewhere_soon(user: User, own_client: httpx2.Client) -> None:
    elsewhere = User(own_client, user.id)
    with stream(user) as fields:
        copy = Copy(user)
        assert next_page(fields, copy) == {"changed": [], "deleted": [], "next": copy.token, "more": False}
        for writer, limit in ((user, 0.5), (elsewhere, 3.0)):
            started = time.monotonic()
            task = writer.create()
            assert next_page(fields, copy)["changed"] == [task]
            assert time.monotonic() - started < limit
            writer.send("DELETE", f"/{task['id']}")
            assert next_page(fields, copy)["deleted"] == [task["id"]]
        copy.check()


def test_a_stream_starts_with_all_pages_of_a_snapshot_and_says_when_it_is_whole(user: User) -> None:
    user.send("POST", "/batch", json=[{"title": "x"}] * 5)
    copy = Copy(user)
    with stream(user, params={"limit": "2"}) as fields:
        sizes = [len(next_page(fields, copy)["changed"]) for _ in range(4)]
    assert sizes == [2, 2, 1, 0]
    copy.check()


def test_a_stream_goes_on_from_the_last_event_s_id(user: User) -> None:
    first = Copy(user).read()
    user.create("missed")
    second = Copy(user).read()
    last = user.create("also missed")
    with stream(user, params={"since": first.token}) as fields:
        assert len(next_page(fields, first)["changed"]) == 2
        first.check()
    with stream(user, params={"since": first.token}, headers={"Last-Event-ID": second.token}) as fields:
        assert next_page(fields, second)["changed"] == [last]


def test_what_is_wrong_is_an_answer_and_no_broken_stream(user: User, stranger: User) -> None:
    check_problem(user.client.get(user.path + STREAM), 401)
    check_problem(user.get(f"/api/{stranger.id}/tasks{STREAM}"), 403)
    check_problem(user.get(STREAM, headers={"Last-Event-ID": "abc"}), 400, "/header/Last-Event-ID")
    check_problem(user.get(STREAM, headers={"Last-Event-ID": ""}), 400, "/header/Last-Event-ID")
    twice = [("Last-Event-ID", "a"), ("Last-Event-ID", "b"), *user.headers.items()]
    check_problem(user.client.get(user.path + STREAM, headers=twice), 400, "/header/Last-Event-ID")
    check_problem(user.send("POST", STREAM), 405)
    check_problem(user.send("DELETE", "/changes"), 405)


def test_head_answers_at_once(user: User) -> None:
    for _ in range(live.MOST_STREAMS_OF_ONE + 2):  # and takes no place
        response = user.send("HEAD", STREAM)
        assert (response.status_code, response.content) == (200, b"")
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["X-Accel-Buffering"] == "no"
    assert user.send("HEAD", STREAM, params={"since": "abc"}).status_code == 400
    assert user.send("HEAD", "/changes").content == b""


def test_a_preflight_allows_the_last_event_s_id(user: User) -> None:
    headers = {
        "Origin": "http://localhost:3000",
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "authorization,last-event-id",
    }
    response = user.client.options(user.path + STREAM, headers=headers)
    assert response.status_code == 200
    assert "last-event-id" in response.headers["Access-Control-Allow-Headers"].lower()


def test_a_quiet_stream_says_that_it_lives(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    assert events.HEARTBEAT_SECONDS < 30
    monkeypatch.setattr("routes.changes.HEARTBEAT_SECONDS", 0.1)
    with stream(user) as fields:
        next_page(fields, Copy(user))
        assert [next(fields) for _ in range(3)] == [("", "")] * 3


def test_writes_that_change_nothing_are_no_reason_to_be_silent(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("routes.changes.HEARTBEAT_SECONDS", 0.5)
    with stream(user) as fields, ThreadPoolExecutor(1) as threads:
        next_page(fields, Copy(user))
        other, over = User(user.client, user.id), threading.Event()
        writing = threads.submit(lambda: [other.send("DELETE", "/999") for _ in iter(lambda: over.wait(0.1), True)])
        try:
            assert next(fields) == ("", "")
        finally:
            over.set()
            assert {answer.status_code for answer in writing.result()} <= {404}


def test_a_stream_ends_with_its_token(user: User) -> None:
    expires = int(time.time()) + 2 - 30  # clocks may differ by 30 seconds
    user.headers = {"Authorization": f"Bearer {make_token(sub=user.id, exp=expires)}"}
    with stream(user) as fields:
        assert len(list(fields)) >= 2
        assert 0 <= time.time() - expires - 30 < 1.5


def test_a_stream_ends_when_its_key_is_withdrawn(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("auth.keys.REFRESH_SECONDS", 0.1)
    monkeypatch.setattr("auth.keys.FLOOR_SECONDS", 0.0)
    monkeypatch.setattr("routes.changes.HEARTBEAT_SECONDS", 0.1)
    old, new = private_key("EdDSA"), private_key("EdDSA")
    with key_server() as keys:
        keys.keys = [public_jwk(old, "EdDSA", "one")]
        with running(database_url, better_auth_url=keys.url) as client:
            user = User(client)
            user.headers = {"Authorization": f"Bearer {keys.token(old, sub=user.id)}"}
            with stream(user) as fields:
                next_page(fields, Copy(user))
                assert next(fields) == ("", "")
                keys.keys = [public_jwk(new, "EdDSA", "two")]
                withdrawn = time.monotonic()
                for field, _ in fields:
                    assert not field
                    assert time.monotonic() - withdrawn < 10


def test_nothing_is_sent_to_who_has_a_key_that_is_known_to_be_withdrawn(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("auth.keys.FLOOR_SECONDS", 0.0)
    old, new = private_key("EdDSA"), private_key("EdDSA")
    with key_server() as keys:
        keys.keys = [public_jwk(old, "EdDSA", "one")]
        with running(database_url, better_auth_url=keys.url) as client:
            user = User(client)
            user.headers = {"Authorization": f"Bearer {keys.token(old, sub=user.id)}"}
            with stream(user) as fields:
                next_page(fields, Copy(user))
                keys.keys = [public_jwk(new, "EdDSA", "two")]
                renewed = User(client, user.id)
                renewed.headers = {"Authorization": f"Bearer {keys.token(new, sub=user.id, kid='two')}"}
                renewed.create("secret")
                check_problem(user.get(), 401)
                assert list(fields) == []


def test_streams_are_bounded_and_give_their_places_back(
    own_app: FastAPI, own_client: httpx2.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "MOST_STREAMS", live.MOST_STREAMS_OF_ONE + 1)
    user, second, third = User(own_client), User(own_client), User(own_client)
    with contextlib.ExitStack() as streams:
        for _ in range(live.MOST_STREAMS_OF_ONE):
            streams.enter_context(stream(user))
        assert "You have" in check_problem(user.get(STREAM), 503)["detail"]
        streams.enter_context(stream(second))
        assert "place" in check_problem(third.get(STREAM), 503)["detail"]
        check_problem(user.get(STREAM, params={"since": "abc"}), 400)
    wait_until(lambda: not own_app.state.live._listeners)
    check_problem(user.get(STREAM, params={"since": Copy(user).read().token, "limit": "0"}), 400)
    with stream(third) as fields:
        next_page(fields, Copy(third))


def test_streams_take_no_connection_of_those_that_are_served(own_app: FastAPI) -> None:
    with serving(own_app, limit_concurrency=2) as (url, _), contextlib.ExitStack() as streams:
        followed = []  # a stream of lines that nobody holds is closed
        for _ in range(4):
            user = User(streams.enter_context(httpx2.Client(base_url=url, timeout=30)))
            followed.append(streams.enter_context(stream(user)))
            next_page(followed[-1], Copy(user))
        assert httpx2.get(f"{url}/health").status_code == 200
        with httpx2.Client(base_url=url) as first, httpx2.Client(base_url=url) as second:
            assert [User(one).get().status_code for one in (first, second)] == [200, 200]
            check_problem(user.get(), 503)


def test_waiting_streams_hold_no_connection_and_one_statement_serves_them_all(
    database_url: str, session_client: httpx2.Client
) -> None:
    with running(database_url, database_pool_size=1) as client, contextlib.ExitStack() as streams:
        users = [User(client) for _ in range(12)]
        followed = []
        for user in users:
            fields = streams.enter_context(stream(user))
            copy = Copy(user)
            next_page(fields, copy)
            followed.append((fields, copy))
        for writing_client in (client, session_client):  # in the same worker, and in another
            tasks = [User(writing_client, user.id).create() for user in users]
            for (fields, copy), task in zip(followed, tasks, strict=True):
                assert next_page(fields, copy)["changed"] == [task]
        assert all(user.get().status_code == 200 for user in users)


def test_a_commit_of_the_owner_s_session_comes_at_once(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "POLL_SECONDS", 60.0)
    router = APIRouter(prefix="/by-session/{user_id}")

    @router.post("")
    async def create_by_session(session: OwnSession) -> None:
        session.add(Task(title="by session", description=None))  # type: ignore[call-arg]
        await session.commit()

    with running(database_url, router) as client:
        user = User(client)
        with stream(user) as fields:
            copy = Copy(user)
            next_page(fields, copy)
            client.post(f"/by-session/{user.id}", headers=user.headers)
            assert [task["title"] for task in next_page(fields, copy)["changed"]] == ["by session"]


def test_a_stream_to_which_nothing_comes_asks_nothing(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "POLL_SECONDS", 0.05)
    user = User(watched.client)
    user.create()
    with stream(user) as fields:
        next_page(fields, Copy(user))
        watched.proxy.messages.clear()
        wait_until(lambda: len(watched.proxy.messages) > 20)
        assert len({message.body for message in watched.proxy.messages if message.kind == "B"}) == 1  # the poll


def test_nothing_is_asked_where_nobody_listens(own_app: FastAPI, own_client: httpx2.Client) -> None:
    user = User(own_client)
    with stream(user) as fields:
        next_page(fields, Copy(user))
        assert own_app.state.live._polling
    wait_until(lambda: own_app.state.live._polling is None)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_sigterm_ends_all_streams_first(database_url: str, tmp_path: Path, workers: str) -> None:
    environment = {"DATABASE_URL": database_url, "BETTER_AUTH_SECRET": SECRET}
    with (
        run_service(tmp_path, "--workers", workers, environment=environment) as service,
        httpx2.Client(base_url=service.url(), timeout=30) as client,
        contextlib.ExitStack() as streams,
    ):
        users = [User(client) for _ in range(5)]
        opened = [streams.enter_context(stream(user)) for user in users]
        for user, fields in zip(users, opened, strict=True):
            next_page(fields, Copy(user))
        started = time.monotonic()
        service.process.send_signal(signal.SIGTERM)
        assert [list(fields) for fields in opened] == [[]] * len(users)
        service.process.wait(5)
        assert time.monotonic() - started < 5
    assert "Traceback" not in service.output


def test_a_client_that_takes_nothing_is_left(
    own_app: FastAPI, own_client: httpx2.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Protocol, "unread_seconds", 0.2)
    monkeypatch.setattr(Protocol, "head_seconds", 0.2)  # it looks as often as that
    user = User(own_client)
    for _ in range(6):
        user.send("POST", "/batch", json=[{"title": "x", "description": "y" * 1000}] * 1000)
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect((own_client.base_url.host, own_client.base_url.port))
        head = (
            f"GET {user.path}{STREAM}?limit=1000 HTTP/1.1\r\nHost: x\r\nAuthorization: {user.headers['Authorization']}"
        )
        deaf.sendall(f"{head}\r\n\r\n".encode())
        wait_until(lambda: own_app.state.live._listeners)
        wait_until(lambda: not own_app.state.live._listeners)
