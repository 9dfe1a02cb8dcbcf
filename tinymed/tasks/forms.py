"""The forms that data have: how those of one's own are read, and what of a case is shown."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tinymed.data.prepare import Preparation
from tinymed.data.tabular import Layout
from tinymed.evaluation import fragments
from tinymed.tasks.config import Config

if TYPE_CHECKING:
    from tinymed.tasks.run import Run

TABLES = (".csv", ".parquet", ".pq")


class Form(ABC):
    """What tables, pictures, signals and texts do each in their own way.

    kind  what they are called
    keys  of those that tell how data of one's own are read, what is heeded
    """

    kind: str
    keys: tuple[str, ...] = ("test", "label", "group", "encoding")

    def prepare(self) -> Preparation | None:
        """What is fitted to the training part of data of one's own, where that is other than for the task's own."""
        return None

    @abstractmethod
    def dataset(self, path: str, config: Config, like: Any = None) -> Any:
        """A labelled data set from a file or folder of one's own.

        like  of one to be judged by: the training set, or the run, whose classes and columns or size it must have
        """

    @abstractmethod
    def read(self, path: Path, run: Run) -> tuple[list[str], Any]:
        """(names, x) of a file that nobody has labelled yet, x as it was before `run.prepared`."""

    @abstractmethod
    def shown(self, x: Any, run: Run) -> str:
        """One case as a piece of HTML."""

    @abstractmethod
    def told(self, shape: tuple[int, ...]) -> str:
        """What a case is, as in "pictures of 28x28"."""


class Tables(Form):
    """Rows of measures, in a CSV or Parquet file with a column of classes."""

    kind = "rows of measures"

    def dataset(self, path: str, config: Config, like: Any = None) -> Any:
        if like is not None and not like.classes:
            raise ValueError(f"{path}: the run tells a value, and tables of values of your own are not read")
        return _rows(path, config, like, missing="nan")

    def read(self, path: Path, run: Run) -> tuple[list[str], Any]:
        from tinymed.data import load_rows

        if path.suffix.lower() not in TABLES:
            raise ValueError(f"{path}: the run reads tables of {len(run.columns)} measures; give a .csv file")
        return load_rows(path, _layout(run, run.config, missing="nan"))

    def shown(self, x: Any, run: Run) -> str:
        return fragments.table_fragment(run.columns, x, run.typical)

    def told(self, shape: tuple[int, ...]) -> str:
        return f"rows of {shape[0]} measures"


class Pictures(Form):
    """Pictures: a folder of them with a subfolder for each class, or a table whose columns are pixels."""

    kind = "pictures"
    keys = (*Form.keys, "image_shape")

    def dataset(self, path: str, config: Config, like: Any = None) -> Any:
        from tinymed.data import ImageFolder

        size = sizes(config.image_shape) if like is None else (_shape(like)[-2], _shape(like)[-1])
        if Path(path).is_dir():
            try:
                group = re.compile(config.group) if config.group else None
            except re.error as error:
                raise ValueError(f"group: {config.group!r} is no regular expression: {error}") from None
            return ImageFolder(path, size, group=group, classes=None if like is None else like.classes)
        if size is None:
            raise ValueError(
                f"{path}: of which size are the pictures in its rows? Give image_shape, such as 28x28 (--image-shape)"
            )
        if like is not None and getattr(like, "layout", None) is None:
            raise ValueError(f"{path}: the run has learnt from no table; give a folder of pictures, one for each class")
        return _rows(path, config, like, image_shape=size, normalize=True)

    def read(self, path: Path, run: Run) -> tuple[list[str], Any]:
        from tinymed.data import load_rows, read_picture

        if path.suffix.lower() not in TABLES:
            return [str(path)], read_picture(path, run.shape)[None]
        if run.layout is None:
            raise ValueError(f"{path}: the run reads {self.told(run.shape)}, not tables")
        return load_rows(path, run.layout)

    def shown(self, x: Any, run: Run) -> str:
        return fragments.picture_fragment(x)

    def told(self, shape: tuple[int, ...]) -> str:
        return f"pictures of {'x'.join(map(str, shape[1:]))}"


class Volumes(Form):
    """Volumes (D,H,W) or (1,D,H,W), uint8 or floats in 0..1, in .npy files."""

    kind = "volumes"

    def dataset(self, path: str, config: Config, like: Any = None) -> Any:
        raise ValueError(f"{path}: volumes of your own are not read; take nodulemnist3d or generated-nodules")

    def read(self, path: Path, run: Run) -> tuple[list[str], Any]:
        x = _numbers(path)
        if x.shape not in (run.shape, run.shape[1:]):
            raise ValueError(f"{path}: the run reads {self.told(run.shape)}, the file holds {x.shape}")
        x = x / 255 if x.dtype == np.uint8 else x  # as NoduleMNIST3D's own file has them
        if x.min() < 0 or x.max() > 1:
            raise ValueError(f"{path}: numbers must be uint8, or lie in 0..1, got {x.dtype} {x.min():g}..{x.max():g}")
        return [str(path)], x.reshape(1, *run.shape).astype(np.float32)

    def shown(self, x: Any, run: Run) -> str:
        return fragments.volume_fragment(x)

    def told(self, shape: tuple[int, ...]) -> str:
        return f"volumes of {'x'.join(map(str, shape[1:]))}"


class Scale(Preparation):
    """y = (x − μ) / σ of signals (N,C,T): one mean and one deviation of all samples of the training part.

    So volts, millivolts and what a converter counts are learnt alike; but a run has learnt one of them. Raises
    ValueError for a spread of FAR times that of the training part, or as far below it: another unit.
    """

    FAR = 20
    kept = ("mean", "std")

    def fit(self, x: Any, y: Any = None, columns: Any = None) -> Scale:
        x = np.asarray(x)
        self.width, self.mean, self.std = x.shape[-1], float(x.mean()), float(x.std())
        if not self.std:
            raise ValueError(f"all samples of the {len(x)} signals are {self.mean:g}: there is nothing to learn")
        return self

    def __call__(self, x: Any) -> np.ndarray:
        x = np.asarray(x)
        spread = float(np.sqrt(((x - self.mean) ** 2).mean()))
        if not self.std / self.FAR <= spread <= self.std * self.FAR:
            raise ValueError(
                f"samples lie {spread:.3g} about {self.mean:.3g}, those of the training part {self.std:.3g}: "
                "give signals in the unit that was learnt from"
            )
        return ((x - self.mean) / self.std).astype(np.float32)


class Signals(Form):
    """Signals of one lead and one length: the rows of a table, or of an array in a .npy file."""

    kind = "signals"

    def prepare(self) -> Preparation:
        return Scale()

    def dataset(self, path: str, config: Config, like: Any = None) -> Any:
        from tinymed.data import LabelledDataset

        rows = _rows(path, config, like)
        if like is not None and rows.inputs.shape[1] != _shape(like)[-1]:
            raise ValueError(f"{path} holds signals of {rows.inputs.shape[1]} samples, expected {_shape(like)[-1]}")
        made = LabelledDataset(rows.inputs.array[:, None], rows.labels, rows.classes, rows.source, groups=rows.groups)
        made.layout, made.names = rows.layout, rows.names  # type: ignore[attr-defined]
        return made

    def read(self, path: Path, run: Run) -> tuple[list[str], Any]:
        from tinymed.data import load_rows

        suffix = path.suffix.lower()
        if suffix in TABLES and run.layout is not None:
            names, x = load_rows(path, run.layout)
        elif suffix in (".npy", ".csv", ".txt"):
            x = np.atleast_2d(_numbers(path))
            names = [f"{path}, signal {k}" for k in range(1, len(x) + 1)]
        else:
            raise ValueError(f"{path}: the run reads signals: rows of numbers in a .csv, .txt or .npy file")
        if x.ndim != 2 or x.shape[1] != run.shape[1]:
            raise ValueError(f"{path}: the run reads {self.told(run.shape)}, the file holds {x.shape}")
        return names, x[:, None].astype(np.float32)

    def shown(self, x: Any, run: Run) -> str:
        return fragments.signal_fragment(x)

    def told(self, shape: tuple[int, ...]) -> str:
        return f"signals of {shape[1]} samples"


class Texts(Form):
    """Texts: a column of a table, or a whole .txt file."""

    kind = "texts"
    keys = (*Form.keys, "text")

    def dataset(self, path: str, config: Config, like: Any = None) -> Any:
        from tinymed.data import load_texts

        classes = None if like is None else like.classes
        group = config.group or None
        made = load_texts(path, config.text, config.label, config.encoding or None, classes, group=group)
        made.names = [f"row {k}" for k in range(1, len(made) + 1)]  # type: ignore[attr-defined]
        return made

    def read(self, path: Path, run: Run) -> tuple[list[str], Any]:
        from tinymed.data import read_texts

        if path.suffix.lower() not in (".txt", *TABLES):
            raise ValueError(f"{path}: the run reads texts: a .txt file for each, or a column of a table")
        texts = read_texts(path, run.config.text, run.config.encoding or None)
        return [f"{path}, text {k}" if len(texts) > 1 else str(path) for k in range(1, len(texts) + 1)], texts

    def shown(self, x: Any, run: Run) -> str:
        return fragments.text_fragment(x)

    def told(self, shape: tuple[int, ...]) -> str:
        return f"texts of up to {shape[0]} tokens" if shape else "texts"


def _rows(path: str, config: Config, like: Any, **how: Any) -> Any:
    """A table of one's own, its numbers as they stand unless `how` says otherwise."""
    from tinymed.data import load_csv

    if Path(path).suffix.lower() not in TABLES:
        raise ValueError(f"{path}: expected a table, {' or '.join(TABLES)}")
    if like is not None:
        return load_csv(path, like=_layout(like, config, how.get("missing", "refuse")))
    about = {"label": config.label, "encoding": config.encoding or None, "group": config.group or None}
    return load_csv(path, **{"normalize": False, **about, **how})


