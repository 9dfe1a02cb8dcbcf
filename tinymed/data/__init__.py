"""Datasets, samplers and the DataLoader (as `torch.utils.data`), loaders of real data, generated pictures."""

from tinymed.data.dataset import (
    Dataset,
    ImageDataset,
    LabelledDataset,
    Subset,
    TensorDataset,
    random_split,
)
from tinymed.data.loader import DataLoader, default_collate
from tinymed.data.medmnist import load_breastmnist, load_pneumoniamnist
from tinymed.data.phantoms import make_breast_phantoms
from tinymed.data.sampler import RandomSampler, SequentialSampler, WeightedRandomSampler
from tinymed.data.sources import DataHashError, DataNotFoundError, fetch, list_datasets
from tinymed.data.tabular import TableDataset, load_csv, load_rows, load_wisconsin, write_wisconsin_csv

__all__ = [
    "DataHashError",
    "DataLoader",
    "DataNotFoundError",
    "Dataset",
    "ImageDataset",
    "LabelledDataset",
    "RandomSampler",
    "SequentialSampler",
    "Subset",
    "TableDataset",
    "TensorDataset",
    "WeightedRandomSampler",
    "default_collate",
    "fetch",
    "list_datasets",
    "load_breastmnist",
    "load_csv",
    "load_pneumoniamnist",
    "load_rows",
    "load_wisconsin",
    "make_breast_phantoms",
    "random_split",
    "write_wisconsin_csv",
]
