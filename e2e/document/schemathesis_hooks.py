"""What Schemathesis can't read in the document: whose token it has, and rules between fields or of Unicode."""

import unicodedata
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import schemathesis
from pydantic import TypeAdapter

from routes.http.parameters import TaskFilter
from schemas import BLANK, INVISIBLE, TaskUpdate, Title

OPAQUE = {"cursor", "since"}
FILTERS = {*TaskFilter.model_fields, "ids"}
TITLE = TypeAdapter(Title).json_schema()["pattern"]
TITLES: set[str] = set()
"""The fields and parameters whose texts are trimmed, and must be visible: the pattern can say a part of that."""
INTEGERS: set[str] = set()
"""The fields that don't take 1.0, which is an integer in JSON Schema."""


@schemathesis.hook
def before_load_schema(_context: schemathesis.HookContext, schema: dict[str, Any]) -> None:
    for model in schema["components"]["schemas"].values():
        TITLES.update(name for name, field in model.get("properties", {}).items() if _has_titles(field))
        INTEGERS.update(name for name, field in model.get("properties", {}).items() if "'integer'" in str(field))
    for operation in (operation for path in schema["paths"].values() for operation in path.values()):
        # A cursor or token can't be made up: tests/test_properties.py and test_change_tokens.py have those.
        operation["parameters"] = [p for p in operation.get("parameters", []) if p["name"] not in OPAQUE]
        TITLES.update(parameter["name"] for parameter in operation["parameters"] if _has_titles(parameter["schema"]))
        for parameter in operation["parameters"]:
            if parameter["name"] == "user_id":
                parameter["schema"] = {"const": parameter["example"]}
            if parameter["name"] == "Idempotency-Key":
                del parameter["schema"]["examples"]  # it is good for one request


def _has_titles(schema: object) -> bool:
    """Whether it is that of a Title, or has one in it."""
    if isinstance(schema, dict):
        return schema.get("pattern") == TITLE or any(map(_has_titles, schema.values()))
    return isinstance(schema, list) and any(map(_has_titles, schema))


@schemathesis.hook
def filter_case(_context: schemathesis.HookContext, case: schemathesis.Case[Any]) -> bool:
    """Whether to try a case: one that is told right from wrong by the document alone."""
    bodies = [body for body in (case.body if isinstance(case.body, list) else [case.body]) if isinstance(body, dict)]
    changes_something = not case.path.endswith("/{task_id}") or all(map(_has_a_field, bodies))
    plain = all(map(_is_plain, [*bodies, case.query or {}]))
    return _is_for_us(case) and _selects(case) and changes_something and plain


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


def _has_a_field(change: dict[str, Any]) -> bool:
    """Not only unknown ones; that it has any, the document says."""
    return not change or not TaskUpdate.model_fields.keys().isdisjoint(change)


def _is_plain(given: Mapping[str, Any]) -> bool:
    """With integers in digits alone, and titles as they are kept."""
    titles = [title for name, value in given.items() if name in TITLES for title in _texts(value)]
    return not any(isinstance(given.get(name), float) and given[name].is_integer() for name in INTEGERS) and all(
        title == title.strip()
        and any(unicodedata.category(character) not in INVISIBLE and character not in BLANK for character in title)
        for title in titles
    )


def _texts(value: object) -> list[str]:
    return [text for text in (value if isinstance(value, list) else [value]) if isinstance(text, str)]
