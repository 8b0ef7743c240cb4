"""What Schemathesis can't read in the document: whose token it has, and rules between fields or of Unicode."""

import unicodedata
from typing import Any
from urllib.parse import urlencode

import schemathesis

from routes.http.parameters import TaskFilter
from schemas import BLANK, INVISIBLE, TaskCreate

OPAQUE = {"cursor", "since"}
FILTERS = {*TaskFilter.model_fields, "ids"}


@schemathesis.hook
def before_load_schema(_context: schemathesis.HookContext, schema: dict[str, Any]) -> None:
    for operation in (operation for path in schema["paths"].values() for operation in path.values()):
        # A cursor or token can't be made up: tests/test_properties.py and test_change_tokens.py have those.
        operation["parameters"] = [p for p in operation.get("parameters", []) if p["name"] not in OPAQUE]
        for parameter in operation["parameters"]:
            if parameter["name"] == "user_id":
                parameter["schema"] = {"const": parameter["example"]}
            if parameter["name"] == "Idempotency-Key":
                del parameter["schema"]["examples"]  # it is good for one request


@schemathesis.hook
def filter_case(_context: schemathesis.HookContext, case: schemathesis.Case[Any]) -> bool:
    """Whether to try a case: one that is told right from wrong by the document alone."""
    bodies = case.body if isinstance(case.body, list) else [case.body]
    return _is_for_us(case) and _selects(case) and all(_is_plain(case.path, body) for body in bodies)


def _is_for_us(case: schemathesis.Case[Any]) -> bool:
    # The pattern refuses this one, but Schemathesis thinks it valid.
    mistaken = ("If-Match", "0") in dict(case.headers or {}).items()
    # uvicorn refuses it before us, in its own words.
    too_long = len(urlencode(dict(case.query or {}))) > 60_000
    return not (mistaken or too_long)


def _selects(case: schemathesis.Case[Any]) -> bool:
    """A change to many takes a filter, or all=true alone."""
    query: dict[str, Any] = dict(case.query or {})
    many = case.path == "/api/{user_id}/tasks" and case.method in {"PATCH", "DELETE"}
    return not many or FILTERS.isdisjoint(query) == (str(query.get("all")).lower() == "true")


def _is_plain(path: str, body: object) -> bool:
    """Without 1.0, which is an integer in JSON Schema alone; a task has a known field, and a title as it is kept."""
    if not isinstance(body, dict):
        return True
    if any(isinstance(value, float) and value.is_integer() for value in body.values()):
        return False
    is_task = path.endswith(("/tasks", "/tasks/batch", "/{task_id}"))
    return not is_task or (not TaskCreate.model_fields.keys().isdisjoint(body) and _is_kept(body.get("title", "x")))


def _is_kept(title: object) -> bool:
    if not isinstance(title, str):
        return True
    visible = any(unicodedata.category(character) not in INVISIBLE and character not in BLANK for character in title)
    return visible and title == title.strip()
