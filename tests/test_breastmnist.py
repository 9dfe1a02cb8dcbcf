"""The main job on the real pictures; skipped where they are not at hand."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

import tinymed
from tinymed.cli import main
from tinymed.data import load_breastmnist
from tinymed.optim import Adam
from tinymed.training import article_cnn, fit, metrics, predict

DATA = os.environ.get("TINYMED_DATA")
pytestmark = pytest.mark.skipif(not DATA, reason="TINYMED_DATA does not name a folder of real data")
LOSS = "binary_cross_entropy_with_logits"


def test_the_articles_network_reaches_what_pytorch_reaches():
    """One seed, 10 epochs: within three standard deviations of PyTorch's (benchmarks/README.md)."""
    train, test = (load_breastmnist(split, download=False) for split in ("train", "test"))
    tinymed.manual_seed(0)
    model = article_cnn()
    fit(model, train, loss=LOSS, optimizer=Adam(model.parameters(), eps=1e-7), epochs=10, seed=0, verbose=False)
    found = metrics.report(predict(model, test, loss=LOSS), test.labels, positive=0)
    assert abs(found["accuracy"] - 0.791) < 3 * 0.023
    assert abs(found["auc"] - 0.826) < 3 * 0.016
    assert found["majority_share"] == pytest.approx(114 / 156)


def test_demo_prefers_the_real_pictures(tmp_path, capsys):
    main(["demo", "--epochs", "1", "--out", str(tmp_path)])
    text = capsys.readouterr().out
    assert "network (5.2) on BreastMNIST: 546 pictures to learn from, 156 to judge by" in text
    assert "GENERATED" not in text
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert (figures["data"], figures["positive"], figures["n"]) == ("BreastMNIST", "malignant", 156)
    assert np.sum(figures["confusion_matrix"], 1).tolist() == [42, 114]
