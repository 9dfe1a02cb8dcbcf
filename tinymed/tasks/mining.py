"""What do the data hold that nobody asked for? (article 2.2, data mining)

A network learns features from pictures; these are laid out on a map, grouped, searched for cases that are alike, far
from all others, or nearly the same. `tinymed mine` does it with any run.
"""

from __future__ import annotations

from dataclasses import replace

from tinymed.tasks.breast_ultrasound import BREAST_ULTRASOUND
from tinymed.tasks.pneumonia import PNEUMONIA

MAP = "A map of features shows who is near, not how far groups are apart. What is found depends on the network."
DATA = {**BREAST_ULTRASOUND.data, "pneumoniamnist": PNEUMONIA.data["pneumoniamnist"]}
LIMITS = {"breastmnist": BREAST_ULTRASOUND.limits, "pneumoniamnist": PNEUMONIA.limits}
MINING = replace(
    BREAST_ULTRASOUND,
    name="mining",
    section="2.2",
    question="What do pictures and their labels hold that nobody asked for?",
    data={name: replace(data, limits=f"{LIMITS[name]} {MAP}" if name in LIMITS else "") for name, data in DATA.items()},
    positive=("malignant", "pneumonia"),
    intended="Teaching what to look for in data before and after a model. Not a clinical device.",
    limits=MAP,
    mined=True,
)
