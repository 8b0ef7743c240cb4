"""The task API with a real Better Auth server, used as a frontend would."""

from collections.abc import Callable

import httpx2
import jwt
import pytest
from servers import (
    HERE,
    SECRET,
    Visitor,
    World,
    auth_environment,
    auth_server,
    bearer,
    client,
    eventually,
    run_node,
    serve,
    task_api,
)

from tests.support.frontend import compile_modules

REFETCH_SECONDS = 20.0  # the API asks for an unknown key at most every 10 s
HEALING_SECONDS = 20.0


def kid(token: str) -> str:
    value: str = jwt.get_unverified_header(token)["kid"]
    return value


def age_keys(world: World, by: str) -> None:
    """Let the keys be ``by`` past their end: Better Auth makes a new one for the next token."""
    world.sql('UPDATE jwks SET "expiresAt" = now() - %s::interval', by)


def refused(response: httpx2.Response) -> bool:
    assert response.status_code == 401, response.text
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.headers["WWW-Authenticate"].startswith("Bearer")
    return True


def refuses(world: World, user: Visitor, token: str) -> bool:
    response = world.client.get(f"/api/{user.id}/tasks", headers=bearer(token))
    return refused(response) and 'error="invalid_token"' in response.headers["WWW-Authenticate"]


@pytest.mark.parametrize(
    "get_token",
    [Visitor.token, Visitor.token_without_cookies, Visitor.token_of_the_session],
    ids=["token with the cookie", "token with the bearer", "set-auth-jwt"],
)
def test_each_way_to_a_token_leads_to_the_users_tasks(world: World, get_token: Callable[[Visitor], str]) -> None:
    visitor = Visitor(world.auth).sign_in()
    tasks = f"/api/{visitor.id}/tasks"
    with client(world.api.url, headers=bearer(get_token(visitor))) as api:
        created = api.post(tasks, json={"title": "Buy milk"})
        assert created.status_code == 201, created.text
        task = created.json()
        assert task["user_id"] == visitor.id
        assert [listed["id"] for listed in api.get(tasks).json()] == [task["id"]]
        assert api.patch(f"{tasks}/{task['id']}/complete").json()["completed"]
        assert api.delete(f"{tasks}/{task['id']}").status_code == 204
        assert api.get(tasks).json() == []


def test_the_modules_of_the_example_frontend_manage_tasks_and_forget_the_user_before(world: World) -> None:
    compile_modules(HERE / "generated", "auth-client")
    seen = run_node(
        "browser.mjs", environment={"BETTER_AUTH_URL": world.auth.url, "NEXT_PUBLIC_API_URL": world.api.url}
    )
    assert [(task["user_id"], task["title"], task["completed"]) for task in seen["listed"]] == [
        (seen["alice"], "Buy milk", True)
    ]
    assert seen["bobs"] == []
    assert seen["foreign"] == 403


def test_previews_with_addresses_of_their_own_sign_in_the_name_of_the_production(world: World) -> None:
    preview = auth_server(world.folder, world.database, JWT_ISSUER=world.auth.url, JWT_AUDIENCE=world.auth.url)
    with serve(preview):
        visitor = Visitor(preview)
        assert world.accepts(visitor, visitor.token())


def test_a_token_opens_no_other_users_address(world: World) -> None:
    alice, bob = Visitor(world.auth), Visitor(world.auth)
    assert world.status(bob.id, alice.token()) == 403
    assert world.status("nobody", alice.token()) == 403


def test_cookies_alone_open_nothing(world: World) -> None:
    visitor = Visitor(world.auth)
    response = world.client.get(
        f"/api/{visitor.id}/tasks",
        headers={"Cookie": "; ".join(f"{k}={v}" for k, v in visitor.browser.cookies.items())},
    )
    assert refused(response)
    assert response.headers["WWW-Authenticate"] == "Bearer"


def test_a_session_token_is_refused(world: World) -> None:
    visitor = Visitor(world.auth)
    opaque, signed = visitor.session_token.split(".")[0], visitor.browser.cookies["better-auth.session_token"]
    for session in (opaque, visitor.session_token, signed):
        assert refuses(world, visitor, session)


def test_the_token_of_an_e_mail_link_is_refused(world: World, api_with_secret: World) -> None:
    visitor = Visitor(world.auth)
    token = visitor.mailed_token()
    assert jwt.decode(token, SECRET, ["HS256"])["userId"] == visitor.id  # so the signature is good
    assert refuses(world, visitor, token)
    assert refuses(api_with_secret, visitor, token)


@pytest.mark.parametrize("signed_with", ["secret", "keys"])
def test_the_cookie_that_caches_a_session_is_refused(world: World, api_with_secret: World, signed_with: str) -> None:
    auth = auth_server(world.folder, world.database, public=world.auth.url, SESSION_CACHE=signed_with)
    with serve(auth):
        visitor = Visitor(auth, origin=world.auth.url)
        cookie = visitor.browser.cookies["better-auth.session_data"]
        assert world.accepts(visitor, visitor.token())
    claims = jwt.decode(cookie, options={"verify_signature": False})
    assert claims["user"]["id"] == visitor.id
    assert claims.get("sub") == (visitor.id if signed_with == "keys" else None)
    assert refuses(world, visitor, cookie)
    assert refuses(api_with_secret, visitor, cookie)


