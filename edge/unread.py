"""What a client has not taken yet of its answers."""

import asyncio
import contextlib
import fcntl
import sys
import termios


def unread(transport: asyncio.Transport) -> int:
    """Bytes that wait here, and on Linux those that wait in the kernel.

    The kernel holds megabytes, and takes more only when a third of them are gone: by what waits here alone, a slow
    client would seem to stand still for minutes.
    """
    waiting = transport.get_write_buffer_size()
    with contextlib.suppress(OSError):  # another system, or the connection is gone
        held = fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4))
        waiting += int.from_bytes(held, sys.byteorder)
    return waiting
