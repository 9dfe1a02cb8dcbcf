# %% [markdown]
# # 02 · Convolution, backwards
#
# *Article 3.1.2, 4.1.1 · 75 minutes · `kernels/reference.py`, `tinymed/ops/conv.py`*
#
# A network learns because every weight is told which way to move. After this lesson you can say what a convolution
# tells its weights, its bias and its input, why there are three answers and only one list of products, and which
# pixels of an image the article's network never looks at.

# %%
import inspect
import time

import matplotlib.pyplot as plt
import numpy as np

import tinymed
import tinymed.nn.functional as F
from tinymed.gradcheck import GradcheckError
from tinymed.kernels import numpy_backend, reference
from tinymed.kernels.shapes import conv_shape
from tinymed.ops.conv import Conv2d
from tinymed.teach import check, trace
from tinymed.training import article_cnn

tinymed.use_backend("numpy")  # arrays of a few numbers: nothing here is worth compiling
_ = tinymed.manual_seed(0)

# %% [markdown]
# ## What the article says
#
# Section 3.1.2 calls the kernel (卷积核) 一组可训练的权重参数, "a set of trainable weights". Section 4.1.1
# gives the sum that goes forwards,
#
# $$ \text{卷积} = \sum_{i=1}^{m} w_{i} * f(x_i) $$
#
# and stops there. What makes the weights trainable is not in the article: how much the loss $L$ changes when one
# number changes a little. There are three kinds of numbers to ask about:
#
# | asked for | shape | needed by |
# |---|---|---|
# | $\partial L / \partial w$ | that of $w$, (O,C,KH,KW) | the optimiser, which moves $w$ |
# | $\partial L / \partial b$ | that of $b$, (O) | the optimiser, which moves $b$ |
# | $\partial L / \partial x$ | that of $x$, (N,C,H,W) | the layer before, as its own $g$ |
#
# Given is $g = \partial L / \partial y$, of the shape of $y$, (N,O,OH,OW). It comes from the layer after.

# %% [markdown]
# ## One product at a time
#
# > Before you read on: in the article's example, an image of 3x3 and a kernel of 2x2, you add 1 to the pixel in the
# > middle. How many of the four outputs change, and by how much each?
#
# Forwards, $y$ is a list of products, each added to one output:
#
# $$ y_{n,o,i,j} \mathrel{+}= w_{o,c,u,v} \cdot x_{n,c,h,q} \qquad h = is + ud - p, \quad q = js + vd - p $$
#
# Look at one of them. If $w$ grows by a little $\varepsilon$, this product grows by $\varepsilon x$, its $y$ by the
# same, and so $L$ by $g \cdot \varepsilon x$. If $x$ grows by $\varepsilon$, $L$ grows by $g \cdot \varepsilon w$.
# A number that stands in several products gets the sum of what they say. That is the whole derivation:
#
# $$ \frac{\partial L}{\partial w_{o,c,u,v}} \mathrel{+}= x_{n,c,h,q} \cdot g_{n,o,i,j} \qquad
# \frac{\partial L}{\partial x_{n,c,h,q}} \mathrel{+}= w_{o,c,u,v} \cdot g_{n,o,i,j} $$
#
# over the very same list. The bias was added once to every output of its channel, so
#
# $$ \frac{\partial L}{\partial b_o} = \sum_n \sum_i \sum_j g_{n,o,i,j} $$

# %% [markdown]
# ## The same letters in code
#
# `products` is the list, as in lesson 01. Three functions walk over it; compare the lines with `+=`.

# %%
for function in (reference.conv2d, reference.conv2d_input_grad, reference.conv2d_weight_grad):
    print(inspect.getsource(function))
print(inspect.getsource(reference.conv2d_bias_grad))

# %% [markdown]
# In the engine, forward and backward stand in one class. `ctx.needs` says which gradients anybody wants: the first
# layer's $\partial L / \partial x$ would be a gradient into the picture, and is left out.

# %%
print(inspect.getsource(Conv2d))

