# %% [markdown]
# # 01 · Convolution
#
# *Article 3.1.1, 4.1.1 · 60 minutes · `kernels/reference.py`, `tinymed/ops/conv.py`*
#
# A radiologist looks for small things: an edge, a spot, a border that is not smooth. A convolution looks for one small
# thing everywhere in an image, with one set of weights. After this lesson you can compute one by hand, say what shape
# comes out, and write the loops.

# %%
import inspect

import matplotlib.pyplot as plt
import numpy as np

import tinymed
import tinymed.nn.functional as F
from tinymed.data import make_breast_phantoms
from tinymed.kernels import reference
from tinymed.teach import check, trace

_ = tinymed.manual_seed(0)

# %% [markdown]
# ## What the article says
#
# Section 4.1.1 gives the convolution as a sum over one window:
#
# $$ \text{convolution} = \sum_{i=1}^{m} w_i * f(x_i) $$
#
# where $w_i$ are the numbers of the kernel (the article: 卷积核) and $f(x_i)$ the numbers of the input under it. What
# $f$ does is not explained; nothing happens to a number before it is multiplied, so read $f(x_i)$ as $x_i$. The sum is
# one number of the output. The formula does not say how the window moves, what happens at the border, or what to do
# with several channels. In full it is
#
# $$ y_{n,o,i,j} = b_o + \sum_{c} \sum_{u} \sum_{v} w_{o,c,u,v} \cdot x_{n,\,c,\;i s + u d - p,\;j s + v d - p} $$
#
# | letter | what it counts |
# |---|---|
# | $n$ | the image: one of the $N$ of a *batch* (the images computed together) |
# | $o$ | the kernel: one of $O$, and so the channel of the output |
# | $i, j$ | row and column of the output, which has $OH$ rows and $OW$ columns |
# | $c$ | the *channel* of the input: one of $C$ maps of the same place, such as red, green, blue |
# | $u, v$ | row and column of the kernel, which has $KH$ rows and $KW$ columns |
# | $s$ | *stride*: how far the window moves from one output to the next |
# | $p$ | *padding*: rows of zeros around the image |
# | $d$ | *dilation*: how far apart the cells of the kernel lie, mostly 1 |
#
# The image has $H$ rows and $W$ columns. Shapes are written with the same capitals: $x$ is (N,C,H,W), $w$ is
# (O,C,KH,KW), $y$ is (N,O,OH,OW). Where an index falls outside the image, $x$ counts as 0: that is all that padding is.

# %% [markdown]
# ## The same letters in code
#
# This is the whole of it in `kernels/reference.py`: `products` walks over every $(n, o, i, j, c, u, v)$ and gives the
# three places that belong together, in $y$, in $w$ and in $x$; there `h, q` are row and column of the image.
#
# > **One letter, two meanings.** In the formula $s$ is the stride. In the code `s` is everything that is known of the
# > sizes, and the stride is one part of it: `s.SH` downwards, `s.SW` across.
#
# In the same way `s.PH, s.PW` are the padding $p$ and `s.DH, s.DW` the dilation $d$; `s.H`, `s.KH`, `s.OH` and so on
# are the capitals above. Groups `s.G`, mostly 1, split the channels.

# %%
print(inspect.getsource(reference.products))
print(inspect.getsource(reference.conv2d))

# %% [markdown]
# ## By hand
#
# The article's example (4.1.3): the image 1…9 and the 2x2 identity. The window at the upper left covers 1, 2, 4, 5:
#
# $$ y_{0,0} = 1 \cdot 1 + 0 \cdot 2 + 0 \cdot 4 + 1 \cdot 5 = 6 $$
#
# The article prints 5 there. Lesson 04 is about that. Work out the other three before you run the cell.
#
# `F.conv2d` takes batches of images with channels. `[None, None]` puts two axes of length 1 in front: the 3x3 image
# becomes (1,1,3,3), one image of one channel, and the kernel (1,1,2,2). `[0, 0]` takes them off again.

# %%
image = np.arange(1.0, 10.0).reshape(3, 3)
kernel = np.eye(2)
by_hand = np.array(
    [
        [1 * 1 + 0 * 2 + 0 * 4 + 1 * 5, 1 * 2 + 0 * 3 + 0 * 5 + 1 * 6],
        [1 * 4 + 0 * 5 + 0 * 7 + 1 * 8, 1 * 5 + 0 * 6 + 0 * 8 + 1 * 9],
    ]
)
y = F.conv2d(tinymed.tensor(image)[None, None], tinymed.tensor(kernel)[None, None])
print(y[0, 0].numpy())
assert (y[0, 0].numpy() == by_hand).all()

