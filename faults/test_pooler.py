"""pgbouncer in transaction mode: the next statement of a client may meet another connection."""

import pytest

from faults.conftest import Figure
from faults.support.load import Writers, read
from faults.support.postgres import Postgres
from faults.support.service import serving

POOLERS: dict[str, tuple[str, bool]] = {
    "DATABASE_PREPARE=false": ("127.0.0.1", False),
    "a -pooler. name": ("ep-row-pooler.example.com", True),
}


@pytest.mark.parametrize("name", POOLERS)
def test_a_transaction_pooler_serves_as_the_database_does(
    postgres: Postgres, database: str, figure: Figure, name: str
) -> None:
    host, prepare = POOLERS[name]
    with (
        postgres.pooler() as port,
        serving(
            f"postgresql://postgres@{host}:{port}/{database}?hostaddr=127.0.0.1", database_prepare=prepare
        ) as service,
    ):
        writers = Writers(service)
        with writers:
            writers.wait_for(500)
        assert read(writers.user) == 200
        assert set(writers.statuses) == {201}
        figure(f"two workers with 10 connections each over 5 of pgbouncer's: {writers.check(postgres.url(database))}")
