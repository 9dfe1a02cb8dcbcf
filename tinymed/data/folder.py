"""Pictures in folders, a folder for each class, as torchvision's ImageFolder."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from tinymed.data.dataset import ImageDataset
from tinymed.data.pictures import ENDINGS, is_dicom, read_picture, resize
from tinymed.data.tables import listed

LOG = logging.getLogger(__name__)
SPLITS = {  # and what their folders are called, in lower case
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
SYSTEM = ("thumbs.db", "desktop.ini", "__macosx")  # what Windows and macOS leave behind

Group = str | re.Pattern[str] | Callable[[str], str]


class ImageFolder(ImageDataset):
    """The pictures of `root`/class/…, all of them read into memory: images (N,1,H,W) float32 in [0,1].

        ImageFolder("ultrasound")  # ultrasound/benign/001.png, ultrasound/malignant/002.png, ...

    size     (H,W) to resize them to; None demands that all have the same size
    group    whose a picture is, such as the patient's number, from its path within the class folder: a regular
             expression, whose first bracket (else the whole match) is taken, as r"^(p[0-9]+)_", or a function
    classes  the names of the folders, in label order; None takes those that are there, sorted

    names    the paths of the pictures within root, in order: classes in turn, files sorted. Hidden files are
             passed over, folders in a class folder are searched; see `read_picture` for what can be read

    Raises FileNotFoundError where there is no such folder; ValueError, naming folder or file, for class folders
    that are empty, fewer than two, or not in `classes`, for files that are no pictures, for pictures of different
    sizes, and for a path that names no group.
    """

    def __init__(
        self,
        root: str | Path,
        size: tuple[int, int] | None = None,
        *,
        group: Group | None = None,
        classes: Sequence[str] | None = None,
        split: str | None = None,
    ) -> None:
        self.root = Path(root)
        found = class_folders(self.root)
        if classes is None:
            splits = _splits(root, found)
            if "train" in splits or len(splits) == len(found):
                raise ValueError(
                    f"{root} holds splits, not classes: load_image_folder({str(root)!r}, split={min(splits)!r})"
                )
            if len(found) < 2:
                raise ValueError(
                    f"{root} holds one folder, {found[0]!r}; give the folder that holds one for each class"
                )
        elif unknown := set(found) - set(classes):
            raise ValueError(f"{root} holds {listed(unknown)}, no classes of the training folder: {listed(classes)}")
        names = list(found if classes is None else classes)
        paths, labels = [], []
        for name in found:
            here = [path for path in sorted((self.root / name).rglob("*")) if path.is_file() and not self._hidden(path)]
            if not here:
                raise ValueError(f"{self.root / name} holds no pictures; remove the folder if the class has none")
            paths += here
            labels += [names.index(name)] * len(here)
        self.names = [path.relative_to(self.root).as_posix() for path in paths]
        if odd := [n for n, p in zip(self.names, paths) if p.suffix.lower() not in ENDINGS and not is_dicom(p)]:
            many = "1 file that is no picture" if len(odd) == 1 else f"{len(odd)} files that are no pictures"
            raise ValueError(f"{root} holds {many} by name: {listed(odd)}; move away what is none")
        groups = None if group is None else [_group(group, name.partition("/")[2], name) for name in self.names]
        images = _stack(paths, size)
        super().__init__(images, np.array(labels, np.int64), names, source=str(root), split=split, groups=groups)

    @property
    def class_to_idx(self) -> dict[str, int]:
        return {name: k for k, name in enumerate(self.classes)}

    def _hidden(self, path: Path) -> bool:
        return any(_is_hidden(part) for part in path.relative_to(self.root).parts)


def load_image_folder(
    root: str | Path, split: str | None = None, size: tuple[int, int] | None = None, *, group: Group | None = None
) -> ImageFolder:
    """The pictures of a folder of class folders, or of its subfolder train, val or test, where `split` names one.

    val and test take the classes, and their numbers, of train; see `ImageFolder` for the rest and the errors.
    Raises ValueError for a split that is not there, or twice.
    """
    root = Path(root)
    if split is None:
        return ImageFolder(root, size, group=group)
    found = _splits(root, class_folders(root))
    if split not in found:
        raise ValueError(f"{root} has no folder for the split {split!r}; it has {listed(found) if found else 'none'}")
    classes = class_folders(root / found["train"]) if "train" in found and split != "train" else None
    return ImageFolder(root / found[split], size, group=group, classes=classes, split=split)


def class_folders(root: str | Path) -> list[str]:
    """The names of the folders in `root`, sorted, hidden ones left out. Raises ValueError if there are none."""
    if not Path(root).is_dir():
        raise FileNotFoundError(f"{root} is no folder; give one that holds a folder of pictures for each class")
    found = sorted(path.name for path in Path(root).iterdir() if path.is_dir() and not _is_hidden(path.name))
    if not found:
        raise ValueError(f"{root} holds no folders; put the pictures of each class into a folder of its name")
    return found


def _splits(root: str | Path, folders: list[str]) -> dict[str, str]:
    """Which of these folders holds which split: {"train": "Training", ...}"""
    found: dict[str, str] = {}
    for split, names in SPLITS.items():
        here = [name for name in folders if name.lower() in names]
        if len(here) > 1:
            names_here = " and ".join(map(repr, here))
            raise ValueError(
                f"{root} holds {names_here} for the one split {split!r}: put their pictures into one folder"
            )
        found.update((split, name) for name in here)
    return found


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in SYSTEM


def _group(group: Group, path: str, name: str) -> str:
    """Whose the picture at `path` within its class folder is."""
    found: str | None
    if callable(group):
        found, how = group(path), "the function `group`"
    else:
        match, how = re.search(group, path), f"the pattern {re.compile(group).pattern}"
        found = match[min(1, match.re.groups)] if match else None
    if found is None or found == "":
        raise ValueError(f"{name}: {how} finds no group in {path!r}")
    return str(found)


def _stack(paths: list[Path], size: tuple[int, int] | None) -> np.ndarray:
    """The pictures as (N,1,H,W)."""
    images = [read_picture(path) for path in paths]
    if size is None:
        for path, image in zip(paths, images):
            if image.shape != images[0].shape:
                (h, w), (first_h, first_w) = image.shape[1:], images[0].shape[1:]
                raise ValueError(
                    f"{path} is {h}x{w}, but {paths[0]} is {first_h}x{first_w}: "
                    "give size=(H,W), to which all of them are resized"
                )
        return np.stack(images)
    others = sum(image.shape[1:] != tuple(size) for image in images)
    if others:
        LOG.info("%d of %d pictures resized to %dx%d", others, len(images), *size)
    return np.stack([image if image.shape[1:] == tuple(size) else resize(image, size) for image in images])
