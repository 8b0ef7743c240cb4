"""Which tokens get in, which must not, and why. The end-to-end tests do the same with a real Better Auth."""

import hashlib
import hmac
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.support.key_server import KeyServer, key_server, private_key, public_jwk, segment, sign
from tests.support.service import SECRET, check_problem, make_token, running

KEY, OTHER_KEY, RSA_KEY = private_key("EdDSA"), private_key("EdDSA"), private_key("RS256")
SIGNERS = {algorithm: private_key(algorithm) for algorithm in ["EdDSA", "ES256", "ES512", "RS256", "PS256"]}
HEADER = {"alg": "EdDSA", "kid": "one"}
PEM = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@pytest.fixture(scope="module")
def server() -> Iterator[KeyServer]:
    with key_server() as running:
        running.keys = [
            public_jwk(KEY, "EdDSA", "one"),
            public_jwk(RSA_KEY, "RS256", "rsa"),
            *(public_jwk(key, algorithm, f"{algorithm}-key") for algorithm, key in SIGNERS.items()),
        ]
        yield running


@pytest.fixture(scope="module")
def api(server: KeyServer, database_url: str) -> Iterator[httpx2.Client]:
    with running(database_url, better_auth_url=server.url + "/") as client:
        yield client


def get(api: httpx2.Client, token: str | bytes, path: str = "/api/alice/tasks") -> httpx2.Response:
    raw = token.encode("utf-8", "surrogatepass") if isinstance(token, str) else token
    return api.get(path, headers=[(b"Authorization", b"Bearer " + raw)])


def claims(server: KeyServer, **changes: Any) -> dict[str, Any]:
    usual = {"sub": "alice", "exp": int(time.time()) + 900, "iss": server.url, "aud": server.url, **changes}
    return {name: value for name, value in usual.items() if value is not None}


def signed(header: dict[str, Any] | None = None, **changes: Any) -> Callable[[KeyServer], str]:
    """A token under the right key, but with this header or these claims."""
    return lambda server: sign(KEY, {**HEADER, **(header or {})}, claims(server, **changes))


def unsigned(algorithm: object) -> Callable[[KeyServer], str]:
    return lambda server: f"{segment({'alg': algorithm, 'kid': 'one'}).decode()}.{segment(claims(server)).decode()}."


def altered(change: Callable[[str], str]) -> Callable[[KeyServer], str]:
    """A good token whose text was changed."""
    return lambda server: change(server.token(KEY))


def non_canonical(token: str) -> str:
    # An Ed25519 signature has 64 bytes: the last character's low bits are padding, and 0 in canonical form.
    return token[:-1] + {"A": "B", "Q": "R", "g": "h", "w": "x"}[token[-1]]


def hs256(server: KeyServer, key: bytes, **header: Any) -> str:
    return (
        sign(key, {"alg": "HS256", "kid": "one", **header}, claims(server), "HS256") if key != PEM else forged(server)
    )


def forged(server: KeyServer) -> str:
    """HS256 under the public key as text: PyJWT would not make it, an attacker would."""
    signed = segment({"alg": "HS256", "kid": "one"}) + b"." + segment(claims(server))
    return (signed + b"." + segment(hmac.digest(PEM, signed, hashlib.sha256))).decode()


