"""Run lessons as notebooks, several at a time, and keep what they show."""

from __future__ import annotations

import multiprocessing
import os
import re
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from tinymed.data.extras import needed
from tinymed.teach.lessons import Lesson, notebook

SECONDS = 300  # that one cell may take


def execute(made: Any, name: str) -> Any:
    """Run a notebook's cells in a kernel of their own, in an empty folder; the outputs go into the notebook.

    Raises RuntimeError with the lesson, the cell and the error for a cell that fails.
    """
    nbclient = needed("nbclient", "notebook")
    os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"  # a debugger that nobody uses would write warnings
    manager = needed("jupyter_client", "notebook").AsyncKernelManager(kernel_name="python3")
    with tempfile.TemporaryDirectory() as home:
        if os.name == "posix":  # sockets that are files: no network, not even the machine's own
            manager.transport, manager.ip = "ipc", f"{home}/socket"
        empty = Path(home, "here")
        empty.mkdir()
        client = nbclient.NotebookClient(
            made,
            km=manager,
            timeout=SECONDS,
            coalesce_streams=True,  # what is printed comes in pieces, cut where the clock says
            resources={"metadata": {"path": str(empty)}},
            extra_arguments=["--IPKernelApp.log_level=40"],
        )
        try:
            client.execute()
        except nbclient.exceptions.CellExecutionError as error:
            failed = next(cell.source for cell in made.cells if _failed(cell))
            raise RuntimeError(f"the lesson {name} stops: {error.ename}: {error.evalue}\nin\n{failed}") from None
        except nbclient.exceptions.CellTimeoutError:
            raise RuntimeError(f"a cell of the lesson {name} takes more than {SECONDS} s") from None
    for cell in made.cells:
        cell.metadata.pop("execution", None)  # when it ran, and where in memory things lay: other in every run
        for data in (output.get("data", {}) for output in cell.get("outputs", ())):
            if "text/plain" in data:
                data["text/plain"] = re.sub(r" at 0x[0-9a-f]+", "", data["text/plain"])
    return made


def _failed(cell: Any) -> bool:
    return any(output.output_type == "error" for output in cell.get("outputs", ()))


def outputs(lesson: Lesson) -> list[list[Any]]:
    """What each code cell of the lesson shows, in order."""
    made = execute(notebook(lesson.text, lesson.path), lesson.name)
    return [list(map(dict, cell.outputs)) for cell in made.cells if cell.cell_type == "code"]


def run(lessons: list[Lesson], jobs: int, say: Callable[[str], None]) -> dict[str, list[list[Any]]]:
    """{lesson: what each of its code cells shows}, `jobs` lessons at a time."""
    found: dict[str, list[list[Any]]] = {}
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(jobs, len(lessons) or 1), fresh, _quiet) as pool:
        running = {pool.submit(outputs, lesson): lesson for lesson in lessons}
        try:
            for done in as_completed(running):
                found[running[done].name] = done.result()
                say(f"[{len(found)}/{len(lessons)}] {running[done].name} has run")
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return found


def _quiet() -> None:
    """The environment of the kernels: no network; threads and the order of sets as in any other build."""
    os.environ.update(TINYMED_OFFLINE="1", PYTHONHASHSEED="0", TINYMED_NUM_THREADS="2")
