"""What the article's applications reach: tinymed, PyTorch where it is installed, and a simple baseline, over seeds.

    python benchmarks/applications.py --seeds 5 --json benchmarks/applications.json
    python benchmarks/applications.py --only ecg/ecg5000/lstm --seeds 5 --json lstm.json

A row is a task, a data set and a model, by the task's own recipe. PyTorch runs the same source file of the models with
its imports exchanged, on the same prepared arrays, with weights, order and dropout of its own. Official splits are
judged once a seed; of the other data sets all five folds are, split anew for each seed, and ± is over folds. Every
result is added to --json at once, and not computed again while it stands there; the table is made of what is there.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

import tinymed
from tinymed import tasks
from tinymed.evaluation import Evaluation, RegressionEvaluation
from tinymed.tasks import learn
from tinymed.tasks.run import loss_for

HOME = Path(tinymed.__file__).parent / "tasks"
WHOLE = {"pima", "wisconsin", "medical-abstracts", "generated-drug-response", "generated-subtypes", "mitbih-by-beat"}
FOLDS = 5  # of those that are not split
FIGURES = ("accuracy", "auc", "macro_f1", "sensitivity", "specificity", "r2")
ROWS = [
    ("breast-ultrasound", "breastmnist", "article-cnn"),
    ("breast-ultrasound", "breastmnist", "small-resnet"),
    ("breast-cytology", "wisconsin", "dense"),
    ("breast-cytology", "wisconsin", "logistic"),
    ("diabetes", "pima", "dense"),
    ("diabetes", "pima", "logistic"),
    ("pneumonia", "pneumoniamnist", "article-cnn"),
    ("pneumonia", "pneumoniamnist", "small-resnet"),
    ("pneumonia", "nodulemnist3d", "cnn3d"),
    *(("ecg", "ecg5000", model) for model in ("cnn", "rnn", "lstm", "gru", "bilstm")),
    ("ecg", "mitbih", "cnn"),
    ("ecg", "mitbih-by-beat", "cnn"),
    ("leukemia", "golub", "dense"),
    ("leukemia", "generated-subtypes", "dense"),
    ("leukemia", "generated-drug-response", "dense"),
    *(("medical-text", "medical-abstracts", model) for model in ("mean-embedding", "attention", "rnn", "lstm")),
]

PUBLISHED = {  # by others: who, accuracy, AUC, macro F1; "" where they say nothing
    ("breast-ultrasound", "breastmnist", "small-resnet"): [
        ("ResNet-18 at 28 (Yang 2023)", "0.863", "0.901", ""),
        ("Google AutoML Vision (Yang 2023)", "0.861", "0.919", ""),
    ],
    ("pneumonia", "pneumoniamnist", "small-resnet"): [
        ("ResNet-18 at 28 (Yang 2023)", "0.854", "0.944", ""),
        ("Google AutoML Vision (Yang 2023)", "0.946", "0.991", ""),
    ],
    ("ecg", "ecg5000", "bilstm"): [
        ("FCN (Fawaz 2019)", "0.940 ± 0.001", "", ""),
        ("ResNet (Fawaz 2019)", "0.934 ± 0.002", "", ""),
    ],
    ("leukemia", "golub", "dense"): [("weighted voting, 29 of 34 called, all rightly (Golub 1999)", "", "", "")],
    ("diabetes", "pima", "logistic"): [("ADAP, sensitivity = specificity = 0.76 (Smith 1988)", "", "", "")],
    ("breast-cytology", "wisconsin", "logistic"): [("a plane of three features (Street 1995)", "0.975", "", "")],
}


def ours(config: Any, parts: Any) -> np.ndarray:
    """What tinymed says of the test part."""
    return tasks.train(config, parts=parts, verbose=False)[0].predict(parts.test.x)


# -------------------------------------------------------------------- PyTorch, by the same recipe


def on_torch(file: str) -> SimpleNamespace:
    """The models of a file in tinymed/tasks, made of PyTorch's layers."""
    names: dict[str, Any] = {"__name__": f"torch_{file}"}
    source = (HOME / f"{file}.py").read_text().replace("from tinymed import", "from torch import")
    exec(compile(source, file, "exec"), names)
    return SimpleNamespace(**names)


