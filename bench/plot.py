"""The plot of a folder's ``results.md``, made from its first table: ``bench/.venv/bin/python bench/plot.py FOLDER``."""

import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("svg")
import matplotlib.pyplot as plt

COLOURS = {"This service": "#1a7f5a", "Limit": "#c9b458"}


def read(page: str) -> tuple[list[str], dict[str, list[str]]]:
    """The kinds of work, and for each system its cells."""
    first = page[page.index("| ") :].partition("\n\n")[0]
    head, _, *rows = ([cell.strip() for cell in line.split("|")[1:-1]] for line in first.splitlines())
    return head[1:], {label: cells for label, *cells in rows}


def plot(page: str, target: Path) -> None:
    """One panel for each kind of work, one bar for each system."""
    works, systems = read(page)
    plt.rcParams.update({"svg.hashsalt": "results", "svg.fonttype": "none", "font.size": 9})
    figure, panels = plt.subplots(2, 3, figsize=(11, 6), sharey=True, layout="constrained")
    figure.suptitle("Server CPU per request in microseconds (less is better; in brackets: times this service's)")
    colours = [COLOURS.get(label.partition(":")[0], "#8c959f") for label in systems]
    for number, (work, panel) in enumerate(zip(works, panels.flat, strict=True)):
        cells = [row[number] for row in systems.values()]
        values = [0 if cell == "stuck" else int(cell.partition(" ")[0].replace(",", "")) for cell in cells]
        bars = panel.barh(list(systems), values, color=colours)
        panel.bar_label(bars, cells, padding=3, color="#59636e")
        panel.set_title(work, loc="left", fontweight="bold")
        panel.set_xlim(0, 1.45 * max(values))
        panel.set_xticks([])
        panel.spines[["top", "right", "bottom"]].set_visible(False)
        panel.tick_params(axis="y", length=0)
    panels[0][0].invert_yaxis()
    figure.savefig(target, metadata={"Date": None, "Creator": None})


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    plot((folder / "results.md").read_text(), folder / "results.svg")