# %% [markdown]
# ## By hand
#
# The article's image 1…9 and its kernel, the 2x2 identity. Let the loss be
# $L = 1 \cdot y_{0,0} + 2 \cdot y_{0,1} + 3 \cdot y_{1,0} + 4 \cdot y_{1,1}$, so that $g$ is 1, 2, 3, 4.
#
# - The pixel in the middle was met by $w_{1,1} = 1$ in the first window, by $w_{1,0} = 0$ in the second,
#   $w_{0,1} = 0$ in the third and $w_{0,0} = 1$ in the last:
#   $\partial L / \partial x_{1,1} = 1 \cdot 1 + 0 \cdot 2 + 0 \cdot 3 + 1 \cdot 4 = 5$.
# - $w_{0,0}$ met 1, 2, 4, 5, one in each window:
#   $\partial L / \partial w_{0,0} = 1 \cdot 1 + 2 \cdot 2 + 4 \cdot 3 + 5 \cdot 4 = 37$.
# - $\partial L / \partial b = 1 + 2 + 3 + 4 = 10$.
#
# The question above has the same answer: the middle lies in all four windows, but two of them meet it with weight 0.
# Two outputs change, by 1 each. Work out the corner pixels and $w_{1,1}$ before you run the cell.

# %%
image = np.arange(1.0, 10.0).reshape(3, 3)
kernel = np.eye(2)
g = np.array([[1.0, 2.0], [3.0, 4.0]])

x = tinymed.tensor(image)[None, None].requires_grad_()
w = tinymed.tensor(kernel)[None, None].requires_grad_()
b = tinymed.zeros(1, dtype="float64").requires_grad_()
(F.conv2d(x, w, b) * tinymed.tensor(g)).sum().backward()

print("dL/dx\n", x.grad[0, 0].numpy())
print("dL/dw\n", w.grad[0, 0].numpy())
print("dL/db\n", b.grad.numpy())
assert x.grad[0, 0].tolist() == [[1, 2, 0], [3, 1 + 4, 2], [0, 3, 4]]
assert w.grad[0, 0].tolist() == [[37, 47], [67, 77]]
assert b.grad.tolist() == [10]
changed = F.conv2d(tinymed.tensor(image + (image == 5))[None, None], w) - F.conv2d(x, w)
assert changed[0, 0].tolist() == [[1, 0], [0, 1]]

# %% [markdown]
# ## Step through it
#
# With `g` the trace goes on where the forward pass ends: 16 products to $y$, the same 16 to `gx`, the same 16 to
# `gw`, then four numbers to `gb`. The bias adds four steps of its own to the forward pass.

# %%
t = trace.conv2d(image, kernel, [0], g=g)
for phase, k in (("forward", 0), ("into x", 20), ("into w", 36), ("into b", 52)):
    print(f"{phase:<8} {t[k]}")
assert [step.twin for step in t] == (
    ["conv2d"] * 20 + ["conv2d_input_grad"] * 16 + ["conv2d_weight_grad"] * 16 + ["conv2d_bias_grad"] * 4
)
assert (t.final["gx"] == x.grad.numpy()).all()
assert (t.final["gw"] == w.grad.numpy()).all()

# %%
t

# %% [markdown]
# ## The input's gradient is a convolution
#
# The loops *scatter*: each output throws something back at the four inputs under its window. Ask instead from the
# side of one input what it will *gather*. Pixel $h$ met weight $u$ in window $i = h - u$ (stride 1, no padding), so
#
# $$ \frac{\partial L}{\partial x_{h,q}} = \sum_u \sum_v w_{u,v} \cdot g_{h-u,\,q-v} $$
#
# where $g$ counts as 0 outside. The minus signs run through $g$ backwards, or through the kernel: with
# $u' = KH - 1 - u$ and $v' = KW - 1 - v$ it is again a sum over a window,
#
# $$ \frac{\partial L}{\partial x_{h,q}} = \sum_{u'} \sum_{v'} w_{KH-1-u',\,KW-1-v'} \cdot
# g_{h+u'-(KH-1),\,q+v'-(KW-1)} $$
#
# This is a convolution of $g$ with padding $KH - 1$ and $KW - 1$ (called *full*: every place where kernel and $g$ touch
# at all) and with the kernel turned by half a circle. With several channels, the $O$ channels of $g$ go in and the $C$
# channels of $x$ come out, so the kernel's first two axes change places. This is the true convolution of lesson 01,
# which flips: cross-correlation forwards is convolution backwards.

