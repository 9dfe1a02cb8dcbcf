"""Which data a lesson runs on: the real ones where they can be had, else generated ones, and it says so."""

from __future__ import annotations

from pathlib import Path

from tinymed.data import DataHashError, DataNotFoundError
from tinymed.tasks.registry import task_called


def at_hand(task: str, data: str = "", instead: str = "generated", data_home: str | Path | None = None) -> str:
    """The name of the data set `data` of a task (its first one, if "") if its files are here or can be fetched;
    else of the generated one to take `instead`. Prints which, and what is missing.
    """
    found = task_called(task)
    data = data or next(iter(found.data))
    try:
        found.parts(found.settle({"data": data}), None if data_home is None else Path(data_home))
    except (DataNotFoundError, DataHashError) as error:
        first, *_ = str(error).splitlines()
        print(f"{data} is not here: {first}\n`tinymed data fetch NAME` gets it, or tells what to place where.")
        print(f"So what follows runs on GENERATED data ({instead}): no patients.")
        return instead
    print(f"{data} is here: what follows runs on real data.")
    return data
