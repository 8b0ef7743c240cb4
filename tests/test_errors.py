"""Everything a client can get wrong, and the one shape in which it is told."""

import socket
from typing import Any

import httpx2
import pytest

from tests.support.service import User, check_problem, make_token

JSON = {"Content-Type": "application/json"}
LONG = "x" * 1001

BODIES: dict[str, tuple[Any, str]] = {
    "no title": ({}, "/title"),
    "null title": ({"title": None}, "/title"),
    "number as title": ({"title": 1}, "/title"),
    "empty title": ({"title": ""}, "/title"),
    "blank title": ({"title": " \t\n\u00a0\u2003"}, "/title"),
    "zero-width title": ({"title": "\u200b\u200d\ufeff"}, "/title"),
    "bidi marks as title": ({"title": "\u200e\u202e"}, "/title"),
    "variation selector as title": ({"title": "\ufe0f"}, "/title"),
    "blank letter as title": ({"title": "\u3164 \u2800"}, "/title"),
    "long title": ({"title": "x" * 201}, "/title"),
    "NUL in title": ({"title": "a\0b"}, "/title"),
    "long description": ({"title": "x", "description": LONG}, "/description"),
    "NUL in description": ({"title": "x", "description": "\0"}, "/description"),
    "list as description": ({"title": "x", "description": []}, "/description"),
    "null completed": ({"title": "x", "completed": None}, "/completed"),
    "word as completed": ({"title": "x", "completed": "on"}, "/completed"),
    "number as completed": ({"title": "x", "completed": 1}, "/completed"),
    "array": ([], ""),
    "text": ("x", ""),
    "null": (None, ""),
}

RAW_BODIES: dict[str, bytes] = {
    "nothing": b"",
    "half an object": b'{"title":',
    "NaN": b'{"title":"x","other":NaN}',
    "infinity": b'{"title":"x","other":-Infinity}',
    "lone surrogate": b'{"title":"\\ud800"}',
    "raw NUL": b'{"title":"\0"}',
    "invalid UTF-8": b'{"title":"\xff"}',
    "UTF-16": '{"title":"x"}'.encode("utf-16"),
    "two values": b'{"title":"x"} {}',
    "endless nesting": b'{"title":' + b"[" * 100_000,
    "comment": b'{"title":"x"} // yes',
}

QUERIES: dict[str, tuple[str, str]] = {
    "completed is no flag": ("completed=yes", "/query/completed"),
    "completed is empty": ("completed=", "/query/completed"),
    "limit is 0": ("limit=0", "/query/limit"),
    "limit is negative": ("limit=-1", "/query/limit"),
    "limit is too large": ("limit=1001", "/query/limit"),
    "limit is huge": (f"limit={'9' * 5000}", "/query/limit"),
    "limit is no integer": ("limit=1.0", "/query/limit"),
    "limit is spelt in other digits": ("limit=%D9%A3", "/query/limit"),
    "cursor is damaged": ("cursor=abc", "/query/cursor"),
    "cursor is empty": ("cursor=", "/query/cursor"),
    "cursor is not ASCII": ("cursor=%C3%A9", "/query/cursor"),
    "a name is unknown": ("unknown=red", "/query/unknown"),
    "a name is repeated": ("limit=1&limit=2", "/query/limit"),
    "not UTF-8": ("q=a%ff", "/query"),
    "a name has no value": ("limit", "/query/limit"),
}

TASK_IDS = {"word": 400, "1.0": 400, "1e3": 400, "+1": 400, "%201": 400, "0x1": 400, "1_0": 400, "%D9%A3": 400}
TASK_IDS |= {
    "0": 404,
    "0" * 5000: 404,
    "-" + "9" * 5000: 404,
    "-1": 404,
    "9223372036854775807": 404,
    "9223372036854775808": 404,
    "9" * 5000: 404,
}


@pytest.mark.parametrize("name", BODIES)
def test_an_invalid_body_is_refused_and_pointed_at(user: User, name: str) -> None:
    body, pointer = BODIES[name]
    task = user.create()

    check_problem(user.send("POST", json=body), 400, pointer)
    if name != "no title":
        check_problem(user.send("PATCH", f"/{task['id']}", json=body), 400, pointer)
        check_problem(user.send("PUT", f"/{task['id']}", json=body), 400, pointer)

    assert user.tasks() == [task]


@pytest.mark.parametrize("body", [{}, {"unknown": "red"}, {"id": 1}])
def test_a_change_of_nothing_is_refused(user: User, body: dict[str, Any]) -> None:
    check_problem(user.send("PATCH", f"/{user.create()['id']}", json=body), 400, "")


@pytest.mark.parametrize("name", RAW_BODIES)
def test_what_is_not_json_is_refused(user: User, name: str) -> None:
    check_problem(user.send("POST", content=RAW_BODIES[name], headers=JSON), 400)
    assert user.tasks() == []


@pytest.mark.parametrize("name", QUERIES)
def test_an_invalid_query_is_refused_and_named(user: User, name: str) -> None:
    query, pointer = QUERIES[name]
    problem = check_problem(user.get(f"?{query}"), 400, pointer)
    assert ("no such query parameter" in str(problem)) == (name == "a name is unknown")


