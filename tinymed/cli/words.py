"""What is printed: the library's advice in the command's words, figures, and names from somebody's file."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

OPTIONS = {  # what the library calls an argument, and what the command does
    r'\bencoding="([\w-]+)"': r"--encoding \1",
    r"\b([Gg])ive image_shape\b": r"\1ive --image-shape",
    r"\bimage_shape \((\d+), (\d+)\)": r"--image-shape \1x\2",
    r"\bgive size=\(H,W\)": "give --image-shape HxW",
    r"\bgive test\b": "give --test",
    r"\bCharTokenizer does\b": "--tokens char does",
    r',? or read the file with missing="nan"': "",
    r"^(choose_threshold|compare|Evaluation): ": "",
}


def in_options(message: str) -> str:
    """A message of the library, its cure as options of the command."""
    for pattern, told in OPTIONS.items():
        message = re.sub(pattern, told, message)
    return message


def figures(told: Any) -> str:
    """An evaluation or a comparison, line by line; why several have no interval stands once, below. No 0 has a sign."""
    text = re.sub(r"-(0\.000)(?!\d)", r"\1", str(told))
    why = Counter(re.findall(r"\(no interval: (.*)\)$", text, re.MULTILINE))
    for mark, reason in enumerate((reason for reason, n in why.items() if n > 1), 1):
        text = text.replace(f"(no interval: {reason})", f"(no interval, see {mark})") + f"\n{mark}: {reason}"
    return text


def shown(name: str) -> str:
    """A name from somebody's file as one line, and with nothing that a terminal would obey."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name)