# %% [markdown]
# ## Step through it
#
# A trace is the loops above, run with your numbers and written down line by line. In a terminal: `t.play()`, or
# `tinymed step conv`. In a notebook the cell that says just `t` plays it; use the arrow keys.

# %%
t = trace.conv2d(image, kernel)
t.show(5)
assert (t.final["y"] == y.numpy()).all()

# %%
t

# %% [markdown]
# Change the kernel, the stride, the padding, and look again. Here: padding 1, stride 2. The steps that fall
# on the padding are not there: 0 adds nothing.

# %%
strided = trace.conv2d(image, kernel, stride=2, padding=1)
print(strided.final["y"][0, 0])
print(f"{len(t)} products without padding, {len(strided)} with stride 2 and padding 1")

# %% [markdown]
# ## What shape comes out
#
# The window's first row can stand at $0, s, 2s, \dots$ as long as its last row is still inside the padded image:
#
# $$ OH = \left\lfloor \frac{H + 2p - d\,(KH - 1) - 1}{s} \right\rfloor + 1 $$

# %%
for n, k, stride, padding in [(28, 3, 1, 0), (28, 3, 1, 1), (28, 3, 2, 1), (28, 5, 2, 0)]:
    x = tinymed.zeros(1, 1, n, n)
    w = tinymed.zeros(1, 1, k, k)
    rows = F.conv2d(x, w, stride=stride, padding=padding).shape[2]
    assert rows == (n + 2 * padding - k) // stride + 1
    print(f"{n} rows, kernel {k}, stride {stride}, padding {padding} -> {rows} rows")

# %% [markdown]
# ## Is it a convolution?
#
# In mathematics a convolution runs through the kernel backwards. Deep learning does not flip: what PyTorch, TensorFlow
# and JAX call convolution in a network is *cross-correlation*. For a kernel that is learnt it makes no difference, for
# it would learn the flipped numbers.

# %%
lopsided = np.array([[1.0, 2.0], [3.0, 4.0]])
across = F.conv2d(tinymed.tensor(image)[None, None], tinymed.tensor(lopsided)[None, None])
flipped = F.conv2d(tinymed.tensor(image)[None, None], tinymed.tensor(lopsided[::-1, ::-1].copy())[None, None])
print("cross-correlation", across[0, 0].tolist())
print("true convolution ", flipped[0, 0].tolist())
assert (across.numpy() != flipped.numpy()).all()

# %% [markdown]
# ## What a kernel sees
#
# Each kernel answers one question at every place. The picture below is generated (`make_breast_phantoms`), no
# patient's. No padding here: zeros around a bright picture are an edge of their own.

# %%
phantom, label = make_breast_phantoms(8, seed=1)[1]
kernels = {
    "vertical edges": [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]],
    "horizontal edges": [[-1, -2, -1], [0, 0, 0], [1, 2, 1]],
    "average": np.full((3, 3), 1 / 9),
    "spots": [[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]],
}
fig, axes = plt.subplots(1, 5, figsize=(12, 2.9), layout="constrained")
axes[0].imshow(phantom[0].numpy(), cmap="gray")
axes[0].set_title("generated picture")
for ax, (name, numbers) in zip(axes[1:], kernels.items()):
    w = tinymed.tensor(np.array(numbers, np.float32))[None, None]
    feature_map = F.conv2d(phantom[None], w)[0, 0].numpy()
    shown = ax.imshow(feature_map / abs(feature_map).max(), cmap="RdBu", vmin=-1, vmax=1)
    ax.set_title(name)
for ax in axes:
    ax.set_xticks([])
    ax.set_yticks([])
fig.colorbar(shown, ax=axes, label="response / its largest", shrink=0.8)
plt.show()

# %% [markdown]
# ## Several channels, several kernels
#
# With $C$ channels in, a kernel has $C$ slices and the sum runs over them too: one kernel still gives one map.
# With $O$ kernels there are $O$ maps.

# %%
x, w = tinymed.randn(2, 3, 8, 8), tinymed.randn(5, 3, 3, 3)
print(tuple(x.shape), "*", tuple(w.shape), "->", tuple(F.conv2d(x, w).shape))
colour = trace.conv2d(np.ones((2, 3, 3)), np.ones((1, 2, 2, 2)))
print(f"one output of two channels and a 2x2 kernel is a sum of {2 * 2 * 2}: {colour.final['y'][0, 0, 0, 0]:g}")
assert colour.final["y"][0, 0, 0, 0] == 8

# %% [markdown]
# ## Backwards, in one glance
#
# Every product $w \cdot x$ was added to one $y$. So $\partial L / \partial w$ collects $x \cdot g$, and
# $\partial L / \partial x$ collects $w \cdot g$, from the very same products, where $g = \partial L / \partial y$. The
# same loops, with another array on the left. Lesson 02 takes this slowly; here is the check that the engine has it
# right.