NOW = time.time()
MUST_BE_REFUSED: dict[str, Callable[[KeyServer], str]] = {
    "alg none": unsigned("none"),
    "alg None": unsigned("None"),
    "alg NONE": unsigned("NONE"),
    "alg nOnE": unsigned("nOnE"),
    "alg empty": unsigned(""),
    "alg null": unsigned(None),
    "alg list": unsigned(["EdDSA"]),
    "alg none under a signature": lambda server: sign(KEY, {"alg": "none", "kid": "one"}, claims(server)),
    "alg missing": lambda server: sign(KEY, {"kid": "one"}, claims(server)),
    "HS256 keyed with the public key": forged,
    "HS256 keyed with a secret": lambda server: hs256(server, SECRET.encode()),
    "HS256 keyed with nothing": lambda server: hs256(server, b"\0" * 32),
    "RS256 under an Ed25519 key's id": lambda server: server.token(RSA_KEY, "one", "RS256"),
    "PS256 under a key published as RS256": lambda server: server.token(RSA_KEY, "rsa", "PS256"),
    "ES256 claimed for an Ed25519 signature": lambda server: sign(KEY, {**HEADER, "alg": "ES256"}, claims(server)),
    "a foreign key under a known kid": lambda server: server.token(OTHER_KEY, "one"),
    "an unknown kid": lambda server: server.token(KEY, "two"),
    "no kid": lambda server: sign(KEY, {"alg": "EdDSA"}, claims(server)),
    "a number as kid": signed({"kid": 1}),
    "a list as kid": signed({"kid": ["one"]}),
    "a path as kid": signed({"kid": "../../../../dev/null"}),
    "the attacker's own key in jwk": lambda server: sign(
        OTHER_KEY, {**HEADER, "jwk": public_jwk(OTHER_KEY, "EdDSA", "one")}, claims(server)
    ),
    "jwk beside a good signature": signed({"jwk": public_jwk(KEY, "EdDSA", "one")}),
    "jku": signed({"jku": "http://127.0.0.1:1/jwks"}),
    "x5u": signed({"x5u": "http://127.0.0.1:1/cert"}),
    "x5c": signed({"x5c": ["AAAA"]}),
    "an unknown crit": signed({"crit": ["exp2"], "exp2": 1}),
    "an empty crit": signed({"crit": []}),
    "b64 false": signed({"b64": False, "crit": ["b64"]}),
    "b64 false without crit": signed({"b64": False}),
    "compressed": signed({"zip": "DEF"}),
    "a session-cache cookie by its typ": signed({"typ": "better-auth.session-cache+jwt"}),
    "a number as typ": signed({"typ": 1}),
    "a session-cache cookie by its claims": signed(session={"id": "x"}, user={"id": "alice"}),
    "an e-mail verification token": signed(sub=None, email="alice@example.com", userId="alice"),
    "id and email as the only identity": signed(sub=None, id="alice", email="alice"),
    "another issuer": signed(iss="https://evil.example"),
    "no issuer": signed(iss=None),
    "the issuer with a path": lambda server: signed(iss=server.url + "/api/auth")(server),
    "the issuer with a slash": lambda server: signed(iss=server.url + "/")(server),
    "the issuer as a prefix": lambda server: signed(iss=server.url + ".evil.example")(server),
    "the issuer in a list": lambda server: signed(iss=[server.url])(server),
    "another audience": signed(aud="https://evil.example"),
    "no audience": signed(aud=None),
    "an empty list of audiences": signed(aud=[]),
    "the audience as a prefix": lambda server: signed(aud=server.url + ".evil.example")(server),
    "an audience that is no text": signed(aud=[1]),
    "expired": signed(exp=int(NOW) - 31),
    "exp missing": signed(exp=None),
    "exp as text": signed(exp=str(int(NOW) + 900)),
    "exp as a list": signed(exp=[int(NOW) + 900]),
    "exp true": signed(exp=True),
    "exp infinite": signed(exp=math.inf),
    "exp not a number": signed(exp=math.nan),
    "exp beyond every float": signed(exp=10**400),
    "not yet valid": signed(nbf=int(NOW) + 3600),
    "nbf as text": signed(nbf=str(int(NOW) - 1)),
    "issued in the future": signed(iat=int(NOW) + 3600),
    "sub missing": signed(sub=None),
    "sub empty": signed(sub=""),
    "sub a number": signed(sub=1),
    "sub a list": signed(sub=["alice"]),
    "sub a lone surrogate": signed(sub="\ud800"),
    "sub with NUL": signed(sub="alice\0"),
    "sub too long": signed(sub="a" * 256),
    "sub and user_id that disagree": signed(user_id="bob"),
    "sub null beside user_id": lambda server: sign(KEY, HEADER, {**claims(server, user_id="alice"), "sub": None}),
    "claims that are a list": lambda _: sign(KEY, HEADER, ["alice"]),
    "claims that are no JSON": lambda _: sign(KEY, HEADER, b"alice"),
    "claims that are deep": lambda _: sign(KEY, HEADER, b"[" * 3000),
    "padded base64": altered(lambda token: token + "="),
    "padded header": altered(lambda token: token.replace(".", "=.", 1)),
    "non-canonical base64": altered(non_canonical),
    "a character at the end": altered(lambda token: token + "A"),
    "a dot at the end": altered(lambda token: token + "."),
    "a part too many": altered(lambda token: token + ".x"),
    "a part too few": altered(lambda token: token.rpartition(".")[0]),
    "a space within": altered(lambda token: f"{token[:20]} {token[20:]}"),
    "standard base64": altered(lambda token: token[:-3] + "+/A"),
    "another signature": altered(lambda token: token[:-10] + ("A" if token[-10] != "A" else "B") + token[-9:]),
    "an opaque session token": lambda _: "kJq3rT8uV2wX5yZ7aB9cD1eF4gH6iJ0k.bm90LWEtc2lnbmF0dXJl",
    "40 KB": lambda server: server.token(KEY, name="x" * 30_000),
    "nothing but dots": lambda _: "..",
    "not ASCII": altered(lambda token: "\xe9" + token),
}


