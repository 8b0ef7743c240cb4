"""A key server that can be made to fail, and tokens signed with its keys."""

import base64
import contextlib
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

ALGORITHMS = get_default_algorithms()


def private_key(algorithm: str) -> Any:
    match algorithm:
        case "EdDSA":
            return ed25519.Ed25519PrivateKey.generate()
        case "ES256":
            return ec.generate_private_key(ec.SECP256R1())
        case "ES512":
            return ec.generate_private_key(ec.SECP521R1())
        case _:
            return rsa.generate_private_key(65537, 2048)


def public_jwk(key: Any, algorithm: str, kid: str, **changes: Any) -> dict[str, Any]:
    jwk = ALGORITHMS[algorithm].to_jwk(key.public_key(), as_dict=True)
    jwk.pop("key_ops", None)
    return {**jwk, "kid": kid, "alg": algorithm, **changes}


def segment(value: Any) -> bytes:
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(content).rstrip(b"=")


def sign(key: Any, header: dict[str, Any], claims: Any, algorithm: str = "EdDSA") -> str:
    """A token of exactly this header and these claims, also where no library would make it."""
    signed = segment(header) + b"." + segment(claims)
    prepared = ALGORITHMS[algorithm].prepare_key(key)
    return (signed + b"." + segment(ALGORITHMS[algorithm].sign(signed, prepared))).decode()


class KeyServer:
    """Publishes ``keys`` at /api/auth/jwks as Better Auth does, or answers what a test wants instead."""

    def __init__(self) -> None:
        self.keys: list[Any] = []
        self.body: bytes | None = None
        self.status = 200
        self.headers: dict[str, str] = {}
        self.delay = 0.0
        self.fetches = 0
        self.url = ""

    def token(self, key: Any, kid: str = "one", algorithm: str = "EdDSA", **claims: Any) -> str:
        now = int(time.time())
        usual = {"sub": "alice", "iat": now, "exp": now + 900, "iss": self.url, "aud": self.url}
        kept = {name: value for name, value in (usual | claims).items() if value is not None}
        return jwt.encode(kept, key, algorithm, headers={"kid": kid, "typ": None})


@contextlib.contextmanager
def key_server(port: int = 0) -> Iterator[KeyServer]:
    server = KeyServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.fetches += 1
            time.sleep(server.delay)
            known = self.path == "/api/auth/jwks"
            body = server.body if server.body is not None else json.dumps({"keys": server.keys}).encode()
            with contextlib.suppress(ConnectionError):
                self.send_response(server.status if known else 404)
                for name, value in server.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Quiet."""

    http = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.url = f"http://127.0.0.1:{http.server_address[1]}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        thread.join()
        http.server_close()
