# %% [markdown]
# # 10 · Gradient checking, and how it can lie
#
# *Article 3.1.2 · 60 minutes · `tinymed/gradcheck.py`, `tests/test_gradcheck.py`*
#
# A wrong forward usually shows: shapes do not fit, numbers explode. A wrong backward often does not. The network
# still learns, only worse, and nobody knows why. So every backward is held against differences of its own forward.
# In this lesson you write that check, break gradients on purpose, and see which checks notice and which are fooled.

# %%
import inspect

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap

import tinymed
import tinymed.nn.functional as F
from tinymed import kernels
from tinymed.gradcheck import GradcheckError, Weighted, _slopes, gradcheck
from tinymed.kernels.shapes import conv_shape
from tinymed.ops import activation, arithmetic, conv, matmul
from tinymed.teach import check

_ = tinymed.use_backend("numpy")  # small arrays: nothing here is worth the wait of compiling

# %% [markdown]
# ## What the article says
#
# Section 3.1.2 calls the kernels 可训练的权重参数, trainable weights, and leaves the training to a framework, whose
# gradients it trusts. Somebody has to have checked them. The slope of $L$ at $x$ is a limit; a computer can take a
# small step $h$ instead:
#
# $$ \underbrace{\frac{L(x + h) - L(x)}{h}}_{\text{forward}} \qquad
# \underbrace{\frac{L(x + h) - L(x - h)}{2h}}_{\text{central}} $$

# %% [markdown]
# ## By hand
#
# Take $x^2$ at 3, where the slope is 6, and a huge step, $h = 1$. Which of the two is nearer? And for $x^3$ at 1,
# where the slope is 3?


# %%
def forward_difference(f, x, h):
    return (f(x + h) - f(x)) / h


def central_difference(f, x, h):
    return (f(x + h) - f(x - h)) / (2 * h)


def square(x):
    return x * x


def cube(x):
    return x * x * x


print("x² at 3: forward", forward_difference(square, 3, 1), " central", central_difference(square, 3, 1))
print("x³ at 1: forward", forward_difference(cube, 1, 1), " central", central_difference(cube, 1, 1))
assert (forward_difference(square, 3, 1), central_difference(square, 3, 1)) == (7, 6)
assert (forward_difference(cube, 1, 1), central_difference(cube, 1, 1)) == (7, 4)

# %% [markdown]
# Central differences are exact for a parabola: the bend on the left cancels the bend on the right. Write both
# $L(x \pm h)$ as Taylor series and subtract; what is left over is
#
# $$ \text{forward: } \frac{h}{2} L'' + \dots \qquad \text{central: } \frac{h^2}{6} L''' + \dots $$
#
# For $x^3$ that is $h^2 = 1$: 4 instead of 3.
#
# ## How small a step
#
# Then why not $h = 10^{-15}$? Because $L(x + h)$ and $L(x - h)$ are rounded to about 16 digits, and are nearly equal:
# subtracting leaves the rounding, and dividing by $h$ blows it up. With $\varepsilon$ for the relative rounding error,
#
# $$ \text{error} \approx \frac{h^2}{6} |L'''| + \frac{\varepsilon\,|L|}{h} $$
#
# As $h$ shrinks, the first part falls and the second grows. The sum is least near $h = \sqrt[3]{\varepsilon}$ (times
# $\sqrt[3]{3 |L| / |L'''|}$), and for forward differences near $\sqrt{\varepsilon}$. Measure it, for $e^x$ at 1:

# %%
fig, axes = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained", sharey=True)
steps = np.logspace(-15, 0, 151)
best = {}
for ax, dtype in zip(axes, (np.float32, np.float64)):
    eps = float(np.finfo(dtype).eps)
    points = np.linspace(0.9, 1.1, 41).astype(dtype)  # the median over several points: rounding is a lottery
    for name, f, power, colour in [
        ("forward", forward_difference, 1 / 2, "#d55e00"),
        ("central", central_difference, 1 / 3, "#0072b2"),
    ]:
        errors = [np.median(np.abs(f(np.exp, points, dtype(h)) / np.exp(points.astype(float)) - 1)) for h in steps]
        best[dtype.__name__, name] = steps[np.argmin(errors)], eps**power, min(errors)
        ax.loglog(steps, np.maximum(errors, 1e-13), color=colour, label=name)
        ax.axvline(eps**power, color=colour, ls=":", lw=1.2)
    ax.set(title=dtype.__name__, xlabel="step h", ylim=(1e-13, 10))
