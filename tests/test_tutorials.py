"""Every lesson runs as plain Python."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

LESSONS = sorted((Path(__file__).parent.parent / "tutorials").glob("*.py"))


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.stem)
def test_it_runs(lesson, tmp_path):
    environment = os.environ | {"MPLBACKEND": "Agg", "TINYMED_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, str(lesson)], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=110
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
