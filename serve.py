"""The service as it may stand on the open internet: ``python serve.py``, with any of uvicorn's options."""

import os
import resource
import signal
import sys

from uvicorn.main import main

NAMES_A_PROXY = os.environ.get("FORWARDED_ALLOW_IPS") or "--forwarded-allow-ips" in " ".join(sys.argv)
DEFAULTS = [
    *("--port", os.environ.get("PORT") or "8000"),  # platforms say which
    *("--http", "edge.protocol:Protocol"),
    *("--loop", "edge.loop:Loop"),
    *("--ws", "none"),
    *("--limit-concurrency", "1000"),
    *("--timeout-graceful-shutdown", "10"),
    "--no-server-header",
    # X-Forwarded-For and -Proto are believed of whom is named alone: uvicorn would believe all of this machine.
    "--proxy-headers" if NAMES_A_PROXY else "--no-proxy-headers",
]


def raise_file_limit() -> None:
    """Let the process have as many files as it may: each connection is one, and many systems say 1,024."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 65536) if most > 0 else 65536, most))


if __name__ == "__main__":
    raise_file_limit()
    # A collector that is away holds up the stop for as long (default: 10 s, twice).
    os.environ.setdefault("OTEL_EXPORTER_OTLP_TIMEOUT", "2")
    # uvicorn stops on it, and then raises it again: after a clean stop, that is a clean end.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    main([*DEFAULTS, "main:app", *sys.argv[1:]])
