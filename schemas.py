"""What comes in and goes out. Tests hold the JSON that PostgreSQL writes against these."""

import re
import unicodedata
from datetime import UTC, datetime
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StrictBool,
    StringConstraints,
    model_validator,
)

# Unicode categories: controls, format marks, marks on other letters, separators; and letters that are blank.
INVISIBLE = {"Cc", "Cf", "Me", "Mn", "Zl", "Zp", "Zs"}
LARGEST_ID = 2**63 - 1
# As the document says it; no_nul says it better to a client.
WITHOUT_NUL = r"^[^\u0000]*$"
BLANK = set("\u115f\u1160\u2800\u3164\uffa0")


# RFC 3339, with an offset (section 5.6).
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)", re.ASCII)


def no_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not contain the NUL character, which PostgreSQL can't store")
    return text


def _trimmed(value: object) -> object:
    return value.strip() if isinstance(value, str) else value


def _visible(text: str) -> str:
    if all(unicodedata.category(character) in INVISIBLE or character in BLANK for character in text):
        raise ValueError("must contain a visible character")
    return text


def _rfc_3339(value: object) -> object:
    if isinstance(value, datetime):
        return value
    if isinstance(value, str) and MOMENT.fullmatch(value):
        return datetime.fromisoformat(value)
    raise ValueError("must be a moment such as 2026-11-23T10:00:00Z, or with +01:00 (in an address: %2B01:00)")


def _in_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("must lie between the years 1 and 9999 in UTC") from None


def _as_in_sql(value: datetime) -> str:
    return value.isoformat(timespec="microseconds").replace("+00:00", "Z")


Moment = Annotated[
    AwareDatetime,
    BeforeValidator(_rfc_3339),
    AfterValidator(_in_utc),
    PlainSerializer(_as_in_sql, when_used="json"),
    Field(examples=["2026-11-23T10:00:00Z"], json_schema_extra={"format": "date-time"}),
]
"""A date and time with its offset, for fields and parameters: what PostgreSQL holds, and JSON can show.

It is shown with all six digits, as the statements show it, since an ``ETag`` is made of it.
"""

Title = Annotated[
    str,
    StringConstraints(strict=True, min_length=1, max_length=200),
    BeforeValidator(_trimmed),
    AfterValidator(no_nul),
    AfterValidator(_visible),
    Field(
        description="1 to 200 characters after trimming, at least one of them visible.",
        examples=["Buy milk"],
        json_schema_extra={"pattern": r"^[^\u0000]*[^\u0000\s][^\u0000]*$"},
    ),
]
Description = Annotated[
    str,
    StringConstraints(strict=True, max_length=1000),
    AfterValidator(no_nul),
    Field(
        description="At most 1000 characters.",
        examples=["Two litres, oat"],
        json_schema_extra={"pattern": WITHOUT_NUL},
    ),
]
Completed = Annotated[StrictBool, Field(examples=[False])]


class TaskPublic(BaseModel):
    """A task as the API shows it: exactly these columns, in this order."""

    id: int = Field(ge=1, le=LARGEST_ID, examples=[1])
    user_id: str = Field(examples=["alice"])
    title: str = Field(examples=["Buy milk"])
    description: str | None = Field(examples=["Two litres, oat"])
    completed: bool = Field(examples=[False])
    created_at: Moment = Field(examples=["2026-11-23T10:00:00.000000Z"])
    updated_at: Moment = Field(examples=["2026-11-23T10:00:00.000000Z"])


def _without_defaults(schema: dict[str, Any]) -> None:
    # A generated client would call these fields required; sent with a change, they'd reset what nobody meant to touch.
    for field in schema["properties"].values():
        field.pop("default", None)


class TaskCreate(BaseModel):
    """A new task. Anything else a client sends (an `id`, timestamps) is ignored."""

    title: Title
    description: Description | None = None
    completed: Completed = False

    model_config = ConfigDict(json_schema_extra=_without_defaults)


def _of_a_change(schema: dict[str, Any]) -> None:
    _without_defaults(schema)
    schema |= {"minProperties": 1, "examples": [{"title": "Buy oat milk", "completed": True}]}


class TaskUpdate(BaseModel):
    """Changes to a task: only the fields that are sent."""

    # These defaults are never stored.

    title: Title = ""
    description: Description | None = None
    completed: Completed = False

    model_config = ConfigDict(json_schema_extra=_of_a_change)

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError(f"must have at least one of {', '.join(type(self).model_fields)}")
        return self


class TaskComplete(BaseModel):
    """The wanted state; without a body, completing toggles."""

    completed: Completed = Field(examples=[True])


class Updated(BaseModel):
    """How many tasks a change to many has touched."""

    updated: int = Field(ge=0, examples=[3])


class Deleted(BaseModel):
    """How many tasks were deleted."""

    deleted: int = Field(ge=0, examples=[3])


EXAMPLE_SINCE = "Zy1tYWRlLXVwWyIyMDI2LTExLTIzVDEwOjAwOjAwLjAwMDAwMFoiLDE3LGZhbHNlXQ"


class Changes(BaseModel):
    """A page of what has changed: store ``changed`` by id, drop ``deleted``, and ask again with ``next``."""

    changed: list[TaskPublic]
    deleted: list[int] = Field(
        description="Ids of deleted tasks, also of some that you may never have seen.", examples=[[17, 23]]
    )
    next: str = Field(
        description="What to send as since, the next time.",
        examples=[EXAMPLE_SINCE],
    )
    more: bool = Field(
        description="Ask on at once; when it is false, you have the state of one moment.", examples=[False]
    )
