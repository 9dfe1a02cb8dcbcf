"""tinymed step: the formulas of the article, number by number."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

if TYPE_CHECKING:
    from tinymed.teach import Trace

Make = Callable[["Given", Any], "Trace"]  # from what is given and the module tinymed.teach.trace
IMAGE = "1 2 3; 4 5 6; 7 8 9"  # of article 4.1.3


class Given:
    """What the user gave; for the rest the example's own numbers or, with a seed, random ones of the same shape."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options
        seed = options["seed"]
        self.random = None if seed is None else np.random.default_rng(seed)

    def __getitem__(self, name: str) -> Any:
        return self.options[name]

    def array(self, name: str, default: str | tuple[int, ...], low: int = -3, high: int = 9) -> np.ndarray:
        """The numbers of --name; a default that is a shape is always random."""
        text = self.options[name]
        if text is not None:
            return numbers(f"--{name}", text)
        if self.random is None and isinstance(default, str):
            return numbers(name, default)
        shape = numbers(name, default).shape if isinstance(default, str) else default
        drawn = self.random or np.random.default_rng(0)
        if isinstance(default, str):
            return drawn.integers(low, high, shape, endpoint=True).astype(float)
        return drawn.normal(0, 0.7, shape).round(1)

    def g(self, default: Any = 1.0) -> Any:
        """∂L/∂y, or None where the trace is not to go backwards."""
        if not self["backward"]:
            if self.options["g"] is not None:
                raise ValueError("--g is what comes back, so it goes with --backward; leave one of the two out")
            return None
        return default if self.options["g"] is None else numbers("--g", self.options["g"])


def numbers(name: str, text: str) -> np.ndarray:
    """ "1 2; 3 4" as [[1, 2], [3, 4]], and "1 2 3" as [1, 2, 3]; a last ; makes one row a matrix."""
    rows = [row.replace(",", " ").split() for row in text.split(";")]
    matrix = len(rows) > 1
    rows = rows[:-1] if matrix and not rows[-1] else rows
    try:
        values = [[float(word) for word in row] for row in rows]
    except ValueError as error:
        word = str(error).partition(": ")[2]
        raise ValueError(f'{name}: {word} is no number; write rows of numbers like "1 2 3; 4 5 6"') from None
    if not all(values):
        raise ValueError(f'{name}: row {[bool(row) for row in values].index(False) + 1} is empty; write "1 2; 3 4"')
    for k, row in enumerate(values):
        if len(row) != len(values[0]):
            raise ValueError(
                f"{name}: row {k + 1} has {len(row)} number(s) and row 1 has {len(values[0])}; "
                "give every row as many, with ; between rows"
            )
    return np.array(values if matrix else values[0])


# ---------------------------------------------------------------- the examples


def _conv(given: Given, trace: Any) -> Trace:
    x, w = given.array("x", IMAGE, 0), given.array("w", "1 0; 0 1", -1, 2)
    b = None if given["b"] is None else given.array("b", "0")
    return trace.conv2d(x, w, b, given["stride"] or 1, given["padding"] or 0, g=given.g())


def _pool(name: str) -> Make:
    def make(given: Given, trace: Any) -> Trace:
        x, window = given.array("x", IMAGE, 0), given["window"] or 2
        stride = given["stride"] or (1 if given["x"] is None else window)  # in the example windows overlap
        return getattr(trace, name)(x, window, stride, given["padding"] or 0, g=given.g())

    return make


def _matmul(given: Given, trace: Any) -> Trace:
    return trace.matmul(given.array("x", "1 2; 3 4"), given.array("w", "5 6; 7 8"), g=given.g())


def _fc(given: Given, trace: Any) -> Trace:
    x, w = given.array("x", "1 2 3"), np.atleast_2d(given.array("w", "1 0 -1; 2 1 0"))
    return trace.linear(x, w, given.array("b", f"{'0.5 ' * len(w)}"), g=given.g())


def _elementwise(name: str, x: str) -> Make:
    def make(given: Given, trace: Any) -> Trace:
        return getattr(trace, name)(given.array("x", x), g=given.g())

    return make


def _softmax(given: Given, trace: Any) -> Trace:
    x = given.array("x", "1 2 3")
    return trace.softmax(x, g=given.g(np.eye(x.shape[-1])[np.zeros(x.shape[:-1], int)]))  # L is y of class 0


def _cross_entropy(given: Given, trace: Any) -> Trace:
    x = given.array("x", "1 2 3")
    target = np.full(1 if x.ndim == 1 else len(x), x.shape[-1] - 1)
    if given["target"] is not None:
        classes = numbers("--target", given["target"])
        if (classes % 1).any() or classes.size != target.size:
            raise ValueError(f"--target: expected {target.size} whole number(s), a class for each row of --x")
        target = classes.astype(int)
    return trace.cross_entropy(x, target, g=given.g())


