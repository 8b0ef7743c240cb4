"""The figures as Markdown. Every section is there that has been measured, whenever that was."""

from collections.abc import Iterable
from typing import Any

from load import WORK

DATABASE_WORK = [work for work in WORK if work != "health"]

STUCK = (
    "\nStuck: the system no longer answered anything, not for five seconds after the load had ended either. In the "
    "textbook design, all threads wait for a connection, and all connections wait for a thread to be given back.\n"
)


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in (list(head), *map(list, rows))]
    lines.insert(1, "|" + "|".join(["---"] + ["---:"] * (lines[0].count("|") - 2)) + "|")
    return "\n".join(lines) + "\n"


def times(ratio: float) -> str:
    return f"{ratio:.1f} ×" if ratio >= 1 else f"{ratio:.2f} ×"


def machine(found: dict[str, Any]) -> str:
    return (
        f"{found['cores']} cores ({found['processor']}), {found['memory']} GiB of memory, Python {found['python']}, "
        f"Node {found['node']}, PostgreSQL {found['postgresql']} with its default durability, all on one machine "
        "together with the load. Ratios between systems mean something; absolute figures only on this machine."
    )


def _grid(found: dict[str, Any], connections: int, figure: str, ratio: str) -> str:
    def cell(key: str, work: str) -> str:
        values = found["cells"].get(f"{key}/{work}/{connections}")
        if values is None:
            return "–"
        if values["stuck"]:
            return "stuck"
        return f"{values[figure]:,.0f} ({times(values[ratio])})"

    rows = ([label, *(cell(key, work) for work in WORK)] for key, label in found["systems"].items())
    return table(["", *WORK], rows)


def _details(found: dict[str, Any]) -> str:
    rows = []
    for work in WORK:
        for connections in found["connections"]:
            for key, label in found["systems"].items():
                values = found["cells"][f"{key}/{work}/{connections}"]
                figures = [values["rate"], values["p50"] / 1000, values["p99"] / 1000]
                shown = [f"{figures[0]:,.0f}", f"{figures[1]:,.1f}", f"{figures[2]:,.1f}"]
                cpu = [f"{values['cpu']:,.0f}", "inside" if key == "pocketbase" else f"{values['database_cpu']:,.0f}"]
                if values["stuck"]:
                    shown, cpu = ["stuck", "–", "–"], ["–", "–"]
                faults = [f"{values['refused']:,.0f}", f"{values['broken']:,.0f}"]
                rows.append([label, work, str(connections), *shown, *cpu, *faults])
    head = ["", "work", "connections", "requests/s", "p50 ms", "p99 ms", "CPU µs", "PostgreSQL µs", "not 2xx", "broken"]
    return table(head, rows)


def compared(found: dict[str, Any]) -> str:
    first = found["connections"][0]
    text = (
        f"Server CPU in microseconds a request, {first} connections, one worker each (in brackets: times this "
        "service's). PostgreSQL and the load are not counted; PocketBase has its database inside, and counts with it "
        "(SQLite, which does not wait for the disk at each write).\n\n" + _grid(found, first, "cpu", "cpu_ratio")
    )
    for connections in found["connections"]:
        text += f"\nRequests a second, {connections} connections.\n\n"
        text += _grid(found, connections, "rate", "rate_ratio")
    return (
        text
        + STUCK * any(values["stuck"] for values in found["cells"].values())
        + f"\nMedians of {found['rounds']} rounds of {found['seconds']} s for each system and kind of work, "
        "in turn; the ratios are medians of each round's ratio.\n\n"
        f"<details><summary>Latency, PostgreSQL's CPU, errors</summary>\n\n{_details(found)}\n</details>\n"
    )


