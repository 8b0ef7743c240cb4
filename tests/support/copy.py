"""A client's copy of an owner's tasks, made of pages of changes as the contract says, and no more."""

from collections.abc import Iterator
from typing import Any

import httpx2

from tests.support.service import User


class Copy:
    """What a client knows. ``moment`` is whether it is of one moment: the last page said that there is no more."""

    def __init__(self, user: User) -> None:
        self.user = user
        self.tasks: dict[int, dict[str, Any]] = {}
        self.token: str | None = None
        self.moment = False

    def apply(self, page: dict[str, Any]) -> None:
        assert page.keys() == {"changed", "deleted", "next", "more"}
        assert not {task["id"] for task in page["changed"]} & set(page["deleted"])
        assert len(page["next"]) <= 512
        self.tasks |= {task["id"]: task for task in page["changed"]}
        for id_ in page["deleted"]:
            self.tasks.pop(id_, None)
        self.token, self.moment = page["next"], not page["more"]

    def read_page(self, limit: int = 100) -> dict[str, Any]:
        since = {"since": self.token} if self.token else {}
        response = self.user.get("/changes", params={"limit": str(limit), **since})
        assert response.status_code == 200, response.text
        page: dict[str, Any] = response.json()
        assert len(page["changed"]) + len(page["deleted"]) <= limit
        self.apply(page)
        return page

    def read(self, limit: int = 100) -> "Copy":
        """Read on until there is no more."""
        while self.read_page(limit)["more"]:
            pass
        return self

    def check(self) -> None:
        """Compare it with the tasks that there are, while nobody writes."""
        assert self.moment
        assert self.tasks == {task["id"]: task for task in all_tasks(self.user)}


def all_tasks(user: User) -> Iterator[dict[str, Any]]:
    address = "?limit=1000"
    while address:
        response = user.get(address)
        yield from response.json()
        address = response.links.get("next", {}).get("url", "")


def lines(response: httpx2.Response) -> Iterator[tuple[str, str]]:
    """The lines of a stream of events, as field and value; a comment has no field."""
    for line in response.iter_lines():
        if line:
            field, _, value = line.partition(":")
            yield field, value.removeprefix(" ")
