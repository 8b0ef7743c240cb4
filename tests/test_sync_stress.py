"""Eight writers at once, with transactions that are held open or rolled back; no reader may miss anything."""

import contextlib
import json
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import psycopg
import pytest
from fastapi import APIRouter
from sqlmodel import select

import queries
from auth.owner import OwnSession
from models import Task
from routes.http.parameters import TaskFilter
from schemas import TaskCreate
from statements import Statement
from tests.support.copy import Copy, lines
from tests.support.databases import nodes_of_citus
from tests.support.service import User, running

SECONDS = 3.0
WRITERS = 8
TWINS = "twin"
ids: Any = Task.id
titles: Any = Task.title


by_session = APIRouter(prefix="/api/{user_id}/by-session")


@by_session.put("/{task_id}")
async def write_by_session(session: OwnSession, task_id: int) -> None:
    """Change a task, delete the one before it and add another, in one transaction."""
    two = select(Task).where(ids <= task_id, titles == "single").order_by(ids.desc()).limit(2).with_for_update()
    for task in await session.exec(two):
        if task.id == task_id:
            task.completed = not task.completed
        else:
            await session.delete(task)
    session.add(Task(title="single", description=None))  # type: ignore[call-arg]
    await session.commit()


class Writer:
    """Writes at random. The twins are only ever changed together: in no moment do they differ."""

    def __init__(self, user: User, database_url: str, seed: int) -> None:
        self.user = user
        # Citus takes all statements of one node for one transaction, and sees deadlocks where there are none.
        self.on_citus = bool(nodes_of_citus(database_url))
        self.random = random.Random(seed)  # noqa: S311
        self.connection = psycopg.connect(database_url)

    def some_id(self) -> int:
        titled = [task["id"] for task in self.user.get("?q=single&limit=50").json()]
        return self.random.choice(titled) if titled else 1

    def write(self) -> None:
        weights = {
            self.create: 4,
            self.create_many: 2,
            self.change: 6,
            self.delete: 2,
            self.change_twins: 3,
            self.change_all: 1,
            self.delete_completed: 1,
            self.write_by_session: 3,
            self.hold_open: 4,
        }
        self.random.choices(list(weights), list(weights.values()))[0]()

    def send(self, *arguments: Any, **options: Any) -> None:
        response = self.user.send(*arguments, **options)
        in_the_way = self.on_citus and "in the way" in response.text
        assert response.status_code in {200, 201, 204, 404} or in_the_way, response.text

    def create(self) -> None:
        keys = [{"Idempotency-Key": f"key-{self.random.randrange(40)}"}, {}]
        self.send("POST", json={"title": "single"}, headers=self.random.choice(keys))

    def create_many(self) -> None:
        self.send("POST", "/batch", json=[{"title": "single"}] * self.random.randint(2, 9))

    def change(self) -> None:
        self.send("PATCH", f"/{self.some_id()}", json={"completed": self.random.random() < 0.3})

    def delete(self) -> None:
        self.send("DELETE", f"/{self.some_id()}")

    def change_twins(self) -> None:
        self.send("PATCH", "", params={"q": TWINS}, json={"completed": self.random.random() < 0.5})

    def change_all(self) -> None:
        self.send("PATCH", "?all=true", json={"completed": False})

    def delete_completed(self) -> None:
        self.send("DELETE", "?completed=true&q=single")

    def write_by_session(self) -> None:
        self.send("PUT", f"/api/{self.user.id}/by-session/{self.some_id()}")

    def hold_open(self) -> None:
        """The service's own statements in a transaction that takes a while, and is rolled back now and then."""
        new = json.dumps([TaskCreate(title="single").model_dump(mode="json")] * 2)
        some = {**TaskFilter(completed=True, q="single").bound(), "only_ids": None}
        choices: list[tuple[Statement[Any], dict[str, Any]]] = [
            (queries.CREATE, {"new_tasks": new, "most_tasks": 100_000}),
            (queries.UPDATE, {"task_id": self.some_id(), "if_match": None, "changes": '{"title":"single 2"}'}),
            (queries.DELETE, {"task_id": self.some_id(), "if_match": None}),
            (queries.DELETE_ALL, some),
        ]
        for statement, values in self.random.sample(choices, 2):
            sql = statement.on_citus.sql if self.on_citus else statement.sql
            try:
                self.connection.execute(sql, {**values, "owner": self.user.id})
            except psycopg.errors.DeadlockDetected:
                assert self.on_citus
                self.connection.rollback()
            time.sleep(self.random.uniform(0, 0.03))
        if self.random.random() < 0.3:
            self.connection.rollback()
        else:
            self.connection.commit()


def check_twins(copy: Copy) -> None:
    if copy.moment:
        twins = [task for task in copy.tasks.values() if task["title"] == TWINS]
        assert len(twins) == 2
        assert len({(task["completed"], task["updated_at"]) for task in twins}) == 1


def read_pages(copy: Copy, limit: int, done: threading.Event) -> None:
    while not done.is_set():
        copy.read_page(limit)
        check_twins(copy)
    copy.read(limit)


def read_stream(copy: Copy, seed: int, done: threading.Event) -> None:
    """Follow a stream that is cut after a few lines, also in the middle of an event."""
    chance = random.Random(seed)  # noqa: S311
    while not done.is_set():
        headers = {**copy.user.headers, **({"Last-Event-ID": copy.token} if copy.token else {})}
        address = f"{copy.user.path}/changes/stream?limit={chance.choice([2, 50, 1000])}"
        with copy.user.client.stream("GET", address, headers=headers) as response:
            assert response.status_code == 200
            for (field, value), _ in zip(lines(response), range(chance.randint(1, 30)), strict=False):
                if field == "data":
                    copy.apply(json.loads(value))
                    check_twins(copy)
                if done.is_set():
                    break
    copy.read()


@pytest.mark.concurrency
def test_no_reader_misses_anything(database_url: str, request: pytest.FixtureRequest) -> None:
    seed = hash(request.node.name) if request.config.getoption("repeat") > 1 else 1
    limits = httpx2.Limits(max_connections=100)
    with (
        running(database_url, by_session) as service,
        httpx2.Client(base_url=service.base_url, timeout=30, limits=limits) as client,
    ):
        user = User(client)
        user.send("POST", "/batch", json=[{"title": TWINS}, {"title": TWINS}, *[{"title": "single"}] * 20])
        writers = [Writer(user, database_url, seed + number) for number in range(WRITERS)]
        copies = [Copy(user) for _ in range(5)]
        done = threading.Event()
        ends = time.monotonic() + SECONDS

        def write(writer: Writer) -> int:
            written = 0
            with contextlib.closing(writer.connection):  # also where it fails, or the others would wait for it
                while time.monotonic() < ends:
                    writer.write()
                    written += 1
            return written

        readers: list[Callable[[], None]] = [
            lambda: read_pages(copies[0], 1, done),
            lambda: read_pages(copies[1], 7, done),
            lambda: read_pages(copies[2], 1000, done),
            lambda: read_stream(copies[3], seed, done),
            lambda: read_stream(copies[4], seed + 1, done),
        ]
        with ThreadPoolExecutor(WRITERS + len(readers)) as threads:
            reading = [threads.submit(reader) for reader in readers]
            try:
                assert sum(threads.map(write, writers)) > WRITERS
            finally:
                done.set()
            for reader in reading:
                reader.result()
        for copy in copies:
            copy.check()
        assert user.get("?count=true&limit=1").headers["X-Total-Count"] == str(len(copies[0].tasks))
