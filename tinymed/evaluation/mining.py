"""Data mining (article 2.2): neighbours, outliers, clusters and maps, of inputs or of a network's features; duplicates.

    seen = features(model, train)               # what the network makes of each picture
    twins(train, test)                          # did the test set stand in the training set?
    draw_map(map2d(seen), train.labels, train.classes)

Distances weigh every column alike: columns of different units are standardised first. Not a clinical device.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tinymed import nn
from tinymed.evaluation.duplicates import Twins, known_labels, rows, text_twins, twins
from tinymed.nn.errors import nearest
from tinymed.training import predict

__all__ = [
    "Clusters", "Nearest", "Twins", "clusters", "draw_map", "features", "map2d", "nearest_cases", "outliers",
    "text_twins", "twins",
]  # fmt: skip


# -------------------------------------------------------------------- features


def features(model: nn.Module, data: Any, layer: str | None = None, batch_size: int = 256) -> np.ndarray:
    """What the network makes of each item, (N,F): the values that go into the Linear it runs last, in eval mode.

    data   as `predict` takes it: an array x, a pair (x, y), a Dataset, a DataLoader in order
    layer  the name of a module whose output to take instead, flattened; names as in model.named_modules()

    Raises ValueError for an unknown layer, a model that runs no Linear, and a layer that is not passed once an item.
    """
    modules = dict(model.named_modules())
    names = ", ".join(name for name in modules if name)
    seen: list[np.ndarray] = []
    entered: list[Any] = []  # what went into the Linears in this run of the model, in order

    def keep(value: Any) -> None:
        if not hasattr(value, "array"):
            raise ValueError(f"features: layer {layer!r} gives a {type(value).__name__}, not one tensor; name another")
        seen.append(value.cpu().array.reshape(len(value), -1).copy())

    def keep_last() -> None:
        if entered:
            keep(entered[-1])
        entered.clear()

    with contextlib.ExitStack() as hooks:
        if layer is None:
            for module in modules.values():
                if isinstance(module, nn.Linear):
                    hooks.enter_context(module.register_forward_pre_hook(lambda _, args: entered.append(args[0])))
            hooks.enter_context(model.register_forward_hook(lambda *_: keep_last()))
        elif layer in modules:
            hooks.enter_context(modules[layer].register_forward_hook(lambda _, args, output: keep(output)))
        else:
            raise ValueError(f"features: no layer is called {layer!r}{nearest(layer, modules)}; there are {names}")
        n = len(predict(model, data, batch_size=batch_size))
    if layer is None and not seen:
        raise ValueError(f"features: {type(model).__name__} runs no Linear; name a layer: {names}")
    found = np.concatenate(seen) if seen else np.empty((0, 0))
    if len(found) != n:
        raise ValueError(f"features: the layer gave {len(found)} rows for {n} items; name one passed once for each")
    return found


# -------------------------------------------------------------------- neighbours, outliers, clusters


class Nearest(NamedTuple):
    """indices (Q,k) of the nearest cases, the nearest first, and their distances (Q,k)."""

    indices: np.ndarray
    distances: np.ndarray


def nearest_cases(train: Any, query: Any, k: int = 5, metric: str = "euclidean") -> Nearest:
    """For each query, the k training cases most like it: "the network sees this one as it saw these".

    train, query  (N,F) and (Q,F) features, or inputs (N,...)
    metric        of scikit-learn's NearestNeighbors, such as "euclidean", "cosine", "correlation"
    """
    from sklearn.neighbors import NearestNeighbors

    x, q = rows(train, "train"), rows(query, "query")
    if x.shape[1] != q.shape[1]:
        raise ValueError(f"nearest_cases: train has {x.shape[1]} numbers an item, query {q.shape[1]}")
    _between("nearest_cases", "k", k, 1, len(x))
    distances, indices = NearestNeighbors(n_neighbors=k, metric=metric).fit(x).kneighbors(q)
    return Nearest(indices, distances)


def outliers(features: Any, k: int = 20) -> np.ndarray:
    """How odd each item is, (N,): its local outlier factor. About 1 is usual; look at the largest first.

    An item is odd if it lies in a thinner place than its k nearest neighbours do (Breunig et al., SIGMOD 2000).
    Taken rather than an isolation forest, since it is local, so that a rare class is not odd as a whole if it has
    more than k members, and since it draws no random numbers. Where more than k items are equal, the
    factors of their neighbours are huge: take duplicates out first.
    """
    from sklearn.neighbors import LocalOutlierFactor

    x = rows(features, "features")
    _between("outliers", "k", k, 1, len(x) - 1)
    return -LocalOutlierFactor(n_neighbors=k).fit(x).negative_outlier_factor_


class Clusters(NamedTuple):
    """What `clusters` finds.

    members     (N,) the cluster of each item, 0..k-1
    centres     (k,F)
    silhouette  -1..1: how much nearer items are to their own cluster than to the next (of 5,000 items at most)
    agreement   the adjusted Rand index with the labels: 1 the same parts, 0 as by chance; None without labels
    """

    members: np.ndarray
    centres: np.ndarray
    silhouette: float
    agreement: float | None


def clusters(features: Any, k: int, seed: int = 0, labels: Any = None) -> Clusters:
    """k-means, the best of ten starts. It finds k clusters whether or not there are any: mind the silhouette."""
    from sklearn.cluster import KMeans
    from sklearn.metrics import adjusted_rand_score, silhouette_score
    from threadpoolctl import threadpool_limits

    x = rows(features, "features")
    _between("clusters", "k", k, 2, len(x) - 1)
    if (distinct := len(np.unique(x, axis=0))) < k:
        raise ValueError(f"clusters: k={k}, but the items have only {distinct} different values")
    with threadpool_limits(1):  # its threads wait for one another at every step: on busy cores 10 s, not 0.05
        found = KMeans(k, n_init=10, random_state=seed).fit(x)
    near = silhouette_score(x, found.labels_, sample_size=min(len(x), 5000), random_state=seed)
    known = None if labels is None else known_labels(x, None, labels)
    agreement = None if known is None else float(adjusted_rand_score(known[0], found.labels_))
    return Clusters(found.labels_, found.cluster_centers_, float(near), agreement)


def _between(function: str, name: str, value: int, least: int, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not least <= value <= most:
        raise ValueError(f"{function}: {name} must be a whole number in {least}..{most} for these data, got {value!r}")


# -------------------------------------------------------------------- maps


def map2d(features: Any, seed: int = 0, perplexity: float = 30) -> np.ndarray:
    """Positions (N,2) in a plane in which neighbours stay neighbours: t-SNE (van der Maaten and Hinton, JMLR 2008).

    PCA to 50 columns first, as its authors do, against noise and for speed. The perplexity, about how many neighbours
    an item has, is brought down to (N - 1) / 3 where items are few.

    Read it with care: only who is near whom means something. Distances between clusters, their sizes and their
    densities mean nothing; another seed or perplexity gives another map; clusters may show up in pure noise.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    x = rows(features, "features")
    if len(x) < 4 or not perplexity > 0:
        raise ValueError(f"map2d needs 4 items or more and a perplexity above 0, got {len(x)} and {perplexity}")
    if (x == x[0]).all():
        raise ValueError(f"map2d: all {len(x)} items are equal; there is nothing to map")
    x = PCA(min(50, *x.shape), random_state=seed).fit_transform(x)
    perplexity = min(perplexity, (len(x) - 1) / 3)
    start = "pca" if x.shape[1] > 1 else "random"
    with threadpool_limits(1):  # as above: on busy cores 26 s, not 0.7
        return TSNE(perplexity=perplexity, init=start, random_state=seed).fit_transform(x)


