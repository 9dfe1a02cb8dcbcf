"""Ops, losses and networks on a GPU: as on the CPU, and, recorded in a CUDA graph, with no wait and no host's array.

The stand-in refuses to wait while it records: for a number, a mask's count, or a copy from or to the host.
"""

from __future__ import annotations

import numpy as np
import pytest

import tinymed
import tinymed.nn.functional as F
from tinymed import cuda, nn


def normal(*shape):
    return tinymed.tensor(np.random.default_rng(shape).standard_normal(shape).astype(np.float32))


def positive(*shape):
    return tinymed.tensor(np.random.default_rng(shape).random(shape).astype(np.float32) + 0.1)


CLASSES = tinymed.tensor([2, 0, 1, -100])
OPS = {  # a function of tensors, the first of which has a gradient
    "permute": (lambda x: x.permute(2, 0, 1), normal(2, 3, 4)),
    "cat": (lambda x, y: tinymed.cat([x, y, x], 1), normal(2, 3), normal(2, 1)),
    "where": (lambda x: tinymed.where(x > 0, x, 2.0), normal(2, 3)),
    "where of numbers": (lambda x: x * tinymed.where(x > 0, 1, 0.5), normal(2, 3)),
    "masked_fill": (lambda x: x.masked_fill(x < 0, -1), normal(2, 3)),
    "tril": (lambda x: x.tril(), normal(3, 4)),
    "max": (lambda x: x.max(1).values, normal(3, 4)),
    "amax": (lambda x: x.amax(0), normal(3, 4)),
    "amin": (lambda x: x.amin(), normal(3, 4)),
    "gather": (lambda x, at: x.gather(1, at), normal(2, 3), tinymed.tensor([[0, 0], [2, 1]])),
    "picked twice": (lambda x, at: x[at], normal(3, 2), tinymed.tensor([1, 1, 0])),
    "sort": (lambda x: x.sort(1, descending=True).values, normal(3, 4)),
    "std": (lambda x: x.std(0), normal(3, 4)),
    "prod": (lambda x: x.prod(), normal(5)),
    "cumsum": (lambda x: x.cumsum(0), normal(5)),
    "pow": (lambda x: x**3, normal(5)),
    "clamp": (lambda x: x.clamp(-0.5, 1), normal(5)),
    "elu": (F.elu, normal(5)),
    "sigmoid": (F.sigmoid, normal(5)),
    "softplus": (F.softplus, normal(5)),
    "leaky_relu": (F.leaky_relu, normal(5)),
    "pad": (lambda x: F.pad(x, (1, -1, 0, 2)), normal(2, 3)),
    "like it": (lambda x: x + x.new_zeros(3) + tinymed.ones_like(x), normal(2, 3)),
    "linear": (F.linear, normal(4, 3), normal(2, 3), normal(2)),
    "matmul of a stack": (lambda x, y: x @ y.transpose(1, 2), normal(2, 3, 4), normal(2, 5, 4)),
    "avg_pool2d": (lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False), normal(2, 3, 5, 6)),
    "max_pool2d": (lambda x: F.max_pool2d(x, 2), normal(2, 3, 5, 6)),
    "layer_norm": (lambda x: F.layer_norm(x, (4,)), normal(3, 4)),
    "embedding": (lambda w, at: F.embedding(at, w, 0), normal(4, 3), tinymed.tensor([[1, 1], [0, 3]])),
    "attention": (lambda q: F.scaled_dot_product_attention(q, q, q + 1, is_causal=True), normal(2, 3, 4)),
    "one_hot": (lambda x, t: x * F.one_hot(t, 3), normal(2, 3), tinymed.tensor([2, 0])),
    "a number like it": (lambda x: x[:, None].new_zeros(()) + x, normal(3)),
    "mse": (F.mse_loss, normal(4, 3), normal(4, 3)),
    "smooth l1": (F.smooth_l1_loss, normal(4, 3), normal(4, 3)),
    "bce": (F.binary_cross_entropy, positive(4) / 2, positive(4) / 2),
    "bce with logits": (F.binary_cross_entropy_with_logits, normal(4), positive(4) / 2),
    "weighed bce with logits": (
        lambda x, t, p: F.binary_cross_entropy_with_logits(x, t, pos_weight=p), normal(4), positive(4) / 2, positive(1),
    ),
    "cross entropy": (F.cross_entropy, normal(4, 3), CLASSES),
    "weighed cross entropy": (F.cross_entropy, normal(4, 3), CLASSES, positive(3)),
    "smoothed cross entropy": (lambda x, t: F.cross_entropy(x, t, label_smoothing=0.1), normal(4, 3), CLASSES),
    "cross entropy of images": (lambda x, t: F.cross_entropy(x, t, reduction="sum"), normal(4, 3, 2), CLASSES[:, None]
                                .expand(4, 2)),
    "nll": (F.nll_loss, normal(4, 3), CLASSES),
    "kl_div": (F.kl_div, normal(4, 3), positive(4, 3)),
}  # fmt: skip


