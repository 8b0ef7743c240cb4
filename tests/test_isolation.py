"""Nobody reaches another's rows, by any operation of the OpenAPI document, nor by a route that is not in it."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts

from auth.owner import OwnerBearer
from main import create_app
from tests.support.operations import OPERATIONS, Operation, address, ask, each, populate
from tests.support.process import ROOT
from tests.support.service import User, check_problem, settings_for


def everything(user: User) -> dict[str, Any]:
    """What the user can read: the answers of all lists."""
    lists = [one for one in OPERATIONS if one.method == "GET" and not one.inner_parameters and not one.streams]
    answers = {each.name: user.get(address(each.path, user), **each.requests[0].options()) for each in lists}
    return {name: answer.json() for name, answer in answers.items() if answer.is_success}


@each(OPERATIONS)
def test_an_operation_touches_its_owner_s_rows_alone(user: User, stranger: User, operation: Operation) -> None:
    populate(user)
    populate(stranger)
    theirs = address(operation.path, stranger)
    before = everything(stranger)
    for request in operation.requests:
        check_problem(ask(user, operation, theirs, request), 403)
        if operation.inner_parameters:
            check_problem(ask(user, operation, theirs.replace(stranger.id, user.id), request), 404)
        ask(user, operation, address(operation.path, user), request)
    assert everything(stranger) == before, f"{operation.name} has changed another owner's rows."


def dependencies(dependant: Dependant) -> Iterator[object]:
    yield dependant.call
    for inner in dependant.dependencies:
        yield from dependencies(inner)


# Whether or not the document shows them.
ROUTES = {
    f"{' '.join(sorted(route.methods or []))} {route.path}": route
    for route in iter_route_contexts(create_app(settings_for()).router.routes)
    if (route.path or "").startswith("/api")
}


@pytest.mark.parametrize("name", ROUTES)
def test_a_route_gets_the_database_from_its_owner_s_session(name: str) -> None:
    dependant = getattr(ROUTES[name], "dependant", None)
    owned = [call for call in (dependencies(dependant) if dependant else []) if isinstance(call, OwnerBearer)]
    if not owned:
        advice = "let its function take session: OwnSession (from auth.owner), and get the database by that alone."
        pytest.fail(f"{name} asks for nobody's token: {advice}", pytrace=False)


# What a module of routes never has, since it leads around the session, or makes a statement anew for each request.
AROUND = {
    r"\bstate\.database(?!\.check\(\))|\.database\.fetch\b": "take session: OwnSession, and let it fetch",
    r"\b(Unowned)?Statement\(": "build it once, in queries",
    r"^ *(import|from) (psycopg|connections|db)\b": "take session: OwnSession, and use that",
}


@pytest.mark.parametrize("path", [str(path.relative_to(ROOT)) for path in sorted(ROOT.glob("routes/**/*.py"))])
def test_a_module_of_routes_has_no_way_around_the_session(path: str) -> None:
    for number, line in enumerate((ROOT / path).read_text().splitlines(), 1):
        for way, advice in AROUND.items():
            if found := re.search(way, line):
                pytest.fail(f"{path}, line {number} has {found[0].strip()}: {advice}.", pytrace=False)
