# %% [markdown]
# # 03 · Pooling
#
# *Article 3.1.1, 4.1.2 · 60 minutes · `kernels/reference.py`, `tinymed/ops/pool.py`*
#
# Pooling looks too simple to get wrong: the largest of a few numbers, or their average. It holds more traps for its
# size than any other layer: borders, ties, overlaps, and a promise about shifted images that it keeps only in part.
# After this lesson you can compute both kinds forwards and backwards, and say what they do to a picture.

# %%
import inspect

import matplotlib.pyplot as plt
import numpy as np

import tinymed
import tinymed.nn.functional as F
from tinymed import nn
from tinymed.data import make_breast_phantoms
from tinymed.gradcheck import GradcheckError
from tinymed.kernels import reference
from tinymed.kernels.shapes import DEAD, conv_shape, pool_shape
from tinymed.teach import check, trace

tinymed.use_backend("numpy")  # arrays of a few numbers: nothing here is worth compiling
_ = tinymed.manual_seed(0)

# %% [markdown]
# ## What the article says
#
# Section 4.1.2: 池化操作用于减小特征图的尺寸，提高模型的泛化能力, "pooling makes the feature map smaller and helps the
# model to generalise". Then two formulas, for max pooling (最大池化) and average pooling (平均池化):
#
# $$ \text{最大池化} = \max_{i=1}^{k} f(x_i) \qquad \text{平均池化} = \frac{1}{k} \sum_{i=1}^{k} f(x_i) $$
#
# "where $f(x_i)$ are the features of the input and $k$ is the size of the window". So $k$ counts cells. (In its
# example, 4.1.3, the window's "size 2" is a side: 2x2, and $k = 4$.) The article leaves out how the window moves,
# what happens at the border, what happens when two cells are equally large, and how gradients come back. Each
# channel is pooled by itself. In full, with the letters of lesson 01:
#
# $$ y_{n,c,i,j} = \max_{u,v}\; x_{n,\,c,\;i s + u - p,\;j s + v - p} \qquad
# y_{n,c,i,j} = \frac{1}{k} \sum_u \sum_v x_{n,\,c,\;i s + u - p,\;j s + v - p} $$
#
# There are no weights: nothing is learnt here.

# %% [markdown]
# ## The same letters in code
#
# `windows` gives each output its cells, those inside the image; the two formulas follow.

# %%
for function in (reference.windows, reference.max_pool2d, reference.avg_pool2d):
    print(inspect.getsource(function))

# %% [markdown]
# ## By hand
#
# The image 1…9 again, a window of 2x2, stride 1. The first window holds 1, 2, 4, 5: its largest is 5, its average
# $(1 + 2 + 4 + 5)/4 = 3$.

# %%
image = np.arange(1.0, 10.0).reshape(3, 3)
x = tinymed.tensor(image)[None, None]
largest, average = F.max_pool2d(x, 2, stride=1), F.avg_pool2d(x, 2, stride=1)
print("max    ", largest[0, 0].tolist())
print("average", average[0, 0].tolist())
assert largest[0, 0].tolist() == [[5, 6], [8, 9]]
assert average[0, 0].tolist() == [[3, 4], [6, 7]]

# %% [markdown]
# Remember 5, 6, 8, 9: lesson 04 meets them in the article under another name.

# %% [markdown]
# ## Step through it
#
# In this image the middle is the highest, and `g` is 1, 2, 3, 4: the loss is
# $y_{0,0} + 2 y_{0,1} + 3 y_{1,0} + 4 y_{1,1}$. Each `if` asks whether a cell is larger than the best one so far;
# `where` keeps the winner's number in its window. (The question ends in `or np.isnan(…)`: NaN, *not a number*, is what
# is left of 0/0, and counts as the largest, so that an error upstream does not hide.) Backwards, look at who wins.

# %%
hill = [[1, 2, 1], [2, 9, 2], [1, 2, 1]]
g = [[1, 2], [3, 4]]
t = trace.max_pool2d(hill, 2, stride=1, g=g)
t.show(4)
print("winner in each window ", t.final["where"][0, 0].astype(int).tolist())
print("dL/dx", t.final["gx"][0, 0].tolist())
assert t.final["gx"][0, 0].tolist() == [[0, 0, 0], [0, 1 + 2 + 3 + 4, 0], [0, 0, 0]]