def first(y):
    """What a recurrent layer gives besides its states."""
    return y[0] if isinstance(y, tuple) else y


NETWORKS = {  # what makes it, and its input
    "convolutions": (
        lambda: [
            nn.Conv2d(1, 4, 3, padding=1), nn.ReLU6(), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4),
            nn.ReLU(), nn.AvgPool2d(2), nn.Dropout2d(0.5), nn.Flatten(), nn.Linear(4, 2),
        ],
        normal(3, 1, 8, 8),
    ),
    "rows": (
        lambda: [
            nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3), nn.Sigmoid(), nn.Tanh(),
            nn.LogSoftmax(1),
        ],
        normal(5, 6),
    ),
    "RNN": (lambda: [nn.RNN(3, 4, 2, dropout=0.5)], normal(5, 2, 3)),
    "LSTM": (lambda: [nn.LSTM(3, 4, bidirectional=True, batch_first=True)], normal(5, 2, 3)),
    "GRU": (lambda: [nn.GRU(3, 4, bias=False)], normal(5, 2, 3)),
    "cells": (lambda: [nn.LSTMCell(3, 4)], normal(5, 3)),
}  # fmt: skip


def results(function, tensors):
    """What comes out and the first tensor's gradient."""
    x = tensors[0].detach().clone().requires_grad_()
    y = function(x, *tensors[1:])
    (y * y).sum().backward()
    return y, x.grad


def replayed(function):
    """function's tensors, computed by the replay of a graph that recorded it."""
    function()
    graph = cuda.CUDAGraph()
    with cuda.graph(graph):
        kept = function()
    graph.replay()
    return kept


