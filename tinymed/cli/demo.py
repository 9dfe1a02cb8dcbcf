"""tinymed demo: the article's numbers, then its network on real pictures."""

from __future__ import annotations

import time
import warnings
from pathlib import Path
from typing import Any

import click

from tinymed.cli.data import FOLDER, HOME
from tinymed.tasks.judge import DISCLAIMER
from tinymed.tasks.run import as_json

LOSS = "binary_cross_entropy_with_logits"


@click.command(short_help="The article's examples and its network.")
@click.option("--out", type=FOLDER, default="tinymed-demo", show_default=True, help="Output folder.")
@click.option("--epochs", type=click.IntRange(1), default=10, show_default=True, help="Passes over the data.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of weights and order.")
@HOME
def demo(out: Path, epochs: int, seed: int, data_home: Path | None) -> None:
    """Compute the article's examples, train its network, and draw what came of it.

    \b
    tinymed demo
    tinymed demo --epochs 50 --out runs/demo-50
    """
    out.mkdir(parents=True, exist_ok=True)  # before the work whose outcome it is to hold
    print_findings()
    name, (train, validation, test) = breast_data(data_home)
    click.echo(f"\nThe article's network (5.2) on {name}: {len(train)} pictures to learn from, {len(test)} to judge by")
    click.echo(f"{epochs} epochs, batch 32, Adam 1e-3, seed {seed}")
    model, history, seconds = run(train, validation, epochs, seed)
    figures, probabilities = judge(model, test)
    figures |= {"data": name, "epochs": epochs, "seed": seed, "seconds": round(seconds, 1)}
    print_figures(figures)
    from tinymed.cli.picture import draw
    from tinymed.training import save_weights

    draw(out / "demo.png", history, figures, probabilities, test)
    save_weights(model, out / "model.safetensors")
    (out / "figures.json").write_text(as_json(figures))
    click.echo(f"\nWritten to {out}/: demo.png (the picture), model.safetensors (the weights), figures.json")
    click.echo(DISCLAIMER)


def print_findings() -> None:
    """The article's worked examples as a table."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from tinymed.teach import findings

    table = Table(title="The article's worked examples", show_lines=True, title_justify="left")
    for column in ("section", "what", "article prints", "engine computes", "verdict"):
        table.add_column(column, overflow="fold")
    for found in findings():
        computed = "\n".join(f"{name}: {_text(value)}" for name, value in found.computed.items())
        verdict = Text(found.verdict, style="" if found.agrees else "yellow")
        plain = (Text(cell) for cell in (found.where, found.formula, _text(found.printed), computed))
        table.add_row(*plain, verdict)  # Text: brackets are numbers here, not markup
    console = Console()
    console.width = max(console.width, 100)
    console.print(table)


def _text(value: Any) -> str:
    """Numbers without needless zeros: [[6, 8], [12, 14]]."""
    if isinstance(value, list):
        return f"[{', '.join(_text(v) for v in value)}]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def breast_data(data_home: Path | None) -> tuple[str, list]:
    """BreastMNIST and its three splits; where it cannot be had, generated pictures, and the reason said."""
    from tinymed.data import DataHashError, DataNotFoundError, load_breastmnist

    try:
        return "BreastMNIST", [load_breastmnist(split, data_home) for split in ("train", "val", "test")]
    except (DataNotFoundError, DataHashError) as error:
        click.echo(f"\nBreastMNIST is not here: {error}")
        click.echo(
            "\nSo the network is trained on GENERATED pictures (tinymed.data.make_breast_phantoms): no patients."
        )
        return "generated phantoms", phantoms()


def phantoms() -> list:
    """Generated pictures to learn from, to watch and to judge by, as many as BreastMNIST has."""
    from tinymed.data import make_breast_phantoms

    return [make_breast_phantoms(n, seed) for n, seed in ((546, 0), (78, 1), (156, 2))]


def run(train: Any, validation: Any, epochs: int, seed: int) -> tuple[Any, Any, float]:
    """The article's network, trained as in 5.2: Adam 1e-3, binary cross-entropy, batch 32."""
    import tinymed
    from tinymed.optim import Adam
    from tinymed.training import article_cnn, fit

    tinymed.manual_seed(seed)
    model = article_cnn(init="keras")
    start = time.perf_counter()
    history = fit(
        model,
        train,
        loss=LOSS,
        optimizer=Adam(model.parameters(), lr=1e-3, eps=1e-7),
        epochs=epochs,
        batch_size=32,
        validation=validation,
        seed=seed,
    )
    heed(history)
    return model, history, time.perf_counter() - start


def heed(history: Any) -> None:
    """Say why training ended early; without one finished epoch there is nothing to go on with."""
    if not len(history):
        raise KeyboardInterrupt
    if history.note:
        click.echo(f"tinymed: {history.note}", err=True)


def judge(model: Any, test: Any, positive: int = 0) -> tuple[dict, Any]:
    """The figures on the test split, with one class, malignant in the demo, as the one to be found."""
    from tinymed.training import metrics, predict

    probabilities = predict(model, test, loss=LOSS)
    labels = test.tensors[1].numpy()
    with warnings.catch_warnings():  # a figure that is undefined is shown as nan
        warnings.simplefilter("ignore", metrics.UndefinedMetricWarning)
        return metrics.report(probabilities, labels, positive=positive, classes=test.classes), probabilities


def print_figures(figures: dict) -> None:
    """The figures, and the cases that they are counted from."""
    click.echo(f"\nOn the test split of {figures['data']} ({figures['n']} cases)")
    click.echo(f"  accuracy               {figures['accuracy']:.3f}")
    click.echo(f"  share of the majority  {figures['majority_share']:.3f}   (what always saying so would score)")
    click.echo(f"  AUC                    {figures['auc']:.3f}")
    click.echo(f"  sensitivity            {figures['sensitivity']:.3f}   (of {figures['positive']}: found)")
    click.echo(f"  specificity            {figures['specificity']:.3f}   (of the others: left alone)")
    click.echo("  confusion matrix, cases")
    heads = [f"said {name}" for name in figures["classes"]]
    left = max(len(name) for name in figures["classes"]) + len("    truly ")
    click.echo(" " * left + "".join(f"  {head}" for head in heads))
    for name, row in zip(figures["classes"], figures["confusion_matrix"]):
        click.echo(f"    truly {name}".ljust(left) + "".join(f"  {n:>{len(head)}}" for n, head in zip(row, heads)))
