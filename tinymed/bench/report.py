"""What was measured, as a table, JSON and pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from tinymed.bench.measure import PEER

OURS = "tinymed"
COLOURS = {
    "tinymed": "#1f77b4",
    "tinymed numpy": "#9ecae1",
    "PyTorch tuned": "#ff7f0e",
    "PyTorch": "#fdae6b",
    "JAX": "#7f7f7f",
    "tinymed cuda": "#2ca02c",
    "tinymed cuda captured": "#98df8a",
    "tinymed cuda float32": "#17becf",
    "PyTorch cuda": "#d62728",
    "PyTorch cuda captured": "#ff9896",
    "PyTorch cuda float32": "#e377c2",
}
ROOFS = {"gflops": "this machine: big product, big copy", "float32_gflops": "the same, product without TF32"}


def peer_of(rows: list[dict], peer: str = PEER) -> dict[tuple, float]:
    """The milliseconds that ratios are to: by default the strictest peer's that was measured."""
    return {(row["workload"], row["case"]): row["ms"] for row in rows if row["engine"] == peer}


def table(rows: list[dict], peaks: dict[str, float]) -> str:
    """Markdown: a line for every case, its engines side by side, ratio to PyTorch tuned, GFLOP/s, share of the peak."""
    names = list(dict.fromkeys(row["engine"] for row in rows))
    cases = list(dict.fromkeys((row["workload"], row["case"]) for row in rows))
    found = {(row["workload"], row["case"], row["engine"]): row for row in rows}
    columns = ["workload", "case", *(f"{name} ms" for name in names), "ratio", "GFLOP/s", "of peak", "first s"]
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    peers = peer_of(rows)
    for workload, case in cases:
        cells = []
        for name in names:
            row = found.get((workload, case, name))
            cells.append(_time(row) if row else "–")
        ours = next(found[workload, case, name] for name in names if (workload, case, name) in found)
        peer = peers.get((workload, case))
        ratio = f"**{ours['ms'] / peer:.2f}**" if peer and ours["engine"] not in (PEER, "JAX") else ""
        rate = f"{ours['gflops']:.0f}" if ours["flops"] else ""
        share = f"{ours['gflops'] / peaks['gflops']:.0%}" if ours["flops"] else ""
        cells = [workload, case, *cells, ratio, rate, share, f"{ours['first_s']:.1f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _time(row: dict) -> str:
    """The median and, where there was more than one round, the quartiles."""
    quartiles = f" ({row['low']:.3g}–{row['high']:.3g})" if row["low"] < row["high"] else ""
    return f"{row['ms']:.3g}{quartiles}"


def unsteady(rows: list[dict]) -> int:
    """How many rows vary so much between batches (quartiles more than 1.5 apart) that their ratios mean little."""
    return sum(row["high"] > 1.5 * row["low"] for row in rows)


def save(path: Path, rows: list[dict], about: dict[str, Any]) -> None:
    """JSON, a line for every row."""
    kept = [{k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()} for row in rows]
    lines = ",\n".join(json.dumps(row) for row in kept)
    path.write_text(f'{{"about": {json.dumps(about, indent=1)},\n"rows": [\n{lines}\n]}}\n', encoding="utf-8")


def draw(folder: Path, rows: list[dict], peaks: dict[str, float], title: str) -> None:
    """bars.png and roofline.png of the workloads, growth.png of how they grow: what there are rows for."""
    grown = [row for row in rows if row["workload"].startswith("growth")]
    plain = [row for row in rows if row not in grown]
    if any(row["engine"] == PEER for row in plain):
        draw_bars(folder / "bars.png", plain, title)
    if any(row["flops"] and row["bytes"] for row in plain):
        draw_roofline(folder / "roofline.png", plain, peaks, title)
    if grown:
        draw_growth(folder / "growth.png", grown, title)


def draw_bars(path: Path, rows: list[dict], title: str, peer: str = PEER) -> None:
    """Every case's time in every engine, as a ratio to the peer's."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter

    peers = peer_of(rows, peer)
    cases = [key for key in dict.fromkeys((row["workload"], row["case"]) for row in rows) if key in peers]
    names = list(dict.fromkeys(row["engine"] for row in rows))
    figure = Figure(figsize=(10, 1.5 + 0.42 * len(cases)), layout="constrained", dpi=110)
    axes = figure.subplots()
    height = 0.8 / len(names)
    for k, name in enumerate(names):
        ratios = {(r["workload"], r["case"]): r["ms"] / peers[r["workload"], r["case"]] for r in rows
                  if r["engine"] == name and (r["workload"], r["case"]) in peers}  # fmt: skip
        places = [i + (k - (len(names) - 1) / 2) * height for i, case in enumerate(cases) if case in ratios]
        axes.barh(places, [ratios[c] for c in cases if c in ratios], height, label=name, color=COLOURS.get(name))
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_yticks(range(len(cases)), [f"{workload}: {case}" for workload, case in cases])
    axes.set_ylim(len(cases) - 0.4, -0.6)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set(title=title, xlabel=f"time / {peer}'s time (left of 1: faster)")
    figure.legend(loc="outside lower center", ncols=len(names) if len(names) < 6 else 3, frameon=False)
    figure.savefig(path)


def draw_roofline(path: Path, rows: list[dict], peaks: dict[str, float], title: str, ours: str = OURS) -> None:
    """GFLOP/s over flops a byte, under what the machine can: its copy's bandwidth, its biggest product."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6), layout="constrained", dpi=110)
    axes = figure.subplots()
    x = np.logspace(0, 3.3, 200)
    for (name, label), line in zip(ROOFS.items(), ("-", "--")):
        if name in peaks:
            axes.loglog(x, np.minimum(peaks[name], x * peaks["copy_gb_s"]), line, color="black", label=label)
    shown = [row for row in rows if row["flops"] and row["bytes"]]
    for name, marker in zip(dict.fromkeys(row["engine"] for row in shown), "osv^DPX"):
        mine = [row for row in shown if row["engine"] == name]
        axes.plot([r["flops"] / r["bytes"] for r in mine], [r["gflops"] for r in mine], marker, label=name,
                  color=COLOURS.get(name))  # fmt: skip
    named = sorted(
        ((row["flops"] / row["bytes"], row["gflops"], row) for row in shown if row["engine"] == ours),
        key=lambda o: o[0],
    )
    highest = min([row["gflops"] for row in shown if row["flops"] > 10 * row["bytes"]] + [peaks["gflops"]]) / 1.6
    for k, (across, up, row) in enumerate(named):  # each on a line of its own, below all points, or above the roof
        name = f"{row['workload']}: {row['case']}"
        place = across, highest / 1.32**k if across > 10 else up * 3
        axes.annotate(name, (across, up), xytext=place, fontsize=7, ha="left" if 10 < across < 300 else "right",
                      arrowprops={"arrowstyle": "-", "alpha": 0.3})  # fmt: skip
    lowest = min([row["gflops"] for row in shown] + [highest / 1.32 ** len(named)])
    axes.set_ylim(bottom=lowest / 2)
    axes.set(title=title, xlabel="flops a byte that must move", ylabel="GFLOP/s")
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    figure.savefig(path)


def draw_growth(path: Path, rows: list[dict], title: str) -> None:
    """How the time of a step grows with the size of each thing."""
    from matplotlib.figure import Figure

    names = {
        "growth batch": "the article's network, training: batch",
        "growth image": "convolution, 32 of 16 channels: image",
        "growth sequence": "LSTM, 64 states: steps of time",
        "growth hidden": "LSTM, 50 steps: states",
    }
    figure = Figure(figsize=(10, 8), layout="constrained", dpi=110)
    for axes, (workload, label) in zip(figure.subplots(2, 2).flat, names.items()):
        mine = [row for row in rows if row["workload"] == workload]
        for engine in dict.fromkeys(row["engine"] for row in mine):
            points = [row for row in mine if row["engine"] == engine]
            axes.loglog([int(r["case"]) for r in points], [r["ms"] for r in points], "o-", color=COLOURS.get(engine),
                        label=engine if workload == "growth batch" else None)  # fmt: skip
        sizes = sorted({int(row["case"]) for row in mine})
        axes.set_xticks(sizes, [str(size) for size in sizes])
        axes.minorticks_off()
        axes.yaxis.set_major_formatter("{x:g}")
        axes.set(title=label, xlabel=label.split(": ")[1], ylabel="ms, forward and backward")
        axes.grid(alpha=0.3)
    figure.suptitle(title)
    figure.legend(loc="outside lower center", ncols=4, frameon=False)
    figure.savefig(path)
