"""One owner's load is nobody else's."""

import time

import pytest

from faults.conftest import Figure
from faults.support.load import Load, create, read
from faults.support.postgres import Postgres
from faults.support.service import serving


@pytest.mark.quick
def test_an_owner_of_a_hundred_thousand_tasks_and_thirty_searches_at_once_starves_nobody(
    postgres: Postgres, database: str, figure: Figure
) -> None:
    with serving(postgres.url(database), database_pool_size=4) as service:
        greedy, victim = service.user(), service.user()
        create(greedy)
        create(victim)
        with postgres.connect(database) as connection:
            tasks = "INSERT INTO tasks (user_id, title) SELECT %s, 'task ' || n FROM generate_series(1, 99000) AS n"
            connection.execute(tasks, [greedy.id])
        took: list[float] = []

        def search(_number: int) -> int:
            return greedy.get("?q=nowhere&sort=title").status_code

        with Load(30, search) as searches:
            searches.wait_for(10)
            for _ in range(100):
                started = time.monotonic()
                assert read(victim) == 200
                took.append(time.monotonic() - started)
        assert set(searches.statuses) <= {200, 503}
        took.sort()
        figure(
            f"100 reads of a victim, all 200 (median {took[50] * 1000:.0f} ms, slowest {took[-1] * 1000:.0f} ms), "
            f"beside {searches.count(200)} searches and {searches.count(503)} that were refused"
        )