axes[0].set_ylabel("relative error of the slope")
axes[1].legend(title="dotted: √ε and ∛ε", loc="lower left")
plt.show()
for (dtype, name), (h, predicted, error) in best.items():
    print(f"{dtype}, {name}: best h {h:.0e}, predicted about {predicted:.0e}; error there {error:.0e}")
    assert predicted / 30 < h < predicted * 30

# %% [markdown]
# On the left of each valley the rounding rules, on the right the bend. In float32 the best that central differences
# can do is five digits, if one hits the step; with $h = 10^{-6}$, which is right for float64, hardly two are left.
# Therefore: **check in float64, central, $h$ about $10^{-5}$ or $10^{-6}$.** The same code in float32 then has the
# same formula, and only rounds more.

# %%
x32 = tinymed.randn(4, requires_grad=True)
try:
    gradcheck(F.sigmoid, x32)
    raise AssertionError("float32 must be refused")
except TypeError as problem:
    print(problem)
at_1e6 = central_difference(np.exp, points.astype(np.float32), np.float32(1e-6)) / np.exp(points) - 1
print(f"float32, central, h = 1e-06: error {np.median(np.abs(at_1e6)):.0e}")
assert np.median(np.abs(at_1e6)) > 0.01
assert best["float32", "central"][2] > 1e-6
assert best["float64", "central"][2] < 1e-9

# %% [markdown]
# ## The check in tinymed
#
# An operation has many outputs, a check needs one number. Weight the outputs with random numbers $w$ and add up:
# $L = \sum_k w_k y_k$. Then $\partial L / \partial y = w$ is what backward is given (the *cotangent*), and
# each difference of $L$ is compared with one element of what backward returns.

# %%
print(inspect.getsource(Weighted))
print(inspect.getsource(_slopes))

# %% [markdown]
# Here $u$ is 1 at one element and 0 elsewhere: each element of each input is moved up and down by $h = 10^{-6}$.
# It passes if
#
# $$ |\text{analytic} - \text{numeric}| \le 10^{-5} + 10^{-3} \cdot |\text{numeric}| $$
#
# Now break a backward: the derivative of tanh is $1 - y^2$; someone forgets the square.


# %%
def broken(op, backward):
    """The operation `op` with another backward."""
    return type(f"Broken{op.__name__}", (op,), {"backward": backward}).apply


def refusal(f, *inputs):
    """What gradcheck says against a function; "" for nothing."""
    try:
        gradcheck(f, inputs)
    except GradcheckError as problem:
        return str(problem)
    return ""


rng = np.random.default_rng(0)


def leaf(*shape):
    return tinymed.tensor(rng.standard_normal(shape), requires_grad=True)


broken_tanh = broken(activation.Tanh, lambda ctx, g: g * (1 - ctx.y))
print(refusal(broken_tanh, leaf(2, 3)))
assert "wrong gradient" in refusal(broken_tanh, leaf(2, 3))
assert refusal(tinymed.tanh, leaf(2, 3)) == ""

# %% [markdown]
# ## Why not just add up the outputs
#
# The outputs of softmax add up to 1, whatever goes in. So the sum of them has slope 0, everywhere, in every direction.
# A softmax whose backward returns zeros passes a check that adds up. Here is such a naive check, with all that
# can go wrong as an argument.


# %%
def naive(f, inputs, cotangent="random", h=1e-6):
    """Whether backward agrees with central differences at these inputs, for one cotangent g: L = Σ g·y."""
    leaves = [tinymed.tensor(x, requires_grad=True) for x in inputs]
    y = f(*leaves)
    drawn = np.random.default_rng(1).standard_normal(y.shape)
    g = (np.ones(y.shape) if cotangent == "ones" else drawn).astype(y.dtype)
    y.backward(g)
    for k, x in enumerate(inputs):
        for index in np.ndindex(x.shape):
            up, down = ([v.copy() for v in inputs] for _ in range(2))
            up[k][index] += h
            down[k][index] -= h
            high, low = ((f(*map(tinymed.tensor, moved)).numpy() * g).sum() for moved in (up, down))
            slope = (high - low) / (2 * h)
            if not abs(slope - leaves[k].grad.numpy()[index]) <= 1e-5 + 1e-3 * abs(slope):
                return False
    return True


