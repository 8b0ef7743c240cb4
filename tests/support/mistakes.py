"""What a service in this process got wrong, in a sentence; and nothing in one may block its event loop."""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from blockbuster import BlockingError, blockbuster_ctx

from tests.support.process import ROOT

# What these do, by whatever they call, must not block. Migrations may: they run before anybody is served.
OURS = {path.stem for path in [*ROOT.glob("*.py"), *(init.parent for init in ROOT.glob("*/__init__.py"))]}
OURS -= {"dev", "migrations", "tests"}
BLOCKED = "While it waits, no other request is answered: await asyncio's own, or use asyncio.to_thread."


class Mistakes(logging.Handler):
    """The exceptions that have been logged, and where they were raised."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and (error := record.exc_info[1]):
            advice = f". {BLOCKED}" if isinstance(error, BlockingError) else ""
            self._seen.append(f"{_place(error.__traceback__)}: {type(error).__name__}: {error}{advice}")

    def clear(self) -> None:
        self._seen.clear()

    def __bool__(self) -> bool:
        return bool(self._seen)

    def __str__(self) -> str:
        return "\n".join(dict.fromkeys(self._seen))


def _place(traceback: TracebackType | None) -> str:
    """The innermost line of a route that led there, or of this project's own code."""
    places = []
    while traceback:
        path = Path(traceback.tb_frame.f_code.co_filename)
        if path.is_relative_to(ROOT) and "site-packages" not in path.parts:
            places.append(f"{path.relative_to(ROOT)}, line {traceback.tb_lineno}")
        traceback = traceback.tb_next
    in_routes = [place for place in places if place.startswith("routes/") and not place.startswith("routes/owned")]
    return [*places, *in_routes][-1] if places else "somewhere"


mistakes = Mistakes()


@contextlib.contextmanager
def watching_for_mistakes() -> Iterator[None]:
    logging.getLogger().addHandler(mistakes)
    try:
        with blockbuster_ctx(sorted(OURS)) as guard:
            for function in guard.functions.values():
                function.can_block_in("embedded/watcher.py", {"pid_file"})  # a few lines, and nobody's production
            yield
    finally:
        logging.getLogger().removeHandler(mistakes)