# %%
x = tinymed.randn(2, 3, 6, 5, dtype="float64").requires_grad_()
w = tinymed.randn(4, 3, 3, 2, dtype="float64").requires_grad_()
y = F.conv2d(x, w)
g = tinymed.randn(*y.shape, dtype="float64")
y.backward(g)

turned = tinymed.tensor(w.detach().numpy()[:, :, ::-1, ::-1].swapaxes(0, 1).copy())  # (C,O,KH,KW)
gx = F.conv2d(g, turned, padding=(3 - 1, 2 - 1))
print(f"largest difference {abs(gx.numpy() - x.grad.numpy()).max():.0e}")
assert np.allclose(gx.numpy(), x.grad.numpy())

# %% [markdown]
# ## The weights' gradient is one too
#
# $w_{o,c,u,v}$ met $x_{n,c,i+u,j+v}$ in every window:
#
# $$ \frac{\partial L}{\partial w_{o,c,u,v}} = \sum_n \sum_i \sum_j g_{n,o,i,j} \cdot x_{n,c,i+u,j+v} $$
#
# Read $g$ as a large kernel that slides over $x$: there are KH x KW places for it. The sum runs over $n$ now, so the
# batch plays the part that the channels had. No flip this time.

# %%
gw = F.conv2d(x.detach().transpose(0, 1), g.transpose(0, 1)).transpose(0, 1)  # x (C,N,H,W), g (O,N,OH,OW)
print(f"{tuple(gw.shape)}, largest difference {abs(gw.numpy() - w.grad.numpy()).max():.0e}")
assert np.allclose(gw.numpy(), w.grad.numpy())

# %% [markdown]
# ## Stride puts zeros between
#
# With stride $s$, neighbouring windows lie $s$ pixels apart. Imagine all the windows of stride 1, and give those
# that were left out $g = 0$: nothing of $L$ hangs on them. So put $s - 1$ zeros between the numbers of $g$, then do
# as before. Padding is cropped: its gradient belongs to zeros outside the image, and nobody asks for it. Where the
# stride does not divide, the last rows may lie in no window; they get 0.

# %%
stride, padding, size = 3, 1, 9
x = tinymed.randn(1, 1, size, size, dtype="float64").requires_grad_()
w = tinymed.randn(1, 1, 3, 3, dtype="float64").requires_grad_()
y = F.conv2d(x, w, stride=stride, padding=padding)
g = tinymed.arange(1, y.numel() + 1, dtype="float64").reshape(y.shape)
y.backward(g)

apart = np.zeros((1, 1, (y.shape[2] - 1) * stride + 1, (y.shape[3] - 1) * stride + 1))
apart[:, :, ::stride, ::stride] = g.numpy()
print("g with zeros between\n", apart[0, 0].astype(int))
full = F.conv2d(tinymed.tensor(apart), tinymed.tensor(w.detach().numpy()[..., ::-1, ::-1].copy()), padding=2).numpy()
missing = size + 2 * padding - full.shape[2]  # rows that no window reached
full = np.pad(full, ((0, 0), (0, 0), (0, missing), (0, missing)))
gx = full[:, :, padding : padding + size, padding : padding + size]
print(f"{missing} rows in no window, the image's last and one of padding")
assert np.allclose(gx, x.grad.numpy())
assert missing == 2
assert (gx[0, 0, -1] == 0).all()

# %% [markdown]
# For $\partial L / \partial w$ the same zeros stand in $g$ as the sliding kernel. A kernel with zeros between its
# numbers has a name: it is *dilated*. So the stride of the forward pass is the dilation of the weights' gradient.

# %%
gw = F.conv2d(x.detach().transpose(0, 1), g.transpose(0, 1), padding=padding, dilation=stride).transpose(0, 1)
print("places for it:", tuple(gw.shape[2:]), "of which the kernel's are the first", tuple(w.shape[2:]))
assert np.allclose(gw.numpy()[:, :, :3, :3], w.grad.numpy())

# %% [markdown]
# ## Why the bias sums over batch and places
#
# Forwards, one number $b_o$ is copied to N·OH·OW outputs. Whatever is copied forwards is summed backwards, for each
# copy has its own influence on $L$, and influences add. It is true of a kernel as well: it is copied to every window
# of every image. Where $L$ is the *mean* over a batch, the $1/N$ is in $g$ already; divide again, and the step is
# $N$ times too short.