def limits(found: dict[str, Any], main: dict[str, Any] | None) -> str:
    cells: dict[str, Any] = main["cells"] if main else {}
    connections = main["connections"][0] if main else 0

    def cpu(system: str, work: str) -> float | None:
        cell = cells.get(f"{system}/{work}/{connections}")
        return float(cell["cpu"]) if cell else None

    rows = []
    for work in DATABASE_WORK:
        bare, route, own, inside = found[work]["bare"], cpu("nodatabase", work), cpu("service", work), cpu("bare", work)
        ratio = times(own / (route + bare)) if own and route else "–"
        shown = ["–" if value is None else f"{value:,.0f}" for value in (route, bare, inside, own)]
        rows.append([work, *shown, ratio, f"{found[work]['pgbench']:,.0f}"])
    head = ["", "route, no database", "statement alone", "both in one", "this service", "of route and statement"]
    return (
        "CPU in microseconds. The route has the service's token check, parameters and middleware, and asks no "
        "database. The statement is the service's own, prepared, on bare psycopg 3: alone, in a process that does "
        "nothing else with ten connections, and in the same route. pgbench runs it without Python, with ten "
        "connections: statements a second.\n\n" + table([*head, "pgbench"], rows)
    )


def roundtrips(found: dict[str, Any]) -> str:
    rows = []
    for work in DATABASE_WORK:
        own, other = found["service"][work], found["textbook"][work]
        counts = [f"{own['trips']} / {own['statements']}", f"{other['trips']} / {other['statements']}"]
        delayed = [f"{own['delayed']:.1f} ms", f"{other['delayed']:.1f} ms", times(other["delayed"] / own["delayed"])]
        rows.append([work, *counts, *delayed])
    head = ["", "round trips / statements", "textbook", "latency with 5 ms a trip", "textbook", ""]
    return table(head, rows)


def growth(found: dict[str, Any]) -> str:
    large = found["sizes"].get("large", {})
    sizes = [size for size in found["sizes"] if size != "large"]
    works = list(found["sizes"][sizes[0]])
    rows = []
    for work in works:
        values = [found["sizes"][size][work] for size in sizes]
        owned = f"{large[work]:,.0f}" if large else "–"
        rows.append([work, *(f"{value:,.0f}" for value in values), times(values[-1] / values[0]), owned])
    text = "p50 in microseconds on one connection, for an owner with 100 tasks (page 1000: one with 10,000), and among "
    text += "the most tasks for an owner with 100,000: what is not bounded by a page is bounded by the owner.\n\n"
    text += table(["tasks in all", *(f"{int(size):,}" for size in sizes), "last / first", "100,000 of their own"], rows)
    after = [f"{value / 2**20:.1f} MiB after {int(count):,} requests" for count, value in found["memory"].items()]
    text += f"\nMemory of a worker: {', '.join(after)}.\n\nRequests a second, 32 connections:\n\n"
    rates = [
        [work, *(f"{rate:,.0f}" for rate in by.values()), times(by["2"] / by["1"])]
        for work, by in found["workers"].items()
    ]
    return text + table(["", "1 worker", "2 workers", ""], rates)


def start(found: dict[str, Any]) -> str:
    packages = [[name, f"{spent:.0f}"] for name, spent in found["imports"]["packages"].items()]
    return (
        f"First 200 of `/health` after {found['health']:.0f} ms, of a list after {found['list']:.0f} ms, with "
        f"{found['cpu']:.0f} ms of CPU and {found['memory'] / 2**20:.0f} MiB. `import main` under "
        f"`-X importtime` takes {found['imports']['total']:.0f} ms, most of it in:\n\n"
        + table(["package", "ms"], packages)
    )


def markdown(found: dict[str, Any]) -> str:
    main = found.get("compare")
    sections = {
        "Comparison": compared(main) if main else "",
        "Limits": limits(found["limits"], main) if "limits" in found else "",
        "Round trips": roundtrips(found["roundtrips"]) if "roundtrips" in found else "",
        "Growth": growth(found["growth"]) if "growth" in found else "",
        "Cold start": start(found["start"]) if "start" in found else "",
    }
    text = f"# Benchmark\n\n`{found['command']}` makes this page. {machine(found['machine'])}\n"
    return text + "".join(f"\n## {title}\n\n{body}" for title, body in sections.items() if body)
