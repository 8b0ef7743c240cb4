"""An account that is deleted in Better Auth takes its tasks along."""

from collections.abc import Callable
from pathlib import Path

import httpx2
import psycopg
import pytest
from servers import PASSWORD, Visitor, World, auth_server, bearer, serve, task_api


@pytest.mark.parametrize("id_type", ["text", "uuid"])
def test_deleting_the_account_in_better_auth_deletes_the_tasks(
    folder: Path, new_database: Callable[[], str], id_type: str
) -> None:
    database = new_database()
    auth = auth_server(folder, database, ID_TYPE=id_type)
    api = task_api(folder, database, BETTER_AUTH_URL=auth.url, BETTER_AUTH_USER_TABLE="user")
    with serve(auth):
        before = columns_of_user(database)
        assert dict(before)["id"] == id_type
        with serve(api):
            accounts = World(folder, database, auth, api)
            alice, bob = Visitor(auth), Visitor(auth)
            alices, bobs = alice.token(), bob.token()
            for user, token in ((alice, alices), (bob, bobs)):
                assert add_task(accounts, user, token).status_code == 201
            assert columns_of_user(database) == before

            alice.post("/delete-user", password=PASSWORD)
            for table in ("tasks", "idempotency_keys"):
                assert accounts.sql(f"SELECT user_id::text FROM {table}") == [(bob.id,)]  # noqa: S608
            # Her token verifies until it expires, but she can't leave anything behind any more.
            assert 400 <= add_task(accounts, alice, alices).status_code < 500
            assert accounts.sql("SELECT user_id::text FROM tasks") == [(bob.id,)]

            with auth.stopped():
                pass
            assert accounts.accepts(bob, bob.token())  # Better Auth's migrations leave the tasks alone


def columns_of_user(database: str) -> list[tuple[str, str]]:
    with psycopg.connect(database) as connection:
        return connection.execute(
            "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'user' ORDER BY 1"
        ).fetchall()


def add_task(world: World, user: Visitor, token: str) -> httpx2.Response:
    headers = {**bearer(token), "Idempotency-Key": "once"}
    return world.client.post(f"/api/{user.id}/tasks", json={"title": "Buy milk"}, headers=headers)
