"""Attention against PyTorch: values, gradients, every mask; and where tinymed knows better."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinymed
import tinymed.nn.functional as F
from tinymed import nn

N, L, S, E = 2, 3, 5, 8


def randn(*shape, dtype=np.float64, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(dtype)


def assert_alike(ours, theirs, tolerance=1e-9):
    assert [a.shape for a in ours] == [tuple(a.shape) for a in theirs]
    for result, want in zip(ours, theirs):
        np.testing.assert_allclose(np.asarray(result), np.asarray(want), rtol=tolerance, atol=tolerance)


# ---------------------------------------------------------------- scaled_dot_product_attention


def attend(attention, tensor, arrays, mask=None, **how):
    """The output and the gradient of each of query, key, value, and of a floating mask."""
    leaves = [tensor(a, requires_grad=True) for a in arrays]
    if mask is not None:
        how["attn_mask"] = tensor(mask, requires_grad=mask.dtype != bool)
    output = attention(*leaves, **how)
    (output * tensor(randn(*output.shape, dtype=arrays[0].dtype, seed=9))).sum().backward()
    leaves += [how["attn_mask"]] if mask is not None and mask.dtype != bool else []
    return [output.detach(), *(leaf.grad for leaf in leaves)]


SEES = randn(L, S, seed=1) > -0.3
SEES[:, 0] = True
MASKS = {
    "none": None,
    "boolean": SEES,
    "boolean for each head": randn(N, 4, L, S, seed=2) > -2,
    "added": randn(L, S, seed=3),
    "added, with -inf": np.where(SEES, randn(L, S, seed=3), -np.inf),
    "one row": SEES[:1],
}


@pytest.mark.parametrize("name", MASKS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-9), (np.float32, 1e-4)])
def test_attention_agrees_with_torch(name, dtype, tolerance):
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
    mask = MASKS[name]
    mask = mask if mask is None or mask.dtype == bool else mask.astype(dtype)
    arrays = [randn(N, 4, size, width, dtype=dtype) for size, width in ((L, 6), (S, 6), (S, 6))]
    theirs = torch.nn.functional.scaled_dot_product_attention
    assert_alike(
        attend(F.scaled_dot_product_attention, tinymed.tensor, arrays, mask),
        attend(theirs, torch.tensor, arrays, mask),
        tolerance,
    )


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.tuples(*[st.integers(1, 5)] * 3),
    lead=st.lists(st.integers(1, 3), max_size=2),
    is_causal=st.booleans(),
    scale=st.sampled_from([None, 0.1]),
)
def test_attention_agrees_with_torch_whatever_the_sizes(sizes, lead, is_causal, scale):
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
    queries, keys, width = sizes
    arrays = [randn(*lead, size, width) for size in (queries, keys, keys)]
    how = {"is_causal": is_causal, "scale": scale}
    theirs = torch.nn.functional.scaled_dot_product_attention
    assert_alike(
        attend(F.scaled_dot_product_attention, tinymed.tensor, arrays, **how),
        attend(theirs, torch.tensor, arrays, **how),
    )


def test_values_may_have_a_width_of_their_own_and_a_mask_may_join_the_causal_one():
    q, k, v = randn(L, 4), randn(L, 4, seed=1), randn(L, 7)
    seen = np.ones((L, L), bool)
    seen[2, 1] = False
    scores = np.where(np.tril(seen), q @ k.T / 2, -np.inf)
    weights = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    q, k, v, seen = map(tinymed.tensor, (q, k, v, seen))
    output = F.scaled_dot_product_attention(q, k, v, seen, is_causal=True)
    np.testing.assert_allclose(output, weights @ v.array)


@pytest.mark.parametrize("added", [False, True], ids=["boolean", "added"])
def test_a_query_that_sees_nothing_gets_0_and_no_gradient_as_in_torch(added):
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
    mask = np.ones((L, S), bool)
    mask[1] = False
    mask = np.where(mask, 0.0, -np.inf) if added else mask
    arrays = [randn(N, size, 4) for size in (L, S, S)]
    results = attend(F.scaled_dot_product_attention, tinymed.tensor, arrays, mask)
    assert (results[0].array[:, 1] == 0).all()
    assert (results[1].array[:, 1] == 0).all()
    theirs = attend(torch.nn.functional.scaled_dot_product_attention, torch.tensor, arrays, mask)
    assert_alike(results[:4], theirs[:4])


def test_attention_dropout_scales_what_is_left():
    tinymed.manual_seed(0)
    q, k, v = tinymed.zeros(1, 4), tinymed.zeros(1000, 4), tinymed.eye(1000)  # so that out come the weights
    weights = F.scaled_dot_product_attention(q, k, v, dropout_p=0.25).array
    assert 0.2 < (weights == 0).mean() < 0.3
    np.testing.assert_allclose(weights[weights != 0], 4 / 3 / 1000, rtol=1e-5)


@pytest.mark.parametrize(
    ("shapes", "mask", "error", "message"),
    [
        ([(3, 4), (5, 6), (5, 6)], None, ValueError, "must agree in E, got (3, 4) and (5, 6)"),
        ([(3, 4), (5, 4), (6, 4)], None, ValueError, "one value, got key (5, 4) and value (6, 4)"),
        ([(4,), (5, 4), (5, 4)], None, ValueError, "query (…,L,E)"),
        ([(3, 4), (5, 4), (5, 4)], np.ones((5, 3), bool), ValueError, "a mask (5, 3) does not broadcast"),
        ([(1, 4), (5, 4), (5, 4)], np.ones((3, 5), bool), ValueError, "to (…,L,S) = (1, 5)"),
        ([(3, 4), (5, 4), (5, 4)], np.ones((3, 5), int), TypeError, "must be bool (True: may look)"),
    ],
)
def test_attention_names_what_does_not_fit(shapes, mask, error, message):
    mask = None if mask is None else tinymed.tensor(mask)
    with pytest.raises(error, match=re.escape(message)):
        F.scaled_dot_product_attention(*(tinymed.zeros(*s) for s in shapes), attn_mask=mask)


# ---------------------------------------------------------------- MultiheadAttention


def layers(heads=4, dtype=np.float64, **options):
    """Ours and torch's, with one state."""
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
    theirs = torch.nn.MultiheadAttention(E, heads, **options).to(torch.tensor(np.zeros(0, dtype)).dtype)
    if theirs.in_proj_bias is not None:
        torch.nn.init.normal_(theirs.in_proj_bias)
    ours = nn.MultiheadAttention(E, heads, **options).to(dtype)
    ours.load_state_dict(theirs.state_dict())
    return (ours, tinymed.tensor), (theirs, torch.tensor)