# %%
y = tinymed.randn(8, 5, 4, 4, dtype="float64")
b = tinymed.zeros(5, dtype="float64").requires_grad_()
F.mse_loss(y + b[:, None, None], tinymed.zeros(8, 5, 4, 4, dtype="float64")).backward()
g = 2 * y.numpy() / y.numel()  # of the mean square: the 1/N is here
print(f"largest difference {abs(b.grad.numpy() - g.sum(axis=(0, 2, 3))).max():.0e}")
assert np.allclose(b.grad.numpy(), g.sum(axis=(0, 2, 3)))

# %% [markdown]
# ## The gradient check
#
# A gradient can be measured: move one number up and down by a little $\varepsilon$ and see what becomes of $L$,
#
# $$ \frac{\partial L}{\partial w} \approx \frac{L(w + \varepsilon) - L(w - \varepsilon)}{2\varepsilon} $$
#
# `tinymed.gradcheck` does that for every number of every input (up to 256 numbers; beyond that along random
# directions), in float64, with random weights on the outputs. Does it notice anything? Here is a convolution whose
# backward flips the weights' gradient.


# %%
class Flipped(Conv2d):
    def backward(ctx, g):
        gx, gw, gb = Conv2d.backward(ctx, g)
        return gx, gw[..., ::-1, ::-1].copy(), gb


def broken_conv2d(x, w):
    shape = conv_shape(x.shape, w.shape, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1)
    return Flipped.apply(x, w, None, shape)


x = tinymed.randn(2, 2, 5, 5, dtype="float64").requires_grad_()
w = tinymed.randn(4, 2, 3, 3, dtype="float64").requires_grad_()
for how in ({}, {"stride": 2}, {"padding": 1}, {"stride": 2, "padding": 1, "dilation": 2}):
    assert tinymed.gradcheck(lambda x, w, how=how: F.conv2d(x, w, **how), (x, w))
assert tinymed.gradcheck(lambda x, w: F.conv2d(x, w, groups=2), (x, w[:, :1].detach().requires_grad_()))
try:
    tinymed.gradcheck(broken_conv2d, (x, w))
except GradcheckError as error:
    print(error)
else:
    raise AssertionError("a broken gradient went unnoticed")

# %% [markdown]
# ## Transposed convolution is the input's gradient
#
# A decoder that draws a mask around a lesion has to make maps larger again. Its layer, the *transposed convolution*,
# is the loops of `conv2d_input_grad` with the small map in the place of $g$. The name comes from matrices: written
# as one matrix $A$, a convolution is $y = A x$, and its input gradient $A^T g$. It is not the inverse: it gives back
# the shape, as far as that can be known, never the numbers.

# %%
x = tinymed.randn(1, 2, 7, 7, dtype="float64").requires_grad_()
w = tinymed.randn(3, 2, 3, 3, dtype="float64")
y = F.conv2d(x, w, stride=2, padding=1)
g = tinymed.randn(*y.shape, dtype="float64")
y.backward(g)
enlarged = F.conv_transpose2d(g, w, stride=2, padding=1)
print(tuple(g.shape), "->", tuple(enlarged.shape))
assert np.allclose(enlarged.numpy(), x.grad.numpy())

columns = [F.conv2d(cell.reshape(x.shape), w, stride=2, padding=1).flatten() for cell in tinymed.eye(98).double()]
A = np.stack([column.numpy() for column in columns], axis=1)  # y = A·x, all at once
print("the convolution as a matrix", A.shape, f"of which {np.mean(A != 0):.0%} is not 0")
assert np.allclose(A @ x.detach().numpy().ravel(), y.detach().numpy().ravel())
assert np.allclose(A.T @ g.numpy().ravel(), x.grad.numpy().ravel())

# %% [markdown]
# ## Which inputs receive how much
#
# With every weight and every $g$ equal to 1, $\partial L / \partial x$ counts the windows that hold each pixel. At
# the border there are fewer. With stride 2 and a 3x3 kernel the counts alternate: this is the checkerboard that
# transposed convolutions print into generated pictures (Odena, Dumoulin and Olah 2016).


