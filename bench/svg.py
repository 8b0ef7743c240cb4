"""The plot: server CPU a request, one panel for each kind of work, on a ground of its own."""

from html import escape
from typing import Any

PANELS = ["list 20", "list 100", "read one", "create"]
WIDTH, LABEL, BAR, GAP, HEAD, PAD = 860, 150, 14, 6, 30, 20
STYLE = """
  .ground { fill: #ffffff; stroke: #d0d7de } .text { fill: #1f2328 } .faint { fill: #59636e }
  .own { fill: #1a7f5a } .peer { fill: #8c959f } .limit { fill: #c9b458 }
  @media (prefers-color-scheme: dark) {
    .ground { fill: #0d1117; stroke: #3d444d } .text { fill: #f0f6fc } .faint { fill: #9198a1 }
    .own { fill: #3fb984 } .peer { fill: #6e7681 } .limit { fill: #b59f3b }
  }
  text { font: 12px system-ui, sans-serif } .title { font-weight: 600; font-size: 13px }"""


def _bar(x: float, y: float, width: float, kind: str, label: str, value: float) -> str:
    return (
        f'<text class="text" x="{x + LABEL - 8:.0f}" y="{y + BAR - 3:.0f}" text-anchor="end">{escape(label)}</text>'
        f'<rect class="{kind}" x="{x + LABEL:.0f}" y="{y:.0f}" width="{max(width, 1):.1f}" height="{BAR}" rx="2"/>'
        f'<text class="faint" x="{x + LABEL + width + 5:.0f}" y="{y + BAR - 3:.0f}">{value:,.0f}</text>\n'
    )


def plot(found: dict[str, Any]) -> str:
    """An SVG of the comparison's first number of connections."""
    connections = found["connections"][0]
    systems: dict[str, str] = found["systems"]
    kinds = {"service": "own", "bare": "limit", "nodatabase": "limit"}
    panel_height = HEAD + len(systems) * (BAR + GAP) + PAD
    panel_width = (WIDTH - 3 * PAD) / 2
    height = 2 * panel_height + HEAD + 2 * PAD
    title = f"Server CPU a request in microseconds (less is better; {connections} connections, one worker each)"
    body = f'<text class="text title" x="{PAD}" y="{PAD + 10}">{escape(title)}</text>\n'
    for number, work in enumerate(PANELS):
        x = PAD + (number % 2) * (panel_width + PAD)
        y = PAD + HEAD + (number // 2) * panel_height
        values = {key: found["cells"][f"{key}/{work}/{connections}"]["cpu"] for key in systems}
        scale = (panel_width - LABEL - 50) / max(values.values())
        body += f'<text class="text title" x="{x:.0f}" y="{y + 12:.0f}">{work}</text>\n'
        for row, (key, value) in enumerate(values.items()):
            bar_y = y + HEAD - 8 + row * (BAR + GAP)
            body += _bar(x, bar_y, value * scale, kinds.get(key, "peer"), systems[key], value)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'role="img" aria-label="{escape(title)}">\n<style>{STYLE}\n</style>\n'
        f'<rect class="ground" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="8"/>\n{body}</svg>\n'
    )