@pytest.mark.parametrize("reason", MUST_BE_REFUSED)
def test_a_token_is_refused(api: httpx2.Client, server: KeyServer, reason: str) -> None:
    token = MUST_BE_REFUSED[reason](server)

    response = get(api, token)

    problem = check_problem(response, 401)
    assert response.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
    assert ("expired" in problem["detail"]) == (reason in {"expired", "exp true"})


ACCEPTED: dict[str, Callable[[KeyServer], str]] = {
    "as Better Auth makes them": lambda server: server.token(KEY, id="x", email="alice@example.com"),
    **{
        algorithm: lambda server, algorithm=algorithm: server.token(  # type: ignore[misc]
            SIGNERS[algorithm], f"{algorithm}-key", algorithm
        )
        for algorithm in SIGNERS
    },
    "without iat": signed(iat=None),
    "with typ JWT": signed({"typ": "JWT"}),
    "a list of audiences": lambda server: signed(aud=["https://other.example", server.url])(server),
    "valid in 20 seconds by this clock": signed(nbf=int(NOW) + 20, iat=int(NOW) + 20),
    "user_id in place of sub": signed(sub=None, user_id="alice"),
    "user_id beside the same sub": signed(user_id="alice"),
    "exp with a fraction": signed(exp=NOW + 900.5),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_a_token_is_accepted(api: httpx2.Client, server: KeyServer, name: str) -> None:
    assert get(api, ACCEPTED[name](server)).status_code == 200


def test_a_clock_30_seconds_off_is_accepted(api: httpx2.Client, server: KeyServer) -> None:
    assert get(api, server.token(KEY, exp=int(time.time()) - 25)).status_code == 200


def test_a_remembered_token_is_not_accepted_past_its_expiry(api: httpx2.Client, server: KeyServer) -> None:
    token = server.token(KEY, exp=int(time.time()) - 28)
    statuses = set()
    while (status := get(api, token).status_code) == 200:
        statuses.add(status)
    assert statuses == {200}
    assert "expired" in check_problem(get(api, token), 401)["detail"]


def test_a_valid_token_opens_its_owner_s_path_alone(api: httpx2.Client, server: KeyServer) -> None:
    check_problem(get(api, server.token(KEY, sub="bob")), 403)


@pytest.mark.parametrize("changes", [{"jwt_issuer": ["https://a.example", "https://b.example"]}, {}])
def test_a_shared_secret_checks_issuer_and_audience_only_where_they_are_set(
    database_url: str, changes: dict[str, list[str]]
) -> None:
    with running(database_url, **changes) as api:
        assert get(api, make_token(sub="alice", iss="https://b.example")).status_code == 200
        expected = 401 if changes else 200
        assert get(api, make_token(sub="alice")).status_code == expected
        assert get(api, make_token(sub="alice", iss="https://c.example", aud="x")).status_code == expected


@pytest.mark.parametrize(
    "token",
    [
        jwt.encode({"email": "alice@example.com", "userId": "alice", "exp": int(NOW) + 900}, SECRET),
        make_token(session={"userId": "alice"}, user={"id": "alice"}, sub="alice"),
        jwt.encode({"sub": "alice", "exp": int(NOW) + 900}, SECRET, headers={"typ": "better-auth.session-cache+jwt"}),
        jwt.encode({"sub": "alice", "exp": int(NOW) + 900}, SECRET, "HS512"),
        jwt.encode({"sub": "alice", "exp": int(NOW) + 900}, KEY, "EdDSA"),
        jwt.encode({"sub": "alice", "exp": int(NOW) + 900}, SECRET + "x"),
    ],
    ids=["e-mail verification", "session cookie", "session cookie by typ", "HS512", "EdDSA", "another secret"],
)
def test_what_else_is_signed_with_a_shared_secret_is_no_token(session_client: httpx2.Client, token: str) -> None:
    check_problem(get(session_client, token), 401)