def run(layer, tensor, arrays, **how):
    """Output, weights (if any), the gradients of query, key, value and of every parameter."""
    layer.zero_grad()
    leaves = [tensor(a, requires_grad=True) for a in arrays]
    how = {name: tensor(value) if isinstance(value, np.ndarray) else value for name, value in how.items()}
    results = [r for r in layer(*leaves, **how) if r is not None]
    sum((r * tensor(randn(*r.shape, dtype=arrays[0].dtype, seed=9))).sum() for r in results).backward()
    return [*(r.detach() for r in results), *(t.grad for t in (*leaves, *layer.parameters()))]


def sequences(batch_first=False, batched=True, dtype=np.float64):
    shapes = [(size, N, E) for size in (L, S, S)]
    if not batched:
        shapes = [(size, E) for size in (L, S, S)]
    elif batch_first:
        shapes = [(N, size, E) for size in (L, S, S)]
    return [randn(*shape, dtype=dtype, seed=k) for k, shape in enumerate(shapes)]


HIDDEN = ~SEES  # MultiheadAttention's booleans say where *not* to look
PADDED = np.array([[False] * 5, [False] * 3 + [True] * 2])
CASES = [
    {},
    {"need_weights": False},
    {"average_attn_weights": False},
    {"key_padding_mask": PADDED},
    {"key_padding_mask": np.where(PADDED, -np.inf, 0.5)},
    {"attn_mask": HIDDEN},
    {"attn_mask": randn(L, S)},
    {"attn_mask": randn(N * 4, L, S)},
    {"attn_mask": np.arange(N * 4 * L * S).reshape(N * 4, L, S) % 7 == 3, "average_attn_weights": False},
    {"attn_mask": HIDDEN, "key_padding_mask": PADDED},
    {"attn_mask": HIDDEN, "key_padding_mask": PADDED, "need_weights": False},
]


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("how", CASES, ids=lambda how: ", ".join(how) or "plain")
def test_multihead_attention_agrees_with_torch(how, batch_first):
    arrays = sequences(batch_first)
    assert_alike(*(run(*one, arrays, **how) for one in layers(batch_first=batch_first)))


@pytest.mark.parametrize("heads", [1, 2, 8])
def test_heads_without_bias_or_batch_and_in_float32(heads):
    arrays = sequences(batched=False)
    how = {"key_padding_mask": PADDED[1], "average_attn_weights": heads == 2}
    assert_alike(*(run(*one, arrays, **how) for one in layers(heads, bias=False)))
    assert_alike(*(run(*one, sequences(dtype=np.float32)) for one in layers(heads, np.float32)), 1e-4)


