"""What browsers and caches are told of every answer, and what a body may not be sent as."""

import httpx2
import pytest

from config import Settings
from main import create_app
from tests.support.service import User, check_problem, serving

EVERYWHERE = {"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer"}
OF_TASKS = {**EVERYWHERE, "Cache-Control": "private, no-cache", "Vary": "Authorization, Origin"}


@pytest.mark.parametrize("origin", ["http://localhost:3000", "https://stranger.example", None])
def test_answers_about_tasks_belong_to_their_owner_alone(user: User, origin: str | None) -> None:
    task = user.create()
    headers = {"Origin": origin} if origin else {}
    etag = user.get(f"/{task['id']}").headers["ETag"]
    for status, answer in {
        200: user.get(headers=headers),
        304: user.get(f"/{task['id']}", headers={**headers, "If-None-Match": etag}),
        400: user.get("?unknown=red", headers=headers),
        403: user.get("/api/somebody-else/tasks", headers=headers),
        404: user.get("/0", headers=headers),
        204: user.send("DELETE", f"/{task['id']}", headers=headers),
    }.items():
        assert answer.status_code == status
        assert {name: answer.headers.get(name) for name in OF_TASKS} == OF_TASKS


@pytest.mark.parametrize("path", ["/health", "/health/ready", "/docs", "/openapi.json", "/", "/nothing"])
def test_no_answer_is_sniffed_framed_or_told_to_others(user: User, path: str) -> None:
    answer = user.client.get(path)
    assert {name: answer.headers.get(name) for name in EVERYWHERE} == EVERYWHERE
    assert "Cache-Control" not in answer.headers or "private" not in answer.headers["Cache-Control"]


TLS = {
    "a trusted proxy has it": ("127.0.0.1", "https", True),
    "a trusted proxy does not": ("127.0.0.1", "http", False),
    "anybody says so": ("", "https", False),
}


@pytest.mark.parametrize("name", TLS)
def test_browsers_insist_on_tls_where_a_trusted_proxy_has_it(settings: Settings, name: str) -> None:
    trusted, protocol, insist = TLS[name]
    with serving(create_app(settings), forwarded_allow_ips=trusted) as (url, _):
        answer = httpx2.get(f"{url}/health", headers={"X-Forwarded-Proto": protocol})
    assert ("Strict-Transport-Security" in answer.headers) == insist


@pytest.mark.parametrize("coding", ["gzip", "br", "identity"])
def test_a_body_with_a_content_encoding_is_refused(user: User, coding: str) -> None:
    refused = user.send("POST", json={"title": "x"}, headers={"Content-Encoding": coding})
    check_problem(refused, 415)
    assert refused.headers["Accept-Encoding"] == "identity"
    assert user.tasks() == []
