"""A trace in the terminal, walked with the arrow keys.

`frame(trace, k)` is the picture after k steps; it depends on nothing else, so a step back is the picture before.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress

import click
from rich.console import Console
from rich.live import Live
from rich.text import Text

from tinymed.teach.frame import frame
from tinymed.teach.steps import Trace

KEYS = {
    "next": ("\x1b[C", "\x1bOC", "\xe0M", "\x00M", " ", "\r", "\n", "n"),
    "back": ("\x1b[D", "\x1bOD", "\xe0K", "\x00K", "\x7f", "b"),
    "next result": ("\x1b[B", "\x1bOB", "\x1b[6~", "\xe0P", "\x00P", "\xe0Q", "\x00Q"),
    "previous result": ("\x1b[A", "\x1bOA", "\x1b[5~", "\xe0H", "\x00H", "\xe0I", "\x00I"),
    "first": ("\x1b[H", "\x1bOH", "\x1b[1~", "\xe0G", "\x00G"),
    "last": ("\x1b[F", "\x1bOF", "\x1b[4~", "\xe0O", "\x00O"),
    "quit": ("q", "Q", "\x1b", "\x03", "\x04"),  # the last two are Ctrl-C and Ctrl-D
    "help": ("?", "h"),
}
KEY = r"\x1b\[[0-9;]*[A-Za-z~]|\x1bO.|[\x00\xe0].|."
ACTS = {key: act for act, keys in KEYS.items() for key in keys}
HELP = """\
← →                   one step back, one step on (also b and n)
↑ ↓  PageUp PageDown  the previous result, the next result
Home End              before the first step, after the last
16 Enter              to step 16 (also g 16 Enter)
q                     leave

[14]  written now
(5)   read now
5'    read before, for the same result
·     not yet written
"""


def play(trace: Trace, keys: Iterable[str] | None = None, console: Console | None = None) -> int:
    """Walk the trace until q; return how many steps had then been done.

    keys  what was pressed, instead of the keyboard. Where nobody can press any, the steps are printed.
    """
    if keys is None and not (sys.stdin.isatty() and sys.stdout.isatty()):
        trace.show()
        return len(trace)
    console = console or Console()
    k, typed, helping = min(1, len(trace)), "", False
    screen = Live(console=console, screen=keys is None, auto_refresh=False)
    pressing = _keyboard() if keys is None else nullcontext(keys)
    with suppress(KeyboardInterrupt, EOFError), pressing as pressed, screen as live:
        live.update(frame(trace, k), refresh=True)
        for key in pressed:
            act = ACTS.get(key, "")
            if key == "g" or key.isdecimal() or (typed and key in "\x7f\b"):
                typed = "g" if key == "g" else typed[:-1] if key in "\x7f\b" else typed + key
            elif typed and key in "\r\n":
                k, typed = min(int(typed.strip("g") or k), len(trace)), ""
            elif act == "quit" and not helping:
                break
            else:
                k, typed = move(trace, k, act), ""
            helping = act == "help" and not helping
            below = f"to step {typed.strip('g')}_   (Enter)" if typed else ""
            live.update(Text(HELP) if helping else frame(trace, k, below), refresh=True)
    return k


@contextmanager
def _keyboard() -> Iterator[Iterable[str]]:
    """The keys as they are pressed, those too that come while a frame is drawn: click.getchar drops them."""
    try:
        import termios
        import tty
    except ImportError:  # on Windows click.getchar drops nothing
        yield _keys(click.getchar)
        return
    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    tty.setcbreak(terminal, termios.TCSADRAIN)
    mode = termios.tcgetattr(terminal)
    mode[tty.LFLAG] &= ~termios.ISIG  # Ctrl-C is a key
    termios.tcsetattr(terminal, termios.TCSADRAIN, mode)
    try:
        yield _keys(lambda: os.read(terminal, 4096).decode(errors="replace"))
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def _keys(read: Callable[[], str]) -> Iterator[str]:
    for text in iter(read, ""):
        yield from re.findall(KEY, text, re.DOTALL)  # a key held down comes in several at a time


def move(trace: Trace, k: int, act: str) -> int:
    """Where an act leads to from k steps."""
    n, begins = len(trace), [start + 1 for start in trace.starts()]
    to = {
        "next": k + 1,
        "back": k - 1,
        "next result": min((b for b in begins if b > k), default=n),
        "previous result": max((b for b in begins if b < k), default=0),
        "first": 0,
        "last": n,
    }
    return min(max(to.get(act, k), 0), n)
