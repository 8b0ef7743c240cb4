"""What browsers and caches are told of every answer."""

from starlette.types import Scope

RawHeaders = list[tuple[bytes, bytes]]

EVERYWHERE: RawHeaders = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
]
# A browser may keep an answer for its owner alone, and asks each time whether it still holds (RFC 9111, 5.2.2).
OF_TASKS: RawHeaders = [*EVERYWHERE, (b"cache-control", b"private, no-cache")]
VARY = (b"vary", b"Authorization, Origin")
# A year (RFC 6797): by this service's own TLS, or where a proxy that is trusted says so.
OVER_TLS = (b"strict-transport-security", b"max-age=31536000")


def completed(scope: Scope, headers: RawHeaders) -> RawHeaders:
    """An answer's headers with those that every answer has; what a route says itself stays, but for ``Vary``."""
    present = {name for name, _ in headers}
    if scope["path"].startswith("/api/"):
        headers = [header for header in headers if header[0] != b"vary"]
        headers += [VARY, *[header for header in OF_TASKS if header[0] not in present]]
    else:
        headers = [*headers, *[header for header in EVERYWHERE if header[0] not in present]]
    if scope["scheme"] == "https":
        headers.append(OVER_TLS)
    return headers
