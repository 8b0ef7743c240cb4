"""A stop under load: as a deployment sends SIGTERM, with everything going on that clients do."""

import contextlib
import socket
import time

import pytest

from faults.conftest import Figure
from faults.support.load import Writers
from faults.support.service import serving

STOP_SECONDS = 11


@pytest.mark.quick
def test_sigterm_under_load_ends_cleanly_in_time_and_loses_no_answered_write(database_url: str, figure: Figure) -> None:
    with serving(database_url) as service, contextlib.ExitStack() as stack:
        writers = Writers(service, gives_up=True)
        head = f"POST {writers.user.path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        head += f"Authorization: {writers.user.headers['Authorization']}\r\nContent-Length: 100\r\n\r\n"
        for number in range(100):
            client: socket.socket = stack.enter_context(service.connect())
            if number < 50:
                client.sendall(f'{head}{{"title": "half'.encode())
        with writers:
            writers.wait_for(200)
            started = time.monotonic()
            assert service.stop() == 0
            took = time.monotonic() - started
        assert took < STOP_SECONDS
        figure(f"exit 0 after {took:.1f} s, with 8 writers, 50 half-sent bodies and 50 idle connections")
        figure(writers.check(database_url))
