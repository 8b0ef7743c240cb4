"""Imports run one way: a module knows those of the layers before it, and of its own."""

import ast
import sys

import pytest

from tests.support.process import ROOT

LAYERS = [
    "config models problems embedded turns",
    "schemas logs",
    "statements",
    "queries connections sqlstates migrations",
    "db",
    "auth live",
    "middleware routes.http",
    "edge",
    "routes",
    "telemetry",
    "main serve",
    "dev",
]
PLACES = {name: place for place, layer in enumerate(LAYERS) for name in layer.split()}
NOT_SERVED = {"tests", "faults", "e2e", "bench", "examples"}
FILES = [path.relative_to(ROOT) for path in sorted([*ROOT.glob("*.py"), *ROOT.glob("[a-z]*/**/*.py")])]
MODULES = [str(path) for path in FILES if path.parts[0] not in NOT_SERVED]


def place(module: str) -> int | None:
    """Which of LAYERS a module belongs to, or None."""
    parts = module.split(".")
    return PLACES.get(".".join(parts[:2]), PLACES.get(parts[0]))


def imports(path: str) -> list[str]:
    nodes = list(ast.walk(ast.parse((ROOT / path).read_text())))
    plain = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    froms = [(node.module, alias.name) for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names]
    return plain + [f"{module}.{name}" for module, name in froms]


@pytest.mark.parametrize("path", MODULES)
def test_a_module_imports_nothing_from_a_layer_after_its_own(path: str) -> None:
    own = place(path.removesuffix(".py").replace("/", "."))
    if own is None:
        pytest.fail(f"{path} has no place among the LAYERS of this test: give it one.", pytrace=False)
    for imported in imports(path):
        if (place(imported) or 0) > own:
            pytest.fail(f"{path} imports {imported}, of a later layer: move what both need forward.", pytrace=False)
        if imported.startswith("routes.") and not path.startswith(("main", "routes/")):
            pytest.fail(f"{path} imports {imported}: nothing but main imports routes.", pytrace=False)
        if path == "embedded/watcher.py" and imported.partition(".")[0] not in sys.stdlib_module_names:
            pytest.fail(f"{path} imports {imported}: it may use the standard library alone.", pytrace=False)