def _article_rnn(given: Given, trace: Any) -> Trace:
    x, w = given.array("x", "1 2 3"), np.atleast_2d(given.array("w", "1 1"))
    H = len(w)
    b = given.array("b", "1 " * H)
    return trace.article_rnn(x, np.zeros(H), w, b, np.full((1, H), 2.0), [1.0])  # it writes [h, h]: h counts twice


def _bptt(given: Given, trace: Any) -> Trace:
    x = given.array("x", "1 2 3")
    w = given.array("w", (2, _inputs(x) + 2))
    return trace.rnn(x, *_parts("rnn", 1, x, w, given), nonlinearity=given["nonlinearity"] or "tanh", g=given.g())


def _lstm(given: Given, trace: Any) -> Trace:
    x = given.array("x", "1 2")
    w = given.array("w", (4, _inputs(x) + 1))
    return trace.lstm(x, *_parts("lstm", 4, x, w, given), g=given.g())


def _inputs(x: np.ndarray) -> int:
    return 1 if x.ndim == 1 else x.shape[1]


def _parts(name: str, k: int, x: np.ndarray, w: np.ndarray, given: Given) -> tuple:
    """W_ih and W_hh, which stand side by side in w, and b."""
    w, inputs = np.atleast_2d(w), _inputs(x)
    H = len(w) // k
    if len(w) != k * H or w.shape[1] != inputs + H:
        size = "x".join(map(str, w.shape))
        raise ValueError(
            f"--w of {name} is [W_ih, W_hh] side by side: for {inputs} input number(s) and a state of {max(H, 1)} "
            f"it must be {k * max(H, 1)}x{inputs + max(H, 1)}, got {size}"
        )
    b = None if given["b"] is None else given.array("b", "0")
    if b is not None and b.shape != (len(w),):
        raise ValueError(f"--b of {name}: expected {len(w)} numbers, one for each row of --w, got {b.size}")
    return w[:, :inputs], w[:, inputs:], b


def _optimizer(name: str) -> Make:
    def make(given: Given, trace: Any) -> Trace:
        p = given.array("x", "1 -2")
        g = given["g"]
        gradients = np.atleast_2d(numbers("--g", g) if g is not None else np.outer([0.5, 0.2, -0.1], np.ones(len(p))))
        if gradients.shape[1] != p.size:
            raise ValueError(
                f"--g: each row is a gradient of --x and needs {p.size} number(s), got {gradients.shape[1]}"
            )
        rate, momentum = (own if given[of] is None else given[of] for of, own in (("lr", 0.1), ("momentum", 0.9)))
        return trace.sgd(p, gradients, rate, momentum) if name == "sgd" else trace.adam(p, gradients, rate)

    return make


def _graph(given: Given, trace: Any) -> Trace:
    import tinymed

    x, w = given.array("x", "1 2"), given.array("w", "3 4")
    if x.shape != w.shape:
        raise ValueError(f"graph: --x and --w are multiplied number by number; got shapes {x.shape} and {w.shape}")
    leaves = [tinymed.tensor(v, requires_grad=True) for v in (x, w)]
    return trace.backward(((leaves[0] * leaves[1]).sum() - 1) ** 2, x=leaves[0], w=leaves[1])


@dataclass(frozen=True)
class Example:
    """A formula by its names, the first of which is listed; where it stands; which options it takes."""

    names: tuple[str, ...]
    section: str
    about: str
    takes: tuple[str, ...]
    make: Make


BACK = "g", "backward"
CONV, POOL = ("x", "w", "b", "stride", "padding", *BACK), ("x", "window", "stride", "padding", *BACK)
EXAMPLES = [
    Example(("conv", "conv2d", "convolution"), "4.1.1", "convolution", CONV, _conv),
    Example(("maxpool", "max_pool2d"), "4.1.2", "max pooling, with --stride 1", POOL, _pool("max_pool2d")),
    Example(("avgpool", "avg_pool2d"), "4.1.2", "average pooling, with --stride 1", POOL, _pool("avg_pool2d")),
    Example(("matmul",), "", "matrix product", ("x", "w", *BACK), _matmul),
    Example(("fc", "linear"), "3.1.2", "fully connected layer", ("x", "w", "b", *BACK), _fc),
    Example(("relu",), "1.4.3", "ReLU", ("x", *BACK), _elementwise("relu", "-2 -0.5 0 1 3")),
    Example(("relu6",), "1.4.3", "ReLU6", ("x", *BACK), _elementwise("relu6", "-1 0 3 6 8")),
    Example(("sigmoid",), "4.2.1", "the sigmoid σ", ("x", *BACK), _elementwise("sigmoid", "-2 -1 0 1 2")),
    Example(("softmax",), "1.4.3", "softmax", ("x", *BACK), _softmax),
    Example(("crossentropy", "cross_entropy"), "3.1.2", "loss of classes", ("x", "target", *BACK), _cross_entropy),
    Example(("rnn", "article_rnn"), "4.2.3", "RNN, the article's form and numbers", ("x", "w", "b"), _article_rnn),
    Example(("bptt",), "4.2", "RNN, backwards through time", ("x", "w", "b", "nonlinearity", *BACK), _bptt),
    Example(("lstm",), "4.3", "LSTM with its gates", ("x", "w", "b", *BACK), _lstm),
    Example(("adam",), "5.2", "the optimiser Adam", ("x", "g", "lr"), _optimizer("adam")),
    Example(("sgd",), "", "gradient descent with momentum", ("x", "g", "lr", "momentum"), _optimizer("sgd")),
    Example(("graph", "backward"), "", "the graph of (Σ x·w − 1)², swept back", ("x", "w"), _graph),
]


