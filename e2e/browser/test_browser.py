"""The pages of the service in a real browser."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.process import run_embedded

HERE = Path(__file__).parent
SCREENSHOTS = HERE / "screenshots"


@pytest.mark.parametrize("width", ["390", "1280"])
def test_a_person_finds_their_way_in_the_docs(width: str) -> None:
    SCREENSHOTS.mkdir(exist_ok=True)
    with run_embedded() as service:
        environment = {"PATH": os.environ["PATH"], "API": service.url(), "WIDTH": width}
        visit = subprocess.run(
            ["node", "docs.mjs"], cwd=HERE, env=environment, capture_output=True, text=True, timeout=300, check=False
        )
    (SCREENSHOTS / f"axe-{width}.txt").write_text(visit.stdout)  # what isn't critical
    assert visit.returncode == 0, visit.stderr
