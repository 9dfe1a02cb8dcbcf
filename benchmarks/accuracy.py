"""What the article's network reaches on BreastMNIST, over seeds, in tinymed and in PyTorch where it is installed.

    python benchmarks/accuracy.py --epochs 10 50 --seeds 5

The article's settings: Keras's initialisation, Adam 1e-3 (eps 1e-7), binary cross-entropy, batch 32, the last
epoch's weights, threshold 0.5, official splits. Prints a Markdown table; --json FILE keeps every run.
"""

from __future__ import annotations

import argparse
import json
import time
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
    model = nn.Sequential(
        *(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(1600, 128), nn.ReLU(), nn.Linear(128, 1)),
    )
    for p in model.parameters():
        nn.init.xavier_uniform_(p) if p.ndim > 1 else nn.init.zeros_(p)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, eps=1e-7)
    x, y = (torch.from_numpy(t.numpy()) for t in train.tensors)
    for _ in range(epochs):
        for batch in torch.randperm(len(x)).split(32):
            loss = nn.functional.binary_cross_entropy_with_logits(model(x[batch])[:, 0], y[batch].float())
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
    engines = {"tinymed": ours} | ({"PyTorch": theirs} if find_spec("torch") else {})
    runs: list[dict[str, Any]] = []
    print("| epochs | engine | test accuracy | AUC | sensitivity (malignant) | specificity | s a run |")
    print("|---|---|---|---|---|---|---|")
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
            cells = [spread([run[name] for run in found]) for name in figures]
            print(f"| {epochs} | {engine} | {' | '.join(cells)} | {np.median([r['seconds'] for r in found]):.1f} |")
    if options.json:
        options.json.write_text(json.dumps(runs, indent=1) + "\n")


def spread(values: list[float]) -> str:
    """mean ± standard deviation over the seeds"""
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}"


if __name__ == "__main__":
    main()
