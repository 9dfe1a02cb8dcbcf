"""What was measured on a GPU: a table of all cases, one of what was to be reached, and pictures."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from tinymed.bench import crossover, report
from tinymed.bench.card import of_roof
from tinymed.bench.measure import GPU_ENGINES

OURS, PEER = "tinymed cuda", "PyTorch cuda"
CAPTURED, PEER_CAPTURED = f"{OURS} captured", f"{PEER} captured"
EXACT, PEER_EXACT = f"{OURS} float32", f"{PEER} float32"
HOW = f"""\
ms: on the GPU, by its own events, its cache written over before each call; networks, recurrent layers and copies by
the host's clock, until the GPU is done. Products and convolutions may run in TF32 in every engine on the GPU but those
called float32. Products of {CAPTURED} do not: CuPy lets cuBLAS be no part of a CUDA graph, and they are
tinymed's own gemm, in exact float32. {PEER}: cudnn.benchmark, Adam(fused=True), with capturable=True where
captured. Images have their channels last in memory. Recurrent layers: 100 steps, batch 64, input 64, forward and
backward. Ratios: PyTorch's time over tinymed's (above 1: tinymed is faster). GFLOP/s, GB/s and the share of the roof
(the peaks measured first: a product of 8192, a copy of 256 MB) are {OURS}'s, or the first engine's."""


class Bar(NamedTuple):
    """Something to reach: the ratio of another engine's time to ours, or of our GB/s to the card's copy."""

    what: str
    workload: str
    case: str
    reach: float
    beyond: float
    ours: str = OURS
    theirs: str = PEER  # empty: the card's copy

    def figure(self, rows: list[dict], peaks: dict[str, float]) -> float | None:
        """None where it was not measured."""
        found = {row["engine"]: row for row in rows if (row["workload"], row["case"]) == (self.workload, self.case)}
        if self.ours not in found or (self.theirs and self.theirs not in found):
            return None
        if self.theirs:
            return found[self.theirs]["ms"] / found[self.ours]["ms"]
        return found[self.ours]["gb_s"] / peaks["copy_gb_s"] if "copy_gb_s" in peaks else None


SHARED = ("max_pool2d", "max_pool2d gradient", "avg_pool2d", "avg_pool2d gradient", "adam", "softmax",
          "cross_entropy", "cross_entropy gradient")  # fmt: skip
BARS = (
    Bar("training, batch 32, captured, against eager", "cnn-train", "batch 32", 3, 5, CAPTURED),
    Bar("training, batch 32, both captured", "cnn-train", "batch 32", 1, 1.3, CAPTURED, PEER_CAPTURED),
    *(Bar(f"{name}, 256 MB, of the card's copy", name, "256 MB", 0.8, 0.9, theirs="") for name in SHARED),
    *(
        Bar(f"{workload}, {case}", workload, case, reach, beyond)
        for workload, reach, beyond in (("conv", 0.4, 0.75), ("conv gradient", 0.3, 0.6))
        for case in ("64 of 64, 56x56", "256 of 256, 14x14")
    ),
    Bar("own GEMM 4096, TF32", "gemm", "4096", 0.45, 0.7),
    Bar("own GEMM 4096, float32", "gemm", "4096", 0.75, 0.9, EXACT, PEER_EXACT),
    *(Bar(f"LSTM, {H} states", "recurrent LSTM", f"H{H}", 0.5, 0.9) for H in (128, 512)),
    Bar("training, batch 256, against tinymed's CPU", "cnn-train", "batch 256", 10, 30, theirs="tinymed"),
    Bar("the same, captured", "cnn-train", "batch 256", 10, 30, CAPTURED, "tinymed"),
)


def bars_table(rows: list[dict], peaks: dict[str, float]) -> str:
    """Markdown: what was to be reached, and what was."""
    lines = ["| against PyTorch unless said | figure | reach | beyond | reached |", "|---|---|---|---|---|"]
    for bar in BARS:
        form = "{:.0%}" if bar.reach < 1 else "{:.2f}x"
        figure = bar.figure(rows, peaks)
        if figure is None:
            cells = ["not measured", ""]
        else:
            cells = [form.format(figure), "beyond" if figure >= bar.beyond else "yes" if figure >= bar.reach else "no"]
        goals = form.format(bar.reach), form.format(bar.beyond)
        lines.append(f"| {' | '.join([bar.what, cells[0], *goals, cells[1]])} |")
    return "\n".join(lines)


def table(rows: list[dict], peaks: dict[str, float]) -> str:
    """Markdown: a line for every case, ms of every engine, ratios to PyTorch as it is and captured, rates."""
    there = {row["engine"] for row in rows}
    names = [name for name in GPU_ENGINES if name in there]
    ratios = {"ratio": (PEER, OURS), "captured": (PEER_CAPTURED, CAPTURED)}
    columns = ["workload", "case", *(f"{name} ms" for name in names), *ratios, "GFLOP/s", "GB/s", "of roof"]
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for workload, case in dict.fromkeys((row["workload"], row["case"]) for row in rows):
        found = {row["engine"]: row for row in rows if (row["workload"], row["case"]) == (workload, case)}
        cells = [f"{found[name]['ms']:.3g}" if name in found else "–" for name in names]
        for theirs, ours in ratios.values():
            both = theirs in found and ours in found
            cells.append(f"**{found[theirs]['ms'] / found[ours]['ms']:.2f}**" if both else "")
        row = found.get(OURS) or next(iter(found.values()))
        share = of_roof(row, peaks)
        cells += [f"{row[rate]:.0f}" if row.get(rate) else "" for rate in ("gflops", "gb_s")]
        lines.append(f"| {' | '.join([workload, case, *cells, f'{share:.0%}' if share is not None else ''])} |")
    return "\n".join(lines)


def draw(folder: Path, rows: list[dict], peaks: dict[str, float], title: str) -> None:
    """bars.png of each workload's largest case and those that have a bar, roofline.png, crossover.png."""
    computed = [
        row for row in rows if row["workload"].split()[0] not in ("peak", "copy") and row["engine"] != "tinymed"
    ]
    chosen = {row["workload"]: row["case"] for row in computed}.items() | {(bar.workload, bar.case) for bar in BARS}
    shown = [row for row in computed if (row["workload"], row["case"]) in chosen]
    if any(row["engine"] == PEER for row in shown):
        report.draw_bars(folder / "bars.png", shown, title, PEER)
    own = [row for row in computed if row["workload"] in ("gemm", "conv", "conv gradient")]
    eager = [row for row in own if not row["engine"].endswith("captured")]
    if eager and peaks.keys() >= {"gflops", "copy_gb_s"}:
        report.draw_roofline(folder / "roofline.png", eager, peaks, title, OURS)
    if crossover.compared(rows):
        crossover.draw(folder / "crossover.png", rows, f"tinymed on the CPU and on the GPU: {title}")
