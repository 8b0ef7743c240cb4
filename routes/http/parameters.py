"""The parameters of paths and queries, stricter than Pydantic would read them."""

import re
from typing import Annotated, Any

from fastapi import Depends, Path
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, StringConstraints

import queries
from problems import bad_request
from routes.http.query import FromQuery
from schemas import LARGEST_ID, WITHOUT_NUL, no_nul

MOST_IDS = 1000


def _plain_integer(value: object) -> object:
    if not isinstance(value, str):
        return value  # a default
    if not re.fullmatch(r"-?[0-9]+", value):
        raise ValueError("must be a plain integer")
    digits = value.lstrip("-0") or "0"  # first, since int() refuses thousands of them
    if len(digits) > len(str(LARGEST_ID)) or int(digits) > LARGEST_ID:
        raise ValueError("must be an integer of 64 bits")
    return -int(digits) if value.startswith("-") else int(digits)


def _possible_id(value: object) -> object:
    try:
        number = _plain_integer(value)
    except ValueError:
        if isinstance(value, str) and re.fullmatch(r"-?[0-9]+", value):
            return 0  # stands for every id that can't exist
        raise
    return max(number, 0) if isinstance(number, int) else number


def _id_list(value: str) -> str:
    if not re.fullmatch(r"[0-9]+(,[0-9]+)*", value):
        raise ValueError("must be ids with commas between them, such as 1,2,3")
    return value


def _true_or_false(value: object) -> object:
    if isinstance(value, str) and value not in ("true", "false"):
        raise ValueError("must be true or false")
    return value


Flag = Annotated[bool, BeforeValidator(_true_or_false), Field(examples=[True, False])]
PlainInteger = Annotated[int, BeforeValidator(_plain_integer)]

# No ge and le, since an id that can't exist is a 404, and not a 400.
TaskId = Annotated[
    int,
    BeforeValidator(_possible_id),
    Path(description="The task's id.", examples=[1], json_schema_extra={"minimum": 1, "maximum": LARGEST_ID}),
]


class TaskFilter(BaseModel):
    """Which tasks. Each field is bound as ``only_`` and its name, where ``queries.filters`` has its condition."""

    completed: Flag | None = Field(None, description="Only tasks that are completed, or only those that are not.")
    q: Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(no_nul)] | None = Field(
        None,
        description="Only tasks with this text in title or description, in any case.",
        examples=["milk"],
        json_schema_extra={"pattern": WITHOUT_NUL},
    )

    def bound(self) -> dict[str, Any]:
        """The values that the statements' conditions take."""
        return {f"only_{name}": getattr(self, name) for name in TaskFilter.model_fields}


class ListParameters(TaskFilter):
    """One page of a list."""

    sort: queries.Sort = Field(
        "created_at", description="The order; a minus means descending.", examples=["-updated_at"]
    )
    limit: PlainInteger = Field(100, ge=1, le=1000, description="How many tasks a page has at most.", examples=[50])
    cursor: str | None = Field(
        None,
        max_length=4096,
        description="Where a page starts, as the Link header of the page before has it.",
    )
    count: Flag = Field(False, description="Also count all that match, in X-Total-Count.")


class Selection(TaskFilter):
    """The tasks of a change to many."""

    ids: Annotated[str, AfterValidator(_id_list)] | None = Field(
        None,
        max_length=21 * MOST_IDS,
        description=f"Only the tasks with these ids, at most {MOST_IDS}.",
        examples=["1,2,3"],
        # The example is for /docs, since a selection needs a filter.
        json_schema_extra={"pattern": "^[0-9]+(,[0-9]+)*$", "example": "1,2,3"},
    )
    everything: Flag = Field(
        False, alias="all", description="In place of a filter: all tasks of the owner.", examples=[False]
    )

    def bound(self) -> dict[str, Any]:
        """The values that the statements' conditions take.

        Raises:
            Problem: 400 where no filter is given, since that would touch everything by accident.
        """
        filters = super().bound()
        if self.everything == (self.ids is not None or any(value is not None for value in filters.values())):
            names = ", ".join([*TaskFilter.model_fields, "ids"])
            raise bad_request("/query/all", f"Give a filter (one of {names}), or all=true alone.")
        numbers = [_possible_id(number) for number in self.ids.split(",")] if self.ids else None
        if numbers and len(numbers) > MOST_IDS:
            raise bad_request("/query/ids", f"Give at most {MOST_IDS} ids.")
        return {**filters, "only_ids": numbers}


ListQuery = Annotated[ListParameters, Depends(FromQuery(ListParameters))]
Selected = Annotated[Selection, Depends(FromQuery(Selection))]