def test_a_token_that_the_frontends_server_signs_with_the_shared_secret_works_where_the_secret_is_set(
    world: World, api_with_secret: World
) -> None:
    visitor = Visitor(world.auth)
    token = visitor.browser.get("/api/task-token").raise_for_status().json()["token"]
    assert api_with_secret.accepts(visitor, token)
    # Each service accepts the tokens of its own configuration, never of the other.
    assert refuses(world, visitor, token)
    assert refuses(api_with_secret, visitor, visitor.token())


def test_tokens_of_each_algorithm_and_of_the_server_api_work(world: World) -> None:
    visitor = Visitor(world.auth)
    cookie = f"better-auth.session_token={visitor.browser.cookies['better-auth.session_token']}"
    environment = auth_environment(world.auth.url, world.database)
    tokens: dict[str, str] = run_node("server-tokens.mjs", visitor.id, cookie, environment=environment)
    assert {jwt.get_unverified_header(token)["alg"] for token in tokens.values()} == tokens.keys() - {"getToken"}
    assert "iat" not in jwt.decode(tokens["EdDSA"], options={"verify_signature": False})
    # Another service, so that nothing waits until keys are fetched again; a slash at the end does no harm.
    api = task_api(world.folder, world.database, BETTER_AUTH_URL=f"{world.auth.url}/")
    with serve(api), client(api.url) as tasks:
        statuses = {
            name: tasks.get(f"/api/{visitor.id}/tasks", headers=bearer(token)).status_code
            for name, token in tokens.items()
        }
    assert statuses == dict.fromkeys(tokens, 200)


def test_a_key_set_at_another_address_and_an_issuer_and_audience_of_its_owner_work_by_settings(world: World) -> None:
    auth = auth_server(
        world.folder,
        world.database,
        public="https://todo.example.com",
        JWKS_PATH="/.well-known/jwks.json",
        JWT_ISSUER="todo",
        JWT_AUDIENCE="https://tasks.example.com,https://mail.example.com",
    )
    api = task_api(
        world.folder,
        world.database,
        BETTER_AUTH_URL="https://todo.example.com",
        JWT_JWKS_URL=f"{auth.url}/api/auth/.well-known/jwks.json",
        JWT_ISSUER="todo",
        JWT_AUDIENCE="https://tasks.example.com",
    )
    with serve(auth, api), client(api.url) as tasks:
        visitor = Visitor(auth, origin="https://todo.example.com")
        token = visitor.token_without_cookies()
        assert tasks.get(f"/api/{visitor.id}/tasks", headers=bearer(token)).status_code == 200
        # The same keys, issued elsewhere: neither service takes the other's.
        assert refuses(world, visitor, token)
        assert refused(tasks.get(f"/api/{visitor.id}/tasks", headers=bearer(Visitor(world.auth).token())))


def test_a_rotated_key_signs_at_once_and_the_old_one_still_counts(world: World) -> None:
    visitor, other = Visitor(world.auth), Visitor(world.auth)
    old, unseen = visitor.token(), other.token()
    assert world.accepts(visitor, old)
    age_keys(world, by="1 second")
    new = visitor.token()
    assert kid(new) != kid(old)
    eventually(lambda: world.accepts(visitor, new), REFETCH_SECONDS, "a token of the new key is refused")
    assert world.accepts(visitor, old)
    assert world.accepts(other, unseen)


def test_a_withdrawn_key_counts_no_more(world: World) -> None:
    visitor = Visitor(world.auth)
    old = visitor.token()
    assert world.accepts(visitor, old)
    age_keys(world, by="31 days")  # the grace period, too, is over
    new = visitor.token()
    eventually(lambda: world.accepts(visitor, new), REFETCH_SECONDS, "a token of the new key is refused")
    assert refuses(world, visitor, old)


def test_tokens_keep_working_while_better_auth_is_down_and_after_its_restart(world: World) -> None:
    visitor, other = Visitor(world.auth), Visitor(world.auth)
    token, unseen = visitor.token(), other.token()
    assert world.accepts(visitor, token)
    with world.auth.stopped():
        assert world.accepts(visitor, token)
        assert world.accepts(other, unseen)
        assert world.client.get("/health/ready").status_code == 200
    assert world.accepts(visitor, visitor.token_of_the_session())


def test_a_task_api_that_starts_before_better_auth_answers_503_and_heals(world: World) -> None:
    auth = auth_server(world.folder, world.database)
    api = task_api(world.folder, world.database, BETTER_AUTH_URL=auth.url)
    with serve(auth):
        visitor = Visitor(auth)
        token = visitor.token()
    with serve(api), client(api.url, headers=bearer(token)) as tasks:
        response = tasks.get(f"/api/{visitor.id}/tasks")
        assert response.status_code == 503, response.text
        assert int(response.headers["Retry-After"]) > 0
        assert response.headers["Content-Type"] == "application/problem+json"
        assert tasks.get("/health/ready").status_code == 503
        with serve(auth):
            eventually(
                lambda: tasks.get(f"/api/{visitor.id}/tasks").status_code == 200, HEALING_SECONDS, "tokens are refused"
            )
            assert tasks.get("/health/ready").status_code == 200
