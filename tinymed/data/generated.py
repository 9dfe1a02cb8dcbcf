"""Generated tables: measures in the manner of Pima, and the activity of genes, for where no real data are at hand.

They are drawn from formulas, not from patients. What a model scores on them says nothing about medicine.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinymed.data.dataset import LabelledDataset, TensorDataset
from tinymed.data.golub import CLASSES as LEUKEMIAS
from tinymed.data.phantoms import generator
from tinymed.data.pima import CLASSES, COLUMNS, PimaDataset

# -------------------------------------------------------------------- measures

# for each of COLUMNS: least, 5 %, 25 %, 50 %, 75 %, 95 %, greatest, which are near Pima's; the decimals it is given in
LEVELS = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
QUANTILES = (
    ((0, 0, 1, 3, 6, 10, 17), 0),
    ((44, 80, 99, 117, 141, 181, 199), 0),
    ((24, 52, 64, 72, 80, 92, 122), 0),
    ((7, 13, 22, 29, 36, 46, 80), 0),
    ((14, 42, 76, 125, 190, 395, 846), 0),
    ((18, 22, 27.5, 32.3, 36.6, 44.5, 67), 1),
    ((0.08, 0.14, 0.24, 0.37, 0.63, 1.13, 2.42), 3),
    ((21, 21, 24, 29, 41, 58, 81), 0),
)
CORRELATED = {  # of the normal numbers behind the columns; other pairs are independent
    ("pregnancies", "age"): 0.6,
    ("glucose", "insulin"): 0.6,
    ("skin", "bmi"): 0.6,
    ("pressure", "age"): 0.35,
    ("pressure", "bmi"): 0.25,
    ("glucose", "age"): 0.25,
    ("insulin", "bmi"): 0.25,
}
WEIGHTS = {"glucose": 1.4, "bmi": 0.8, "pedigree": 0.35, "pregnancies": 0.35, "age": 0.2}
BIAS = -1.0  # about 35 % fall ill
MISSING = {"glucose": 5 / 768, "pressure": 35 / 768, "skin": 227 / 768, "insulin": 374 / 768, "bmi": 11 / 768}


def make_diabetes_table(n: int, seed: int = 0) -> PimaDataset:
    """n generated rows: inputs (n,8) float32 with Pima's `columns`, labels (n,) int64, 1 for diabetes.

    Behind a row stand eight normal numbers z, correlated as in CORRELATED; each column's quantiles are put to its z.
    p(diabetes) = σ(Σ w·z − 1) by WEIGHTS, and the label is drawn from it: glucose counts most, skin and insulin
    only through what they go with, and no model is right on all.
    Missing values are NaN, at Pima's rates; whoever lacks the skin fold lacks insulin too, as there.

    Equal seeds give equal rows. Raises ValueError for n below 1.
    """
    rng = generator("make_diabetes_table", n, seed)
    cov = np.eye(len(COLUMNS))
    for pair, r in CORRELATED.items():
        i, j = map(COLUMNS.index, pair)
        cov[i, j] = cov[j, i] = r
    z = rng.multivariate_normal(np.zeros(len(COLUMNS)), cov, n, method="cholesky")
    p = 1 / (1 + np.exp(-BIAS - z @ [WEIGHTS.get(name, 0) for name in COLUMNS]))
    labels = (rng.random(n) < p).astype(np.int64)
    x = np.empty((n, len(COLUMNS)))
    for k, (values, decimals) in enumerate(QUANTILES):
        x[:, k] = np.round(np.interp(_normal_cdf(z[:, k]), LEVELS, values), decimals)
    together = rng.random(n)
    for name, rate in MISSING.items():
        luck = together if name in ("skin", "insulin") else rng.random(n)
        x[luck < rate, COLUMNS.index(name)] = np.nan
    return PimaDataset(x.astype(np.float32), labels, CLASSES, f"generated: make_diabetes_table({n}, seed={seed})")


def _normal_cdf(z: np.ndarray) -> np.ndarray:
    from scipy.special import ndtr

    return ndtr(z)


# -------------------------------------------------------------------- genes

BLOCK = 20  # genes that rise and fall together


class ExpressionDataset(LabelledDataset):
    """Generated activity of genes: inputs (N,F), `genes` (F,) their names, `informative` (F,) bool: the formula's."""

    def __init__(self, inputs: Any, labels: Any, classes: Any, source: str, informative: np.ndarray) -> None:
        super().__init__(inputs, labels, classes, source)
        self.genes, self.informative = _names(len(informative)), informative


class ResponseDataset(TensorDataset):
    """Inputs (N,F) and what is measured of each, `labels` (N,) float32 in `unit`; there are no classes.

    genes, informative, source  as in ExpressionDataset
    """

    classes: tuple[str, ...] = ()
    split = licence = citation = groups = None
    unit = "ln(IC50 / µM)"

    def __init__(self, inputs: Any, labels: Any, source: str, informative: np.ndarray) -> None:
        super().__init__(inputs, labels)
        self.inputs, self.labels = self.tensors
        self.source, self.genes, self.informative = source, _names(len(informative)), informative

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.inputs.shape}, {self.unit}, source={self.source!r})"


