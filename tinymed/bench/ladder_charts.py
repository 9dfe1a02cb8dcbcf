"""The ladders as pictures: how fast each rung is beside the library, and where it stands below the roof."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tinymed.bench.ladder_peers import KINDS, PEERS

COLOURS = {False: "#1f77b4", True: "#ff7f0e"}  # float32, TF32
MARKERS = "osv^DPX"


def draw_bars(path: Path, rows: list[dict[str, Any]], about: dict[str, Any]) -> None:
    """A panel for each size: bars for the steps, lines for the library."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    panels = list(dict.fromkeys((r["ladder"], r["case"]) for r in rows))
    down = -(-len(panels) // 2)
    figure = Figure(figsize=(11, 1 + 2.3 * down), layout="constrained", dpi=110)
    every = figure.subplots(down, 2, squeeze=False).flat
    for (ladder, case), axes in zip(panels, every):
        mine = [r for r in rows if (r["ladder"], r["case"]) == (ladder, case)]
        steps = [r for r in mine if not r["library"]]
        bars = axes.barh(
            [r["label"] for r in steps], [r["gflops"] / 1e3 for r in steps], color=[COLOURS[r["tf32"]] for r in steps]
        )
        for r in (r for r in mine if r["library"]):
            axes.axvline(r["gflops"] / 1e3, color=COLOURS[r["tf32"]], linestyle="--")
        above = {"facecolor": "white", "edgecolor": "none", "pad": 1}  # a number stays readable where a line passes
        axes.bar_label(bars, fmt="%.3g", padding=4, fontsize=8, bbox=above)
        axes.invert_yaxis()
        axes.margins(x=0.12)  # for the numbers at the bars' ends
        axes.set(title=f"{ladder} {case}", xlabel="TFLOP/s")
    for axes in every:  # a place left over
        axes.set_axis_off()
    figure.suptitle(about["card"])
    marks: list[Patch | Line2D] = []
    marks += [Patch(color=COLOURS[tf32], label=f"step in {kind}") for tf32, kind in KINDS.items()]
    marks += [
        Line2D([], [], color=COLOURS[tf32], linestyle="--", label=f"{' or '.join(PEERS.values())}, {kind}")
        for tf32, kind in KINDS.items()
    ]
    figure.legend(handles=marks, loc="outside lower center", ncols=4, frameon=False)
    figure.savefig(path)


def draw_roofline(path: Path, rows: list[dict[str, Any]], about: dict[str, Any]) -> None:
    """GFLOP/s over flops a byte, a panel for each ladder: the rungs of a size stand above each other."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 7), layout="constrained", dpi=110)
    rates = [r["gflops"] for r in rows]
    panels: Any = figure.subfigures(1, len(PEERS))
    for panel, ladder in zip(panels, PEERS):
        axes = panel.subplots()
        steps = [r for r in rows if r["ladder"] == ladder and not r["library"]]
        over = [r["flops"] / r["bytes"] for r in steps]
        x = np.geomspace(min(over) / 4, max(over) * 2, 200)
        for tf32, kind in KINDS.items():
            if peak := about[f"gflops_{kind}"]:
                roof = np.minimum(peak, x * about["copy_gb_s"])
                axes.plot(x, roof, color=COLOURS[tf32], label=f"roof in {kind}")
        for marker, label in zip(MARKERS, dict.fromkeys(r["label"] for r in steps)):
            mine = [r for r in steps if r["label"] == label]
            axes.plot(
                [r["flops"] / r["bytes"] for r in mine],
                [r["gflops"] for r in mine],
                marker,
                color=COLOURS[mine[0]["tf32"]],
                label=label,
            )
        axes.set(xscale="log", yscale="log", title=ladder, xlabel="flops a byte that must move", ylabel="GFLOP/s")
        axes.set_ylim(min(rates) / 2, max(rates) * 2)
        places = {r["flops"] / r["bytes"]: r["case"] for r in steps}
        axes.set_xticks(list(places), [f"{at:.0f}: {case}" for at, case in places.items()], fontsize=8)
        axes.tick_params(axis="x", labelrotation=25)
        for tick in axes.get_xticklabels():  # ends below its mark
            tick.set(horizontalalignment="right", rotation_mode="anchor")
        axes.minorticks_off()
        axes.grid(axis="x", alpha=0.3)
        panel.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    figure.suptitle(f"{about['card']}: the roof is the memory's, or cuBLAS's best")
    figure.savefig(path)