# %%
def counts(size, k, stride, padding):
    x = tinymed.zeros(1, 1, size, size).requires_grad_()
    F.conv2d(x, tinymed.ones(1, 1, k, k), stride=stride, padding=padding).sum().backward()
    return x.grad[0, 0].numpy()


fig, axes = plt.subplots(1, 4, figsize=(12, 3.4), layout="constrained")
for ax, (k, stride, padding) in zip(axes, [(3, 1, 0), (3, 1, 1), (3, 2, 0), (2, 3, 0)]):
    number = counts(8, k, stride, padding)
    shown = ax.imshow(number, cmap="viridis", vmin=0, vmax=9)
    for (row, column), value in np.ndenumerate(number):
        ax.text(column, row, f"{value:g}", ha="center", va="center", color="white" if value < 6 else "black")
    ax.set_title(f"kernel {k}x{k}, stride {stride}, padding {padding}", fontsize=11)
    ax.set_xticks(range(0, 8, 2))
    ax.set_yticks(range(0, 8, 2))
    ax.set_xlabel("column")
axes[0].set_ylabel("row")
fig.colorbar(shown, ax=axes, label="windows that hold the pixel", shrink=0.85)
plt.show()
assert counts(8, 3, 1, 0).sum() == 9 * 6 * 6  # every product once
assert (counts(8, 3, 2, 0)[-1] == 0).all()  # the stride does not divide: a row that nobody sees

# %% [markdown]
# ## What one output sees
#
# Stack $n$ convolutions of 3x3 and ask what one number in the middle of the last map depends on: its *receptive
# field*. On paper it is $2n + 1$ pixels wide. Backward measures it: put $g = 1$ at that one number, and look which
# pixels receive something, and how much.
#
# > Before you run it: do all pixels of the field count the same?