@pytest.mark.parametrize("task_id", TASK_IDS)
def test_a_task_id_is_a_plain_integer(user: User, task_id: str) -> None:
    for method, path in [("GET", ""), ("DELETE", ""), ("PATCH", "/complete")]:
        check_problem(
            user.send(method, f"/{task_id}{path}"),
            TASK_IDS[task_id],
            "/path/task_id" if TASK_IDS[task_id] == 400 else None,
        )


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 201),
        ("application/json; charset=utf-8", 201),
        ("Application/JSON", 201),
        ("application/merge-patch+json", 201),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("application/jsonp", 415),
        ("", 415),
    ],
)
def test_a_body_must_be_declared_as_json(user: User, content_type: str, status: int) -> None:
    response = user.send("POST", content=b'{"title":"x"}', headers={"Content-Type": content_type})
    assert response.status_code == status
    if status == 415:
        check_problem(response, 415)


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_2_mib_is_refused(user: User, chunked: bool) -> None:
    body = b'{"title":"x","other":"' + b"x" * 2 * 1024 * 1024 + b'"}'
    content = iter([body[:1_000_000], body[1_000_000:]]) if chunked else body
    check_problem(user.send("POST", content=content, headers=JSON), 413)
    assert user.send("POST", content=body[: 2 * 1024 * 1024 - 100] + b'"}', headers=JSON).status_code == 201


def test_what_is_wrong_is_never_echoed(user: User) -> None:
    secret = "hunter2-hunter2"
    responses = [
        user.send("POST", json={"title": [secret]}),
        user.send("POST", content=f'{{"title": {secret}}}', headers=JSON),
        user.get(f"?limit={secret}"),
        user.get(f"/{secret}"),
        user.get("", headers={"Authorization": f"Bearer {secret}"}),
    ]
    for response in responses:
        assert response.status_code in {400, 401}
        assert secret not in response.text


def test_an_unknown_address_and_method_have_the_same_shape(client: httpx2.Client, user: User) -> None:
    for address in ["/nothing", "/api", "/api/", "/api/x", f"{user.path}/1/nothing"]:
        check_problem(client.get(address), 404)
    problem = check_problem(user.send("POST", "/1"), 405)
    assert "POST" not in problem["detail"]
    allowed = {
        "": "DELETE, GET, HEAD, PATCH, POST",
        "/1": "DELETE, GET, HEAD, PATCH, PUT",
        "/1/complete": "PATCH",
    }
    for path, methods in allowed.items():
        response = user.send("TRACE", path)
        check_problem(response, 405)
        assert response.headers["Allow"] == methods


def test_a_slash_at_the_end_is_not_redirected(user: User) -> None:
    response = user.get("/", headers={"Host": "evil.example"})
    check_problem(response, 404)
    assert "Location" not in response.headers


@pytest.mark.parametrize("header", [None, "", "Bearer", "Basic YTpi", "Token abc", "Bearer a b"])
def test_a_request_without_a_token_is_told_to_bring_one(user: User, header: str | None) -> None:
    response = user.client.get(user.path, headers={} if header is None else {"Authorization": header})
    check_problem(response, 401)
    assert response.headers["WWW-Authenticate"].startswith("Bearer")


def test_an_expired_token_is_told_from_an_invalid_one_and_nothing_more(user: User) -> None:
    for token, words in [
        (make_token(sub=user.id, exp=1), "expired"),
        (make_token(sub=""), "not valid"),
    ]:
        response = user.client.get(user.path, headers={"Authorization": f"Bearer {token}"})
        assert words in check_problem(response, 401)["detail"]
        assert response.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'


def test_the_scheme_is_case_insensitive_and_two_headers_are_none(user: User) -> None:
    token = user.headers["Authorization"].removeprefix("Bearer ")
    assert user.client.get(user.path, headers={"Authorization": f"bEARER {token}"}).status_code == 200
    twice = [("Authorization", f"Bearer {token}")] * 2
    check_problem(user.client.get(user.path, headers=twice), 401)


@pytest.mark.parametrize("request_id", ["abc-1.2_Z", "x" * 128])
def test_a_sane_request_id_is_kept(client: httpx2.Client, request_id: str) -> None:
    response = client.get("/health", headers={"X-Request-Id": request_id})
    assert response.headers["X-Request-Id"] == request_id


@pytest.mark.parametrize("request_id", ["", "x" * 129, "a b", "é", "a\tb"])
def test_any_other_request_id_is_replaced(client: httpx2.Client, request_id: str) -> None:
    headers = {b"X-Request-Id": request_id.encode("latin-1")}
    first, second = (client.get("/nothing", headers=headers) for _ in range(2))
    assert len(first.headers["X-Request-Id"]) == 32
    assert first.headers["X-Request-Id"] != second.headers["X-Request-Id"]


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /health HTTP/1.1\r\n\r\n",
        b"\xff\xfe\x00 nonsense\r\n\r\n",
        b"GET /api/%FF%00/tasks HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /api/x/tasks?%00=%FF&q=%ED%A0%80 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /api/x/tasks HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xff\xff\r\nConnection: close\r\n\r\n",
        b"POST /api/x/tasks HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\nConnection: close\r\n\r\n",
    ],
)
def test_raw_bytes_never_cause_a_500(client: httpx2.Client, request_bytes: bytes) -> None:
    with socket.create_connection((client.base_url.host, client.base_url.port or 80), timeout=10) as connection:
        connection.sendall(request_bytes)
        connection.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert b" 500 " not in answer.partition(b"\r\n")[0]
    assert answer.startswith(b"HTTP/1.1 ") or answer == b""