zero_softmax = broken(activation.Softmax, lambda ctx, g: np.zeros_like(g))
scores = rng.standard_normal((2, 4))
for cotangent in ("ones", "random"):
    passes = naive(lambda x: zero_softmax(x, 1), [scores], cotangent)
    print(f"softmax with gradient 0, cotangent {cotangent}: {'passes' if passes else 'noticed'}")
    assert passes == (cotangent == "ones")

# %% [markdown]
# Ones hide whatever the outputs conserve: probabilities add up to 1, normalised rows to 0. A random cotangent hides
# an error only by a rare coincidence.
#
# ## Kinks
#
# ReLU has no slope at 0: 1 on the right, 0 on the left. Central differences see the mean, ½, and 0 and 1 both look
# wrong. The same at a tie in max pooling, where two numbers of a window are equally large. `gradcheck` tells a kink
# from an error by the slopes from the left and the right: they differ, and halving $h$ does not halve the difference.

# %%
at_zero = tinymed.tensor(np.array([-1.0, 0.0, 2.0]), requires_grad=True)
tie = tinymed.tensor(np.array([[[[3.0, 1.0], [3.0, 2.0]]]]), requires_grad=True)
for f, x in ((F.relu, at_zero), (lambda x: F.max_pool2d(x, 2), tie)):
    print(refusal(f, x))
    assert "not differentiable" in refusal(f, x)
assert refusal(F.relu, leaf(3, 3)) == refusal(lambda x: F.max_pool2d(x, 2), leaf(1, 1, 4, 4)) == ""

# %% [markdown]
# The gradients there are not wrong, the question is. Each engine chooses (tinymed and PyTorch: 0 for ReLU at 0, the
# first of a tie), and a check has to stay away: random numbers do, small whole numbers do not.
#
# ## Wrong gradients that pass
#
# Seven wrong backwards. For each there are inputs, or a cotangent, that hide the error, and none is far-fetched: zeros,
# ones, positive numbers, a batch of one. Before you run it: which check will notice the most? And which raises a false
# alarm?


# %%
def flipped(ctx, g):
    return kernels.conv2d_grad(g, ctx.x, ctx.w[..., ::-1, ::-1].copy(), ctx.shape)


flipped_conv = broken(conv.Conv2d, flipped)


def a_conv(x, w):
    return flipped_conv(x, w, None, conv_shape(x.shape, w.shape, (1, 1), (0, 0), (1, 1), 1))


N = 5  # the batch; no other size is 5
of_linear = (N, 3), (3, 3), (3,)
CASES = {
    "tanh, right": (tinymed.tanh, [(N, 4)]),
    "ReLU, right": (F.relu, [(N, 4)]),
    "softmax: 0": (lambda x: zero_softmax(x, 1), [(N, 4)]),
    "tanh: 1 − y for 1 − y²": (broken_tanh, [(N, 4)]),
    "ReLU: slope 1 everywhere": (broken(activation.ReLU, lambda ctx, g: g), [(N, 4)]),
    "a·b: a and b mixed up": (broken(arithmetic.Mul, lambda ctx, g: (g * ctx.a, g * ctx.b)), [(N, 4), (N, 4)]),
    "FC: bias from the first row": (
        broken(matmul.Linear, lambda ctx, g: (g @ ctx.w, g.T @ ctx.rows, g[0])),
        of_linear,
    ),
    "FC: g·Wᵀ for g·W": (broken(matmul.Linear, lambda ctx, g: (g @ ctx.w.T, g.T @ ctx.rows, g.sum(0))), of_linear),
    "conv2d: kernel flipped": (a_conv, [(N, 1, 4, 4), (2, 1, 3, 3)]),
}


def of(shapes, draw, batch=N):
    """Inputs of these shapes; the first axis of what has a batch is `batch`."""
    return [draw((batch, *s[1:]) if s[0] == N else s) for s in shapes]


