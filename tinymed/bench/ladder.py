"""tinymed bench ladder: one product and one convolution, from a thread for each number up to tensor cores."""

from __future__ import annotations

import json
import statistics
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np

from tinymed import cuda
from tinymed.bench import ladder_charts
from tinymed.bench.card import card
from tinymed.bench.events import Timer
from tinymed.bench.ladder_kernels import LADDERS, Conv, Matmul, error, row, rungs
from tinymed.bench.ladder_peers import KINDS, PEERS, ask
from tinymed.kernels import cupy_launch

COPY = 256 << 20  # bytes, to see what memory can
LIMITS = {False: 1e-5, True: 1e-3}  # the largest error: float32, TF32
SUMS = {"matmul": "C[m,n] = Σ_k A[m,k] · B[k,n]", "conv": "y[n,i,j,o] = Σ_u Σ_v Σ_c w[o,u,v,c] · x[n,i+u−p,j+v−p,c]"}


def main(out: Path | None, seconds: float) -> None:
    """Tell the ladders, time each rung for about `seconds` with each size, check it, and print the tables.

    out: a folder for ladder.json, ladder.png and ladder_roofline.png. Without a GPU there is only what to read.
    Raises ValueError for figures where there is no GPU, and, after all is written, for a rung whose answer is wrong.
    """
    reason = cuda.missing()
    rows, about = ([], {}) if reason else measured(seconds)
    for ladder in LADDERS:
        click.echo(f"\n## {ladder}: {SUMS[ladder]}\n\n{lesson(ladder)}\n\n{table(ladder, rows)}")
    if reason and out:
        raise ValueError(f"no figures without a GPU: {reason}")
    click.echo(f"\nNo GPU can be used, so nothing is measured: {reason}" if reason else "\n" + _notes(about))
    if out:
        save(out, rows, about)
        click.echo(f"\nWritten to {out}/")
    wrong = [r for r in rows if not r["library"] and not r["error"] < LIMITS[r["tf32"]]]  # NaN is wrong
    if wrong:
        named = ", ".join(f"{r['label']} ({r['case']}) by {r['error']:.1e}" for r in wrong)
        raise ValueError(f"ladder: wrong answers, relatively: {named}")


