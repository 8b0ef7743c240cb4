"""The modules of the example frontend, as any Node loads them."""

import subprocess
from pathlib import Path

from tests.support.process import ROOT

FRONTEND = ROOT / "examples" / "frontend"
OPTIONS = """
    --module esnext --moduleResolution bundler --target es2022 --lib dom,dom.iterable,esnext --types node
    --rewriteRelativeImportExtensions --strict --skipLibCheck
"""


def compile_modules(folder: Path, *names: str) -> None:
    """Write these modules of its ``lib``, and those that they import, to ``folder``."""
    subprocess.run(["npm", "run", "types"], cwd=FRONTEND, check=True)
    files = [f"lib/{name}.ts" for name in names]
    subprocess.run(["npx", "tsc", *files, "--outDir", folder, *OPTIONS.split()], cwd=FRONTEND, check=True)
    (folder / "package.json").write_text('{"type": "module"}')
