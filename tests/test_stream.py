"""Changes as they happen: what comes over a stream, and when it ends."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest
from fastapi import APIRouter

import live
from auth.owner import OwnSession
from models import Task
from routes.http import events
from tests.support.copy import Copy
from tests.support.key_server import KeyServer, key_server, private_key, public_jwk
from tests.support.service import User, check_problem, make_token, running
from tests.support.stream import STREAM, next_page, stream


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


@pytest.fixture
def key_holder(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[User, KeyServer]]:
    """Somebody whose token is signed by the only key that is published, which is fetched again and again."""
    monkeypatch.setattr("auth.keys.FLOOR_SECONDS", 0.0)
    monkeypatch.setattr("auth.keys.REFRESH_SECONDS", 0.1)  # before the service starts, which may sleep at once
    key = private_key("EdDSA")
    with key_server() as keys:
        keys.keys = [public_jwk(key, "EdDSA", "one")]
        with running(database_url, better_auth_url=keys.url) as client:
            user = User(client)
            user.headers = {"Authorization": f"Bearer {keys.token(key, sub=user.id)}"}
            yield user, keys


def renew(user: User, keys: KeyServer) -> User:
    """Publish another key in the place of the first, and give the same person with a token by that."""
    key = private_key("EdDSA")
    keys.keys = [public_jwk(key, "EdDSA", "two")]
    renewed = User(user.client, user.id)
    renewed.headers = {"Authorization": f"Bearer {keys.token(key, sub=user.id, kid='two')}"}
    return renewed


def test_a_stream_ends_when_its_key_is_withdrawn(
    key_holder: tuple[User, KeyServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("routes.changes.HEARTBEAT_SECONDS", 0.1)
    user, keys = key_holder
    with stream(user) as fields:
        next_page(fields, Copy(user))
        assert next(fields) == ("", "")
        renew(user, keys)
        withdrawn = time.monotonic()
        for field, _ in fields:
            assert not field
            assert time.monotonic() - withdrawn < 10


def test_nothing_is_sent_to_who_has_a_key_that_is_known_to_be_withdrawn(key_holder: tuple[User, KeyServer]) -> None:
    user, keys = key_holder
    with stream(user) as fields:
        next_page(fields, Copy(user))
        renew(user, keys).create("secret")
        check_problem(user.get(), 401)
        assert list(fields) == []


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