@pytest.mark.parametrize("name", OPS)
def test_an_op_is_the_cpus_at_once_and_replayed(cp, name):
    function, *tensors = OPS[name]
    want = results(function, tensors)
    on_gpu = [t.cuda() for t in tensors]
    for got in (results(function, on_gpu), replayed(lambda: results(function, on_gpu))):
        for a, b in zip(got, want, strict=True):
            assert (a.device, a.dtype) == ("cuda:0", b.dtype)
            np.testing.assert_allclose(a.detach().cpu().numpy(), b.detach().numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_waits_for_nothing(cp, name):
    layers, x = NETWORKS[name]
    tinymed.manual_seed(0)
    model, x = nn.Sequential(*layers()).cuda(), x.cuda()

    def step():
        model.zero_grad()
        loss = (first(model(x)) ** 2).mean()
        loss.backward()
        return [loss, *(p.grad for p in model.parameters())]

    for result in replayed(step):
        assert np.isfinite(result.detach().cpu().numpy()).all()


def test_numbers_are_checked_at_once_and_not_while_recording(cp):
    x, wrong = normal(2, 3).cuda(), tinymed.tensor([1, 3]).cuda()
    with pytest.raises(IndexError, match=r"class 3 at \[1\] is outside 0…2"):
        F.cross_entropy(x, wrong)
    with pytest.raises(ValueError, match=r"targets must lie in 0…1, got 3.0 at \[1\]"):
        F.binary_cross_entropy_with_logits(x[:, 0], wrong.float())
    with pytest.raises(IndexError, match=r"embedding: index 3 at \[1\] is outside"):
        F.embedding(wrong, x[:, :2].transpose(0, 1)[:2])
    graph = cuda.CUDAGraph()
    with cuda.graph(graph):
        loss = F.cross_entropy(x.requires_grad_(), wrong, reduction="none")
        loss.sum().backward()
    graph.replay()
    for numbers in (loss.tolist(), x.grad.sum(1).tolist()):
        assert np.isnan(numbers).tolist() == [False, True]


def test_a_target_on_another_device_is_named(cp):
    with pytest.raises(ValueError, match=r'on cuda:0, the target on cpu; move it: target.to\("cuda:0"\)'):
        F.cross_entropy(normal(2, 3).cuda(), tinymed.tensor([1, 2]))


def test_writing_in_place(cp):
    x = tinymed.zeros(2, 3).cuda()
    x += 1
    x[0] = 5
    x.copy_(x * 2)
    assert x.tolist() == [[10] * 3, [2] * 3]
    x.copy_(tinymed.ones(2, 3))
    assert (x.device, x.tolist()) == ("cuda:0", [[1] * 3] * 2)
    assert 0 < x.uniform_().sum().item() < 6
    assert tinymed.rand_like(x).device == x.device


def test_counts_of_windows_are_sent_once(stand_in, monkeypatch):
    sent = []
    asarray = stand_in.asarray
    monkeypatch.setattr(stand_in, "asarray", lambda *a, **k: sent.append(a) or asarray(*a, **k))
    x = normal(1, 2, 9, 11).cuda()
    sent.clear()
    for _ in range(3):
        F.avg_pool2d(x, 5, 3, 2, count_include_pad=False)
    assert len(sent) == 1


# ---------------------------------------------------------------- pinned memory, and the stand-in's pools


def test_pinned_memory(stand_in):
    x = normal(3, 4)
    y = x.pin_memory()
    assert (x.is_pinned(), y.is_pinned(), y[1:].is_pinned(), y.pin_memory() is y) == (False, True, True, True)
    assert y.tolist() == x.tolist()
    assert tinymed.zeros(0, 3).pin_memory().shape == (0, 3)
    assert tinymed.tensor(True).pin_memory().item() is True
    with pytest.raises(ValueError, match="pin_memory: the memory of the CPU is pinned, but the tensor is on cuda:0"):
        x.cuda().pin_memory()


@pytest.mark.parametrize(
    ("pinned", "non_blocking", "late"),
    [(False, False, False), (False, True, False), (True, False, False), (True, True, True)],
)
def test_who_writes_to_pinned_memory_too_early_is_seen(stand_in, pinned, non_blocking, late):
    x = normal(3, 4)
    x, numbers = x.pin_memory() if pinned else x.clone(), x.tolist()
    y = x.to("cuda", non_blocking=non_blocking)
    event = stand_in.cuda.get_current_stream().record()
    assert event.done is not late
    x.zero_()
    assert y.tolist() == (np.zeros((3, 4)).tolist() if late else numbers)
    assert event.done


@pytest.mark.parametrize(
    "come",
    [
        lambda cp, y, event: cp.cuda.get_current_stream().synchronize(),
        lambda cp, y, event: cp.cuda.Device().synchronize(),
        lambda cp, y, event: event.synchronize(),
        lambda cp, y, event: y + 1,
        lambda cp, y, event: cp.ones(1).item(),
    ],
    ids=["stream", "device", "event", "op", "item"],
)
def test_a_copy_from_pinned_memory_is_made_when_it_is_waited_for(stand_in, come):
    x = tinymed.ones(3).pin_memory()
    y = stand_in.asarray(x.array)
    event = stand_in.cuda.get_current_stream().record()
    with stand_in.cuda.Stream() as other:
        other.synchronize()  # it has nothing to do with it
    assert not event.done
    come(stand_in, y, event)
    assert event.done
    x.zero_()
    assert y.tolist() == [1] * 3


def in_a_pool_of_their_own(cp, kept):
    """Arrays, which keep the pool, or outlive it."""
    pool = cp.cuda.MemoryPool()

    def keep(size):
        block = pool.malloc(size)
        return cp.cuda.MemoryPointer(cp.cuda.UnownedMemory(block.ptr, size, (block, pool), 0), 0)

    with cp.cuda.using_allocator(keep if kept else pool.malloc):
        x, n = cp.asarray([1.0, 2, 3]), cp.full(2, 7)
        y = (x * 2)[1:]
    del x
    assert pool.used_bytes() == 2 * 512
    assert (y.tolist(), n.tolist()) == ([4, 6], [7, 7])
    return y, n


def test_an_array_whose_pool_is_gone_has_lost_its_memory(stand_in):
    y, n = in_a_pool_of_their_own(stand_in, kept=True)
    assert (y.tolist(), n.tolist()) == ([4, 6], [7, 7])
    y, n = in_a_pool_of_their_own(stand_in, kept=False)
    assert np.isnan(y.tolist()).all()
    assert n.tolist() == [0x5A5A5A5A5A5A5A5A] * 2


def test_used_bytes(stand_in):
    pool = stand_in.get_default_memory_pool()
    before = pool.used_bytes()
    x = stand_in.zeros(200)
    y = x[1:]
    assert pool.used_bytes() - before == 2048
    del x
    assert pool.used_bytes() - before == 2048
    del y
    assert pool.used_bytes() == before


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_loader_pins_its_batches(stand_in, num_workers):
    from tinymed.data import DataLoader

    items = [{"x": np.float32(k), "pair": (k, "name")} for k in range(4)]
    for batch in DataLoader(items, 2, num_workers=num_workers, pin_memory=True):
        assert batch["x"].is_pinned()
        assert batch["pair"][0].is_pinned()
        assert batch["pair"][1] == ["name"] * 2


def test_where_there_is_no_gpu_nothing_is_pinned(monkeypatch):
    from tinymed.data import DataLoader

    monkeypatch.setattr(cuda, "missing", lambda: "no card")
    monkeypatch.setattr("tinymed.data.loader.missing", cuda.missing)
    with pytest.warns(UserWarning, match="pin_memory=True does nothing here: no card"):
        loader = DataLoader(list(range(4)), pin_memory=True)
    assert len(list(loader)) == 4
    assert not tinymed.ones(1).is_pinned()
    with pytest.raises(ValueError, match="no GPU can be used: no card"):
        tinymed.ones(1).pin_memory()
