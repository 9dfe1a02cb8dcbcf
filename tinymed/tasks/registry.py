"""The tasks by name."""

from __future__ import annotations

from tinymed.nn.errors import nearest
from tinymed.tasks.breast_cytology import BREAST_CYTOLOGY
from tinymed.tasks.breast_ultrasound import BREAST_ULTRASOUND
from tinymed.tasks.diabetes import DIABETES
from tinymed.tasks.ecg import ECG
from tinymed.tasks.leukemia import LEUKEMIA
from tinymed.tasks.medical_text import MEDICAL_TEXT
from tinymed.tasks.mining import MINING
from tinymed.tasks.pneumonia import PNEUMONIA
from tinymed.tasks.task import Task

TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        BREAST_ULTRASOUND, BREAST_CYTOLOGY, DIABETES, PNEUMONIA, ECG, LEUKEMIA, MEDICAL_TEXT, MINING,
    )
}  # fmt: skip


def task_called(name: str) -> Task:
    """The task of this name. Raises ValueError, naming the nearest."""
    if name not in TASKS:
        raise ValueError(f"there is no task {name!r}{nearest(name, TASKS)}; there are {', '.join(TASKS)}")
    return TASKS[name]
