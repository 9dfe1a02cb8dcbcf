"""The `tinymed` command."""

from __future__ import annotations

import logging
import os
import sys
from typing import NoReturn

import click

import tinymed
from tinymed.cli.bench import bench
from tinymed.cli.data import data
from tinymed.cli.demo import demo
from tinymed.cli.doctor import doctor
from tinymed.cli.mine import mine
from tinymed.cli.runs import evaluate, predict, runs
from tinymed.cli.site import site
from tinymed.cli.step import step
from tinymed.cli.train import train
from tinymed.cli.tutorials import tutorials
from tinymed.cli.warmup import warmup
from tinymed.cli.words import in_options


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(tinymed.__version__, prog_name="tinymed")
def cli() -> None:
    """A deep-learning engine that a person can read from end to end.

    \b
    tinymed demo                         the article's examples and its network
    tinymed step conv                    walk a formula, number by number
    tinymed train --task ecg --out r     train on a task; its --help lists them
    tinymed evaluate r                   judge that run, and write its report
    tinymed predict --run r scan.png     what it says of pictures, tables, texts
    tinymed runs                         list the runs, compare two
    tinymed mine r                       copies, odd cases, groups in its data
    tinymed tutorials list               the lessons; `tutorials step 1` walks one
    tinymed site build -o site           the course as a site, without a network
    tinymed data list                    the data sets, and which are here
    tinymed bench cnn-train              time it beside PyTorch
    tinymed warmup                       compile the kernels now, not when needed
    tinymed doctor                       what this machine has

    It is for teaching, and not a clinical device.
    """
    if "TINYMED_BACKEND" in os.environ:
        tinymed.get_backend()  # refuses an unknown one before anything is printed; loads it, so not without need


for command in (demo, step, tutorials, site, train, evaluate, predict, runs, mine, data, bench, warmup, doctor):
    cli.add_command(command)


def main(arguments: list[str] | None = None) -> None:
    """Run the command; what the user got wrong, or has not installed, is one line and exit code 2; how to place missing
    data, some more.
    """
    log = logging.getLogger("tinymed")
    if not any(isinstance(handler, _Say) for handler in log.handlers):
        log.addHandler(_Say())
        log.setLevel(logging.INFO)
    try:
        cli.main(arguments, prog_name="tinymed", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as asked:
        click.echo(asked.format_message())
    except click.ClickException as error:
        _fail(error.format_message())
    except OSError as error:
        if error.filename and error.strerror:
            _fail(f"{error.filename}: {error.strerror.lower()}")
        _fail(str(error), lines=True)
    except (KeyboardInterrupt, click.Abort):  # Abort is a RuntimeError too
        click.echo("tinymed: stopped", err=True)
        sys.exit(130)
    except (ValueError, TypeError, IndexError, FloatingPointError, RuntimeError, ImportError) as error:
        _fail(str(error))


def _fail(message: str, lines: bool = False) -> NoReturn:
    message = in_options(message)
    click.echo(f"tinymed: {message if lines else ' '.join(message.split())}", err=True)
    sys.exit(2)


class _Say(logging.Handler):
    """What the library has to tell goes where complaints go."""

    def emit(self, record: logging.LogRecord) -> None:
        click.echo(f"tinymed: {record.getMessage()}", err=True)
