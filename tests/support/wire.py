"""A client that speaks TCP, to say what no HTTP client would."""

import contextlib
import socket
from collections.abc import Iterator
from http.client import parse_headers
from urllib.parse import urlsplit

import httpx2


class Wire:
    """One connection to a service."""

    def __init__(self, url: str, receive_buffer: int = 0) -> None:
        """A small ``receive_buffer``, in bytes, lets a client that doesn't read be felt soon."""
        address = urlsplit(url)
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(20)
        self.socket.connect((address.hostname, address.port))
        self._answers = self.socket.makefile("rb")

    def close(self) -> None:
        self._answers.close()
        self.socket.close()

    def send(self, *parts: bytes) -> None:
        for part in parts:
            self.socket.sendall(part)

    def answer(self) -> httpx2.Response:
        """The next answer, which says how long it is."""
        _version, status, _reason = self._answers.readline().split(b" ", 2)
        headers = parse_headers(self._answers)
        body = self._answers.read(int(headers["Content-Length"]))
        return httpx2.Response(int(status), headers=headers.items(), content=body)

    def is_closed(self, seconds: float) -> bool:
        """Whether the service closes the connection within ``seconds``, without another byte."""
        self.socket.settimeout(seconds)
        try:
            return self.socket.recv(1) == b""
        except TimeoutError:
            return False
        except ConnectionError:
            return True


@contextlib.contextmanager
def dial(url: str, receive_buffer: int = 0) -> Iterator[Wire]:
    client = Wire(url, receive_buffer)
    try:
        yield client
    finally:
        client.close()


def head(method: str, path: str, *lines: str) -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: localhost", *lines, "", ""]).encode()