# %%
t

# %%
average_trace = trace.avg_pool2d(hill, 2, stride=1, g=[[4, 8], [12, 16]])
average_trace.show(5)
print("dL/dx", average_trace.final["gx"][0, 0].tolist())
assert average_trace.final["gx"][0, 0].tolist() == [[1, 3, 2], [4, 10, 6], [3, 7, 4]]

# %% [markdown]
# ## What shape comes out
#
# As for a convolution with a kernel of that size, $OH = \lfloor (H + 2p - KH)/s \rfloor + 1$. Two habits differ: the
# stride is the window's size unless you say otherwise, so windows lie side by side; and `ceil_mode=True` rounds up,
# which keeps a last window that hangs over the edge, unless it would begin behind the image.

# %%
for n, size, stride, padding, up in [
    (28, 2, 2, 0, False),
    (11, 2, 2, 0, False),
    (11, 2, 2, 0, True),
    (4, 2, 3, 1, True),
    (9, 3, 2, 1, False),
]:
    rows = F.max_pool2d(tinymed.zeros(1, 1, n, n), size, stride, padding, ceil_mode=up).shape[2]
    room = n + 2 * padding - size
    expected = (-(-room // stride) if up else room // stride) + 1
    expected -= up and (expected - 1) * stride >= n + padding  # it would begin behind the image
    assert rows == expected
    print(f"{n} rows, window {size}, stride {stride}, padding {padding}{', rounded up' * up} -> {rows} rows")

# %% [markdown]
# ## What lies outside
#
# > Max pooling with padding 1, on an image in which every number is negative. What is the largest in the window at
# > the upper left, if padding is 0?
#
# It is 0, a number that is nowhere in the image. Outside must never win, so for max pooling padding counts as
# $-\infty$. After ReLU nobody notices the difference; on scores, logarithms or normalised data everybody does.

# %%
negative = -np.arange(1.0, 17.0).reshape(1, 1, 4, 4)
right = F.max_pool2d(tinymed.tensor(negative), 2, padding=1)
zeros = np.pad(negative, ((0, 0), (0, 0), (1, 1), (1, 1)))
wrong = F.max_pool2d(tinymed.tensor(zeros), 2)
print("padded with -inf", right[0, 0].tolist())
print("padded with 0   ", wrong[0, 0].tolist())
assert right[0, 0].tolist() == [[-1, -2, -4], [-5, -6, -8], [-13, -14, -16]]
assert wrong[0, 0].tolist() == [[0, 0, 0], [0, -6, 0], [0, 0, 0]]

# %% [markdown]
# An average has no such way out. Either the padding counts as cells of value 0 (`count_include_pad=True`, the
# default here and in PyTorch), and borders grow dark; or $k$ is the number of cells inside the image, as in
# TensorFlow. On an image of ones:

# %%
ones = tinymed.ones(1, 1, 4, 4)
for count in (True, False):
    print(f"count_include_pad={count!s:<5}", F.avg_pool2d(ones, 2, padding=1, count_include_pad=count)[0, 0].tolist())
assert F.avg_pool2d(ones, 2, padding=1)[0, 0].tolist() == [[0.25, 0.5, 0.25], [0.5, 1, 0.5], [0.25, 0.5, 0.25]]
assert (F.avg_pool2d(ones, 2, padding=1, count_include_pad=False).numpy() == 1).all()

# %% [markdown]
# ## Backwards
#
# **Max.** Say one cell $x^*$ of a window is larger than all others. Move any cell by an $\varepsilon$ so small that
# the order stays: $y$ follows $x^*$, and does not notice the others. So the slope is 1 for the winner and 0 for the
# rest; with $g = \partial L / \partial y$,
#
# $$ \frac{\partial L}{\partial x^*} \mathrel{+}= g $$
#
# **Average.** Each cell went into $y$ as a $k$-th part: $\partial L / \partial x \mathrel{+}= g / k$ for all of them.
#
# In both the sign is $\mathrel{+}=$, because windows may overlap, and a cell may win several: the hill above won four
# times. All that max pooling has to remember is who won: `where`.

# %%
print(inspect.getsource(reference.max_pool2d_grad))
print(inspect.getsource(reference.avg_pool2d_grad))

# %% [markdown]
# ## Ties
#
# > A window of four equal cells. Which of them should receive $g$?
#
# There is no slope here: move one cell up and $y$ follows, move it down and $y$ stays. The engine takes the first in
# reading order, as PyTorch does. Sharing $g$ among them would do as well, and `amax` does that. What would *not* do
# is the most natural line of NumPy, `(window == window.max()) * g`: it pays $g$ to every one of them.
#
# Why is that wrong, if there is no right? One direction has a slope even here: raise the *whole image* by
# $\varepsilon$, and each $y$ rises by $\varepsilon$. So whoever gets it, $\sum \partial L / \partial x$ must be
# $\sum g$.

# %%
flat = tinymed.ones(1, 1, 2, 2, dtype="float64").requires_grad_()
F.max_pool2d(flat, 2).backward(tinymed.ones(1, 1, 1, 1, dtype="float64"))
first = flat.grad[0, 0].tolist()
flat.grad = None
flat.amax().backward()
shared = flat.grad[0, 0].tolist()
everyone = (np.ones((2, 2)) == 1) * 1.0
print("max_pool2d, the first", first, "sum", np.sum(first))
print("amax, shared         ", shared, "sum", np.sum(shared))
print("(x == max) * g       ", everyone.tolist(), "sum", everyone.sum(), " wrong: the slope along all four is 1")
assert first == [[1, 0], [0, 0]]
assert shared == [[0.25, 0.25], [0.25, 0.25]]
for up in (1e-3, -1e-3):
    moved = F.max_pool2d(flat.detach() + up, 2).item()
    assert np.isclose((moved - 1) / up, 1)

# %% [markdown]
# Do ties happen? Here they are counted in 64 generated pictures (`make_breast_phantoms`, no patient's), in windows of
# 2x2: as they are, as the 256 grey levels that an image file holds, and as edge maps after ReLU.

# %%
pictures = np.stack([picture.numpy() for picture, _ in make_breast_phantoms(64, seed=3, size=40)])
sobel = np.array([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]], np.float32)
edges = tinymed.tensor(np.stack([sobel, sobel.T, -sobel, -sobel.T])[:, None])


def edge_maps(pictures):
    return F.relu(F.conv2d(tinymed.tensor(pictures), edges, padding=1))


def ties(maps):
    """Which windows of 2x2 have several largest cells, and their largest."""
    cells = np.lib.stride_tricks.sliding_window_view(maps, (2, 2), (2, 3))[:, :, ::2, ::2]
    top = cells.max((-2, -1))
    return (cells == top[..., None, None]).sum((-2, -1)) > 1, top


for name, maps in {
    "as they are": pictures,
    "256 grey levels": np.round(pictures * 255),
    "edges after ReLU": edge_maps(pictures).numpy(),
}.items():
    tied, top = ties(maps)
    print(f"{name:<17} {tied.mean():6.1%} of the windows are ties, {(tied & (top != 0)).mean():.1%} above 0")
assert 0.2 < tied.mean() < 0.3
assert (tied & (top != 0)).mean() < 1e-3

# %% [markdown]
# After ReLU about a quarter are ties, as good as all of them windows of nothing but zeros. There ReLU's own slope is
# 0, and it matters little who receives $g$. On grey levels as a file holds them, it does matter.

# %% [markdown]
# ## The gradient check
#
# Away from ties backward and differences agree, also where windows overlap. At a tie the check cannot agree with
# anybody, and says so. That is no error of the engine: there is nothing to find.

# %%
x = tinymed.randn(2, 2, 6, 6, dtype="float64").requires_grad_()
for size, stride, padding in [(2, 2, 0), (3, 1, 0), (3, 2, 1)]:
    assert tinymed.gradcheck(lambda x, how=(size, stride, padding): F.max_pool2d(x, *how), x)
    assert tinymed.gradcheck(lambda x, how=(size, stride, padding): F.avg_pool2d(x, *how), x)
try:
    tinymed.gradcheck(lambda x: F.max_pool2d(x, 2), flat.detach().requires_grad_())
except GradcheckError as error:
    print(error)
else:
    raise AssertionError("a kink went unnoticed")

# %% [markdown]
# ## What it does to a picture
#
# Windows of 4x4, so that it can be seen. Max pooling makes bright specks grow, average pooling blurs. Below, where a
# gradient of 1 for every output goes: to one cell of each window, or to all of them alike. On the right windows of 3x3
# overlap with stride 1: a cell that stands out wins up to nine times, most win never.

# %%
picture = tinymed.tensor(pictures[1:2, :, 4:36, 4:36].astype(float))


def gradient(pool):
    x = picture.detach().requires_grad_()
    pool(x).sum().backward()
    return x.grad[0, 0].numpy()


wins = gradient(lambda x: F.max_pool2d(x, 3, stride=1))
panels = [
    ("input, 32x32", picture[0, 0].numpy(), "gray"),
    ("max, windows 4x4", F.max_pool2d(picture, 4)[0, 0].numpy(), "gray"),
    ("average, windows 4x4", F.avg_pool2d(picture, 4)[0, 0].numpy(), "gray"),
    ("gradient of max, 4x4", gradient(lambda x: F.max_pool2d(x, 4)), "viridis"),
    ("gradient of average, 4x4", gradient(lambda x: F.avg_pool2d(x, 4)), "viridis"),
    ("gradient of max, 3x3, stride 1", wins, "viridis"),
]
fig, axes = plt.subplots(2, 3, figsize=(9, 6), layout="constrained")
for ax, (title, numbers, colours) in zip(axes.flat, panels):
    low = 0 if colours == "viridis" else picture.numpy().min()
    high = max(1, numbers.max()) if colours == "viridis" else picture.numpy().max()
    shown = ax.imshow(numbers, cmap=colours, vmin=low, vmax=high)
    ax.set_title(title, fontsize=11)
    ax.set_xticks([])
    ax.set_yticks([])
    fig.colorbar(shown, ax=ax, shrink=0.8, label="brightness" if colours == "gray" else "dL/dx")
plt.show()
print(f"3x3, stride 1: {(wins == 0).mean():.0%} of the cells win never, one wins {wins.max():g} times")
assert wins.sum() == 30 * 30  # as many wins as windows
assert (wins == 0).mean() > 0.5
assert wins.max() == 9

# %% [markdown]
# ## Does a shifted image give the same?
#
# The article's 提高模型的泛化能力, "helps to generalise", is often told so: a lesion one pixel further right is the
# same lesion, and pooling makes the network see it so. How far is that true? Shift the pictures by a few pixels, and
# measure how much the edge maps change, as a share of their size,
#
# $$ \text{change} = \frac{\lVert f(\text{shifted}) - f(\text{picture}) \rVert}{\lVert f(\text{picture}) \rVert} $$
#
# > Guess before you run it: windows of 2x2, a shift of one pixel. 0 %? 50 %? More?


# %%
def shifted(s):
    """The same 32x32 window onto the larger pictures, s pixels to the left: the content moves right."""
    return edge_maps(np.ascontiguousarray(pictures[:, :, 4:36, 4 - s : 36 - s]))


def change(f, s):
    before, after = f(shifted(0)).numpy(), f(shifted(s)).numpy()
    size = np.sqrt((before**2).sum((1, 2, 3)))
    return (np.sqrt(((after - before) ** 2).sum((1, 2, 3))) / size).mean()


ways = {
    "no pooling": lambda m: m,
    "every 2nd cell": lambda m: m[:, :, ::2, ::2],
    "max 2x2": lambda m: F.max_pool2d(m, 2),
    "average 2x2": lambda m: F.avg_pool2d(m, 2),
    "max 4x4": lambda m: F.max_pool2d(m, 4),
    "max 8x8": lambda m: F.max_pool2d(m, 8),
    "average of all": lambda m: F.adaptive_avg_pool2d(m, 1),
}
shifts = range(5)
curves = {name: [change(f, s) for s in shifts] for name, f in ways.items()}
fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
styles = ["o-", "x--", "s-", "D:", "^-", "v-", "P-"]
colours = ["#000000", "#777777", "#D55E00", "#E69F00", "#0072B2", "#009E73", "#CC79A7"]
for (name, curve), style, colour in zip(curves.items(), styles, colours):
    ax.plot(shifts, [100 * v for v in curve], style, color=colour, label=name, ms=5)
ax.set_xticks(shifts)
ax.set_xlabel("shift (pixels)")
ax.set_ylabel("change of the maps (%)")
ax.set_ylim(0)
ax.grid(alpha=0.3)
ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
plt.show()
for name, curve in curves.items():
    print(f"{name:<15}" + "".join(f"{v:7.1%}" for v in curve))
assert 0 < curves["max 8x8"][1] < curves["max 4x4"][1] < curves["max 2x2"][1] < curves["no pooling"][1]
assert curves["max 2x2"][1] > 0.5 * curves["no pooling"][1]
assert curves["average of all"][1] < 0.05

# %% [markdown]
# These numbers compare the maps at the same place. So pooling 2x2 makes the maps *less* sensitive to a shift, not
# insensitive: more than half of the change is still there. Wider windows help more, and the average of the whole map
# changes by little. What is exact is something else: shift by the stride, and the pooled map is the same map, shifted
# by one cell.
#
# $$ \text{pool}(\text{shift by } s) = \text{shift by 1}\,(\text{pool}) $$

# %%
before, after = F.max_pool2d(shifted(0), 2).numpy(), F.max_pool2d(shifted(2), 2).numpy()
inside = slice(2, -2)  # away from the borders of the window onto the pictures
assert np.allclose(after[..., inside, 3:-1], before[..., inside, 2:-2])
print("shift 2, stride 2: the pooled map is the same, one cell further right")

# %% [markdown]
# That is the second question: not whether the map stays, but whether it is *the same map, moved*. A window at every
# place (stride 1) keeps that for any shift. Taking every second window does not: shifted by one pixel, the windows hold
# other cells (*aliasing*).


# %%
def mismatch(stride):
    """How far the pooled map after a shift of one pixel is from the one before, moved by 0 or 1 cell."""
    one, other = (F.max_pool2d(shifted(s), 2, stride).numpy()[..., inside, :] for s in (0, 1))
    middle = one[..., inside]
    off = (np.linalg.norm(other[..., 2 + d : 2 + d + middle.shape[-1]] - middle) for d in (0, 1))
    return min(off) / np.linalg.norm(middle)


print(f"shift 1, the map moved to fit: stride 1 is off by {mismatch(1):.0%}, stride 2 by {mismatch(2):.0%}")
assert mismatch(1) < 1e-6
assert mismatch(2) > 0.2

# %% [markdown]
# To blur before every second window is taken is one cure (Zhang 2019, *Making Convolutional Networks Shift-Invariant
# Again*); to train on shifted pictures is the usual one.

# %% [markdown]
# ## So many windows, whatever the size
#
# `adaptive_avg_pool2d(x, n)` is told how many windows to make, and finds where: window $i$ of $n$ goes from
# $\lfloor i L / n \rfloor$ to $\lceil (i+1) L / n \rceil$. With $n = 1$ it is *global average pooling*: a picture of
# any size becomes one number for each channel.

# %%
x = tinymed.randn(2, 3, 7, 5)
assert np.allclose(F.adaptive_avg_pool2d(x, 1)[..., 0, 0].numpy(), x.mean((2, 3)).numpy(), atol=1e-6)
print("5 numbers in 3 windows:", [list(range(i * 5 // 3, -(-(i + 1) * 5 // 3))) for i in range(3)])

# %% [markdown]
# ## What the fast kernel does differently
#
# **It remembers little.** The winner's number within its window fits into one byte, up to windows of 256 cells
# (`kernels/numba_pool.py`). PyTorch keeps its place in the whole image, eight bytes. Numbers for the first pooling of
# the article's network, a batch of 64:

# %%
s = pool_shape("max_pool2d", (64, 32, 26, 26), (2, 2), (2, 2), (0, 0))
windows = int(np.prod(s.y))
print(f"{windows:,} windows: {windows / 1e6:.2f} MB as uint8, {8 * windows / 1e6:.2f} MB as int64")
assert windows == 64 * 32 * 13 * 13

# %% [markdown]
# **It does not wait for the map.** The article's glossary (1.4.3) names ReLU6-Conv-Pool as one thing, and so it is
# computed: convolution, bias, ReLU6 and pooling while a few rows are near the core; the full map is never written.
# That takes a little algebra. ReLU6, $\min(\max(0, x), 6)$, never puts the larger of two numbers below the smaller, so
# the largest may be sought first and bounded after. With windows of 2x2, three out of four ReLU6 are saved:
#
# $$ \max_i \,\text{ReLU6}(x_i) = \text{ReLU6}\left(\max_i x_i\right) $$
#
# A winner that was cut off at 0 or 6 passes no gradient. It is marked DEAD in `where`, and that one byte is all that
# the backward pass of three layers needs to know. For an average the algebra does not hold:

# %%
x, w, b = tinymed.randn(2, 1, 9, 9) * 3, tinymed.randn(4, 1, 3, 3), tinymed.randn(4)
apart = F.max_pool2d(F.relu6(F.conv2d(x, w, b)), 2)
shape = conv_shape(x.shape, w.shape, (1, 1), (0, 0), (1, 1), 1)
fused, where = reference.conv2d_max_pool2d(x.numpy(), w.numpy(), b.numpy(), shape, (2, 2), 0, 6)
print(f"where: {where.dtype}; {np.mean(where == DEAD):.0%} of the windows are dead")
assert np.allclose(fused, apart.numpy(), atol=1e-5)
assert where.dtype == np.uint8
assert ((where == DEAD) == (fused <= 0) | (fused >= 6)).all()

average = F.avg_pool2d(F.relu6(F.conv2d(x, w, b)), 2), F.relu6(F.avg_pool2d(F.conv2d(x, w, b), 2))
print(f"average before or after ReLU6: they differ by up to {abs(average[0].numpy() - average[1].numpy()).max():.2f}")
assert not np.allclose(average[0].numpy(), average[1].numpy())

# %% [markdown]
# As a layer, it gives the numbers and the gradients of its three parts:

# %%
layer = nn.ConvReLU6Pool(1, 4, 3)
together = layer(x)
one_by_one = F.max_pool2d(F.relu6(layer.conv(x)), 2)
gradients = []
for y in (together, one_by_one):
    layer.zero_grad()
    y.square().sum().backward()
    gradients.append(layer.conv.weight.grad.numpy().copy())
print(layer)
assert np.allclose(together.detach().numpy(), one_by_one.detach().numpy(), atol=1e-5)
assert np.allclose(*gradients, rtol=1e-4, atol=1e-3)

# %% [markdown]
# ## Exercises
#
# > **Exercise 3.1.** Write `my_max_pool2d(x, size, stride, padding)`, max pooling of $x$ (N,C,H,W) with windows of
# > `size` x `size`, any stride and padding. Loops over $i, j$ are enough. Mind what the padding counts as.


# %% tags=["exercise"]
def my_max_pool2d(x, size, stride, padding):
    ### BEGIN SOLUTION
    border = (padding, padding)
    x = np.pad(x, ((0, 0), (0, 0), border, border), constant_values=-np.inf)
    N, C, H, W = x.shape
    y = np.zeros((N, C, (H - size) // stride + 1, (W - size) // stride + 1))
    for i in range(y.shape[2]):
        for j in range(y.shape[3]):
            y[:, :, i, j] = x[:, :, i * stride : i * stride + size, j * stride : j * stride + size].max((2, 3))
    return y
    ### END SOLUTION


# %% tags=["check"]
check("max_pool2d", my_max_pool2d)

# %% [markdown]
# > **Exercise 3.2.** Write `my_max_pool2d_grad(g, x, size, stride)`, the gradient of max pooling, without padding. It
# > is $\partial L / \partial x$, from $g$ (N,C,OH,OW) and $x$. Windows may overlap, cells may tie. At a tie do as the
# > engine: the first in reading order.
#
# <details><summary>A hint</summary>
#
# `window.argmax()` gives the first of several largest, counted row by row, and `np.unravel_index` or `divmod` its row
# and column.
#
# </details>


# %% tags=["exercise"]
def my_max_pool2d_grad(g, x, size, stride):
    ### BEGIN SOLUTION
    gx = np.zeros_like(x)
    for n, c, i, j in np.ndindex(g.shape):
        top, left = i * stride, j * stride
        u, v = divmod(x[n, c, top : top + size, left : left + size].argmax(), size)
        gx[n, c, top + u, left + v] += g[n, c, i, j]
    return gx
    ### END SOLUTION


# %% tags=["check"]
check("max_pool2d_grad", my_max_pool2d_grad)

# %% [markdown]
# > **Exercise 3.3.** Write `my_avg_pool2d(x, size, stride, padding, count_include_pad)`, average pooling with both ways
# > of counting the padding. `count_include_pad` is True or False. How do you count the cells inside the image without a
# > single `if`?
#
# <details><summary>A hint</summary>
#
# Pool an image of ones.
#
# </details>


# %% tags=["exercise"]
def my_avg_pool2d(x, size, stride, padding, count_include_pad):
    ### BEGIN SOLUTION
    def sums(x):
        x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
        return np.lib.stride_tricks.sliding_window_view(x, (size, size), (2, 3))[:, :, ::stride, ::stride].sum((4, 5))

    return sums(x) / (size * size if count_include_pad else sums(np.ones_like(x)))
    ### END SOLUTION


# %% tags=["check"]
check("avg_pool2d", my_avg_pool2d)

# %% [markdown]
# > **Exercise 3.4.** Write `my_avg_pool2d_grad(g, height, width, size, stride)`, the gradient of average pooling,
# > without padding. It is $\partial L / \partial x$ (N,C,height,width), from $g$ (N,C,OH,OW). Why does this one not ask
# > for $x$?


# %% tags=["exercise"]
def my_avg_pool2d_grad(g, height, width, size, stride):
    ### BEGIN SOLUTION
    gx = np.zeros((*g.shape[:2], height, width))
    for i in range(g.shape[2]):
        for j in range(g.shape[3]):
            share = g[:, :, i, j, None, None] / (size * size)
            gx[:, :, i * stride : i * stride + size, j * stride : j * stride + size] += share
    return gx
    ### END SOLUTION


# %% tags=["check"]
check("avg_pool2d_grad", my_avg_pool2d_grad)

# %% [markdown]
# > **Exercise 3.5.** Write `my_adaptive_avg_pool1d(x, n)`, the $n$ averages of a row of numbers, whatever its length.


# %% tags=["exercise"]
def my_adaptive_avg_pool1d(x, n):
    ### BEGIN SOLUTION
    L = len(x)
    starts = [i * L // n for i in range(n)]
    ends = [-(-(i + 1) * L // n) for i in range(n)]  # rounded up
    return np.array([x[a:b].mean() for a, b in zip(starts, ends)])
    ### END SOLUTION


# %% tags=["check"]
check("adaptive_avg_pool1d", my_adaptive_avg_pool1d)

# %% [markdown]
# ## What to take along
#
# - Max pooling passes its gradient to the winner, average pooling a $k$-th part to every cell; overlapping windows add.
# - Outside never wins: padding is $-\infty$ for the maximum. For an average, say whether it counts.
# - At a tie there is no slope. One winner, or a share for each; never all of $g$ to each.
# - Pooling makes a network less sensitive to small shifts, not insensitive. Measure before you promise.
#
# **Now open** `tinymed/ops/pool.py` at `MaxPool2d`, and `kernels/numba_pool.py` at `_larger`: the loop there
# chooses without a branch, and runs over all windows of a channel, taking one cell of each.
