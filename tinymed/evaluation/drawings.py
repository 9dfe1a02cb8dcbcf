"""The figures of the page as SVG: drawn by matplotlib without a ground, in colours that the page's style decides."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from tinymed.evaluation.classification import Evaluation
from tinymed.evaluation.regression import RegressionEvaluation

# what matplotlib is told → what the page reads
INK, PALE, LINE = "#010101", "#020202", "#030303"
SERIES = [f"#0401{k:02x}" for k in range(8)]
COLOURS = {INK: "currentColor", PALE: "var(--pale)", LINE: "var(--line)"} | {
    colour: f"var(--series-{k})" for k, colour in enumerate(SERIES)
}
SHAPES = {"s": "M9 1h10v10h-10Z", "^": "M14 0l6 11h-12Z", "D": "M14 0l6 6-6 6-6-6Z", "v": "M14 12l6-11h-12Z"}
DASHES = ["-", "--", "-.", ":", "-"]  # colour alone does not tell lines apart
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none", "font.size": 10, "font.family": "sans-serif", "text.color": INK, "axes.labelcolor": INK,
    "axes.edgecolor": PALE, "axes.titlesize": 11, "xtick.color": PALE, "ytick.color": PALE, "xtick.labelcolor": INK,
    "ytick.labelcolor": INK, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
    "grid.color": LINE, "grid.linewidth": 0.6, "lines.linewidth": 1.6,
}  # fmt: skip


def _svg(name: str, said: str, draw: Callable[[Any], None], high: float = 3.6) -> Markup:
    """What `draw(figure)` draws as an <svg> whose ids are its own, and below it what the lines mean.

    The legend is HTML: it covers nothing, and names of any length and script find room.
    """
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE | {"svg.hashsalt": name}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # the browser has what matplotlib's own font lacks
        figure = Figure(figsize=(4.2, high), layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure)
        figure.savefig(text := io.StringIO(), format="svg", transparent=True, metadata={"Date": None})
    svg = text.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg[svg.index("<svg") :], flags=re.S)
    svg = re.sub(r' id="[a-z][a-z0-9.]*_\d+"', "", svg)  # figure_1, axes_1, … would stand on the page many times
    svg = re.sub(r" ?font-family: [^;\"]*;", "", svg)  # the page's own
    svg = re.sub(r'<svg [^>]*?viewBox="([^"]*)"[^>]*>', r'<svg viewBox="\1" role="img"><title></title>', svg, count=1)
    svg = _coloured(svg).replace("<title></title>", Markup("<title>{}</title>").format(said), 1)
    keys = Markup("").join(_key(handle) for axes in figure.axes for handle in axes.get_legend_handles_labels()[0])
    return Markup('<figure>{}<figcaption class="keys">{}</figcaption></figure>').format(Markup(svg.strip()), keys)


def _coloured(svg: str) -> str:
    for colour, variable in COLOURS.items():
        svg = svg.replace(colour, variable)
    return svg


def _key(handle: Any) -> Markup:
    """What one line, or one kind of bars, means."""
    from matplotlib.colors import to_hex
    from matplotlib.lines import Line2D

    if isinstance(handle, Line2D):
        colour, dashes = to_hex(handle.get_color()), {"--": "6 3", "-.": "7 3 2 3", ":": "2 3"}
        dash, dot = dashes.get(str(handle.get_linestyle()), ""), handle.get_marker() in ("o", ".")
        line, shape = handle.get_linestyle() != "None", str(handle.get_marker())
        drawn = f'<path d="M0 6H28" stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"/>' if line else ""
        fill = f'fill="none" stroke="{colour}"' if handle.get_markerfacecolor() == "none" else f'fill="{colour}"'
        drawn += f'<circle cx="14" cy="6" r="{3 if line else 5}" {fill}/>' if dot else ""
        drawn += f'<path d="{SHAPES[shape]}" {fill}/>' if shape in SHAPES else ""
    else:  # bars
        drawn = f'<rect y="1" width="28" height="10" fill="{to_hex(handle.get_facecolor())}"/>'
    svg = Markup('<svg viewBox="0 0 28 12" aria-hidden="true">{}</svg>').format(Markup(_coloured(drawn)))
    return Markup("<span>{}{}</span>").format(svg, handle.get_label())


MOST = 8  # curves that can be told apart


def _curves(evaluation: Evaluation) -> list[tuple[int, str, dict[str, Any]]]:
    """(class, its name, its line's style): the positive class's, or every class's of which a curve can be drawn."""
    numbers = [evaluation.positive] if len(evaluation.classes) == 2 else range(len(evaluation.classes))
    there = [k for k in numbers if k is not None and 0 < (evaluation.labels == k).sum() < len(evaluation)]
    if len(there) > MOST:
        return [(k, "" if i else f"each of {len(there)} classes", {"color": SERIES[0], "lw": 0.8})
                for i, k in enumerate(there)]  # fmt: skip
    styles = [{"color": SERIES[i % MOST], "ls": DASHES[i % len(DASHES)]} for i in range(len(there))]
    return [(k, evaluation.classes[k], style) for k, style in zip(there, styles)]


def roc(evaluation: Evaluation) -> Markup:
    """Sensitivity over 1 − specificity, with the threshold in force."""
    curves, per_class = _curves(evaluation), evaluation.per_class()

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        for k, name, style in curves:
            across, up, _ = evaluation.roc(k)
            auc = f", AUC {per_class[k]['auc']:.3f}" if len(curves) <= MOST else ""
            axes.plot(across, up, **style, label=name and name + auc)
        if len(evaluation.classes) == 2 and curves:
            at = evaluation.figures
            place = 1 - at["specificity"].value, at["sensitivity"].value
            axes.plot(*place, "o", color=SERIES[1], ms=8, label=f"threshold {evaluation.threshold:.3g}", clip_on=False)
        axes.plot([0, 1], [0, 1], color=PALE, lw=1.2, ls=":", label="guessing")
        axes.set(title="ROC curve", xlabel="1 − specificity", ylabel="sensitivity", xlim=(0, 1), ylim=(0, 1.01))

    return _svg("roc", "ROC curve: sensitivity over 1 − specificity", draw)


def precision_recall(evaluation: Evaluation) -> Markup:
    """Precision over sensitivity; guessing is the share of the class."""
    curves = _curves(evaluation)

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        for k, name, style in curves:
            recall, precision, _ = evaluation.precision_recall(k)
            axes.plot(recall, precision, **style, label=name, drawstyle="steps-pre")
        if len(evaluation.classes) == 2 and curves:
            row = evaluation.per_class()[curves[0][0]]
            axes.plot(row["recall"], row["precision"], "o", color=SERIES[1], ms=8, clip_on=False,
                      label=f"threshold {evaluation.threshold:.3g}")  # fmt: skip
            share = row["n"] / len(evaluation)
            axes.axhline(share, color=PALE, lw=1.2, ls=":", label=f"guessing, {share:.2g}")
        axes.set(title="Precision and sensitivity", xlabel="sensitivity (recall)", ylabel="precision")
        axes.set(xlim=(0, 1), ylim=(0, 1.01))

    return _svg("pr", "Precision over sensitivity", draw)


def calibration(evaluation: Evaluation) -> Markup:
    """The share that came true over the predicted probability; below, how many cases were given each probability."""
    predicted, true, n = evaluation.calibration()
    held = f"{n.min()} to {n.max()}" if n.min() < n.max() else str(n.max())
    scores, hit, _ = evaluation.binned
    if len(evaluation.classes) == 2 and evaluation.positive is not None:
        name = evaluation.classes[evaluation.positive]
        of, kinds = "the class looked for", [f"not {name}", name]
    else:
        of, kinds = "the predicted class", ["predicted wrongly", "predicted rightly"]

    def draw(figure: Any) -> None:
        axes, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1.1])
        axes.plot([0, 1], [0, 1], color=PALE, lw=1.2, ls=":", label="what is predicted comes true")
        axes.plot(predicted, true, "o-", color=SERIES[0], ms=5, label=f"bins of {held} cases", clip_on=False)
        axes.set(title="Calibration", ylabel="share that came true", ylim=(0, 1.01))
        edges = np.linspace(0, 1, 21)
        parts = [scores[hit == 0], scores[hit == 1]]
        below.hist(parts, edges, stacked=True, color=[LINE, SERIES[0]], label=kinds, edgecolor=PALE, linewidth=0.5)
        below.set(xlabel=f"probability of {of}", ylabel="cases", xlim=(0, 1))
        below.grid(False)

    return _svg("calibration", "Calibration curve, and a histogram of the predicted probabilities", draw, 4.4)


