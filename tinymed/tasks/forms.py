"""The forms that data have: how those of one's own are read, and what of a case is shown."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tinymed.evaluation import fragments
from tinymed.tasks.config import Config

if TYPE_CHECKING:
    from tinymed.tasks.run import Run

TABLES = (".csv", ".parquet")


class Form(ABC):
    """What tables, pictures, signals and texts do each in their own way."""

    @abstractmethod
    def dataset(self, path: str, config: Config, like: Any = None) -> Any:
        """A labelled data set from a file or folder of one's own.

        like  of one to be judged by: what the training set's `classes` and `layout` are
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

    def dataset(self, path: str, config: Config, like: Any = None) -> Any:
        return _rows(path, config, like, missing="nan")

    def read(self, path: Path, run: Run) -> tuple[list[str], Any]:
        from tinymed.data import load_rows
        from tinymed.data.tabular import Layout

        if path.suffix not in TABLES:
            raise ValueError(f"{path}: the run reads tables of {len(run.columns)} measures; give a .csv file")
        named = Layout(run.config.label, "id", None, columns=run.columns, missing="nan")
        return load_rows(path, run.layout or named)

    def shown(self, x: Any, run: Run) -> str:
        return fragments.table_fragment(run.columns, x, run.typical)

    def told(self, shape: tuple[int, ...]) -> str:
        return f"rows of {shape[0]} measures"


class Pictures(Form):
    """Pictures: a folder of them with a subfolder for each class, or a table whose columns are pixels."""

    def dataset(self, path: str, config: Config, like: Any = None) -> Any:
        from tinymed.data import ImageFolder

        size = sizes(config.image_shape)
        if Path(path).is_dir():
            return ImageFolder(path, size, group=config.group or None, classes=None if like is None else like.classes)
        if size is None:
            raise ValueError(f"{path}: of which size are the pictures in its rows? Give image_shape, such as 28x28")
        return _rows(path, config, like, image_shape=size, normalize=True)

    def read(self, path: Path, run: Run) -> tuple[list[str], Any]:
        from tinymed.data import load_rows, read_picture

        if path.suffix not in TABLES:
            return [str(path)], read_picture(path, run.shape)[None]
        if run.layout is None:
            raise ValueError(f"{path}: the run reads {self.told(run.shape)}, not tables")
        return load_rows(path, run.layout)

    def shown(self, x: Any, run: Run) -> str:
        return fragments.picture_fragment(x)

    def told(self, shape: tuple[int, ...]) -> str:
        return f"pictures of {'x'.join(map(str, shape[1:]))}"


class Volumes(Form):
    """Volumes (1,D,H,W), in .npy files."""

    def dataset(self, path: str, config: Config, like: Any = None) -> Any:
        raise ValueError(f"{path}: volumes of your own are not read; take nodulemnist3d or generated-nodules")

    def read(self, path: Path, run: Run) -> tuple[list[str], Any]:
        x = _numbers(path)
        if x.size != np.prod(run.shape):
            raise ValueError(f"{path}: the run reads {self.told(run.shape)}, the file holds {x.shape}")
        return [str(path)], x.reshape(1, *run.shape).astype(np.float32)

    def shown(self, x: Any, run: Run) -> str:
        return fragments.volume_fragment(x)

    def told(self, shape: tuple[int, ...]) -> str:
        return f"volumes of {'x'.join(map(str, shape[1:]))}"


class Signals(Form):
    """Signals of one lead and one length: the rows of a table, or of an array in a .npy file."""

    def dataset(self, path: str, config: Config, like: Any = None) -> Any:
        from tinymed.data import LabelledDataset

        rows = _rows(path, config, like)
        made = LabelledDataset(rows.inputs.array[:, None], rows.labels, rows.classes, rows.source, groups=rows.groups)
        made.layout = rows.layout  # type: ignore[attr-defined]
        return made

    def read(self, path: Path, run: Run) -> tuple[list[str], Any]:
        from tinymed.data import load_rows

        if path.suffix in TABLES and run.layout is not None:
            names, x = load_rows(path, run.layout)
        elif path.suffix in (".npy", ".csv", ".txt"):
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

    def dataset(self, path: str, config: Config, like: Any = None) -> Any:
        from tinymed.data import load_texts

        classes = None if like is None else like.classes
        return load_texts(path, config.text, config.label, config.encoding, classes, group=config.group or None)

    def read(self, path: Path, run: Run) -> tuple[list[str], Any]:
        from tinymed.data import read_texts

        if path.suffix not in (".txt", *TABLES):
            raise ValueError(f"{path}: the run reads texts: a .txt file for each, or a column of a table")
        texts = read_texts(path, run.config.text, run.config.encoding)
        return [f"{path}, text {k}" if len(texts) > 1 else str(path) for k in range(1, len(texts) + 1)], texts

    def shown(self, x: Any, run: Run) -> str:
        return fragments.text_fragment(x)

    def told(self, shape: tuple[int, ...]) -> str:
        return f"texts of up to {shape[0]} tokens"


def _rows(path: str, config: Config, like: Any, **how: Any) -> Any:
    """A table of one's own, its numbers as they stand unless `how` says otherwise."""
    from tinymed.data import load_csv

    if Path(path).suffix not in TABLES:
        raise ValueError(f"{path}: expected a table, {' or '.join(TABLES)}")
    if like is not None:
        return load_csv(path, like=like.layout)
    how = {"normalize": False, **how}
    return load_csv(path, label=config.label, encoding=config.encoding, group=config.group or None, **how)


def _numbers(path: Path) -> np.ndarray:
    """The numbers of a .npy file, or of a text file of numbers apart by commas or blanks."""
    try:
        if path.suffix == ".npy":
            x = np.load(path, allow_pickle=False)
        else:
            x = np.loadtxt(path, delimiter="," if "," in path.read_text() else None)
    except ValueError as error:
        raise ValueError(f"{path} does not hold numbers alone: {error}") from None
    if x.dtype.kind not in "fiu" or not np.isfinite(x).all():
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
