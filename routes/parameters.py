"""The parameters of paths and queries, stricter than Pydantic would read them."""

import re
from typing import Annotated

from fastapi import Path, Query
from pydantic import AfterValidator, BeforeValidator

import queries
from middleware.errors import bad_request
from schemas import no_nul

MOST_IDS = 1000
LARGEST_ID = 2**63 - 1


def _plain_integer(value: object) -> object:
    if not isinstance(value, str):
        return value  # a default
    if not re.fullmatch(r"-?[0-9]+", value):
        raise ValueError("must be a plain integer")
    digits = value.lstrip("0")  # first, since int() refuses thousands of them
    number = int(digits) if digits.isdigit() and len(digits) <= len(str(LARGEST_ID)) else 0
    return number if number <= LARGEST_ID else 0  # 0 stands for every id that can't exist


def _true_or_false(value: object) -> object:
    if isinstance(value, str) and value not in ("true", "false"):
        raise ValueError("must be true or false")
    return value


PlainInteger = BeforeValidator(_plain_integer)
Flag = BeforeValidator(_true_or_false)

TaskId = Annotated[int, PlainInteger, Path(description="The task's id.", examples=[1])]
OnlyCompleted = Annotated[
    bool | None,
    Flag,
    Query(alias="completed", description="Only tasks that are completed, or only those that are not."),
]
Search = Annotated[
    str | None,
    Query(min_length=1, max_length=200, description="Only tasks with this text in title or description, in any case."),
    AfterValidator(no_nul),
]
Ids = Annotated[
    str | None,
    Query(
        pattern=r"^[0-9]+(,[0-9]+)*$",
        max_length=21 * MOST_IDS,
        description=f"Only the tasks with these ids, at most {MOST_IDS}.",
        examples=["1,2,3"],
    ),
]
Everything = Annotated[bool, Flag, Query(alias="all", description="In place of a filter: all tasks of the owner.")]
Sort = Annotated[queries.Sort, Query(description="The order; a minus means descending.")]
Limit = Annotated[int, PlainInteger, Query(ge=1, le=1000, description="How many tasks a page has at most.")]
Cursor = Annotated[
    str | None, Query(max_length=4096, description="Where a page starts, as the Link header of the page before has it.")
]
Count = Annotated[bool, Flag, Query(description="Also count all that match, in X-Total-Count.")]


def choose(only_completed: bool | None, q: str | None, ids: str | None, everything: bool) -> dict[str, object]:
    """The bound filters of a change to many tasks.

    Raises:
        Problem: 400 where no filter is given, since that would touch everything by accident.
    """
    filters = {"only_completed": only_completed, "q": q, "only_ids": ids}
    if everything == any(value is not None for value in filters.values()):
        raise bad_request("/query/all", "Give a filter (completed, q or ids), or all=true alone.")
    numbers = [_plain_integer(number) for number in ids.split(",")] if ids else None
    if numbers and len(numbers) > MOST_IDS:
        raise bad_request("/query/ids", f"Give at most {MOST_IDS} ids.")
    return {**filters, "only_ids": numbers}