@pytest.mark.parametrize("need_weights", [False, True])
def test_causal_attention_agrees_with_torch_and_needs_no_mask(need_weights):
    x = randn(L, N, E)
    ahead = np.triu(np.ones((L, L), bool), 1)
    ours, theirs = layers()
    how = {"is_causal": True, "need_weights": need_weights}
    wanted = run(*theirs, [x] * 3, attn_mask=ahead, **how)
    assert_alike(run(*ours, [x] * 3, attn_mask=ahead, **how), wanted)
    assert_alike(run(*ours, [x] * 3, **how), wanted)


@pytest.mark.parametrize("need_weights", [False, True])
def test_a_sample_that_is_all_padding_gives_the_output_bias_and_no_nan(need_weights):
    (layer, tensor), _ = layers()
    tinymed.nn.init.normal_(layer.out_proj.bias)
    padded = np.array([[False] * S, [True] * S])
    output, weights = layer(*map(tensor, sequences()), tensor(padded), need_weights)
    np.testing.assert_array_equal(output.array[:, 1], np.tile(layer.out_proj.bias.array, (L, 1)))
    output.sum().backward()
    assert all(np.isfinite(p.grad.array).all() for p in layer.parameters())
    assert weights is None or (weights.array[1] == 0).all()


def test_dropout_falls_on_the_weights_in_training_only():
    tinymed.manual_seed(0)
    layer, x = nn.MultiheadAttention(E, 2, dropout=0.5), tinymed.randn(50, 1, E)
    _, weights = layer(x, x, x, average_attn_weights=False)
    assert 0.4 < (weights.array == 0).mean() < 0.6
    np.testing.assert_allclose(layer.eval()(x, x, x)[1].array.sum(-1), 1, rtol=1e-5)


def test_weights_start_as_torch_s_do():
    tinymed.manual_seed(0)
    layer = nn.MultiheadAttention(16, 4)
    assert list(layer.state_dict()) == ["in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias"]
    bound = math.sqrt(6 / (16 + 48))
    assert 0.95 * bound < np.abs(layer.in_proj_weight.array).max() <= bound
    assert not layer.in_proj_bias.array.any()
    assert not layer.out_proj.bias.array.any()
    assert np.abs(layer.out_proj.weight.array).max() <= 0.25
    assert repr(layer).startswith("MultiheadAttention(\n  16, 4\n  (out_proj): Linear(")


def test_macs_count_projections_products_and_the_output():
    summary = nn.summary(nn.MultiheadAttention(E, 2), [(L, N, E)] * 3)
    assert summary.total_macs == 4 * N * L * E * E + 2 * N * L * L * E


def shaped(*shape):
    return tinymed.zeros(*shape)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nn.MultiheadAttention(5, 2), "num_heads (=2) must divide it"),
        (lambda: nn.MultiheadAttention(8, 0), "num_heads must be a whole number of at least 1, got 0"),
        (lambda: nn.MultiheadAttention(8, 2, dropout=2), "between 0 and 1, got 2"),
        (lambda: nn.MultiheadAttention(8, 2)(*[shaped(3, 2, 6)] * 3), "embed_dim = 8; got query (3, 2, 6)"),
        (lambda: nn.MultiheadAttention(8, 2)(*[shaped(8)] * 3), "expected (L,N,E)"),
        (
            lambda: nn.MultiheadAttention(8, 2)(shaped(3, 2, 8), shaped(3, 4, 8), shaped(3, 4, 8)),
            "batch size, axis 1 with batch_first=False; got query (3, 2, 8), key (3, 4, 8)",
        ),
        (
            lambda: nn.MultiheadAttention(8, 2)(shaped(3, 2, 8), shaped(4, 2, 8), shaped(5, 2, 8)),
            "key and value must have one shape",
        ),
        (
            lambda: nn.MultiheadAttention(8, 2)(*[shaped(3, 2, 8)] * 3, key_padding_mask=shaped(3, 2)),
            "key_padding_mask must be (N,S) = (2, 3), got (3, 2)",
        ),
        (
            lambda: nn.MultiheadAttention(8, 2)(*[shaped(3, 2, 8)] * 3, attn_mask=shaped(2, 3, 3)),
            "attn_mask must be (L,S) = (3, 3) or (N·heads,L,S) = (4, 3, 3), got (2, 3, 3)",
        ),
    ],
)
def test_multihead_attention_refuses(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()


def test_integer_masks_are_refused():
    x = shaped(3, 2, 8)
    with pytest.raises(TypeError, match=re.escape("attn_mask must be bool (True: do not look)")):
        nn.MultiheadAttention(8, 2)(x, x, x, attn_mask=shaped(3, 3).long())