def find(name: str) -> Example:
    """The example of that name. Raises ValueError with the nearest name."""
    names = {each: example for example in EXAMPLES for each in example.names}
    asked = name.lower().replace("-", "_")
    if asked in names:
        return names[asked]
    near = difflib.get_close_matches(asked, names, 1)
    raise ValueError(
        f"no formula is called {name!r}; {f'did you mean {near[0]}? ' if near else ''}`tinymed step` lists all"
    )


def _listing() -> None:
    click.echo("tinymed step NAME walks one of these (section of the article, if it has it):\n")
    for example in EXAMPLES:
        click.echo(f"  {example.names[0]:<14}{example.section or '-':<8}{example.about}")
    click.echo("\nAdd --html FILE for a page, --text to print all steps, -h for the options.")


def _refuse(context: click.Context, name: str, takes: tuple[str, ...]) -> None:
    """Options given to a formula that has no use for them."""
    flags = {"backward": "--backward/--no-backward"}
    for option in dict.fromkeys(each for example in EXAMPLES for each in example.takes):
        given = context.get_parameter_source(option) is not click.core.ParameterSource.DEFAULT
        if given and option not in takes:
            usable = ", ".join(flags.get(each, f"--{each}") for each in takes)
            cure = f"it takes {usable}" if takes else "name a formula first, such as conv"
            raise ValueError(f"{name} takes no {flags.get(option, f'--{option}')}; {cure}")


@click.command(short_help="Walk a formula, number by number.")
@click.argument("name", required=False)
@click.option("--x", metavar="NUMBERS", help="Input, of adam and sgd the parameters: rows end with ;")
@click.option("--w", metavar="NUMBERS", help="Kernel or weights; of bptt and lstm [W_ih, W_hh] side by side.")
@click.option("--b", metavar="NUMBERS", help="Bias.")
@click.option("--g", metavar="NUMBERS", help="What comes back, ∂L/∂y; of adam and sgd a gradient each row.")
@click.option("--target", metavar="NUMBERS", help="True class, counted from 0.")
@click.option("--window", type=click.IntRange(1), help="Side of the pooling window.  [default: 2]")
@click.option("--stride", type=click.IntRange(1), help="Step of the window.  [default: 1; pooling --x: the window]")
@click.option("--padding", type=click.IntRange(0), help="Border of zeros.  [default: 0]")
@click.option("--lr", type=float, help="Learning rate.  [the example's: 0.1]")
@click.option("--momentum", type=float, help="Of sgd.  [the example's: 0.9]")
@click.option("--nonlinearity", type=click.Choice(["tanh", "relu"]), help="Of bptt.  [default: tanh]")
@click.option("--backward/--no-backward", default=True, help="Go on with the gradients.  [default: yes]")
@click.option("--seed", type=click.IntRange(0), help="Random numbers instead of the example's.")
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Write a page for the browser.")
@click.option("--text", is_flag=True, help="Print all steps.")
@click.pass_context
def step(context: click.Context, name: str | None, html: Path | None, text: bool, **options: Any) -> None:
    """Walk a formula forwards and backwards: its line of code, its cells, its numbers. Without a name, list them.

    \b
    tinymed step conv
    tinymed step conv --x "1 2 3; 4 5 6; 7 8 9" --w "0 1; 2 0" --padding 1
    tinymed step lstm --html lstm.html
    """
    if name is None:
        _refuse(context, "the list of formulas", ())
        _listing()
        return
    example = find(name)
    _refuse(context, name, example.takes)
    from tinymed.teach import trace

    walked = example.make(Given(options), trace)
    if html is not None:
        click.echo(f"Written to {walked.save(html)}: open it in a browser")
    if text:
        walked.show()
    elif html is None:
        walked.play()
