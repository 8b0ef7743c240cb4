"""The OpenAPI document, and the pages that show it."""

from fastapi import APIRouter, Request
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from starlette.responses import HTMLResponse, RedirectResponse, Response

router = APIRouter(include_in_schema=False)

DOCUMENT = "/openapi.json"


@router.get("/")
async def lead_to_docs() -> RedirectResponse:
    return RedirectResponse("/docs")


@router.get(DOCUMENT)
async def get_document(request: Request) -> Response:
    return Response(request.app.state.openapi_json(), media_type="application/json")


@router.get("/docs")
async def get_docs(request: Request) -> HTMLResponse:
    return get_swagger_ui_html(openapi_url=DOCUMENT, title=request.app.title)


@router.get("/redoc")
async def get_redoc(request: Request) -> HTMLResponse:
    return get_redoc_html(openapi_url=DOCUMENT, title=request.app.title)