def training(history: Any) -> list[Markup]:
    """Losses, and beside them the metrics, over the epochs; of a History, or {"epoch": […], "loss": […], …}.

    Of one epoch alone there is nothing to draw.
    """
    values = {"epoch": history.epochs, **history.history} if hasattr(history, "epochs") else dict(history or {})
    epochs = values.pop("epoch", None) or list(range(1, 1 + max(map(len, values.values()), default=0)))
    losses = [name for name in values if name.endswith("loss")]
    metrics = [name for name in values if name not in (*losses, "lr")]
    panels = [("Loss", "mean loss per sample", losses), ("Metrics", "share", metrics)]
    return [_training(epochs, values, *panel) for panel in panels if len(epochs) > 1 and panel[2]]


def _training(epochs: list[int], values: Mapping[str, Any], title: str, unit: str, names: list[str]) -> Markup:
    from matplotlib.ticker import MaxNLocator

    plain = list(dict.fromkeys(name.removeprefix("val_") for name in names))

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        for name in names:
            known = [np.nan if v is None else v for v in values[name]]
            label = f"validation {name[4:]}" if name.startswith("val_") else f"training {name}"
            style = "--" if name.startswith("val_") else "-"
            colour = SERIES[(plain.index(name.removeprefix("val_")) * 2 + name.startswith("val_")) % len(SERIES)]
            axes.plot(epochs, known, style, color=colour, label=label.replace("_", " "),
                      marker="." if len(epochs) < 60 else "")  # fmt: skip
        axes.set(title=title, xlabel="epoch", ylabel=unit)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))

    return _svg(title, f"{title} over the epochs", draw)


