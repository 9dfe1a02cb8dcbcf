"""What takes a card to show: training as on the CPU, in a graph, and again bit for bit; memory that is full."""

from __future__ import annotations

import gc
from types import SimpleNamespace

import numpy as np
import pytest

import tinymed
import tinymed.nn.functional as F
from tinymed import cuda, nn, optim, training
from tinymed.kernels import cupy_launch, cupy_matmul

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("card")]


def pictures(count, n=32):
    """Batches in which a bright upper half means 1."""
    rng = np.random.default_rng(0)
    for _ in range(count):
        y = rng.integers(0, 2, (n, 1))
        x = rng.standard_normal((n, 1, 28, 28))
        x[:, 0, :14] += y[:, :, None]
        yield tinymed.tensor(x.astype(np.float32)), tinymed.tensor(y.astype(np.float32))


def start(device):
    """The article's network and its optimiser; step(x, y) trains on a batch and gives the loss."""
    tinymed.manual_seed(0)
    model = training.article_cnn().to(device)
    optimizer = optim.Adam(model.parameters(), lr=1e-3)

    def step(x, y):
        optimizer.zero_grad()
        loss = F.binary_cross_entropy_with_logits(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return SimpleNamespace(model=model, optimizer=optimizer, step=step)


def losses(run, batches, device):
    return [run.step(x.to(device), y.to(device)).item() for x, y in batches]


def weights(model):
    return np.concatenate([p.detach().cpu().numpy().ravel() for p in model.parameters()])


def test_training_repeats_itself_bit_for_bit():
    runs = [start("cuda") for _ in range(2)]
    one, two = (losses(run, pictures(10), "cuda") for run in runs)
    assert one == two
    assert weights(runs[0].model).tobytes() == weights(runs[1].model).tobytes()


@pytest.mark.parametrize(("tf32", "limit"), [(False, 1e-3), (True, 2e-2)])
def test_training_goes_as_on_the_cpu(tf32, limit, monkeypatch):
    monkeypatch.setattr(cupy_launch, "allow_tf32", tf32)
    here, there = (losses(start(device), pictures(30), device) for device in ("cpu", "cuda"))
    assert here[-1] < 0.1 * here[0]
    np.testing.assert_allclose(there, here, rtol=limit, atol=limit)


@pytest.mark.parametrize(("first", "then"), [("cuda", "cpu"), ("cpu", "cuda")])
def test_training_goes_on_from_a_checkpoint_on_the_other_device(first, then, tmp_path, monkeypatch):
    monkeypatch.setattr(cupy_launch, "allow_tf32", False)
    run, other = start(first), start(then)
    losses(run, pictures(5), first)
    training.save_weights(run.model, tmp_path / "w.safetensors")
    other.model.load_state_dict(training.load_weights(tmp_path / "w.safetensors"))
    other.optimizer.load_state_dict(run.optimizer.state_dict())
    here, there = losses(run, pictures(5), first), losses(other, pictures(5), then)
    np.testing.assert_allclose(there, here, rtol=1e-3, atol=1e-4)


def test_a_captured_step_is_the_step(card, monkeypatch):
    """20 batches: the first as usual, the rest replayed; products by our own kernel, for cuBLAS is in no graph."""
    monkeypatch.setattr(card, "matmul", cupy_matmul.gemm)
    eager, captured = start("cuda"), start("cuda")
    want = losses(eager, pictures(20), "cuda")
    graph, got = cuda.CUDAGraph(), []
    for x, y in pictures(20):
        if not got:
            static_x, static_y = x.to("cuda"), y.to("cuda")
            loss = captured.step(static_x, static_y)
        else:
            if len(got) == 1:
                with cuda.graph(graph):
                    loss = captured.step(static_x, static_y)
            static_x.copy_(x.to("cuda"))
            static_y.copy_(y.to("cuda"))
            graph.replay()
        got.append(loss.item())
    assert got == want
    assert weights(captured.model).tobytes() == weights(eager.model).tobytes()


# ---------------------------------------------------------------- memory


def test_memory_figures():
    gc.collect()
    cuda.empty_cache()
    before = cuda.memory_allocated()
    x = tinymed.ones((1 << 20) + (cuda.memory_reserved() - before) // 4).to("cuda")  # no free block is as large
    cuda.synchronize()
    assert cuda.memory_allocated() - before == x.array.nbytes
    assert cuda.memory_reserved() >= cuda.memory_allocated()
    del x
    assert cuda.memory_allocated() == before
    reserved = cuda.memory_reserved()
    cuda.empty_cache()
    assert cuda.memory_reserved() < reserved


def test_full_memory_is_one_sentence_and_the_cpu_goes_on(card):
    pool, x = card.get_default_memory_pool(), tinymed.ones(1 << 24)
    cuda.empty_cache()
    small = tinymed.ones(1 << 12).to("cuda")
    pool.set_limit(size=pool.total_bytes() + (1 << 20))
    try:
        with pytest.raises(ValueError, match=r"^cuda:0 has no room for 64 MiB: ") as full:
            x.to("cuda")
        assert "\n" not in str(full.value)
        with pytest.raises(card.cuda.memory.OutOfMemoryError):
            small[:, None] * small
        assert (x + 1).sum().item() == 2 << 24
        assert (small + 1).sum().item() == 2 << 12
    finally:
        pool.set_limit(size=0)
    assert x.to("cuda").sum().item() == 1 << 24


def test_the_card_has_a_name():
    assert cuda.device_count() >= 1
    assert cuda.get_device_name()
    with pytest.raises(ValueError, match="no device"):
        nn.Linear(1, 1).to(f"cuda:{cuda.device_count()}")