normal = rng.standard_normal
CHECKS = {
    "zeros": lambda f, shapes: naive(f, of(shapes, np.zeros)),
    "ones": lambda f, shapes: naive(f, of(shapes, np.ones)),
    "positive": lambda f, shapes: naive(f, of(shapes, lambda s: rng.uniform(0.1, 1, s))),
    "batch\nof 1": lambda f, shapes: naive(f, of(shapes, normal, batch=1)),
    "sum of\noutputs": lambda f, shapes: naive(f, of(shapes, normal), "ones"),
    "float32": lambda f, shapes: naive(f, of(shapes, lambda s: normal(s).astype(np.float32))),
    "random,\nfloat64": lambda f, shapes: naive(f, of(shapes, normal)),
    "tinymed\ngradcheck": lambda f, shapes: not refusal(f, *(leaf(*s) for s in shapes)),
}
passes = np.array([[judge(f, shapes) for judge in CHECKS.values()] for f, shapes in CASES.values()])
right = np.array(["right" in name for name in CASES])[:, None]
KINDS = ["passes, rightly", "noticed", "PASSES, though wrong", "FALSE ALARM"]
kind = np.where(right, np.where(passes, 0, 3), np.where(passes, 2, 1))
print(f"{'':<28}", *(f"{name.replace(chr(10), ' '):<12}" for name in CHECKS))
for name, row in zip(CASES, kind):
    print(f"{name:<28}", *(f"{KINDS[k].split(',')[0]:<12}" for k in row))
assert kind[:, -2:].max() <= 1, "random inputs in float64 and random cotangents decide all of these"
assert (kind[2:, :5] == 2).any(axis=1).all(), "each error is hidden by one of the first five checks"
assert (kind[:, 5] == np.where(right[:, 0], 3, 1)).all(), "float32 refuses everything"

# %%
fig, ax = plt.subplots(figsize=(10, 4.6), layout="constrained")
ax.imshow(kind, cmap=ListedColormap(["#eeeeee", "#9ecae1", "#e66101", "#fdb863"]), vmin=0, vmax=3, aspect="auto")
for (row, column), k in np.ndenumerate(kind):
    ax.text(column, row, KINDS[k].replace(", ", ",\n"), ha="center", va="center", fontsize=7.5)
ax.set_xticks(range(len(CHECKS)), CHECKS)
ax.set_yticks(range(len(CASES)), CASES)
ax.xaxis.tick_top()
ax.set_xlabel("the check: at which inputs, with which cotangent")
ax.xaxis.set_label_position("top")
ax.set_ylabel("the operation, and what is wrong in its backward")
ax.spines[:].set_visible(False)
ax.set_xticks(np.arange(0.5, len(CHECKS) - 1), minor=True)
ax.set_yticks(np.arange(0.5, len(CASES) - 1), minor=True)
ax.grid(which="minor", color="white", lw=2)
ax.tick_params(which="both", length=0)
plt.show()

# %% [markdown]
# At 0 tanh is 0, and $1 - y$ and $1 - y^2$ are both 1. Ones are a symmetric matrix, a symmetric kernel and $a = b$.
# A batch of one needs no sum over the batch. float32 notices all that is wrong, and all that is right. Nothing
# special hides from random numbers: that is the whole recipe.
#
# ## A check that is itself broken
#
# The checker is code, and who checks it? Three ways to fail:
#
# **NaN.** Every comparison with NaN is false. Which of these two lines lets a NaN pass?

# %%
numeric, analytic, tolerance = 1.0, float("nan"), 1e-5
first_refuses = abs(numeric - analytic) > tolerance
second_refuses = not abs(numeric - analytic) <= tolerance
print("if error > tolerance: refuse     →", "refused" if first_refuses else "passes")
print("if not error <= tolerance: refuse →", "refused" if second_refuses else "passes")
assert (first_refuses, second_refuses) == (False, True)

# %% [markdown]
# **Small gradients.** A tolerance of $10^{-5}$ is generous to a gradient of $10^{-6}$. A mean over a large batch, or a
# loss multiplied by something small, has such gradients, and `gradcheck` lets zeros pass. So check operations at
# ordinary sizes, or say `atol=0`.
#
# **Many numbers.** Up to 256 elements gradcheck goes through one by one, beyond along four random directions. One wrong
# number among many moves such a slope by little. How often is it noticed?

