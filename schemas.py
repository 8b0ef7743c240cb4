"""What comes in and goes out. Tests hold the JSON that PostgreSQL writes against these."""

import unicodedata
from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StringConstraints,
    model_validator,
)

# Unicode categories: controls, format marks, marks on other letters, separators; and letters that are blank.
INVISIBLE = {"Cc", "Cf", "Me", "Mn", "Zl", "Zp", "Zs"}
BLANK = set("\u115f\u1160\u2800\u3164\uffa0")


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


Title = Annotated[
    str,
    StringConstraints(strict=True, min_length=1, max_length=200),
    BeforeValidator(_trimmed),
    AfterValidator(no_nul),
    AfterValidator(_visible),
    Field(description="1 to 200 characters after trimming.", examples=["Buy milk"]),
]
Description = Annotated[
    str,
    StringConstraints(strict=True, max_length=1000),
    AfterValidator(no_nul),
    Field(description="At most 1000 characters.", examples=["Two litres, oat"]),
]
Completed = Annotated[StrictBool, Field(examples=[False])]


class TaskPublic(BaseModel):
    """A task as the API shows it: exactly these columns, in this order."""

    id: int
    user_id: str
    title: str
    description: str | None
    completed: bool
    created_at: datetime
    updated_at: datetime


class TaskCreate(BaseModel):
    """A new task. Anything else a client sends (an ``id``, timestamps) is ignored."""

    title: Title
    description: Description | None = None
    completed: Completed = False


def _without_defaults(schema: dict[str, Any]) -> None:
    # A generated client that sent them would reset what it never meant to touch.
    for field in schema["properties"].values():
        field.pop("default", None)
    schema |= {"minProperties": 1, "examples": [{"completed": True}]}


class TaskUpdate(BaseModel):
    """Changes to a task: only the fields that are sent. The defaults below are never stored."""

    title: Title = ""
    description: Description | None = None
    completed: Completed = False

    model_config = ConfigDict(json_schema_extra=_without_defaults)

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError(f"must have at least one of {', '.join(type(self).model_fields)}")
        return self


class TaskComplete(BaseModel):
    """The wanted state; without a body, completing toggles."""

    completed: Completed


class Updated(BaseModel):
    """How many tasks a change to many has touched."""

    updated: int = Field(examples=[3])


class Deleted(BaseModel):
    """How many tasks were deleted."""

    deleted: int = Field(examples=[3])


class Changes(BaseModel):
    """A page of what has changed: store ``changed`` by id, drop ``deleted``, and ask again with ``next``."""

    changed: list[TaskPublic]
    deleted: list[int] = Field(description="Ids of deleted tasks, also of some that you may never have seen.")
    next: str = Field(
        description="What to send as since, the next time.",
        examples=["Zy1tYWRlLXVwWyIyMDI2LTExLTIzVDEwOjAwOjAwLjAwMDAwMFoiLDE3LGZhbHNlXQ"],
    )
    more: bool = Field(description="Ask on at once; when it is false, you have the state of one moment.")
