"""The OpenAPI document: the one that is committed, and what holds for all of it."""

import difflib
import json

import httpx2
import pytest
from fastapi import APIRouter

from auth.owner import OwnSession
from routes.owned import OwnedRoute
from tests.support.operations import DOCUMENT
from tests.support.process import ROOT


def test_the_committed_document_is_the_service_s() -> None:
    committed = (ROOT / "openapi.json").read_text().splitlines()
    now = json.dumps(DOCUMENT, indent=2, ensure_ascii=False).splitlines()
    changes = list(difflib.unified_diff(committed, now, "openapi.json", "the service", n=2, lineterm=""))
    if changes:
        shown = "\n".join([*changes[:40], "…"] if len(changes) > 40 else changes)
        advice = "The API has changed, for every client of it. If that is meant: make openapi, and commit openapi.json."
        pytest.fail(f"{advice}\n{shown}", pytrace=False)


def test_the_document_and_its_page_are_served(client: httpx2.Client) -> None:
    assert client.get("/openapi.json").json() == DOCUMENT
    assert client.get("/docs").status_code == 200


def test_an_error_is_a_problem_and_what_is_invalid_is_400_never_422() -> None:
    for path, operations in DOCUMENT["paths"].items():
        for method, operation in operations.items():
            for status, response in operation["responses"].items():
                if not status.startswith("2") and status != "304":
                    assert "application/problem+json" in response["content"], (method, path, status)
                assert "X-Request-Id" in response["headers"], (method, path, status)
            if path.startswith("/api/"):
                assert {"400", "401", "403", "503"} <= operation["responses"].keys(), (method, path)
    assert "HTTPValidationError" not in json.dumps(DOCUMENT)


def test_every_reference_resolves() -> None:
    def references(part: object) -> list[str]:
        if isinstance(part, list):
            return [found for inner in part for found in references(inner)]
        if isinstance(part, dict):
            own = [part["$ref"]] if isinstance(part.get("$ref"), str) else []
            return own + [found for inner in part.values() for found in references(inner)]
        return []

    schemas = {f"#/components/schemas/{name}" for name in DOCUMENT["components"]["schemas"]}
    assert "#/components/schemas/ProblemBody" in schemas
    assert {*references(DOCUMENT)} <= schemas


def test_query_parameters_whose_bounds_the_document_would_lose_are_refused() -> None:
    async def read_stale(session: OwnSession, days: int = 30) -> None: ...

    with pytest.raises(TypeError, match="as a model"):
        APIRouter(route_class=OwnedRoute).add_api_route("/api/{user_id:owner}/stale", read_stale)
