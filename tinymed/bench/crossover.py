"""From which size on a GPU pays: tinymed on the CPU against tinymed on the GPU, without and with copies."""

from __future__ import annotations

from pathlib import Path

import numpy as np

CPU, GPU = "CPU", "GPU"
LINES = {  # as drawn; what is copied is one block in each direction
    CPU: "#1f77b4",
    GPU: "#2ca02c",
    "GPU, captured": "#98df8a",
    "GPU, with copies": "#d62728",
    "GPU, with copies in from pinned memory": "#ff7f0e",
}


def waits(rows: list[dict], workload: str, engine: str) -> dict[str, dict]:
    """The rows of an engine by case, from the least work to the most."""
    return {row["case"]: row for row in rows if (row["workload"], row["engine"]) == (workload, engine)}


def copy_ms(rows: list[dict], way: str, size: float) -> float | None:
    """ms that a copy of so many bytes takes, between those measured; None where none was."""
    measured = waits(rows, way, "tinymed cuda").values()
    sizes, ms = [row["bytes"] for row in measured], [row["wall_ms"] for row in measured]
    if not sizes:
        return None
    return float(np.interp(size, sizes, ms)) * max(1.0, size / sizes[-1])  # past the last, by its bandwidth


def curves(rows: list[dict], workload: str) -> dict[str, dict[str, float]]:
    """ms that a user waits for, by line and case. Lines that were not measured are left out."""
    gpu = waits(rows, workload, "tinymed cuda")
    lines = {
        CPU: {case: row["ms"] for case, row in waits(rows, workload, "tinymed").items()},
        GPU: {case: row["wall_ms"] for case, row in gpu.items()},
        "GPU, captured": {case: row["wall_ms"] for case, row in waits(rows, workload, "tinymed cuda captured").items()},
    }
    for name, way in (("GPU, with copies", "copy in"), ("GPU, with copies in from pinned memory", "copy pinned")):
        lines[name] = {}
        for case, row in gpu.items():
            there, back = copy_ms(rows, way, row["bytes_in"]), copy_ms(rows, "copy out", row["bytes_out"])
            if there is not None and back is not None:
                lines[name][case] = row["wall_ms"] + there + back
    return {name: line for name, line in lines.items() if line}


def pays_from(cpu: dict[str, float], gpu: dict[str, float]) -> str:
    """The least of the cases from which on the GPU is the faster, up to the last; "never" where it is not there."""
    first = "never"
    for case in reversed([case for case in cpu if case in gpu]):
        if gpu[case] >= cpu[case]:
            break
        first = case
    return first


def compared(rows: list[dict]) -> dict[str, dict[str, dict[str, float]]]:
    """The curves of all workloads that ran on both."""
    found = {name: curves(rows, name) for name in dict.fromkeys(row["workload"] for row in rows)}
    return {name: lines for name, lines in found.items() if CPU in lines and GPU in lines}


def table(rows: list[dict]) -> str:
    """Markdown: for each workload, the case from which on the GPU beats tinymed's CPU backend."""
    names = [name for name in LINES if name != CPU]
    lines = [f"| the GPU pays from | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for workload, found in compared(rows).items():
        cells = (pays_from(found[CPU], found[name]) if name in found else "not measured" for name in names)
        lines.append(f"| {workload} | {' | '.join(cells)} |")
    return "\n".join(lines)


def draw(path: Path, rows: list[dict], title: str) -> None:
    """A small picture for each workload: ms over its cases."""
    from matplotlib.figure import Figure

    found = compared(rows)
    down = -(-len(found) // 4)
    figure = Figure(figsize=(15, 1.2 + 3.3 * down), layout="constrained", dpi=100)
    grid = figure.subplots(down, 4, squeeze=False).flat
    for axes, (workload, lines) in zip(grid, found.items()):
        cases = list(lines[CPU])
        for name, line in lines.items():
            shown = [case for case in cases if case in line]
            axes.semilogy([cases.index(c) for c in shown], [line[c] for c in shown], "o-", color=LINES[name], ms=4)
        axes.set_xticks(range(len(cases)), cases, rotation=35, ha="right", fontsize=8)
        axes.set(title=workload, ylabel="ms")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.grid(alpha=0.3)
    for axes in list(grid)[len(found) :]:
        axes.remove()
    for name in (name for name in LINES if any(name in lines for lines in found.values())):
        figure.axes[0].plot([], [], "o-", color=LINES[name], label=name, ms=4)
    figure.suptitle(title)
    figure.legend(loc="outside lower center", ncols=5, frameon=False)
    figure.savefig(path)