# %%
tiny = broken(arithmetic.Mul, lambda ctx, g: (np.zeros_like(g), np.zeros_like(g)))
x = leaf(4)
print("gradient 0 for 1e-6:", "passes" if gradcheck(lambda x: tiny(x, 1e-6), x) else "noticed")
try:
    gradcheck(lambda x: tiny(x, 1e-6), x, atol=0)
    raise AssertionError("this must be noticed")
except GradcheckError:
    print("the same with atol=0: noticed")


def one_wrong(share):
    def backward(ctx, g):
        gx = g * (1 - ctx.y * ctx.y)
        gx.flat[7] *= 1 + share
        return gx

    return broken(activation.Tanh, backward)


SEEDS = 20
noticed = {}
for size in (10, 100):
    for share in (1, 0.1, 0.01):
        f, x = one_wrong(share), tinymed.tensor(rng.uniform(-0.5, 0.5, (size, size)), requires_grad=True)
        found = 0
        for seed in range(SEEDS):
            try:
                gradcheck(f, x, seed=seed)
            except GradcheckError:
                found += 1
        noticed[size, share] = found / SEEDS
        print(
            f"one of {size * size:>5} numbers off by {share:>4.0%}: noticed in {found / SEEDS:>4.0%} of {SEEDS} checks"
        )
assert noticed[10, 0.01] > 0.8 > noticed[100, 0.01]

# %% [markdown]
# So check *small* arrays: an error of a formula is the same in 3x4 as in 1000x1000, and there every element is looked
# at. And check the check: `tests/test_gradcheck.py` breaks the backward of forty operations (zero, sign, half, 5 % too
# large, transposed, shifted, one element lost) and demands that gradcheck notices. A test that cannot fail
# says nothing.
#
# One thing no gradient check can see: that the *forward* is wrong. It asks whether backward fits forward. A softmax
# over the wrong axis has a perfectly right gradient.

# %%
wrong_axis = lambda x: F.softmax(x, 0)  # noqa: E731  it should be 1: one picture, several classes
print("softmax over the batch:", "passes" if not refusal(wrong_axis, leaf(3, 4)) else "noticed")
assert refusal(wrong_axis, leaf(3, 4)) == ""

# %% [markdown]
# That is why tinymed compares values with PyTorch's as well. And fast kernels have a backward of their own, which adds
# up in another order: the tests hold each against the plain loops of `kernels/reference.py`. Here the check itself,
# on two backends:

# %%
for backend in ("reference", "numpy"):
    with tinymed.use_backend(backend):
        assert gradcheck(F.conv2d, (leaf(2, 2, 4, 4), leaf(3, 2, 3, 3), leaf(3)))
        print(f"conv2d on {backend}: gradient right")

# %% [markdown]
# ## NaN in the middle of training
#
# A gradient may be right on paper and NaN in numbers. The root of what is positive, else 0: what is the gradient
# at 0?

# %%
x = tinymed.tensor([4.0, 0.0], requires_grad=True)
with np.errstate(all="ignore"):
    tinymed.where(x > 0, x.sqrt(), 0.0).sum().backward()
    print("gradient:", x.grad.tolist())
    assert np.isnan(x.grad.numpy()).tolist() == [False, True]
    try:
        with tinymed.detect_anomaly():
            tinymed.where(x > 0, x.sqrt(), 0.0).sum().backward()
        raise AssertionError("this must be noticed")
    except FloatingPointError as problem:
        print("\n".join(line for line in str(problem).splitlines() if "File" not in line))
x.grad = None
safe = tinymed.where(x > 0, x, 1.0).sqrt()
tinymed.where(x > 0, safe, 0.0).sum().backward()
print("gradient, the root kept away from 0:", x.grad.tolist())
assert x.grad.tolist() == [0.25, 0]

# %% [markdown]
# `where` sends 0 back to the root, whose slope at 0 is infinite, and $0 \cdot \infty$ is NaN. `detect_anomaly` watches
# every operation and names the first that makes a NaN, with the line that called it. It costs time: switch it on to
# search, not to train.
#
# ## Exercises
#
# > **Exercise 10.1.** Write `numeric_gradient(f, x, h)`: the slope of `f` (an array in, one number out) along each
# > element of `x`, by central differences. Leave `x` as it was.


