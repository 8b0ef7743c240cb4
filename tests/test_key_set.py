"""The key set through rotation, outages and floods."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from starlette.requests import HTTPConnection

from auth import keys
from auth.keys import usable_keys
from auth.tokens import Authenticator
from problems import Problem
from tests.support.key_server import KeyServer, key_server, private_key, public_jwk
from tests.support.service import check_problem, running, settings_for, wait_until

KEY, NEW_KEY = private_key("EdDSA"), private_key("EdDSA")
PUBLISHED, NEW_PUBLISHED = public_jwk(KEY, "EdDSA", "one"), public_jwk(NEW_KEY, "EdDSA", "two")


@pytest.fixture
def server() -> Iterator[KeyServer]:
    with key_server() as running:
        running.keys = [PUBLISHED]
        yield running


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No waiting between fetches."""
    monkeypatch.setattr(keys, "FLOOR_SECONDS", 0.0)
    monkeypatch.setattr(keys, "RETRY_SECONDS", 0.05)
    monkeypatch.setattr(keys, "REFRESH_SECONDS", 0.05)


def status(api: httpx2.Client, token: str) -> int:
    return api.get("/api/alice/tasks", headers={"Authorization": f"Bearer {token}"}).status_code


FAILURES: dict[str, dict[str, Any]] = {
    "an error": {"status": 500},
    "too many requests": {"status": 429},
    "a redirect": {"status": 302, "headers": {"Location": "/elsewhere"}},
    "HTML": {"body": b"<!doctype html><title>Hello</title>"},
    "nothing": {"body": b""},
    "an empty set": {"body": b'{"keys":[]}'},
    "a list": {"body": b"[]"},
    "keys that are no list": {"body": b'{"keys":{"a":1}}'},
    "keys that are no objects": {"body": b'{"keys":[1,null,"x",[]]}'},
    "only unknown keys": {"body": b'{"keys":[{"kty":"XXX","kid":"one"}]}'},
    "endless nesting": {"body": b"[" * 100_000},
    "half a megabyte": {"body": json.dumps({"keys": [PUBLISHED], "x": "y" * 500_000}).encode()},
    "a hang": {"delay": 4.0},
}


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.usefixtures("quick")
def test_known_keys_are_kept_while_the_key_server_fails(
    server: KeyServer, database_url: str, monkeypatch: pytest.MonkeyPatch, failure: str
) -> None:
    monkeypatch.setattr(keys, "FETCH_SECONDS", 0.5)
    with running(database_url, better_auth_url=server.url) as api:
        assert status(api, server.token(KEY)) == 200
        for name, value in FAILURES[failure].items():
            setattr(server, name, value)
        fetches = server.fetches
        wait_until(lambda: server.fetches > fetches + 1)

        assert status(api, server.token(KEY, name="not seen before")) == 200
        assert api.get("/health/ready").status_code == 200
        assert status(api, server.token(NEW_KEY, "two")) == 401


@pytest.mark.parametrize("failure", ["an error", "an empty set", "HTML"])
@pytest.mark.usefixtures("quick")
def test_without_any_key_it_is_503_until_the_key_server_is_back(
    server: KeyServer, database_url: str, failure: str
) -> None:
    for name, value in FAILURES[failure].items():
        setattr(server, name, value)
    with running(database_url, better_auth_url=server.url) as api:
        headers = {"Authorization": f"Bearer {server.token(KEY)}"}
        check_problem(api.get("/api/alice/tasks", headers=headers), 503)
        assert "key server" in check_problem(api.get("/health/ready"), 503)["detail"]
        assert api.get("/health").status_code == 200
        check_problem(api.get("/api/alice/tasks"), 401)

        server.status, server.body = 200, None

        wait_until(lambda: api.get("/health/ready").status_code == 200)
        assert status(api, server.token(KEY)) == 200


@pytest.mark.usefixtures("quick")
def test_a_new_key_works_at_once_and_the_old_one_until_it_is_withdrawn(
    server: KeyServer, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "REFRESH_SECONDS", 1e9)
    with running(database_url, better_auth_url=server.url) as api:
        old = server.token(KEY)
        assert status(api, old) == 200
        server.keys = [PUBLISHED, NEW_PUBLISHED]
        assert status(api, server.token(NEW_KEY, "two")) == 200
        assert status(api, old) == 200
        server.keys = [NEW_PUBLISHED]
        assert status(api, server.token(NEW_KEY, "nobody's")) == 401  # makes it look
        assert status(api, old) == 401
        assert status(api, server.token(KEY, name="not seen before")) == 401


@pytest.mark.usefixtures("quick")
def test_a_withdrawn_key_is_refused_without_anyone_asking(server: KeyServer, database_url: str) -> None:
    with running(database_url, better_auth_url=server.url) as api:
        remembered = server.token(KEY)
        assert status(api, remembered) == 200
        server.keys = [NEW_PUBLISHED]
        wait_until(lambda: status(api, remembered) == 401)


