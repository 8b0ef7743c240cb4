"""/docs and /redoc: all from the service itself, under a strict policy, and a token where it is safe to give one."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from config import Settings
from main import create_app
from routes.docs import ASSETS
from tests.support.process import run_embedded
from tests.support.service import SECRET, check_problem

STRICT = {
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' data:",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
}
REDOC = {"style-src 'self' 'unsafe-inline'", "worker-src blob:"}


@pytest.mark.parametrize(("path", "policy"), [("/docs", STRICT), ("/redoc", STRICT - {"style-src 'self'"} | REDOC)])
def test_a_page_allows_nothing_that_it_does_not_need(client: httpx2.Client, path: str, policy: set[str]) -> None:
    response = client.get(path)

    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    assert set(response.headers["Content-Security-Policy"].split("; ")) == policy
    assert '<html lang="en">' in response.text
    assert "<title>Task API" in response.text
    assert not re.search(r"<script>|<style>|style=|onclick=|https?://", response.text)


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_what_a_page_loads_is_there(client: httpx2.Client, path: str) -> None:
    addresses = re.findall(r'(?:src|href)="([^"]+)"', client.get(path).text)
    assert len(addresses) >= 4
    assert [client.get(f"/{address}").status_code for address in addresses] == [200] * len(addresses)


@pytest.mark.parametrize("name", ASSETS)
def test_an_asset_is_kept_for_a_while_and_then_asked_for_by_its_etag(client: httpx2.Client, name: str) -> None:
    response = client.get(f"/docs/assets/{name}")
    assert response.status_code == 200
    assert "max-age=" in response.headers["Cache-Control"]

    again = client.get(f"/docs/assets/{name}", headers={"If-None-Match": response.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["Cache-Control"] == response.headers["Cache-Control"]


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json"])
def test_a_page_is_asked_for_each_time_but_sent_once(client: httpx2.Client, path: str) -> None:
    response = client.get(path)
    assert response.headers["Cache-Control"] == "no-cache"
    assert client.get(path, headers={"If-None-Match": response.headers["ETag"]}).status_code == 304


def test_redoc_asks_no_other_host_for_its_logo(client: httpx2.Client) -> None:
    assert "cdn.redoc.ly" not in client.get("/docs/assets/redoc.standalone.js").text


@pytest.mark.parametrize("name", ["nothing.js", "..%2Fdocs.py", "..%2f..%2fmain.py", "%00"])
def test_nothing_else_is_an_asset(client: httpx2.Client, name: str) -> None:
    check_problem(client.get(f"/docs/assets/{name}"), 404)


@pytest.fixture(scope="module")
def developing() -> Iterator[httpx2.Client]:
    """A service as ``make run`` starts it, without any setting."""
    with run_embedded() as service, httpx2.Client(base_url=service.url()) as client:
        yield client


def ask(client: httpx2.Client, *more: tuple[str, str], **changes: str | None) -> httpx2.Response:
    """Ask for a token as the page does, but for the ``changes`` to its headers, and with ``more`` of them."""
    own = str(client.base_url).rstrip("/")
    usual = {"host": own.removeprefix("http://"), "origin": own, "sec_fetch_site": "same-origin"}
    headers = {name.replace("_", "-"): value for name, value in (usual | changes).items() if value is not None}
    return client.post("/docs/token", headers=[*headers.items(), *more])


def test_a_developer_s_page_takes_a_token(developing: httpx2.Client) -> None:
    answer = ask(developing)
    assert answer.headers["Cache-Control"] == "no-store"
    token = answer.json()["token"]

    assert developing.get("/api/alice/tasks", headers={"Authorization": f"Bearer {token}"}).status_code == 200
    assert "<header>" in developing.get("/docs").text


@pytest.mark.parametrize(
    "changes",
    [
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"sec_fetch_site": None},
        {"host": "evil.example", "origin": "http://evil.example"},
        {"host": "localhost.evil.example", "origin": "http://localhost.evil.example"},
        {"origin": "https://tasks.example"},
        {"origin": "null"},
        {"origin": None},
        {"x_forwarded_for": "203.0.113.7"},
        {"x_forwarded_proto": "https"},
        {"cf_connecting_ip": "203.0.113.7"},
        {"x_original_forwarded_for": "203.0.113.7"},
        {"x_cluster_client_ip": "203.0.113.7"},
        {"cdn_loop": "example"},
    ],
    ids=str,
)
def test_nobody_else_gets_a_token(developing: httpx2.Client, changes: dict[str, str | None]) -> None:
    check_problem(ask(developing, **changes), 403)


@pytest.mark.parametrize("line", [("Origin", "null"), ("Sec-Fetch-Site", "cross-site")])
def test_a_second_line_gets_no_token(developing: httpx2.Client, line: tuple[str, str]) -> None:
    check_problem(ask(developing, line), 403)


@pytest.mark.parametrize(
    "settings",
    [
        {"better_auth_secret": SECRET},
        {"better_auth_url": "https://app.example.com"},
        {"database_url": "postgresql://db.example/tasks", "better_auth_secret": SECRET},
        {"database_url": "postgresql://db.example/tasks", "better_auth_url": "https://app.example.com"},
    ],
    ids=" and ".join,
)
def test_only_a_made_up_secret_is_given_away(settings: dict[str, Any]) -> None:
    assert "/docs/token" not in paths(**settings)
    assert "/docs/token" in paths()


def paths(**settings: Any) -> set[str]:
    return {getattr(route, "path", "") for route in create_app(Settings(_env_file=None, **settings)).router.routes}


def test_a_service_with_a_secret_of_its_own_has_no_address_for_tokens(client: httpx2.Client) -> None:
    check_problem(ask(client), 404)
    assert "<header hidden>" in client.get("/docs").text


def test_the_pages_are_small() -> None:
    folder = Path(__file__).parent.parent / "routes" / "pages"
    assert sum(len(file.read_text().splitlines()) for file in folder.iterdir()) <= 200