def measured(seconds: float) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The rows of all rungs and libraries, and what they were measured on."""
    timer = Timer("tinymed")
    about = {**card(), "seconds": seconds, "copy_gb_s": bandwidth(timer, seconds), "left_out": {}}
    rows: list[dict[str, Any]] = []
    for ladder, cases in LADDERS.items():
        for tf32 in (False, True):
            found, why = ask(ladder, tf32, seconds)
            rows += found
            if why:
                about["left_out"][f"{PEERS[ladder]} {KINDS[tf32]}"] = why
        for case in cases:
            rows += climb(ladder, case, timer, seconds)
    compare(rows, about)
    return rows, about


def climb(
    ladder: str, case: Matmul | Conv, timer: Callable[[Callable, float, bool], list[float]], seconds: float
) -> list[dict[str, Any]]:
    """A row for each rung that this GPU has: its median, and the error of what was timed against float64."""
    a, b = case.inputs()
    truth, rows = case.truth(a, b), []
    for rung in rungs(ladder):
        tf32 = rung.step in case.tf32
        if tf32 and not cupy_launch.tf32():
            continue
        call = case.call(rung, a, b)
        ms = statistics.median(timer(call, seconds, True))
        rows.append(row(ladder, case, rung.label, tf32, ms, error(call(), truth)))
        click.echo(f"  {ladder} {case.name}: {rung.label} {ms:.3g} ms", err=True)
    return rows


def compare(rows: list[dict[str, Any]], about: dict[str, Any]) -> None:
    """Adds of_peer, the share of the library's speed, and of_roof, the share of what the card can, where known.

    The roof: what cuBLAS reaches with the size that suits it best, or less where memory cannot bring as much.
    """
    libraries = {(r["ladder"], r["case"], r["tf32"]): r for r in rows if r["library"]}
    for tf32, kind in KINDS.items():
        best = [r["gflops"] for (ladder, _, of), r in libraries.items() if ladder == "matmul" and of == tf32]
        about[f"gflops_{kind}"] = max(best, default=None)
    for r in rows:
        peer, peak = libraries.get((r["ladder"], r["case"], r["tf32"])), about[f"gflops_{KINDS[r['tf32']]}"]
        r["of_peer"] = peer and peer["ms"] / r["ms"]
        r["of_roof"] = peak and r["gflops"] / min(peak, r["flops"] / r["bytes"] * about["copy_gb_s"])


def bandwidth(timer: Callable[[Callable, float, bool], list[float]], seconds: float) -> float:
    """GB/s of a copy, read and written."""
    cupy = cuda.cupy()
    x = cupy.zeros(COPY // 4, np.float32)
    y = cupy.empty_like(x)
    return 2 * COPY / statistics.median(timer(lambda: cupy.copyto(y, x), seconds, False)) / 1e6


# -------------------------------------------------------------------- what is shown


def lesson(ladder: str) -> str:
    """What each step changes and why."""
    return "\n".join(
        textwrap.fill(f"{rung.label}: {rung.title}. {rung.why}", 110, subsequent_indent="  ", break_on_hyphens=False)
        for rung in rungs(ladder)
    )


def table(ladder: str, rows: list[dict[str, Any]]) -> str:
    """Markdown: a line for each size and rung, then for the library; "not measured" where there is no figure."""
    mine = [r for r in rows if r["ladder"] == ladder]
    found = {(r["case"], r["label"]): r for r in mine}
    steps: list[tuple[str, str]] = [(rung.label, rung.title) for rung in rungs(ladder)]
    if mine:
        steps += [(f"{PEERS[ladder]} {kind}", "") for kind in KINDS.values()]
    columns = ["size", "step", "what changed", "ms", "GFLOP/s", f"of {PEERS[ladder]}", "of the roof", "error"]
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for case in dict.fromkeys(r["case"] for r in mine) or ["any"]:
        for label, title in steps:
            lines.append(f"| {' | '.join([case, label, title, *_figures(found.get((case, label)))])} |")
    return "\n".join(lines)


def _figures(r: dict[str, Any] | None) -> list[str]:
    if r is None:
        return ["not measured", "", "", "", ""]
    shares = ("" if r[share] is None else f"{r[share]:.0%}" for share in ("of_peer", "of_roof"))
    return [f"{r['ms']:.3g}", f"{r['gflops']:.0f}", *shares, f"{r['error']:.1e}"]


def _notes(about: dict[str, Any]) -> str:
    """What the tables' reader has to know."""
    known = {name: value for name, value in about.items() if name != "left_out" and value is not None}
    told = [f"{name}: {value:.4g}" if isinstance(value, float) else f"{name}: {value}" for name, value in known.items()]
    told += [f"{name} is left out: {why}" for name, why in about["left_out"].items()]
    return "\n".join([
        *told,
        "Median of calls between two events on the device, the cache flushed before each. Errors are to float64.",
        "Steps in float32 are compared with the library in float32, those on tensor cores with it in TF32.",
        "The roof: cuBLAS with the size that suits it best, or what memory brings where that is less.",
    ])  # fmt: skip


def save(out: Path, rows: list[dict[str, Any]], about: dict[str, Any]) -> None:
    """ladder.json, a line for each row, and the pictures."""
    out.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(json.dumps(r) for r in rows)
    (out / "ladder.json").write_text(f'{{"about": {json.dumps(about, indent=1)},\n"rows": [\n{lines}\n]}}\n', "utf-8")
    ladder_charts.draw_bars(out / "ladder.png", rows, about)
    ladder_charts.draw_roofline(out / "ladder_roofline.png", rows, about)