def predicted_values(evaluation: RegressionEvaluation) -> Markup:
    """Each value as it was predicted over what it was."""
    both = np.concatenate([evaluation.predicted, evaluation.true])
    room = 0.04 * (np.ptp(both) or 1.0)
    ends = both.min() - room, both.max() + room
    unit = f" ({evaluation.unit})" if evaluation.unit else ""

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        axes.plot(ends, ends, color=PALE, lw=1.2, ls=":", label="predicted = true")
        axes.plot(evaluation.true, evaluation.predicted, "o", color=SERIES[0], ms=4, alpha=0.6, label="a case")
        axes.set(title="Predicted against true", xlabel=f"true{unit}", ylabel=f"predicted{unit}", xlim=ends, ylim=ends)

    return _svg("predicted", "Predicted values, over true values", draw)


def residuals(evaluation: RegressionEvaluation) -> Markup:
    """How far off the values are: a histogram."""

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        axes.hist(evaluation.predicted - evaluation.true, 30, color=SERIES[0], edgecolor=PALE, linewidth=0.5)
        axes.axvline(0, color=INK, lw=1)
        unit = f" ({evaluation.unit})" if evaluation.unit else ""
        axes.set(title="Errors", xlabel=f"predicted − true{unit}", ylabel="cases")
        axes.grid(False)

    return _svg("residuals", "Histogram of the errors", draw)


def feature_map(positions: np.ndarray, labels: np.ndarray, classes: Sequence[str], wrong: np.ndarray) -> Markup:
    """Items in the plane (N,2), each class in its colour and shape; those in `wrong` (N,) bool are ringed."""
    shapes = "o" + "".join(SHAPES)

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        for k, name in enumerate(classes):
            of = labels == k
            style = {"color": SERIES[k % len(SERIES)], "ms": 4, "mew": 0, "alpha": 0.8}
            axes.plot(*positions[of].T, shapes[k % len(shapes)], **style, label=f"{name}, {of.sum()}", clip_on=False)
        if wrong.any():
            ring = {"mfc": "none", "color": INK, "ms": 9, "mew": 0.9, "clip_on": False}
            axes.plot(*positions[wrong].T, "o", **ring, label=f"predicted wrongly, {wrong.sum()}")
        axes.set(title="Who is near whom", xlabel="t-SNE: the axes have no units", xticks=[], yticks=[])

    return _svg("map", "Items in a plane: those that the network sees alike are near each other", draw, 4.2)
