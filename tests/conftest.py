"""Shared by all tests of ops: one expression, computed by tinymed and by PyTorch, must agree."""

from __future__ import annotations

import numpy as np
import pytest

import tinymed
import tinymed.nn
import tinymed.nn.functional
from tinymed.gradcheck import gradcheck

TOLERANCE = {np.float64: 1e-6, np.float32: 1e-3}


def _several(found):
    return [y for y in (found if isinstance(found, tuple | list) else [found]) if hasattr(y, "dtype")]


@pytest.fixture
def as_torch():
    """check(fn, *samples): fn(tinymed, *tensors) against fn(torch, *tensors), values and gradients.

    A sample is a shape (normal numbers are drawn) or an array; arrays of integers and bools have no gradient.
    The cotangent is random; both float dtypes are tried; with `numeric`, gradcheck runs too.
    """
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")

    def check(fn, *samples, numeric=True, dtypes=(np.float64, np.float32), seed=0):
        rng = np.random.default_rng(seed)
        drawn = [np.asarray(rng.standard_normal(s)) if isinstance(s, tuple) else np.asarray(s) for s in samples]
        for dtype in dtypes:
            close = {"rtol": TOLERANCE[dtype], "atol": TOLERANCE[dtype]}
            arrays = [a.astype(dtype) if a.dtype.kind == "f" else a for a in drawn]
            ours = [tinymed.tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]
            theirs = [torch.tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]
            got, want = _several(fn(tinymed, *ours)), _several(fn(torch, *theirs))
            assert len(got) == len(want)
            loss, oracle = 0, 0
            for y, z in zip(got, want):
                assert y.shape == tuple(z.shape)
                assert str(y.dtype) == str(z.dtype).removeprefix("torch.")
                np.testing.assert_allclose(y.detach().numpy(), z.detach().numpy(), **close)
                if z.requires_grad:  # what is flat, such as floor, has in tinymed no gradient instead of 0
                    g = rng.standard_normal(y.shape).astype(dtype)
                    oracle = oracle + (z * torch.tensor(g)).sum()
                    loss = loss + (y * tinymed.tensor(g)).sum()
            if differentiable := isinstance(oracle, torch.Tensor):
                oracle.backward()
                if loss.requires_grad:
                    loss.backward()
            for k, (x, t) in enumerate(zip(ours, theirs)):
                if t.grad is not None:
                    gradient = 0 if x.grad is None else x.grad.numpy()
                    np.testing.assert_allclose(gradient, t.grad.numpy(), **close, err_msg=f"input {k}")
        if numeric and differentiable:
            leaves = [tinymed.tensor(a, requires_grad=t.grad is not None) for a, t in zip(drawn, theirs)]
            assert gradcheck(lambda *xs: fn(tinymed, *xs), leaves)

    return check
