"""The article's applications: data, what is fitted to them, models, recipes; one command runs each.

run, parts = tasks.train({"task": "ecg", "model": "lstm", "seed": 0})
print(tasks.judge(run, parts.test).figures["accuracy"])
"""

from tinymed.tasks.at_hand import at_hand
from tinymed.tasks.config import Config, read_config
from tinymed.tasks.findings import Findings, mine
from tinymed.tasks.judge import judge
from tinymed.tasks.learn import settled, train
from tinymed.tasks.pages import report
from tinymed.tasks.registry import TASKS, task_called
from tinymed.tasks.run import Run, load
from tinymed.tasks.task import Data, Model, Parts, Samples, Task

__all__ = [
    "TASKS", "Config", "Data", "Findings", "Model", "Parts", "Run", "Samples", "Task", "at_hand", "judge", "load",
    "mine", "read_config", "report", "settled", "task_called", "train",
]  # fmt: skip
