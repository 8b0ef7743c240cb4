"""The edge: what of that which arrives on a connection is a request."""

from collections.abc import Iterator

import pytest

from edge.protocol import Protocol
from tests.support.echo import Quick, echo
from tests.support.service import User, check_problem, serving
from tests.support.wire import dial, head

GET = head("GET", "/")
WITHOUT_END = GET[:-2]


@pytest.fixture(scope="module")
def quick() -> Iterator[str]:
    with serving(echo, http=Quick) as (url, _):
        yield url


UPGRADE = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA")
SMUGGLED = head("GET", "/smuggled")
BODIES = {
    "a length": (f"Content-Length: {len(SMUGGLED)}", SMUGGLED),
    "chunks": ("Transfer-Encoding: chunked", b"%x\r\n%b\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED)),
}


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("protocol", ["h2c", "websocket"])
@pytest.mark.parametrize("packets", [1, 2])
def test_the_body_counts_where_another_protocol_is_asked_for(
    quick: str, name: str, protocol: str, packets: int
) -> None:
    framing, body = BODIES[name]
    request = head("POST", "/first", *UPGRADE, framing).replace(b"h2c", protocol.encode())
    with dial(quick) as client:
        client.send(request + body) if packets == 1 else client.send(request, body)
        first = client.answer()
        client.send(GET)
        second = client.answer()
    assert (first.headers["X-Path"], first.content) == ("/first", SMUGGLED)
    assert second.headers["X-Path"] == "/"


def test_a_task_is_set_and_not_toggled_where_another_protocol_is_asked_for(user: User) -> None:
    task = user.create(completed=True)
    body = b'{"completed": true}'
    lines = [f"Authorization: {user.headers['Authorization']}", "Content-Type: application/json"]
    with dial(str(user.client.base_url)) as client:
        path = f"{user.path}/{task['id']}/complete"
        client.send(head("PATCH", path, *lines, *UPGRADE, f"Content-Length: {len(body)}") + body)
        assert client.answer().json()["completed"] is True


def test_many_requests_for_another_protocol_are_answered_in_order(quick: str) -> None:
    with dial(quick) as client:
        client.send(b"".join(head("GET", f"/{number}", *UPGRADE) for number in range(10)))
        assert [client.answer().headers["X-Path"] for _ in range(10)] == [f"/{number}" for number in range(10)]


TOO_LARGE = {
    "one header": head("GET", "/", f"X: {'x' * 70_000}"),
    "one header without an end": WITHOUT_END + b"X: " + b"x" * 70_000,
    "many headers without an end": WITHOUT_END + b"X-Header: value\r\n" * 5_000,
    "101 lines": head("GET", "/", *["X: x"] * 100),
    "a path": head("GET", "/" + "x" * 70_000),
    "a method": b"X" * 70_000,
    "25 MB": WITHOUT_END + b"X-Header: value\r\n" * 1_500_000,
}


@pytest.mark.parametrize("name", [name for name in TOO_LARGE if name != "a method"])
def test_a_head_that_is_too_large_is_refused_and_ends_the_connection(quick: str, name: str) -> None:
    with dial(quick) as client:
        try:
            client.send(TOO_LARGE[name])
        except ConnectionError:
            assert name == "25 MB"
            return
        answer = client.answer()
        assert check_problem(answer, 431)["title"] == "Request Header Fields Too Large"
        assert answer.headers["Connection"] == "close"
        assert client.is_closed(5)


@pytest.mark.parametrize("lines", [[f"X: {'x' * 65_000}"], ["X: x"] * 99])
def test_a_head_within_the_limits_is_read(quick: str, lines: list[str]) -> None:
    with dial(quick) as client:
        client.send(head("GET", "/", *lines))
        assert client.answer().status_code == 200


@pytest.mark.parametrize(
    "nonsense", [b"nonsense\r\n\r\n", b"X" * 70_000, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01"]
)
def test_what_is_no_request_gets_a_400(quick: str, nonsense: bytes) -> None:
    with dial(quick) as client:
        client.send(nonsense)
        check_problem(client.answer(), 400)
        assert client.is_closed(5)


def test_a_proxy_is_refused(quick: str) -> None:
    with dial(quick) as client:
        client.send(head("CONNECT", "example.com:443"))
        check_problem(client.answer(), 400)


BROKEN = {
    "many trailers": (431, b"0\r\n" + b"X-Trailer: value\r\n" * 100_000),
    "one trailer": (431, b"0\r\nX: " + b"x" * 2_000_000),
    "a chunk's extension": (431, b"1;" + b"x" * 2_000_000),
    "no chunk": (400, b"zz\r\n"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_body_that_can_not_be_read_is_refused(quick: str, name: str) -> None:
    status, rest = BROKEN[name]
    with dial(quick) as client:
        client.send(head("POST", "/", "Transfer-Encoding: chunked"), b"1\r\nx\r\n", rest)
        check_problem(client.answer(), status)
        assert client.is_closed(5)


def test_who_is_calling_does_not_stand_in_a_trailer(user: User) -> None:
    request = head("POST", user.path, "Content-Type: application/json", "Transfer-Encoding: chunked")
    trailer = f"Authorization: {user.headers['Authorization']}\r\n\r\n".encode()
    with dial(str(user.client.base_url)) as client:
        client.send(request, b'd\r\n{"title":"x"}\r\n0\r\n', trailer)
        check_problem(client.answer(), 401)
    assert user.tasks() == []


def test_requests_that_do_not_wait_for_their_answers_are_bounded(quick: str) -> None:
    with dial(quick) as client:
        client.send(b"".join(head("GET", f"/{number}") for number in range(1_000)))
        answers = [client.answer() for _ in range(1 + Protocol.most_pipelined)]
        assert [answer.headers["X-Path"] for answer in answers] == [f"/{number}" for number in range(len(answers))]
        assert answers[-1].headers["Connection"] == "close"
        assert client.is_closed(5)
