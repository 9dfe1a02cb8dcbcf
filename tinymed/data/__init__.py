"""Datasets, samplers and the DataLoader (as `torch.utils.data`), loaders of real data, generated data, and what is
fitted to data or drawn anew for each sample (`prepare`, `transforms`).
"""

from tinymed.data import prepare, transforms
from tinymed.data.abstracts import make_abstracts
from tinymed.data.annotations import Annotations, read_annotations
from tinymed.data.augmented import Augmented, Mixup, set_epoch
from tinymed.data.chest import make_chest_phantoms, make_nodules
from tinymed.data.dataset import Dataset, ImageDataset, LabelledDataset, Subset, TensorDataset, random_split
from tinymed.data.ecg5000 import load_ecg5000
from tinymed.data.folder import ImageFolder, load_image_folder
from tinymed.data.folds import apart, stratified_folds, stratified_split
from tinymed.data.generated import make_diabetes_table, make_drug_response, make_expression, make_subtypes
from tinymed.data.golub import load_golub
from tinymed.data.heartbeats import make_heartbeats
from tinymed.data.loader import DataLoader, default_collate
from tinymed.data.medmnist import load_breastmnist, load_nodulemnist3d, load_pneumoniamnist
from tinymed.data.mitbih import DS1, DS2, BeatDataset, cut_beats, load_mitbih
from tinymed.data.phantoms import make_breast_phantoms
from tinymed.data.pictures import read_picture
from tinymed.data.pima import load_pima
from tinymed.data.sampler import RandomSampler, SequentialSampler, WeightedRandomSampler, balanced_sampler
from tinymed.data.sources import DataHashError, DataNotFoundError, fetch, fetch_all, list_datasets
from tinymed.data.tabular import TableDataset, load_csv, load_rows, load_wisconsin, write_wisconsin_csv
from tinymed.data.text import TextDataset, load_medical_abstracts, load_texts, read_texts
from tinymed.data.vocabulary import CharTokenizer, Vocabulary, WordTokenizer
from tinymed.data.wfdb import Record, read_record

__all__ = [
    "DS1",
    "DS2",
    "Annotations",
    "Augmented",
    "BeatDataset",
    "CharTokenizer",
    "DataHashError",
    "DataLoader",
    "DataNotFoundError",
    "Dataset",
    "ImageDataset",
    "ImageFolder",
    "LabelledDataset",
    "Mixup",
    "RandomSampler",
    "Record",
    "SequentialSampler",
    "Subset",
    "TableDataset",
    "TensorDataset",
    "TextDataset",
    "Vocabulary",
    "WeightedRandomSampler",
    "WordTokenizer",
    "apart",
    "balanced_sampler",
    "cut_beats",
    "default_collate",
    "fetch",
    "fetch_all",
    "list_datasets",
    "load_breastmnist",
    "load_csv",
    "load_ecg5000",
    "load_golub",
    "load_image_folder",
    "load_medical_abstracts",
    "load_mitbih",
    "load_nodulemnist3d",
    "load_pima",
    "load_pneumoniamnist",
    "load_rows",
    "load_texts",
    "load_wisconsin",
    "make_abstracts",
    "make_breast_phantoms",
    "make_chest_phantoms",
    "make_diabetes_table",
    "make_drug_response",
    "make_expression",
    "make_heartbeats",
    "make_nodules",
    "make_subtypes",
    "prepare",
    "random_split",
    "read_annotations",
    "read_picture",
    "read_record",
    "read_texts",
    "set_epoch",
    "stratified_folds",
    "stratified_split",
    "transforms",
    "write_wisconsin_csv",
]  # fmt: skip
