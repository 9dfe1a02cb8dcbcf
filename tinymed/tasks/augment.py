"""Augmentations by name, with the strengths that suit small pictures and single beats."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinymed.data import transforms
from tinymed.data.augmented import Augmented, Mixup
from tinymed.nn.errors import nearest
from tinymed.tasks.config import Config, names
from tinymed.tasks.forms import PICTURE, SIGNAL, TEXT, VOLUME, Form

NAMES: dict[str, Callable[[], Any]] = {
    "flip": lambda: transforms.RandomHorizontalFlip(),
    "rotate": lambda: transforms.RandomRotation(10),
    "shift": lambda: transforms.RandomAffine(0, translate=(0.1, 0.1)),
    "crop": lambda: transforms.RandomCrop(None, padding=2, fill=None),
    "contrast": lambda: transforms.ColorJitter(brightness=0.2, contrast=0.2),
    "noise": lambda: transforms.GaussianNoise(sigma=0.03),
    "signal-noise": lambda: transforms.GaussianNoise(sigma=0.05, clip=False),
    "signal-shift": lambda: transforms.RandomShift(4),
    "signal-scale": lambda: transforms.RandomScale((0.9, 1.1)),
}


FOR = {
    PICTURE: ("flip", "rotate", "shift", "crop", "contrast", "noise"),
    VOLUME: ("noise",),
    SIGNAL: ("signal-noise", "signal-shift", "signal-scale"),
}


def check_augment(config: Config, form: Form) -> None:
    """Refuse what cannot be drawn or mixed of cases of this form."""
    for name in names(config.augment):
        if name not in NAMES:
            raise ValueError(f"augment: there is no {name!r}{nearest(name, NAMES)}; there are {', '.join(NAMES)}")
        if name not in FOR.get(form, ()):
            raise ValueError(f"augment: {name!r} is not for {form.kind}; {', '.join(FOR.get(form, ('nothing',)))} is")
    if config.mixup and form is TEXT:
        raise ValueError("mixup: words cannot be mixed")


def augmented(dataset: Any, config: Config, classes: int) -> Any:
    """The data set with what `augment` names drawn anew for each sample of each epoch, then mixed in pairs."""
    if drawn := [NAMES[name]() for name in names(config.augment)]:
        dataset = Augmented(dataset, transforms.Compose(drawn), config.seed)
    if config.mixup:
        dataset = Mixup(dataset, config.mixup, classes, config.seed)
    return dataset
