"""All that tinymed offers does on a GPU what it does on the CPU: numbers, dtypes, gradients, and where these are."""

from __future__ import annotations

import ast
import importlib.util
import itertools
from pathlib import Path
from types import FunctionType

import numpy as np
import pytest

import tinymed as tm
import tinymed.nn.functional as F
from tinymed import nn
from tinymed.nn import init, utils

_spec = importlib.util.spec_from_file_location("more_cases", Path(__file__).with_name("more_cases.py"))
more = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(more)


def drawn(samples):
    rng = np.random.default_rng(0)
    arrays = [rng.uniform(0.2, 0.9, s) if isinstance(s, tuple) else s for s in samples]
    return [a.astype(np.float32) if a.dtype.kind == "f" else a for a in arrays]


def flat(value):
    """The tensors and values inside tuples and lists."""
    return [v for one in value for v in flat(one)] if isinstance(value, tuple | list) else [value]


def done(make, samples, device):
    """{what: value}: the outputs, the gradients of all inputs and parameters, the buffers."""
    tm.manual_seed(0)
    call = make()
    module = call.to(device).float() if isinstance(call, nn.Module) else nn.Module()
    xs = [tm.tensor(a).to(device) for a in drawn(samples)]
    for x in xs:
        x.requires_grad_(x.is_floating_point())
    outputs = flat(call(*xs))
    rng = np.random.default_rng(1)
    for y in outputs:
        if isinstance(y, tm.Tensor) and y.requires_grad:
            y.backward(tm.tensor(rng.standard_normal(y.shape).astype(y.dtype)).to(device), retain_graph=True)
    return {
        **{f"output {k}": y for k, y in enumerate(outputs)},
        **{f"gradient of input {k}": x.grad for k, x in enumerate(xs)},
        **{f"gradient of {name}": p.grad for name, p in module.named_parameters()},
        **module.state_dict(),
    }


def alike(make, samples):
    """On the GPU all is what it is on the CPU, and is there."""
    want, got = done(make, samples, "cpu"), done(make, samples, "cuda")
    assert list(got) == list(want)
    for name, y in want.items():
        z = got[name]
        if isinstance(y, tm.Tensor):
            assert (z.device, z.dtype, z.shape) == ("cuda:0", y.dtype, y.shape), name
            close = {"rtol": 5e-3, "atol": 1e-3 * max(1, abs(y).max().item())}  # products are in TF32
            np.testing.assert_allclose(z.detach().cpu().numpy(), y.detach().numpy(), **close, err_msg=name)
        else:
            assert z == (pytest.approx(y, rel=1e-5) if isinstance(y, float) else y), name


def test_an_op(cp, op):
    expression, *samples = op
    if expression.__name__ != "dropped":  # a GPU's random numbers are others
        alike(lambda: expression, samples)


@pytest.mark.parametrize("name", more.OPS)
def test_more(cp, name):
    expression, *samples = more.OPS[name]
    alike(lambda: expression, samples)


def test_a_layer(cp, layer):
    name, args, kwargs, shape = layer
    alike(lambda: getattr(nn, name)(*args, **kwargs), [shape])


@pytest.mark.parametrize("name", more.MODULES)
def test_more_layers(cp, name):
    make, *samples = more.MODULES[name]
    alike(make, samples)


def test_a_loss(cp, loss):
    name, kwargs, *samples = loss
    made = {k: tm.tensor(v) if isinstance(v, np.ndarray) else v for k, v in kwargs.items()}
    alike(lambda: getattr(nn, name)(**made), samples)


def test_two_devices_are_refused(stand_in, cases):
    """One sentence says so, whichever operand is on the GPU; but indices, and what is copied, move by themselves."""
    moving = {"index", "mask", "index_select", "indices", "expand_as", "type_as", "copy_"}
    moving |= {name for name in more.OPS if name.startswith("set")}
    table = {name: row for name, row in (cases.OPS | more.OPS).items() if len(row) > 2}
    for (name, (expression, *samples)), first in itertools.product(table.items(), [True, False]):
        xs = [tm.tensor(a) for a in drawn(samples)]
        xs = [x.cuda() if (k == 0) == first else x for k, x in enumerate(xs)]
        if name in moving:
            expression(*xs)
        else:
            with pytest.raises(ValueError, match=r"two devices|is on (cpu|cuda:0), the"):
                expression(*xs)


@pytest.mark.parametrize("layer", [nn.Dropout(0.4), nn.Dropout2d(0.4)], ids=repr)
def test_dropout(cp, layer):
    x = tm.ones(20, 30, 2, 3).cuda().requires_grad_()
    y = layer(x)
    y.sum().backward()
    kept = y.detach().cpu().numpy()
    assert y.device == "cuda:0"
    assert set(np.unique(kept)) == {0.0, np.float32(1 / 0.6)}
    assert abs((kept == 0).mean() - 0.4) < 0.05
    np.testing.assert_array_equal(x.grad.cpu().numpy(), kept)


def test_every_public_name_is_among_them(cases):
    trees = [ast.parse(Path(file).read_text("utf-8")) for file in (more.__file__, cases.__file__)]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    named = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    for text in (n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)):
        named |= set(text.split())
    public = {name for name in vars(tm.Tensor) if name[0] != "_"} | {*F.__all__, *nn.__all__}
    for module in (tm, init, utils):
        public |= {name for name, f in vars(module).items() if isinstance(f, FunctionType) and name[0] != "_"}
    assert sorted(public - named) == []