def test_a_withdrawn_key_is_refused_within_five_minutes() -> None:
    assert keys.REFRESH_SECONDS + keys.FETCH_SECONDS + keys.FLOOR_SECONDS <= 300
    assert keys.FLOOR_SECONDS <= 10


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("https://a.example", "https://a.example/api/auth/jwks"),
        ("https://a.example/", "https://a.example/api/auth/jwks"),
        ("https://A.example/auth/", "https://A.example/auth/jwks"),
        ("https://a.example:443", "https://a.example:443/api/auth/jwks"),
    ],
)
def test_the_key_set_s_address_and_the_issuer_follow_from_better_auth_s_url(url: str, address: str) -> None:
    settings = settings_for(better_auth_url=url)
    assert settings.key_set_url == address
    assert settings.better_auth_origin == "https://a.example"


def test_issuer_audience_and_address_can_be_set_apart(server: KeyServer, database_url: str) -> None:
    changes: dict[str, Any] = {
        "better_auth_url": "https://app.example.com",
        "jwt_jwks_url": f"{server.url}/api/auth/jwks",
        "jwt_audience": ["tasks", "https://app.example.com"],
    }
    with running(database_url, **changes) as api:
        assert status(api, server.token(KEY, iss="https://app.example.com", aud="tasks")) == 200
        assert (
            status(api, server.token(KEY, iss="https://app.example.com", aud=["x", "https://app.example.com"])) == 200
        )
        assert status(api, server.token(KEY, iss="https://app.example.com")) == 401
        assert status(api, server.token(KEY, aud="tasks")) == 401


def test_only_public_signing_keys_of_known_kinds_are_used() -> None:
    rsa = private_key("RS256")
    rsa_jwk = public_jwk(rsa, "RS256", "rsa")
    odd: list[Any] = [
        {"kty": "oct", "k": "c2VjcmV0", "kid": "symmetric", "alg": "HS256"},
        {**PUBLISHED, "kid": "private", "d": "AAAA"},
        {**PUBLISHED, "kid": "encryption", "use": "enc"},
        {**PUBLISHED, "kid": "mixed", "alg": "ES256"},
        {**PUBLISHED, "kid": "broken", "x": "AA"},
        {**PUBLISHED, "kid": 5},
        {**PUBLISHED, "kid": None},
        {name: value for name, value in PUBLISHED.items() if name != "kid"},
        {**PUBLISHED, "kid": "other curve", "crv": "Ed448"},
        {**rsa_jwk, "kid": "HMAC", "alg": "HS256"},
        {**rsa_jwk, "kid": "unhashable", "alg": ["RS256"]},
        public_jwk(generate_private_key(65537, 1024), "RS256", "too small"),  # noqa: S505 (that is the point)
        None,
    ]
    bare = {name: value for name, value in rsa_jwk.items() if name != "alg"}

    found = usable_keys({"keys": [*odd, PUBLISHED, {**bare, "kid": "bare"}, rsa_jwk]})

    assert {kid: algorithms for kid, (_, algorithms) in found.items()} == {
        "one": {"EdDSA"},
        "bare": {"RS256", "PS256"},
        "rsa": {"RS256"},
    }


def connection(token: str) -> HTTPConnection:
    return HTTPConnection({"type": "http", "headers": [(b"authorization", f"Bearer {token}".encode())]})


def test_a_flood_of_unknown_keys_causes_a_handful_of_fetches_and_hinders_nobody(server: KeyServer) -> None:
    flood = [server.token(NEW_KEY, f"kid-{number}") for number in range(10_000)]
    server.delay = 0.2

    async def run() -> None:
        authenticator = Authenticator(settings_for(better_auth_url=server.url))
        await authenticator.keys.__aenter__()
        assert (await authenticator.verified(connection(server.token(KEY)))).owner == "alice"
        refused = 0

        async def attack(token: str) -> None:
            nonlocal refused
            with pytest.raises(Problem):
                await authenticator.verified(connection(token))
            refused += 1

        async with asyncio.TaskGroup() as attackers:
            for number, token in enumerate(flood):
                attackers.create_task(attack(token))
                if number % 100 == 0:
                    valid = server.token(KEY, number=number)
                    assert (await authenticator.verified(connection(valid))).owner == "alice"
                    await asyncio.sleep(0)
        assert refused == len(flood)
        await authenticator.keys.__aexit__()

    asyncio.run(run())
    assert server.fetches <= 5


def test_waiting_requests_share_one_fetch(server: KeyServer) -> None:
    server.delay = 0.2

    async def run() -> None:
        authenticator = Authenticator(settings_for(better_auth_url=server.url))
        tokens = [server.token(KEY, number=number) for number in range(50)]
        verified = await asyncio.gather(*(authenticator.verified(connection(token)) for token in tokens))
        assert {owner for owner, _ in verified} == {"alice"}

    asyncio.run(run())
    assert server.fetches == 1


def test_the_memory_of_tokens_is_bounded(server: KeyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("auth.tokens.REMEMBERED_TOKENS", 10)

    async def run() -> None:
        authenticator = Authenticator(settings_for(better_auth_url=server.url))
        for number in range(50):
            token = server.token(KEY, number=number)
            assert (await authenticator.verified(connection(token))).owner == "alice"
        assert len(authenticator._remembered) == 10
        assert server.token(KEY).encode() not in repr(authenticator._remembered).encode()

    asyncio.run(run())
