"""Every lesson runs as plain Python, and its Chinese twin is the same program."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tinymed.teach.lessons import cells

LESSONS = sorted((Path(__file__).parent.parent / "tutorials").glob("*.py"))


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.stem)
def test_it_runs(lesson, tmp_path):
    environment = os.environ | {"MPLBACKEND": "Agg", "TINYMED_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, str(lesson)], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=110
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


@pytest.mark.parametrize("twin", sorted((LESSONS[0].parent / "zh").glob("*.py")), ids=lambda path: path.stem)
def test_the_chinese_twin_has_the_same_code(twin):
    """So it need not run as well, and a page shows what the English one printed."""
    english = cells((twin.parent.parent / twin.name).read_text(encoding="utf-8"))
    chinese = cells(twin.read_text(encoding="utf-8"))
    assert [(c.kind, c.tags) for c in chinese] == [(c.kind, c.tags) for c in english]
    for ours, theirs in zip(chinese, english):
        if ours.kind == "code":
            assert ours.text == theirs.text
        else:
            assert re.search("[\u4e00-\u9fff]", ours.text) or not re.search("[a-z]{3}", theirs.text), "not translated"