def torch_model(name: str, shape: tuple[int, ...], classes: int, config: Any, prepared: Any) -> Any:
    from torch import nn

    pictures, sequences, dense = map(on_torch, ("pictures", "sequences", "dense"))
    if name == "article-cnn":
        return nn.Sequential(
            *(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Linear(1600, 128), nn.ReLU(), nn.Linear(128, 1)),
        )
    if config.task == "medical-text":
        build = {"mean-embedding": "mean_embedding", "attention": "attention_pooling", "rnn": "text_rnn",
                 "lstm": "text_lstm"}[name]  # fmt: skip
        return getattr(sequences, build)(shape, classes, len(prepared.vocabulary), dropout=config.dropout)
    if config.task == "ecg":
        return getattr(sequences, {"cnn": "cnn1d"}.get(name, name))(shape, classes)
    if config.task in ("breast-ultrasound", "pneumonia"):
        return getattr(pictures, name.replace("-", "_"))(shape, classes, dropout=config.dropout)
    if name == "logistic":
        return dense.logistic(shape, classes)
    narrow = config.task == "diabetes" or (config.task == "leukemia" and classes != 1)
    return dense.dense(shape, classes, (16,) if narrow else (32, 16), config.dropout)


def theirs(config: Any, parts: Any) -> np.ndarray:
    """What PyTorch says of the test part."""
    import torch
    from torch.nn import functional as F

    data = tasks.task_called(config.task).of(config)
    config = learn.chosen(config, parts)[0]  # by tinymed, as the choice is not compared
    prepared = data.prepare(config).fit(parts.train.x, parts.train.y)
    dataset = learn._drawn(learn._tensors(prepared, parts.train), parts.train.y, parts.classes, config)
    torch.manual_seed(config.seed)
    model = torch_model(config.model, dataset[0][0].shape, len(parts.classes) or 1, config, prepared)
    if config.init == "keras":
        for p in model.parameters():
            torch.nn.init.xavier_uniform_(p) if p.ndim > 1 else torch.nn.init.zeros_(p)
    eps = 1e-7 if config.init == "keras" else 1e-8
    kind = torch.optim.AdamW if config.weight_decay else torch.optim.Adam
    optimizer = kind(model.parameters(), lr=config.lr, eps=eps, weight_decay=config.weight_decay)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, config.epochs)
    scores = loss_for(parts.classes) == "cross_entropy"
    two = loss_for(parts.classes).startswith("binary")
    whole = None if hasattr(dataset, "set_epoch") else [torch.from_numpy(t.numpy()) for t in dataset.tensors]
    for epoch in range(1, config.epochs + 1):
        if whole is None:  # drawn anew
            dataset.set_epoch(epoch)
        for rows in torch.randperm(len(dataset)).split(config.batch_size):
            if whole is None:
                items = [dataset[int(k)] for k in rows]
                x = torch.from_numpy(np.stack([item[0] for item in items]))
                y = torch.tensor([float(item[1]) for item in items])
            else:
                x, y = (t[rows] for t in whole)
            output = model(x)
            if scores:
                loss = F.cross_entropy(output, y.long())
            elif two:
                loss = F.binary_cross_entropy_with_logits(output[:, 0], y.float())
            else:
                loss = F.mse_loss(output, y)
            optimizer.zero_grad()
            loss.backward()
            if config.clip:
                torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip)
            optimizer.step()
        if config.schedule == "cosine":
            cosine.step()
    model.eval()
    with torch.no_grad():
        told = torch.cat([model(part) for part in torch.from_numpy(np.asarray(prepared(parts.test.x))).split(256)])
    if scores:
        return told.softmax(1).numpy()
    return (told.sigmoid() if two else told)[:, 0].numpy()


# -------------------------------------------------------------------- what is simpler


