"""What the article's network reaches on BreastMNIST, over seeds, in tinymed and in PyTorch where it is installed.

    python benchmarks/accuracy.py --epochs 10 50 --seeds 60 --json benchmarks/accuracy.json

The article's settings: Keras's initialisation, Adam 1e-3 (eps 1e-7), binary cross-entropy, batch 32, the last
epoch's weights, threshold 0.5, official splits. Prints a Markdown table; --json FILE keeps every run.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

import tinymed
from tinymed.data import load_breastmnist
from tinymed.optim import Adam
from tinymed.training import article_cnn, fit, metrics, predict

LOSS = "binary_cross_entropy_with_logits"


def ours(train: Any, test: Any, epochs: int, seed: int) -> np.ndarray:
    """The probability of class 1 for every test picture."""
    tinymed.manual_seed(seed)
    model = article_cnn(init="keras")
    optimizer = Adam(model.parameters(), lr=1e-3, eps=1e-7)
    fit(model, train, loss=LOSS, optimizer=optimizer, epochs=epochs, batch_size=32, seed=seed, verbose=False)
    return predict(model, test, loss=LOSS)


def theirs(train: Any, test: Any, epochs: int, seed: int) -> np.ndarray:
    """The same in PyTorch, with its own random numbers."""
    import torch
    from torch import nn

    torch.manual_seed(seed)
    model = _torch_model()
    for p in model.parameters():
        nn.init.xavier_uniform_(p) if p.ndim > 1 else nn.init.zeros_(p)
    return _torch_run(model, train, test, (torch.randperm(len(train)) for _ in range(epochs)))


def theirs_on_our_draws(train: Any, test: Any, epochs: int, seed: int) -> np.ndarray:
    """PyTorch, from the weights that tinymed starts with, through batches in tinymed's order."""
    import torch

    tinymed.manual_seed(seed)
    model = _torch_model()
    start = article_cnn(init="keras").state_dict()
    model.load_state_dict({name: torch.tensor(value.numpy()) for name, value in start.items()})
    draws = tinymed.manual_seed(seed).numpy
    return _torch_run(model, train, test, (torch.from_numpy(draws.permutation(len(train))) for _ in range(epochs)))


def _torch_model() -> Any:
    from torch import nn

    return nn.Sequential(
        *(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(1600, 128), nn.ReLU(), nn.Linear(128, 1)),
    )


def _torch_run(model: Any, train: Any, test: Any, orders: Iterable[Any]) -> np.ndarray:
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits

    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, eps=1e-7)
    x, y = (torch.from_numpy(t.numpy()) for t in train.tensors)
    for order in orders:
        for batch in order.split(32):
            loss = binary_cross_entropy_with_logits(model(x[batch])[:, 0], y[batch].float())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    with torch.no_grad():
        return model(torch.from_numpy(test.tensors[0].numpy())).sigmoid().numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, nargs="+", default=[10, 50])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    train, test = load_breastmnist("train"), load_breastmnist("test")
    engines = {"tinymed": ours}
    if find_spec("torch"):
        engines |= {"PyTorch": theirs, "PyTorch, tinymed's draws": theirs_on_our_draws}
    runs: list[dict[str, Any]] = []
    print("| epochs | engine | seeds | test accuracy | AUC | sensitivity (malignant) | specificity | s a run |")
    print("|---|---|---|---|---|---|---|---|")
    for epochs in options.epochs:
        for engine, run in engines.items():
            found = []
            for seed in range(options.seeds):
                start = time.perf_counter()
                probabilities = run(train, test, epochs, seed)
                seconds = time.perf_counter() - start
                report = metrics.report(probabilities, test.tensors[1], positive=0, classes=test.classes)
                figures = {name: report[name] for name in ("accuracy", "auc", "sensitivity", "specificity")}
                found.append({"epochs": epochs, "engine": engine, "seed": seed, **figures, "seconds": seconds})
            runs += found
            for count in sorted({min(5, len(found)), len(found)}):  # the first five, and all
                cells = [spread([run[name] for run in found[:count]]) for name in figures]
                seconds = np.median([run["seconds"] for run in found[:count]])
                print(f"| {epochs} | {engine} | {count} | {' | '.join(cells)} | {seconds:.1f} |", flush=True)
    if options.json:
        options.json.write_text("[\n" + ",\n".join(map(json.dumps, runs)) + "\n]\n")  # a line a run


def spread(values: list[float]) -> str:
    """mean ± standard deviation over the seeds"""
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}"


if __name__ == "__main__":
    main()