def draw_map(
    positions: Any, labels: Any, classes: Sequence[str], errors: Any = None, title: str = "", ax: Any = None
) -> Any:
    """A map of the items: each class in its colour and marker, errors ringed. Returns the matplotlib axes.

    positions  (N,2), as from map2d
    errors     (N,) bool, or the numbers of the items that the model got wrong
    ax         where to draw; a new figure if None
    """
    import matplotlib.pyplot as plt

    positions, labels = np.asarray(positions), np.asarray(labels)
    if positions.ndim != 2 or positions.shape[1] != 2 or labels.shape != (len(positions),):
        raise ValueError(
            f"draw_map: positions (N,2) and labels (N,) are expected, got {positions.shape} and {labels.shape}"
        )
    if ax is None:
        _, ax = plt.subplots(figsize=(6.4, 5.6), layout="constrained")
    for k, (name, marker) in enumerate(zip(classes, "os^Dv<>pPX*" * len(classes))):
        of = labels == k
        ax.plot(*positions[of].T, marker, color=f"C{k % 10}", ms=4, alpha=0.75, mew=0, label=f"{name} ({of.sum()})")
    if errors is not None:
        errors = np.asarray(errors)
        wrong = positions[errors if errors.dtype == bool else errors.astype(int)]
        ring = {"mfc": "none", "mec": plt.rcParams["text.color"], "ms": 9, "mew": 0.9, "label": f"error ({len(wrong)})"}
        ax.plot(*wrong.T, "o", **ring)
    ax.set(title=title, xticks=[], yticks=[], xlabel="who is near whom; the axes have no units")
    columns = 3 if sum(map(len, classes)) < 60 else 1
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.07), ncols=columns, frameon=False)
    return ax