# %%
back = trace.conv2d(image, kernel, g=1)
print("dL/dx", back.final["gx"][0, 0].tolist())
print("dL/dw", back.final["gw"][0, 0].tolist())
x, w = tinymed.randn(1, 2, 4, 4, dtype="float64"), tinymed.randn(3, 2, 3, 3, dtype="float64")
assert tinymed.gradcheck(F.conv2d, (x.requires_grad_(), w.requires_grad_()))

# %% [markdown]
# ## What the fast kernel does differently
#
# The numbers are the same, the order is not. `kernels/numpy_backend.py` lays every window out as a column of a matrix
# (im2col) and does one matrix product; `kernels/numba_conv.py` keeps a tile of outputs in the processor's registers
# and never builds that matrix. Lesson 13 measures them. All that are here must agree with the loops:

# %%
x, w = tinymed.randn(2, 3, 8, 8), tinymed.randn(4, 3, 3, 3)
answers = {}
for backend in dict.fromkeys(("reference", "numpy", tinymed.get_backend())):
    with tinymed.use_backend(backend):
        answers[backend] = F.conv2d(x, w).numpy()
    print(f"{backend:<9} differs from the loops by at most {abs(answers[backend] - answers['reference']).max():.0e}")
    assert np.allclose(answers[backend], answers["reference"], atol=1e-5)

# %% [markdown]
# ## Exercises
#
# How to work, in this lesson and all others: write the function, run its cell and the cell with `check` below it. With
# the lesson as a file, run it (`python course/01_convolution.py`); it stops at the first exercise that is missing or
# wrong. A check says which number is wrong first, and names the mistake if it knows it. To see your own loops step by
# step, ask for `trace.function(my_conv2d_single, image, kernel)`.
#
# > **Exercise 1.1.** Write `output_size(n, k, stride, padding)`, the number of rows that come out of `n` rows.
#
# <details><summary>A hint</summary>
#
# Count the places where the window may start. How many steps of `stride` fit between the first and the last?
#
# </details>


# %% tags=["exercise"]
def output_size(n, k, stride, padding):
    ### BEGIN SOLUTION
    return (n + 2 * padding - k) // stride + 1
    ### END SOLUTION


# %% tags=["check"]
check("conv2d_output_size", output_size)

# %% [markdown]
# > **Exercise 1.2.** Write `my_conv2d_single(x, w)`, the convolution of one image (H,W) with one kernel (KH,KW), in
# > loops. Stride 1, no padding.


# %% tags=["exercise"]
def my_conv2d_single(x, w):
    ### BEGIN SOLUTION
    (H, W), (KH, KW) = x.shape, w.shape
    y = np.zeros((H - KH + 1, W - KW + 1))
    for i in range(y.shape[0]):
        for j in range(y.shape[1]):
            for u in range(KH):
                for v in range(KW):
                    y[i, j] += w[u, v] * x[i + u, j + v]
    return y
    ### END SOLUTION


# %% tags=["check"]
check("conv2d_single", my_conv2d_single)

# %% [markdown]
# > **Exercise 1.3.** Write `my_conv2d(x, w, stride, padding)` for a batch (N,C,H,W) and kernels (O,C,KH,KW), with any
# > stride and padding. `np.pad` may help. You may use loops over $i, j$ only and let NumPy do the rest.
#
# `np.einsum` is the sum sign of NumPy: `np.einsum("ij,jk->ik", a, b)` is $\sum_j a_{i,j} \cdot b_{j,k}$, the product of
# two matrices. The letters name the axes; a letter that is missing after the arrow is summed over.


# %% tags=["exercise"]
def my_conv2d(x, w, stride, padding):
    ### BEGIN SOLUTION
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    (N, _, H, W), (O, _, KH, KW) = x.shape, w.shape
    y = np.zeros((N, O, (H - KH) // stride + 1, (W - KW) // stride + 1))
    for i in range(y.shape[2]):
        for j in range(y.shape[3]):
            window = x[:, :, i * stride : i * stride + KH, j * stride : j * stride + KW]
            y[:, :, i, j] = np.einsum("ncuv,ocuv->no", window, w)
    return y
    ### END SOLUTION


# %% tags=["check"]
check("conv2d", my_conv2d)

# %% [markdown]
# ## What to take along
#
# - A convolution is one weighted sum, repeated at every place with the same weights.
# - Its size is $\lfloor (H + 2p - KH)/s \rfloor + 1$, with dilation 1.
# - Deep learning computes cross-correlation and calls it convolution.
#
# **Now open** `kernels/reference.py` at `products`, and `tinymed/ops/conv.py` at `Conv2d`: forward and backward of the
# engine's convolution stand there in under twenty lines. PyTorch's `F.conv2d` has the same name, arguments and
# numbers.
