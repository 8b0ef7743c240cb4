"""The supply of connections: fair between owners, bounded, and rid of what died without a word."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest

import connections
import turns
from config import Settings
from connections import Connection, Connections, connector
from problems import Unavailable
from tests.support.proxy import proxied
from turns import Turns

SLEEP = b"SELECT pg_sleep(%(seconds)s)"
WHO = b"SELECT pg_backend_pid()"


def run(scene: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(scene())  # type: ignore[arg-type]


@asynccontextmanager
async def supply(url: str, settings: Settings, size: int, limit: float = 5.0) -> AsyncIterator[Connections]:
    supply = Connections(connector(url, settings, limit), size, patience=5.0)
    yield supply
    await supply.close()


def test_one_owner_holds_at_most_half_of_the_connections(database_url: str, settings: Settings) -> None:
    async def scene() -> None:
        async with supply(database_url, settings, 4) as connections:
            greedy = [asyncio.create_task(connections.fetch(SLEEP, {"seconds": 0.5}, "greedy")) for _ in range(20)]
            await asyncio.sleep(0)
            async with asyncio.timeout(0.4):
                for _ in range(10):
                    await connections.fetch(WHO, {}, "modest")
            assert not any(task.done() for task in greedy)
            for task in greedy:
                task.cancel()
            await asyncio.gather(*greedy, return_exceptions=True)
            assert connections.turns.free == 4
            assert not connections.turns._held
            assert not connections.turns._waiting

    run(scene)


def test_the_share_of_an_owner_with_one_connection_is_that_one(database_url: str, settings: Settings) -> None:
    async def scene() -> None:
        async with supply(database_url, settings, 1) as connections:
            pids = [await connections.fetch(WHO, {}, owner) for owner in ("a", "b", "a")]
            assert len(set(pids)) == 1

    run(scene)


def test_who_waits_is_served_in_order_and_too_many_are_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "MOST_WAITING", 3)

    async def scene() -> None:
        turns, served = Turns(1), []

        async def wait(name: int) -> None:
            await turns.enter(str(name), 5)
            served.append(name)
            turns.leave(str(name))

        await turns.enter("first", 5)
        waiting = [asyncio.create_task(wait(name)) for name in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(Unavailable):
            await turns.enter("one too many", 5)
        waiting[1].cancel()
        turns.leave("first")
        await asyncio.gather(*waiting, return_exceptions=True)
        assert served == [0, 2]
        assert turns.free == 1

    run(scene)


def test_too_many_of_one_owner_are_refused_at_once_and_hold_up_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "MOST_WAITING_OF_ONE", 2)

    async def scene() -> None:
        turns = Turns(4)
        for _ in range(2):
            await turns.enter("greedy", 5)
        waiting = [asyncio.create_task(turns.enter("greedy", 5)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Unavailable, match="Your other requests"):
            await turns.enter("greedy", 5)
        for _ in range(2):
            await turns.enter("modest", 0)
        turns.leave("modest")
        await asyncio.sleep(0)
        assert turns.free == 1
        assert not any(task.done() for task in waiting)
        turns.leave("greedy")
        await waiting[0]
        turns.leave("greedy")
        await waiting[1]

    run(scene)


def test_a_place_that_comes_as_patience_ends_is_not_lost() -> None:
    async def scene() -> None:
        for _ in range(200):
            turns = Turns(1)
            await turns.enter("first", 1)
            waiter = asyncio.create_task(turns.enter("second", 0.001))
            await asyncio.sleep(0.001)
            turns.leave("first")
            try:
                await waiter
            except Unavailable:
                assert turns.free == 1
            else:
                turns.leave("second")
                assert turns.free == 1
            assert not turns._waiting

    run(scene)


def test_a_place_that_comes_to_who_gives_up_is_handed_on() -> None:
    async def scene() -> None:
        turns = Turns(1)
        await turns.enter("first", 5)
        second, third = [asyncio.create_task(turns.enter(name, 5)) for name in ("second", "third")]
        await asyncio.sleep(0)
        turns.leave("first")
        second.cancel()
        await third
        turns.leave("third")
        assert turns.free == 1

    run(scene)


def test_the_first_that_turns_out_dead_takes_the_idle_ones_along(database_url: str, settings: Settings) -> None:
    async def scene() -> None:
        with proxied(database_url) as wire:
            async with supply(wire.url, settings, 5, limit=0.3) as connections:
                sleepers = [connections.fetch(SLEEP, {"seconds": 0.1}, str(number)) for number in range(5)]
                await asyncio.gather(*sleepers)
                assert len(connections._idle) == 5
                wire.proxy.stall = True  # for those that are open: they are never answered again
                with pytest.raises(psycopg.errors.QueryCanceled):
                    await connections.fetch(WHO, {}, "first")
                wire.proxy.stall = False
                assert connections._idle == []
                assert await connections.fetch(WHO, {}, "second")

    run(scene)


def test_a_connection_is_opened_anew_when_its_life_is_over(
    database_url: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> None:
        async with supply(database_url, settings, 1) as lasting:
            assert await lasting.fetch(WHO, {}) == await lasting.fetch(WHO, {})
        monkeypatch.setattr(connections, "LIFE_SECONDS", 0.0)
        async with supply(database_url, settings, 1) as short:
            assert await short.fetch(WHO, {}) != await short.fetch(WHO, {})

    run(scene)


def test_all_connections_are_busy(database_url: str, settings: Settings) -> None:
    async def scene() -> None:
        supply = Connections(connector(database_url, settings), 2, patience=0.05)
        held = [asyncio.create_task(supply.fetch(SLEEP, {"seconds": 0.3}, name)) for name in "ab"]
        await asyncio.sleep(0)
        with pytest.raises(Unavailable, match="All connections"):
            await supply.fetch(WHO, {}, "c")
        with pytest.raises(Unavailable, match="Your other requests"):
            await supply.fetch(WHO, {}, "a")
        await asyncio.gather(*held)
        await supply.close()

    run(scene)


PLANS: dict[str, tuple[str, dict[str, Any], str]] = {
    "direct": ("{url}", {}, "force_generic_plan"),
    "direct, with options of its own": ("{url}&options=-c%20work_mem%3D5MB", {}, "force_generic_plan"),
    "through Neon's pooler": ("{url}&application_name=ep-x-pooler.neon", {}, "auto"),
    "through another pooler": ("{url}", {"database_prepare": False}, "auto"),
}


@pytest.mark.parametrize("name", PLANS)
def test_plans_are_generic_where_statements_are_prepared(database_url: str, settings: Settings, name: str) -> None:
    url, changes, expected = PLANS[name]

    async def scene() -> None:
        connect = connector(url.format(url=database_url), settings.model_copy(update=changes))
        connection: Connection = await connect()
        assert await connection.fetch(b"SHOW plan_cache_mode", {}) == (expected,)
        if expected != "auto":
            assert await connection.fetch(b"SHOW timezone", {}) == ("UTC",)
        if "work_mem" in url:
            assert await connection.fetch(b"SHOW work_mem", {}) == ("5MB",)
        await connection.close()

    run(scene)