def _shape(like: Any) -> tuple[int, ...]:
    """Of one item of a training set, or of what a run takes."""
    return like.shape if hasattr(like, "shape") else like.inputs.shape[1:]


def _layout(like: Any, config: Config, missing: str) -> Layout:
    """How a table is read that is like the training set, or like a run's; a run on named data has read no table."""
    layout = like.layout or Layout("", "id", None, columns=like.columns, classes=like.classes, missing=missing)
    return replace(layout, label=config.label, group=config.group or None, encoding=config.encoding or None)


def _numbers(path: Path) -> np.ndarray:
    """The numbers of a .npy file, or of a text file of numbers apart by commas or blanks."""
    try:
        if path.suffix.lower() == ".npy":
            with open(path, "rb") as stream:
                x = np.lib.format.read_array(stream, allow_pickle=False)
        else:
            text = path.read_text(encoding="utf-8-sig")
            x = np.loadtxt(text.splitlines(), delimiter="," if "," in text else None) if text.strip() else np.empty(0)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path} does not hold numbers alone: {error}") from None
    if x.dtype.kind not in "fiu" or not x.size or not np.isfinite(x).all():
        raise ValueError(f"{path}: expected finite numbers, got {x.dtype} {x.shape}")
    return x


def sizes(text: str) -> tuple[int, int] | None:
    """28x28 → (28, 28)"""
    if not text:
        return None
    parts = text.lower().split("x")
    if not all(part.isdigit() and int(part) for part in parts) or len(parts) != 2:
        raise ValueError(f"image_shape is HxW, such as 28x28, got {text!r}")
    return int(parts[0]), int(parts[1])


TABLE, PICTURE, VOLUME, SIGNAL, TEXT = Tables(), Pictures(), Volumes(), Signals(), Texts()
