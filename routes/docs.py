"""The OpenAPI document, and the pages that show it, with everything they need from this service itself."""

import functools
import hashlib
import re
from importlib.resources import files

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, RedirectResponse, Response

from problems import Problem
from routes.http.conditions import revalidated

router = APIRouter(include_in_schema=False)
development = APIRouter(include_in_schema=False)  # where the secret is made up, and nowhere else

LIBRARY = files("fastapi_offline") / "static"
PAGES = files("routes") / "pages"
ASSETS = {
    "favicon.png": (LIBRARY, "image/png"),
    "pages.css": (PAGES, "text/css"),
    "pages.js": (PAGES, "text/javascript"),
    "redoc.standalone.js": (LIBRARY, "text/javascript"),
    "swagger-ui-bundle.js": (LIBRARY, "text/javascript"),
    "swagger-ui.css": (LIBRARY, "text/css"),
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
REDOC_POLICY = POLICY.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'; worker-src blob:")
REDOC_LOGO = b"https://cdn.redoc.ly/redoc/logo-mini.svg"
PROXIED = re.compile(r".*forwarded.*|.*client-?ip|.*real-ip|via|cdn-loop|cf-.*|x-envoy-.*")
LOCAL_HOST = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:[0-9]+)?")


@router.get("/")
async def lead_to_docs() -> RedirectResponse:
    return RedirectResponse("/docs")


@router.get("/openapi.json")
async def get_document(request: Request) -> Response:
    return _answer(request, request.app.state.openapi_json(), "application/json", "no-cache")


# No coroutines from here on, since they read files: FastAPI gives them a thread.
@router.get("/docs")
def get_docs(request: Request) -> Response:
    page = (PAGES / "docs.html").read_bytes()
    if request.app.state.gives_tokens:
        page = page.replace(b" hidden", b"", 1)
    return _answer(request, page, "text/html", "no-cache", POLICY)


@router.get("/redoc")
def get_redoc(request: Request) -> Response:
    return _answer(request, (PAGES / "redoc.html").read_bytes(), "text/html", "no-cache", REDOC_POLICY)


@router.get("/docs/assets/{name}")
def get_asset(request: Request, name: str) -> Response:
    if name not in ASSETS:
        raise HTTPException(404)
    return _answer(request, _asset(name), ASSETS[name][1], "public, max-age=3600")


@development.post("/docs/token")
async def give_token(request: Request) -> JSONResponse:
    """A token for alice, whom the document's examples are about."""
    if not _is_local(request):
        raise Problem(403, "A token is given to /docs alone, opened on the computer that runs the service.")
    token = request.app.state.authenticator.keys.sign("alice")
    return JSONResponse({"token": token}, headers={"Cache-Control": "no-store"})


@functools.cache
def _asset(name: str) -> bytes:
    folder, _ = ASSETS[name]
    # Redoc shows the logo of its maker, from its maker's host; it leaves out what can't be loaded.
    return (folder / name).read_bytes().replace(REDOC_LOGO, b"data:,")


def _answer(request: Request, body: bytes, media_type: str, cache: str, policy: str | None = None) -> Response:
    headers = {"ETag": f'"{hashlib.sha256(body).hexdigest()[:32]}"', "Cache-Control": cache}
    if policy:
        headers["Content-Security-Policy"] = policy
    return revalidated(request, Response(body, 200, headers, media_type))


def _is_local(request: Request) -> bool:
    """Whether this service's own page asks, in a browser on this computer.

    The client alone doesn't tell: another site's page, a name that was rebound to 127.0.0.1, and the visitors of a
    proxy all come from there. The first two show in a header, and so do proxies, but for those that say nothing of
    themselves.
    """
    headers = request.headers
    host = headers.get("host", "")
    return (
        all(len(headers.getlist(name)) == 1 for name in ("host", "origin", "sec-fetch-site"))
        and request.client is not None
        and request.client.host in {"127.0.0.1", "::1"}
        and LOCAL_HOST.fullmatch(host) is not None
        and headers.get("origin") == f"{request.scope['scheme']}://{host}"
        and headers.get("sec-fetch-site") == "same-origin"
        and not any(PROXIED.fullmatch(name) for name in headers)
    )
