"""Imports run one way: a module knows those of the layers below it, and of its own."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.process import ROOT

LAYERS = [
    {"config", "models", "problems", "embedded"},
    {"schemas", "logs"},
    {"statements"},
    {"queries", "connections", "sqlstates", "migrations"},
    {"db"},
    {"auth"},
    {"middleware", "routes.http"},
    {"routes"},
    {"main"},
    {"dev"},
]
HEIGHTS = {module: height for height, layer in enumerate(LAYERS) for module in layer}
ELSEWHERE = {"tests", "e2e", "bench", "examples"}
FILES = [
    path.relative_to(ROOT)
    for path in sorted([*ROOT.glob("*.py"), *ROOT.glob("[a-z]*/**/*.py")])
    if path.relative_to(ROOT).parts[0] not in ELSEWHERE
]


def height(module: str) -> int | None:
    """Where a module stands, by the longest name that LAYERS has for it; None for a library."""
    parts = module.split(".")
    names = [".".join(parts[:length]) for length in range(len(parts), 0, -1)]
    return next((HEIGHTS[name] for name in names if name in HEIGHTS), None)


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=map(str, FILES))
def test_a_module_imports_nothing_from_above(path: Path) -> None:
    own = height(".".join(path.with_suffix("").parts))
    assert own is not None, f"{path} has no place among the LAYERS of this test: give it one."
    for imported in imports(path):
        assert (height(imported) or 0) <= own, f"{path} imports {imported}, which stands above it: turn that round."
        if imported.partition(".")[0] == "routes":
            assert path.parts[0] in {"main.py", "routes"}, (
                f"{path} imports {imported}: nothing but main imports routes."
            )


def test_the_watcher_imports_the_standard_library_alone() -> None:
    for imported in imports(Path("embedded/watcher.py")):
        assert imported.partition(".")[0] in sys.stdlib_module_names, f"embedded/watcher.py imports {imported}."