# %%
def influence(depth, weights, channels=1, size=41):
    y = x = tinymed.zeros(1, 1, size, size, dtype="float64").requires_grad_()
    for _ in range(depth):
        y = F.conv2d(y, weights(channels, y.shape[1]), padding=1)
    y[0, 0, size // 2, size // 2].backward()
    return x.grad[0, 0].numpy()


def flat(O, C):
    return tinymed.full((O, C, 3, 3), 1 / 9, dtype="float64")


def drawn(O, C):
    return tinymed.randn(O, C, 3, 3, dtype="float64")


def width(share):
    """The standard deviation of the rows, each weighted by the share that it receives."""
    rows, along = np.arange(len(share)), share.sum(axis=1) / share.sum()
    return np.sqrt((along * (rows - rows @ along) ** 2).sum())


depths = range(1, 19)
uniform = [influence(n, flat) for n in depths]
random = {n: np.mean([influence(n, drawn, 4) ** 2 for _ in range(20)], axis=0) for n in (2, 6, 10, 14, 18)}
fields = [np.ptp(np.flatnonzero(share.sum(axis=1))) + 1 for share in uniform]

fig, axes = plt.subplots(1, 3, figsize=(12, 3.6), layout="constrained", width_ratios=[1, 1, 1.2])
fig.get_layout_engine().set(wspace=0.06)
for ax, depth in zip(axes, (3, 12)):
    share = uniform[depth - 1]
    shown = ax.imshow(share / share.max(), cmap="viridis", extent=(-20.5, 20.5, 20.5, -20.5))
    half = depth + 0.5
    ax.plot([-half, half, half, -half, -half], [-half, -half, half, half, -half], "w--", lw=1.2)
    ax.set_title(f"{depth} layers: field {2 * depth + 1} (dashed)", fontsize=11)
    ax.set_xlabel("pixels from the middle")
axes[0].set_ylabel("pixels from the middle")
fig.colorbar(shown, ax=axes[:2], label="influence, largest = 1", shrink=0.8)
axes[2].plot(depths, fields, "o-", color="#0072B2", ms=4, label="field on paper, 2n + 1")
axes[2].plot(depths, [4 * width(s) for s in uniform], "s-", color="#D55E00", ms=4, label="measured, equal weights")
axes[2].plot(list(random), [4 * width(s) for s in random.values()], "k^", ms=6, label="measured, random weights")
axes[2].set_xlabel("layers of 3x3")
axes[2].set_xticks(range(2, 19, 4))
axes[2].set_ylabel("width (pixels)")
axes[2].set_ylim(0, 56)
axes[2].set_title("width that matters: 4 standard deviations", fontsize=11)
axes[2].legend(loc="upper left")
axes[2].grid(alpha=0.3)
plt.show()

for n, share, field in zip(depths, uniform, fields):
    assert field == 2 * n + 1
    assert np.isclose(width(share), np.sqrt(2 * n / 3))
print(f"18 layers: the field is {fields[-1]} wide, its influence {4 * width(uniform[-1]):.1f}")
assert all(abs(width(s) / np.sqrt(2 * n / 3) - 1) < 0.25 for n, s in random.items())

# %% [markdown]
# They do not: there are many ways through the layers to the middle, and one way to each corner. A layer of equal
# weights spreads what comes back like one step of a random walk: to the left, nowhere or to the right, each with
# weight 1/3. Its variance is $(1 + 0 + 1)/3 = 2/3$. Variances add, so after $n$ layers the standard deviation is
# $\sqrt{2n/3}$ in each direction: the field grows like $n$, what matters of it like $\sqrt n$. Random weights, with the
# squares averaged over 20 drawn networks of four channels, do much the same. (Luo, Li, Urtasun and Zemel 2016 call
# this the *effective* receptive field.)
#
# With strides $2n + 1$ is not enough. For a convolution of 3x3, a pooling of 2x2 with stride 2 and another convolution
# of 3x3 the field grows 1 → 3 → 4 → 8. The first 3x3 adds 2 pixels, the second 4: behind the pooling, two neighbours
# of a map stand two pixels apart.

# %%
x = tinymed.zeros(1, 1, 12, 12).requires_grad_()
ones = tinymed.ones(1, 1, 3, 3)
F.conv2d(F.avg_pool2d(F.conv2d(x, ones), 2), ones)[0, 0, 0, 0].backward()
print("rows that one output sees, measured:", np.count_nonzero(x.grad[0, 0, :, 0].numpy()))
assert np.flatnonzero(x.grad[0, 0, :, 0].numpy()).tolist() == list(range(8))

# %% [markdown]
# ## What the article's network never sees
#
# The same question to the network of the article's listing (5.2): which pixels of its 28x28 picture receive nothing
# at all, for any input? Pixels without a gradient everywhere cannot change the answer.

# %%
model = article_cnn()
pictures = tinymed.rand(32, 1, 28, 28).requires_grad_()
model(pictures).sum().backward()
blind = (pictures.grad.numpy() == 0).all(axis=(0, 1))
print(f"rows without gradient: {np.flatnonzero(blind.all(axis=1)).tolist()}, columns the same")
print(f"{blind.sum()} of {blind.size} pixels, {blind.mean():.1%}, are never looked at")
assert np.flatnonzero(blind.all(axis=1)).tolist() == np.flatnonzero(blind.all(axis=0)).tolist() == [26, 27]
assert blind.sum() == 28**2 - 26**2 == 108

painted = pictures.detach().numpy().copy()
painted[:, :, 26:] = painted[:, :, :, 26:] = 1000
with tinymed.no_grad():
    assert (model(tinymed.tensor(painted)).numpy() == model(pictures).numpy()).all()

# %% [markdown]
# The sizes say why: 28 → 26 → 13 → 11 → 5, and the second pooling takes 10 of its 11 rows. The eleventh is
# dropped, and with it everything that only it had seen: the last two rows and columns of the picture. Paint over
# them, and the answer is the same to the last digit. A lesion there would be missed, whatever was learnt. With
# padding 1 in both convolutions (28 → 28 → 14 → 14 → 7) nothing is dropped:

# %%
seeing = tinymed.nn.Sequential(
    tinymed.nn.Conv2d(1, 32, 3, padding=1),
    tinymed.nn.ReLU(),
    tinymed.nn.MaxPool2d(2),
    tinymed.nn.Conv2d(32, 64, 3, padding=1),
    tinymed.nn.ReLU(),
    tinymed.nn.MaxPool2d(2),
)
pictures = tinymed.rand(32, 1, 28, 28).requires_grad_()
maps = seeing(pictures)
maps.sum().backward()
print(tuple(maps.shape), "pixels without gradient:", (pictures.grad.numpy() == 0).all(axis=(0, 1)).sum())
assert (pictures.grad.numpy() != 0).any(axis=(0, 1)).all()

# %% [markdown]
# ## What the fast kernel does differently
#
# Scattering cannot be shared among threads as it stands: two windows that overlap add to the same pixel, and if two
# threads read it, add, and write it back at once, one of the two additions is lost. NumPy shows the same trap in one
# thread: `a[places] += 1` reads all, adds, and writes all.

# %%
a, places = np.zeros(3), [0, 1, 1, 2]
a[places] += 1
print("a[places] += 1      ", a, " one addition is lost")
assert a.tolist() == [1, 1, 1]
a[:] = 0
np.add.at(a, places, 1)
print("np.add.at(a, places)", a)
assert a.tolist() == [1, 2, 1]

# %% [markdown]
# So the fast kernels turn the loops round, until each result has one owner:
#
# - **Input**: gather. `kernels/numba_conv_grad.py` lays $g$ out in lines with zeros around them and runs the forward's
#   own sum over these, the channels swapped and the taps' offsets with a minus sign, which is the flip. The zeros
#   that a stride puts between are never multiplied: pixels whose row has the same remainder by the stride meet the
#   same taps, and each such *phase* is a small convolution of its own. Every task owns whole images.
# - **Weights**: every image adds to every weight, so no owner is in sight. Each task sums up its images into a `gw` of
#   its own, and these few are added at the end, always in the same order. So the same number of threads gives the
#   same digits.
# - **Bias**: its sum is taken on the way, when $g$ is read anyway.
#
# `kernels/numpy_backend.py` does it by a matrix product and then lets all windows add their cell $(u, v)$ at once.
# For one $(u, v)$ no two windows share a pixel, so nothing is lost, and only KH·KW additions of whole maps are left:

# %%
print(inspect.getsource(numpy_backend.conv2d_input_grad))

# %%
x, w = tinymed.randn(4, 3, 14, 14), tinymed.randn(8, 3, 3, 3)
shape = conv_shape(x.shape, w.shape, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1)
g = tinymed.randn(*shape.y).numpy()
answers = {}
for kernels in (reference, numpy_backend):
    start = time.perf_counter()
    answers[kernels] = kernels.conv2d_grad(g, x.numpy(), w.numpy(), shape)
    took = time.perf_counter() - start
    print(f"{kernels.__name__:<32} {1e3 * took:8.2f} ms for all three gradients")
for one, other in zip(*answers.values()):
    assert np.allclose(one, other, rtol=1e-4, atol=1e-4)

# %% [markdown]
# ## Exercises
#
# > **Exercise 2.1.** Write `my_bias_grad(g)`, the gradient of the bias. It is $\partial L / \partial b$ (O), from $g$
# > (N,O,OH,OW). One line will do.


# %% tags=["exercise"]
def my_bias_grad(g):
    ### BEGIN SOLUTION
    return g.sum(axis=(0, 2, 3))
    ### END SOLUTION


# %% tags=["check"]
check("conv2d_bias_grad", my_bias_grad)

# %% [markdown]
# > **Exercise 2.2.** Write `my_input_grad(g, w)`, the gradient of the input for one channel, in loops that scatter. It
# > is $\partial L / \partial x$, from $g$ (OH,OW) and $w$ (KH,KW), stride 1, no padding. What shape has $x$?
#
# <details><summary>A hint</summary>
#
# Write down the forward loops of Exercise 1.2. Change the line inside: which of the three arrays receives now?
#
# </details>


# %% tags=["exercise"]
def my_input_grad(g, w):
    ### BEGIN SOLUTION
    (OH, OW), (KH, KW) = g.shape, w.shape
    gx = np.zeros((OH + KH - 1, OW + KW - 1))
    for i in range(OH):
        for j in range(OW):
            for u in range(KH):
                for v in range(KW):
                    gx[i + u, j + v] += w[u, v] * g[i, j]
    return gx
    ### END SOLUTION


# %% tags=["check"]
check("conv2d_single_input_grad", my_input_grad)

# %% [markdown]
# > **Exercise 2.3.** Write `my_weight_grad(x, g)`, the gradient of the kernels. It is $\partial L / \partial w$
# > (O,C,KH,KW), from $x$ (N,C,H,W) and $g$ (N,O,OH,OW), stride 1, no padding. Two loops over $u, v$ and an `np.einsum`
# > are enough. Which letters does the sum run over?


# %% tags=["exercise"]
def my_weight_grad(x, g):
    ### BEGIN SOLUTION
    (_, C, H, W), (_, O, OH, OW) = x.shape, g.shape
    gw = np.zeros((O, C, H - OH + 1, W - OW + 1))
    for u in range(gw.shape[2]):
        for v in range(gw.shape[3]):
            gw[:, :, u, v] = np.einsum("noij,ncij->oc", g, x[:, :, u : u + OH, v : v + OW])
    return gw
    ### END SOLUTION


# %% tags=["check"]
check("conv2d_weight_grad", my_weight_grad)

# %% [markdown]
# > **Exercise 2.4.** Write `my_input_grad_full(g, w)`, the gradient of the input, with *one* call of a convolution. Now
# > gather, for $g$ (N,O,OH,OW) and $w$ (O,C,KH,KW), stride 1, no padding. The call may be `F.conv2d` on tensors or your
# > own of Exercise 1.3. Three things must happen to $g$ and $w$ first.


# %% tags=["exercise"]
def my_input_grad_full(g, w):
    ### BEGIN SOLUTION
    turned = w[:, :, ::-1, ::-1].swapaxes(0, 1)  # (C,O,KH,KW)
    border = (w.shape[2] - 1, w.shape[3] - 1)
    return F.conv2d(tinymed.tensor(g), tinymed.tensor(turned.copy()), padding=border)
    ### END SOLUTION


# %% tags=["check"]
check("conv2d_input_grad_full", my_input_grad_full)

# %% [markdown]
# > **Exercise 2.5.** Write `my_input_grad_strided(g, w, size, stride, padding)`, the gradient of the input for any
# > stride and padding. The images are `size` x `size`. The size is given because $g$ does not tell it: with a 3x3
# > kernel and stride 2, images of 5 and of 6 rows give maps of the same size. Gather, or scatter; the answer is one.
#
# <details><summary>A hint</summary>
#
# Scattering is shorter: make $gx$ for the padded image, let window $(i, j)$ add to rows `i * stride` and following,
# crop at the end.
#
# </details>


# %% tags=["exercise"]
def my_input_grad_strided(g, w, size, stride, padding):
    ### BEGIN SOLUTION
    (N, _, OH, OW), (_, C, KH, KW) = g.shape, w.shape
    gx = np.zeros((N, C, size + 2 * padding, size + 2 * padding))
    for i in range(OH):
        for j in range(OW):
            window = gx[:, :, i * stride : i * stride + KH, j * stride : j * stride + KW]
            window += np.einsum("no,ocuv->ncuv", g[:, :, i, j], w)
    return gx[:, :, padding : padding + size, padding : padding + size]
    ### END SOLUTION


# %% tags=["check"]
check("conv2d_input_grad_strided", my_input_grad_strided)

# %% [markdown]
# > **Exercise 2.6.** Write `receptive_field(kernels, strides)`, the number of rows of the image that one output sees
# > behind layers with these kernels and strides, in order. Pooling counts as a layer. Start with one pixel that sees
# > itself, and ask how far apart in the image two neighbours of a map stand.


# %% tags=["exercise"]
def receptive_field(kernels, strides):
    ### BEGIN SOLUTION
    rows, step = 1, 1  # what one number sees; how far apart in the image two neighbours stand
    for k, s in zip(kernels, strides):
        rows += (k - 1) * step
        step *= s
    return rows
    ### END SOLUTION


# %% tags=["check"]
check("conv2d_receptive_field", receptive_field)

# %% [markdown]
# ## What to take along
#
# - One list of products gives all: $y$ collects $w \cdot x$, $\partial L / \partial x$ collects $w \cdot g$,
#   $\partial L / \partial w$ collects $x \cdot g$.
# - What was copied forwards is summed backwards: kernel and bias over batch and places.
# - The input's gradient is a full correlation with the turned kernel; stride puts zeros between, padding is cropped.
#   As a layer it is called transposed convolution.
# - Backward measures what a network looks at. Pixels without gradient are not looked at.
#
# **Now open** `tinymed/ops/conv_transpose.py`: its forward is this lesson's backward, and the other way round. Then
# `kernels/numba_conv_grad.py` at `_backward`, where one walk over the images gives all three gradients.
