"""Query strings: one model for each operation, and nothing beside it.

FastAPI reads each parameter by itself, in about 45 calls; a model is read at once, and says in one place what there is.
"""

import re
from collections.abc import Container
from typing import Any, Generic, TypeVar
from urllib.parse import parse_qsl

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from problems import Problem, bad_request

Model = TypeVar("Model", bound=BaseModel)


class FromQuery(Generic[Model]):
    """Reads a model from the query: ``Annotated[ListParameters, Depends(FromQuery(ListParameters))]``."""

    def __init__(self, model: type[Model]) -> None:
        self.model = model

    async def __call__(self, request: Request) -> Model:
        try:
            return self.model.model_validate(dict(request.query_params))
        except ValidationError as error:
            raise RequestValidationError(
                [{**fault, "loc": ("query", *fault["loc"])} for fault in error.errors(include_url=False)]
            ) from None


def query_fields(dependant: Dependant) -> dict[str, Any]:
    """What an operation takes in its query: names, and their schemas as OpenAPI has them; None for FastAPI's own."""
    fields: dict[str, Any] = {parameter.alias: None for parameter in dependant.query_params}
    if isinstance(dependant.call, FromQuery):
        fields |= dependant.call.model.model_json_schema()["properties"]
    for inner in dependant.dependencies:
        fields |= query_fields(inner)
    return fields


def check_query(query_string: bytes, known: Container[str]) -> None:
    """Refuse what FastAPI would let pass: unknown and repeated names, and what is not UTF-8.

    Raises:
        Problem: 400, which names them.
    """
    try:
        pairs = parse_qsl(query_string.decode("latin-1"), keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        raise bad_request("/query", "The query is not UTF-8.") from None
    names = [name for name, _ in pairs]
    faults = []
    for name in dict.fromkeys(names):
        shown = re.sub(r"[^\w.-]", "?", name)[:50]
        if name not in known:
            faults.append((f"/query/{shown}", "There is no such query parameter."))
        elif names.count(name) > 1:
            faults.append((f"/query/{shown}", "This query parameter stands more than once."))
    if faults:
        raise Problem(400, "The request is not valid.", faults=faults)