# %% tags=["exercise"]
def my_numeric_gradient(f, x, h):
    ### BEGIN SOLUTION
    slopes = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[index] += h
        down[index] -= h
        slopes[index] = (f(up) - f(down)) / (2 * h)
    return slopes
    ### END SOLUTION


# %% tags=["check"]
check("numeric_gradient", my_numeric_gradient)

# %% [markdown]
# > **Exercise 10.2.** How far apart are two gradients? Write `relative_error(a, n)`: the largest of
# > $|a_i - n_i| / \max(|a_i|, |n_i|)$, where an element that is 0 in both counts 0. Zeros, and gradients of very
# > different sizes, occur.


# %% tags=["exercise"]
def my_relative_error(a, n):
    ### BEGIN SOLUTION
    size = np.maximum(np.abs(a), np.abs(n))
    return (np.abs(a - n) / np.where(size == 0, 1, size)).max()
    ### END SOLUTION


# %% tags=["check"]
check("relative_error", my_relative_error)

# %% [markdown]
# > **Exercise 10.3.** One of several backwards is wrong; find it. `pairs` is a list of `(forward, backward)`:
# > `forward(x)` takes a vector and returns one, `backward(x, g)` returns $\partial L / \partial x$ for the cotangent
# > `g`. `n` is the length of `x`. You choose where to look. Return the index of the wrong pair, or −1 if all are right.
#
# <details><summary>A hint</summary>
#
# For a random `x` and a random `g`, backward must be the numeric gradient of `(g * forward(x)).sum()`. Your
# `my_numeric_gradient` can be used.
#
# </details>


# %% tags=["exercise"]
def my_find_broken(pairs, n):
    ### BEGIN SOLUTION
    rng = np.random.default_rng(0)
    for k, (forward, backward) in enumerate(pairs):
        x = rng.standard_normal(n)
        g = rng.standard_normal(len(forward(x)))
        for i in range(n):
            step = np.zeros(n)
            step[i] = 1e-5
            slope = (g * (forward(x + step) - forward(x - step))).sum() / 2e-5
            if not abs(slope - backward(x, g)[i]) <= 1e-6 + 1e-4 * abs(slope):
                return k
    return -1
    ### END SOLUTION


# %% tags=["check"]
check("find_broken", my_find_broken)

# %% [markdown]
# > **Exercise 10.4.** To think about. For an operation with few numbers, all slopes fit in a table: the Jacobian $J$,
# > with $J_{ki} = \partial y_k / \partial x_i$. Backward returns $g J$. A broken backward returns $g J'$. Which
# > cotangent $g$ of length 1 shows the error best, that is, makes $\| g J - g J' \|$ largest? Of $g$ and $-g$, which
# > are as good, return the one whose element of largest magnitude is positive. (The sign of what `svd` returns is
# > arbitrary: turn it.)
#
# <details><summary>A hint</summary>
#
# $g J - g J' = g (J - J')$: how long can that become? `np.linalg.svd` takes a matrix apart into directions and the
# lengths to which it stretches them.
#
# </details>


# %% tags=["exercise"]
def my_exposing_cotangent(J, J_broken):
    ### BEGIN SOLUTION
    left, _, _ = np.linalg.svd(J - J_broken)
    g = left[:, 0]
    return g * np.sign(g[np.abs(g).argmax()])
    ### END SOLUTION


# %% tags=["check"]
check("exposing_cotangent", my_exposing_cotangent)

# %% [markdown]
# ## What to take along
#
# - Central differences, float64, $h \approx \sqrt[3]{\varepsilon}$: nine digits and more of a smooth slope.
# - Random inputs, a random cotangent, a batch above 1, sizes that differ, away from kinks.
# - A check is worth what it has been seen to catch: break the gradient, and look.
# - It compares backward with forward. Whether forward is right, other witnesses must say.
#
# **Now open** `tinymed/gradcheck.py`, all of it, and then `tests/test_gradcheck.py`, where forty
# operations are broken in up to seven ways each. `torch.autograd.gradcheck` has the same tolerances.