def make_expression(n: int, genes: int = 2000, seed: int = 0) -> ExpressionDataset:
    """n generated samples of leukaemia: inputs (n,genes) float32, raw, labels (n,) int64, 0 ALL and 1 AML (a third).

    log2 x = base + block + noise + effect. Genes go in blocks of 20 that share a random factor of the sample, as
    genes of one pathway do. A fiftieth of them (3 at least) rise in each class, by 0.3 to 1.8 times how much of the
    sample is tumour, which is 0.1 to 1: some samples show little, and where rows are few, other genes look as good by
    chance. `informative` tells which genes they are: did the selection find them?

    Equal seeds give equal samples. Raises ValueError for n below 1, or too few genes.
    """
    rng = generator("make_expression", n, seed)
    labels = rng.permutation(np.arange(n) >= round(n * 0.65)).astype(np.int64)
    log2, informative = _expression(rng, labels, genes, 2, genes // 50, (0.3, 1.8))
    source = f"generated: make_expression({n}, genes={genes}, seed={seed})"
    return ExpressionDataset(np.exp2(log2).astype(np.float32), labels, LEUKEMIAS, source, informative)


def make_subtypes(n: int, genes: int = 2000, seed: int = 0, subtypes: int = 4) -> ExpressionDataset:
    """n generated tumours of several subtypes in equal parts: inputs (n,genes) float32, raw, labels (n,) int64.

    As make_expression, but a twentieth of the genes rise for each subtype, by 0.6 to 2.6 times the share of tumour. A
    classifier is right on nearly all of them; k-means, without the labels, finds half of the structure among the
    genes that vary most, and next to nothing of it among all genes.
    """
    rng = generator("make_subtypes", n, seed)
    if subtypes < 2:
        raise ValueError(f"make_subtypes needs 2 subtypes or more, got {subtypes}")
    labels = rng.permutation(np.arange(n) % subtypes)
    log2, informative = _expression(rng, labels, genes, subtypes, genes // 20, (0.6, 2.6))
    source = f"generated: make_subtypes({n}, genes={genes}, seed={seed}, subtypes={subtypes})"
    names = [f"subtype {k}" for k in range(1, subtypes + 1)]
    return ExpressionDataset(np.exp2(log2).astype(np.float32), labels, names, source, informative)


def make_drug_response(n: int, genes: int = 500, seed: int = 0) -> ResponseDataset:
    """n generated cell lines and how much of a drug each bears: inputs (n,genes) float32, raw, labels (n,) ln(IC50).

    y = 1 + Σ w·z over eight genes (z the standardised log2 of each, w ±0.3 to ±0.8), a product of the first two,
    and noise of a third of the variance: an R² of about 0.67 is the best that can be had. GENERATED: there is no drug.

    Equal seeds give equal cell lines. Raises ValueError for n below 1, or too few genes.
    """
    rng = generator("make_drug_response", n, seed)
    log2, _ = _expression(rng, np.zeros(n, np.int64), genes, 0)
    chosen = rng.choice(genes, 8, replace=False)
    z = (log2[:, chosen] - log2[:, chosen].mean(0)) / np.maximum(log2[:, chosen].std(0), 1e-6)
    w = rng.uniform(0.3, 0.8, 8) * rng.choice([-1, 1], 8)
    signal = z @ w + 0.4 * z[:, 0] * z[:, 1]
    y = 1 + signal + rng.normal(0, np.sqrt((w @ w + 0.16) / 2), n)
    informative = np.isin(np.arange(genes), chosen)
    source = f"generated: make_drug_response({n}, genes={genes}, seed={seed})"
    return ResponseDataset(np.exp2(log2).astype(np.float32), y.astype(np.float32), source, informative)


def _expression(
    rng: np.random.Generator,
    labels: np.ndarray,
    genes: int,
    classes: int,
    marked: int = 0,
    rise: tuple[float, float] = (0, 0),
) -> tuple[np.ndarray, np.ndarray]:
    """(log2 of the activity (n,genes), which genes rise in some class: `marked` for each, 3 at least)."""
    marked = max(3, marked)
    if genes < max(8, classes * marked):
        raise ValueError(f"{max(8, classes * marked)} genes or more are needed for {classes} classes, got {genes}")
    n = len(labels)
    factor = rng.standard_normal((n, -(-genes // BLOCK))).repeat(BLOCK, 1)[:, :genes]
    log2 = rng.normal(10, 1.1, genes) + rng.uniform(0.2, 0.7, genes) * factor
    log2 += rng.uniform(0.3, 0.8, genes) * rng.standard_normal((n, genes)) + rng.normal(0, 0.2, (n, 1))
    tumour = rng.uniform(0.1, 1, (n, 1))
    places = rng.permutation(genes)[: classes * marked].reshape(classes, marked)
    for k, place in enumerate(places):
        log2[:, place] += (labels == k)[:, None] * tumour * rng.uniform(*rise, marked)
    return log2, np.isin(np.arange(genes), places)


def _names(genes: int) -> np.ndarray:
    return np.array([f"gene {k:04d}" for k in range(1, genes + 1)])
