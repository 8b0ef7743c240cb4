"""Which pages of other origins a browser lets read the answers."""

import httpx2

from tests.support.service import User, running

ORIGIN = "http://localhost:3000"


def test_a_browser_on_an_allowed_origin_may_read_errors_and_headers_too(user: User) -> None:
    for response in [
        user.get(headers={"Origin": ORIGIN}),
        user.get("?bad=1", headers={"Origin": ORIGIN}),
        user.client.get(user.path, headers={"Origin": ORIGIN}),
    ]:
        assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert response.headers["Access-Control-Allow-Credentials"] == "true"
        exposed = response.headers["Access-Control-Expose-Headers"]
        for name in ["ETag", "Link", "Location", "X-Request-Id", "X-Total-Count", "Retry-After"]:
            assert name in exposed
    other = user.get(headers={"Origin": "https://evil.example"})
    assert "Access-Control-Allow-Origin" not in other.headers


def test_a_preflight_allows_what_a_frontend_sends(client: httpx2.Client) -> None:
    asked = {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": "PATCH",
        "Access-Control-Request-Headers": "authorization,content-type,if-match,if-none-match,idempotency-key",
    }
    assert client.options("/api/x/tasks", headers=asked).status_code == 200
    assert client.options("/api/x/tasks", headers={**asked, "Origin": "https://evil.example"}).status_code == 400


PREVIEWS = r"https://app-.*-.*-.*-team\.preview\.example\.com"
ORIGINS = {
    "https://app-1-fix-my-team.preview.example.com": True,
    ORIGIN: True,
    "https://app-1-fix-my-team.preview.example.com.evil.org": False,
    "https://evil.org/https://app-1-fix-my-team.preview.example.com": False,
    "https://app-1-fix-my-team.preview-example.com": False,
    "http://app-1-fix-my-team.preview.example.com": False,
    "https://app-" + 20_000 * "a-": False,  # at once, though it would be tried in 10^12 ways
}


def test_an_origin_may_be_given_by_a_regular_expression_that_matches_all_of_it(database_url: str) -> None:
    with running(database_url, cors_origin_regex=PREVIEWS) as client:
        for origin, allowed in ORIGINS.items():
            answer = client.get("/health", headers={"Origin": origin}, timeout=5)
            assert answer.headers.get("Access-Control-Allow-Origin") == (origin if allowed else None), origin