def baseline(config: Any, parts: Any) -> np.ndarray | None:
    """scikit-learn's usual first try on the same part, where there is one."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression, RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import SVC

    if config.task == "medical-text":
        words = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
        model = make_pipeline(words, LogisticRegression(C=10, max_iter=1000))
        return model.fit(parts.train.x, parts.train.y).predict_proba(parts.test.x)
    if isinstance(parts.train.x, list) or parts.train.x.ndim != 2:
        return None
    prepared = tasks.task_called(config.task).of(config).prepare(config).fit(parts.train.x, parts.train.y)
    x, test = prepared(parts.train.x), prepared(parts.test.x)
    if not parts.classes:
        return RidgeCV(np.logspace(-1, 5, 13)).fit(x, parts.train.y).predict(test)
    if config.task == "leukemia":  # scores are enough for accuracy
        machine = SVC(kernel="linear").fit(x, parts.train.y)
        return np.eye(len(parts.classes))[machine.predict(test)]
    return LogisticRegression(max_iter=1000).fit(x, parts.train.y).predict_proba(test)[:, 1]


# -------------------------------------------------------------------- runs


def judged(told: np.ndarray, parts: Any, positive: int) -> dict[str, float]:
    """The figures, without intervals."""
    if not parts.classes:
        evaluation: Any = RegressionEvaluation(told, parts.test.y)
    else:
        two = {"positive": positive} if len(parts.classes) == 2 else {}
        evaluation = Evaluation(told, parts.test.y, parts.classes, **two)
    found = evaluation.counted(np.ones((1, len(evaluation))))
    return {name: float(values[0]) for name, values in found.items() if name in FIGURES}


def run(row: tuple[str, str, str], engine: str, seed: int) -> list[dict[str, Any]]:
    """Each test part of a row, by one engine and seed."""
    task, data, model = row
    found = []
    for fold in range(FOLDS * seed, FOLDS * seed + FOLDS) if data in WHOLE else [seed]:
        config = tasks.settled({"task": task, "data": data, "model": model, "seed": seed, "fold": fold})
        if engine == "baseline" and task == "leukemia":
            config = tasks.settled({**vars(config), "genes": 1000})
        parts = tasks.task_called(task).parts(config)
        start = time.perf_counter()
        told = {"tinymed": ours, "PyTorch": theirs, "baseline": baseline}[engine](config, parts)
        seconds = round(time.perf_counter() - start, 2)
        positive = tasks.task_called(task).looked_for(parts.classes, "") if parts.classes else 0
        if told is not None:
            figures = judged(told, parts, positive)
            about = {"task": task, "data": data, "model": model, "engine": engine, "seed": seed, "fold": fold}
            found.append({**about, **figures, "seconds": seconds})
    return found


def table(results: list[dict[str, Any]]) -> str:
    """Mean ± standard deviation of every row and engine."""
    lines = ["| `--only` | engine | runs | accuracy (or R²) | AUC | macro F1 | s a run |", "|---" * 7 + "|"]
    for task, data, model in ROWS:
        for engine in ("tinymed", "PyTorch", "baseline"):
            of = [r for r in results if (r["task"], r["data"], r["model"], r["engine"]) == (task, data, model, engine)]
            if of:
                main = "r2" if "r2" in of[0] else "accuracy"
                cells = [spread([r.get(name, math.nan) for r in of]) for name in (main, "auc", "macro_f1")]
                seconds = f"{np.median([r['seconds'] for r in of]):.1f}"
                lines.append(f"| `{task}/{data}/{model}` | {engine} | {len(of)} | {' | '.join(cells)} | {seconds} |")
        for who, *figures in PUBLISHED.get((task, data, model), []):
            lines.append(f"| `{task}/{data}` | {who} |  | {' | '.join(cell or '–' for cell in figures)} |  |")
    return "\n".join(lines)


def spread(values: list[float]) -> str:
    """mean ± standard deviation"""
    if np.isnan(values).any():
        return "–"
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=1) if len(values) > 1 else math.nan:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", default="", help="rows whose task/data/model begin so")
    parser.add_argument("--engines", nargs="+", default=["tinymed", "PyTorch", "baseline"])
    parser.add_argument("--json", type=Path, help="results are added here")
    options = parser.parse_args()
    engines: list[str] = [e for e in options.engines if e != "PyTorch" or find_spec("torch")]
    results = json.loads(options.json.read_text()) if options.json and options.json.exists() else []
    for row in ROWS:
        if not "/".join(row).startswith(options.only):
            continue
        for engine in engines:
            for seed in range(options.seeds):
                known = {(r["task"], r["data"], r["model"], r["engine"], r["seed"]) for r in results}
                if (*row, engine, seed) in known:
                    continue
                try:
                    found = run(row, engine, seed)
                except tinymed.data.DataNotFoundError as error:
                    print(f"{'/'.join(row)}: not measured: {str(error).splitlines()[0]}")
                    break
                results += found
                if options.json:
                    options.json.write_text("[\n" + ",\n".join(map(json.dumps, results)) + "\n]\n")
                if not found:
                    break
    print(table(results))


if __name__ == "__main__":
    main()
