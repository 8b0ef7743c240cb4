"""What a collector is told, what it never is, and that nobody waits for one."""

import re
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import psycopg
import pytest

from tests.support.collector import Collector, collector
from tests.support.key_server import key_server, private_key, public_jwk
from tests.support.operations import OPERATIONS, address, ask
from tests.support.process import ROOT, run_service
from tests.support.service import SECRET, User, make_token, wait_until

STREAM = "/changes/stream"
PAGE = (ROOT / "docs" / "telemetry.md").read_text()
DOCUMENTED = dict(re.findall(r"^export (\w+)=(\S+)$", PAGE, re.MULTILINE))


LOOK = """
import asyncio, main, sys
async def look():
    async with main.app.router.lifespan_context(main.app):
        sys.exit(sum(name.startswith("opentelemetry.sdk") for name in sys.modules))
asyncio.run(look())
"""


def test_without_being_told_to_the_service_does_not_even_load_the_sdk(tmp_path: Path, database_url: str) -> None:
    environment = {"PYTHONPATH": str(ROOT), "DATABASE_URL": database_url, "BETTER_AUTH_SECRET": SECRET}
    subprocess.run([sys.executable, "-c", LOOK], cwd=tmp_path, env=environment, check=True)


def test_spans_hold_the_route_and_nothing_of_who_asked_or_what(tmp_path: Path, database_url: str) -> None:
    with collector() as told:
        environment = {"DATABASE_URL": database_url, "BETTER_AUTH_SECRET": SECRET}
        environment |= {**DOCUMENTED, "OTEL_EXPORTER_OTLP_ENDPOINT": told.url, "OTEL_TRACES_EXPORTER": "otlp"}
        with (
            run_service(tmp_path, environment=environment) as service,
            httpx2.Client(base_url=service.url()) as client,
        ):
            user, stranger = User(client), make_token(sub="private-stranger")
            for operation in OPERATIONS:
                for request in operation.requests:
                    ask(user, operation, address(operation.path, user), request)
            user.get("?q=private-words")
            user.get("?unknown=private-parameter")
            client.get("/private-path", params={"private-name": "1"})
            user.send("POST", json={"title": 5, "private-field": "private-body"})
            user.get(headers={"Authorization": f"Bearer {stranger}"})
        spans = told.spans()
        log = service.output

    routes = {f"{operation.method} {operation.path}" for operation in OPERATIONS}
    assert routes <= {span.name for span in spans}
    everything = b"".join(body for _, body in told.sent)
    token = user.headers["Authorization"].removeprefix("Bearer ")
    for private in ("private", "Buy milk", user.id, token, token.rpartition(".")[2], stranger, SECRET):
        assert private.encode() not in everything, private

    traces = {span.trace_id.hex() for span in spans}
    logged = set(re.findall(r" access: .* ([0-9a-f]{32})$", log, re.MULTILINE))
    assert len(logged) == log.count(" access: ")
    assert logged == traces


def test_the_collector_is_told_how_the_pool_the_streams_and_the_key_set_are(
    tmp_path: Path, empty_database: str
) -> None:
    key = private_key("EdDSA")
    with key_server() as server, collector() as told:
        server.keys = [public_jwk(key, "EdDSA", "one")]
        environment = {
            "DATABASE_URL": empty_database,
            "DATABASE_POOL_SIZE": "4",
            "DATABASE_POOL_TIMEOUT": "1",
            "BETTER_AUTH_URL": server.url,
            **DOCUMENTED,
            "OTEL_EXPORTER_OTLP_ENDPOINT": told.url,
            "OTEL_METRIC_EXPORT_INTERVAL": "50",
        }
        with (
            run_service(tmp_path, environment=environment) as service,
            httpx2.Client(base_url=service.url()) as client,
            ThreadPoolExecutor() as threads,
        ):
            user = User(client, "alice")
            user.headers = {"Authorization": f"Bearer {server.token(key)}"}
            with client.stream("GET", user.path + STREAM, headers=user.headers):
                wait_until(lambda: told.figures().get("task_api.streams") == 1)
            wait_until(lambda: told.figures()["task_api.streams"] == 0)
            assert 0 < told.figures()["task_api.key_set.age"] < 60

            with psycopg.connect(empty_database) as holder:
                holder.execute("LOCK TABLE tasks")
                answers = [threads.submit(user.get) for _ in range(5)]
                pool = {"max": 4, "count": 2, "pending_requests": 3, "timeouts": 0}  # one owner has half
                wait_until(lambda: figures_of_pool(told) == pool)
                wait_until(lambda: figures_of_pool(told) == {**pool, "pending_requests": 0, "timeouts": 3})
            assert sorted(answer.result().status_code for answer in answers) == [200, 200, 503, 503, 503]
            wait_until(lambda: figures_of_pool(told) == {**pool, "count": 0, "pending_requests": 0, "timeouts": 3})
        assert not told.spans()
        assert {metric.name for metric in told.metrics()} == set(re.findall(r"^\| `([\w.]+)` \|", PAGE, re.MULTILINE))


def figures_of_pool(told: Collector) -> dict[str, float]:
    prefix = "db.client.connection."
    return {name.removeprefix(prefix): value for name, value in told.figures().items() if name.startswith(prefix)}


@pytest.mark.parametrize("collector_is", ["away", "silent"])
def test_a_collector_that_is_not_there_costs_no_request_and_holds_nobody_up(
    collector_is: str, tmp_path: Path, database_url: str
) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if collector_is == "silent":
            listener.listen()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        environment = {**DOCUMENTED, "OTEL_EXPORTER_OTLP_ENDPOINT": url}
        environment |= {"DATABASE_URL": database_url, "BETTER_AUTH_SECRET": SECRET}
        with run_service(tmp_path, environment=environment) as service, httpx2.Client(base_url=service.url()) as client:
            User(client).create()
            stopping = time.monotonic()
            service.process.terminate()
            assert service.process.wait(30) == 0
            assert time.monotonic() - stopping < 7  # 15 and more, without a limit of its own
    assert "Traceback" not in service.output
