# %% [markdown]
# # 05 · Activations, softmax, losses
#
# *Article 1.4.3, 3.1.2, 3.2.2, 4.2, 5.2.2 · 75 minutes · `kernels/reference_activation.py`, `tinymed/ops/loss.py`*
#
# A network's last layer says 0 for "normal", 0.7 for "benign", 1.6 for "malignant". The picture was malignant.
# How wrong is that, as one number? And in which direction should each of the three move? After this lesson you can
# answer both by hand, and you know why the code never computes it quite as the formula is written.

# %%
import inspect
import time

import matplotlib.pyplot as plt
import numpy as np

import tinymed
import tinymed.nn.functional as F
from tinymed import nn, optim
from tinymed.kernels import reference
from tinymed.ops.loss import BCEWithLogits
from tinymed.teach import check, trace

_ = tinymed.manual_seed(0)

# %% [markdown]
# ## What the article says
#
# | section | in the article | here |
# |---|---|---|
# | 1.4.3 | ReLU：修正线性单元 (rectified linear unit) | $\max(0, x)$ |
# | 1.4.3 | ReLU6：限制在 0 到 6 之间的 ReLU 激活函数 (ReLU bounded to 0…6) | $\min(\max(0, x), 6)$ |
# | 4.2.3 | 激活函数为 sigmoid 函数 (the activation is the sigmoid) | $\sigma(x) = 1 / (1 + e^{-x})$ |
# | 1.4.3 | Softmax：一种归一化函数，用于多分类问题 (normalises; multi-class) | $y_c = e^{x_c} / \sum_k e^{x_k}$ |
# | 5.2.2 | `loss='binary_crossentropy'` | $\ell = -t \ln p - (1 - t) \ln(1 - p)$ |
#
# The middle column is all that the article says: it names them and gives no formula. The letters of the right one:
# $x$ is a *score*, a number that may be anything (also called a *logit* where softmax or $\sigma$ comes next); $y$ or
# $p$ is what comes out of it; $c$ and $k$ count classes; $t$ is the true answer, the *target*; $\ell$ is the loss of
# one sample, $L$ that of the whole batch.

# %% [markdown]
# ## Why a bend is needed
#
# Question: what do two fully connected layers compute if nothing stands between them?
#
# <details><summary>An answer</summary>
#
# What one layer computes: $W_2 (W_1 x) = (W_2 W_1)\, x$.
#
# </details>
#
# Convolutions are linear too: a hundred in a row are one linear map (without padding, one convolution with a larger
# kernel). Whatever a deep network can do more than that, it can because of a function that is not a straight line: the
# *activation* (激活函数).

# %%
W1, W2, x = tinymed.randn(5, 3), tinymed.randn(2, 5), tinymed.randn(3, 1)
print("two layers, no bend:  ", (W2 @ (W1 @ x)).reshape(2).numpy())
print("their product, once:  ", ((W2 @ W1) @ x).reshape(2).numpy())
print("with a ReLU between:  ", (W2 @ F.relu(W1 @ x)).reshape(2).numpy())
assert tinymed.allclose(W2 @ (W1 @ x), (W2 @ W1) @ x, atol=1e-5)

# %% [markdown]
# ## The same letters in code

# %%
for f in (reference.relu, reference.relu6, reference.sigmoid):
    print(inspect.getsource(f))

# %% [markdown]
# `sigmoid` has two lines where the formula has one. Question: what would `1 / (1 + math.exp(-a))` do for $a = -1000$?
#
# <details><summary>An answer</summary>
#
# Raise an OverflowError: $e^{1000}$ is no float. For a negative $a$ the fraction is multiplied by $e^a$ above and
# below: same number, and the exponent stays below 0.
#
# </details>
#
# ## By hand
#
# $-3, 0, 2, 6, 9$ through ReLU6. And the article's $h_1 = \sigma(1 + 1)$ of 4.2.3, for which it prints 1:

# %%
numbers = np.array([-3.0, 0.0, 2.0, 6.0, 9.0])
y = F.relu6(tinymed.tensor(numbers)).numpy()
print("ReLU6", y)
assert (y == [0, 0, 2, 6, 6]).all()
h1 = F.sigmoid(tinymed.tensor(2.0)).item()
print(f"σ(2) = {h1:.4f}; the article prints 1, which is this number rounded to a whole one")
assert round(h1, 4) == 0.8808

# %% [markdown]
# ## What they look like
#
# Above the function, below its slope. The slope is what a gradient is multiplied by on its way back, so look at
# where the lower curves are zero.

# %%
functions = {"ReLU": F.relu, "ReLU6": F.relu6, "sigmoid": F.sigmoid, "tanh": F.tanh}
colours = dict(zip(functions, ("#0072B2", "#D55E00", "#009E73", "#CC79A7")))
at = np.linspace(-4, 9, 1301)
fig, axes = plt.subplots(2, 4, figsize=(12, 4.6), sharex=True, layout="constrained")
for (above, below), (name, f) in zip(axes.T, functions.items()):
    x = tinymed.tensor(at, requires_grad=True)
    y = f(x)
    y.sum().backward()
    above.plot(at, y.detach().numpy(), color=colours[name], lw=2)
    below.plot(at, x.grad.numpy(), color=colours[name], lw=2)
    above.set_title(name)
    below.set_xlabel("x")
    below.set_ylim(-0.05, 1.1)
    for ax in (above, below):
        ax.axhline(0, color="0.7", lw=0.8, zorder=0)
        ax.axvline(0, color="0.7", lw=0.8, zorder=0)
axes[0, 0].set_ylabel("y = f(x)")
axes[1, 0].set_ylabel("slope dy/dx")
plt.show()

# %% [markdown]
# ## Backwards
#
# Each number goes through alone, so $\partial L/\partial x = g \cdot f'(x)$, where $g = \partial L/\partial y$ comes
# from above. For ReLU6 the slope is 1 between 0 and 6, else 0. For the sigmoid
#
# $$ \sigma'(x) = \frac{e^{-x}}{(1 + e^{-x})^2} = \frac{1}{1 + e^{-x}} \cdot \frac{e^{-x}}{1 + e^{-x}}
#    = \sigma(x)\,(1 - \sigma(x)) $$
#
# and for tanh $1 - y^2$. Both can be had from $y$ alone: that is why the engine keeps $y$ and forgets $x$.

# %%
t = trace.relu6(numbers, g=1)
t.show()
assert (t.final["gx"] == [0, 0, 1, 0, 0]).all()

# %%
t

# %% [markdown]
# ## At a kink
#
# At $x = 0$ ReLU has no slope: it is 0 on the left, 1 on the right. Any number between the two would do (a
# *subgradient*); the engine takes 0, as PyTorch does. A gradient check (lesson 10) must not be asked there, and says
# so. (Its 0.12573 is the slope 1 times a weight: it weighs every output with a random number.)

# %%
kink = tinymed.tensor([0.0, 1.0], dtype="float64", requires_grad=True)
message = ""
try:
    tinymed.gradcheck(F.relu, (kink,))
except AssertionError as error:
    message = str(error)
print(message)
assert "0.12573" in message
F.relu(kink).sum().backward()
assert kink.grad.tolist() == [0, 1]
away = tinymed.tensor([-2.0, -0.5, 0.5, 5.5, 6.5], dtype="float64", requires_grad=True)
assert all(tinymed.gradcheck(f, (away,)) for f in functions.values())
print("away from the kinks, all four agree with the slope measured on both sides")

# %% [markdown]
# ## Saturation, measured
#
# The sigmoid's slope is 1/4 at most, at $x = 0$. Question: through ten of them, what is left of a gradient at best?

# %%
slopes = []
for value in (0.0, 2.0, 5.0, 10.0):
    x = tinymed.tensor(value, dtype="float64", requires_grad=True)
    F.sigmoid(x).backward()
    slopes.append(x.grad.item())
    print(f"σ'({value:>4g}) = {x.grad.item():.6f}")
print(f"ten sigmoids pass at most (1/4)^10 = {0.25**10:.1e} of a gradient, weights aside")
assert slopes[0] == 0.25 == max(slopes)

# %% [markdown]
# Here with weights: twenty layers of 64 with the usual start: variance $1/n$, for ReLU $2/n$, as it throws half away
# (He et al. 2015). The size of the gradient, layer by layer:


# %%
def gradient_by_layer(activation, gain, layers=20, n=64):
    rng = np.random.default_rng(0)
    weights = [tinymed.tensor(rng.standard_normal((n, n)) * gain / n**0.5, requires_grad=True) for _ in range(layers)]
    x = tinymed.tensor(rng.standard_normal((n, n)))
    for w in weights:
        x = activation(x @ w)
    (x * tinymed.tensor(rng.standard_normal((n, n)))).sum().backward()
    return np.array([np.linalg.norm(w.grad.numpy()) for w in weights])


sizes = {
    name: gradient_by_layer(functions[name], 2**0.5 if name == "ReLU" else 1) for name in functions if "6" not in name
}
fig, ax = plt.subplots(figsize=(6.4, 3.4), layout="constrained")
for (name, size), marker in zip(sizes.items(), "os^"):
    ax.semilogy(range(1, 21), size, marker=marker, color=colours[name], label=name)
    print(f"{name:<8} first layer / last layer = {size[0] / size[-1]:.1e}")
ax.set(title="What reaches the weights of each layer", xlabel="layer, 1 is next to the input", ylabel="size of ∂L/∂W")
ax.set_xticks(range(1, 21, 3))
ax.legend(loc="lower right")
plt.show()
steep = gradient_by_layer(F.sigmoid, 4)
print(f"sigmoid, weights four times as large: {steep[0] / steep[-1]:.1e}")
assert sizes["sigmoid"][0] < 1e-8 * sizes["sigmoid"][-1]
assert 1e-5 < steep[0] / steep[-1] < 1e-2
assert all(0.1 < sizes[name][0] / sizes[name][-1] < 10 for name in ("tanh", "ReLU"))

# %% [markdown]
# Less than a hundred-millionth is left under sigmoids. The usual start does not make up for the slope of 1/4: nineteen
# layers cost about $(1/4)^{19} \approx 4 \cdot 10^{-12}$. Weights four times as large leave about $10^{-4}$: they push
# more inputs onto the flat ends. That is one reason for the ReLU and ReLU6 of 3.1.2, and returns as the vanishing
# gradient of RNNs in lesson 08. (tanh holds out here because it is steep at 0, where its slope is 1, and because these
# weights keep its input near 0.)
#
# ## Dead ReLU, measured
#
# A ReLU that is 0 for *every* sample has slope 0 for every sample: its weights get no gradient, and never move again
# (unless the layers below it change its inputs). What kills it is mostly one step that was too large. The same network,
# trained with larger and larger steps:


# %%
def dead_share(activation, lr):
    """The share of hidden units whose weights get a gradient of exactly 0 from all samples together."""
    tinymed.manual_seed(0)
    rng = np.random.default_rng(0)
    x = tinymed.tensor(rng.random((256, 20)).astype(np.float32))  # as pixels: 0…1
    t = tinymed.tensor((rng.random(256) < 0.5).astype(np.float32))
    first, last = nn.Linear(20, 64), nn.Linear(64, 1)
    optimizer = optim.SGD([*first.parameters(), *last.parameters()], lr=lr)
    for _ in range(50):
        optimizer.zero_grad()
        F.binary_cross_entropy_with_logits(last(activation(first(x))).reshape(256), t).backward()
        optimizer.step()
    return float((first.weight.grad.numpy() == 0).all(1).mean())


steps = (0.1, 1, 3, 10, 30)
relu_dead, leaky_dead = ([dead_share(f, lr) for lr in steps] for f in (F.relu, F.leaky_relu))
for lr, dead, leaky in zip(steps, relu_dead, leaky_dead):
    print(f"step {lr:>4g}: {dead:4.0%} of the ReLUs are dead, {leaky:4.0%} of the leaky ones")
assert relu_dead[-1] > 0.9
assert relu_dead[0] < 0.05
assert max(leaky_dead) == 0

# %% [markdown]
# The leaky ReLU (slope 0.01 on the left) cannot die, which does not say that it learns well with such steps. ReLU6
# can die on both sides.
#
# ## Softmax: from scores to shares
#
# $$ y_c = \frac{e^{x_c}}{\sum_k e^{x_k}} $$
#
# Every $y_c$ is positive and together they are 1. By hand: choose scores $0, \ln 2, \ln 5$ (about 0, 0.7, 1.6: those
# from the beginning of the lesson), so that $e^x = 1, 2, 5$. The sum is 8, the shares are $1/8, 2/8, 5/8$.

# %%
scores = np.log([1.0, 2.0, 5.0])
shares = F.softmax(tinymed.tensor(scores), 0).numpy()
print("scores", scores.round(3), "-> shares", shares)
assert np.allclose(shares, [1 / 8, 2 / 8, 5 / 8])
print(inspect.getsource(reference.softmax))

# %% [markdown]
# The loops have something that the formula has not: `top`. Step through it.

# %%
t = trace.softmax(scores)
t.show()
assert np.allclose(t.final["y"][0, :, 0], shares)

# %%
t

# %% [markdown]
# ## Why the largest is taken out
#
# Add the same number $a$ to every score:
#
# $$ \frac{e^{x_c + a}}{\sum_k e^{x_k + a}} = \frac{e^a \, e^{x_c}}{e^a \sum_k e^{x_k}} = y_c $$
#
# Nothing changes: softmax sees differences only. So we may choose $a$, and we choose $a = -\max_k x_k$. In float32,
# $e^{89}$ is already infinite. Here is the formula as it stands, and then as the engine has it:

# %%
large = np.array([1000.0, 1001.0, 1002.0], np.float32)
with np.errstate(over="ignore", invalid="ignore"):
    assert np.isinf(np.exp(np.float32(89)))
    print("e^x:            ", np.exp(large))
    as_printed = np.exp(large) / np.exp(large).sum()
    print("as it stands:   ", as_printed, "  for inf / inf is not a number")
    small = np.exp(-large) / np.exp(-large).sum()
    print("all far below 0:", small, "  for 0 / 0 is not either")
mended = F.softmax(tinymed.tensor(large), 0).numpy()
print("largest out:    ", mended)
assert np.isnan(as_printed).all()
assert np.isnan(small).all()
assert np.allclose(mended, F.softmax(tinymed.tensor(large - 1000), 0).numpy())

# %% [markdown]
# Question: why the largest, and not the mean, or the first?
#
# <details><summary>An answer</summary>
#
# Then the exponents are all at most 0, so nothing overflows, and one of them is exactly 0, so the sum is at least 1 and
# never 0. With scores 0 and 2000, the mean would leave $e^{1000}$.
#
# </details>
#
# **The logarithm of softmax** is taken in one piece, $\ln y_c = x_c - \max - \ln \sum_k e^{x_k - \max}$, for $y_c$
# itself may be too small for a float:

# %%
far = tinymed.tensor([0.0, 200.0])
with np.errstate(divide="ignore"):
    print("log of softmax:", np.log(F.softmax(far, 0).numpy()))
print("log_softmax:   ", F.log_softmax(far, 0).numpy())
assert F.log_softmax(far, 0).tolist() == [-200, 0]

# %% [markdown]
# ## Softmax backwards
#
# Every $y_c$ depends on every $x_k$. By the quotient rule, with $S = \sum_k e^{x_k}$ and $[c = k]$ for 1 where $c = k$,
# else 0:
#
# $$ \frac{\partial y_c}{\partial x_k} = \frac{[c = k]\, e^{x_c} S - e^{x_c} e^{x_k}}{S^2} = y_c\,([c = k] - y_k) $$
#
# That is a matrix, the *Jacobian*. For $y = 1/8, 2/8, 5/8$ it has whole numbers over 64. Work out one row first.

# %%
jacobian = np.diag(shares) - np.outer(shares, shares)
print("64 · Jacobian =\n", (64 * jacobian).round().astype(int))
assert np.allclose(64 * jacobian, [[7, -2, -5], [-2, 12, -10], [-5, -10, 15]])
assert np.allclose(jacobian.sum(1), 0)

# %% [markdown]
# Question: why does every row sum to 0? Why is it symmetric?
#
# <details><summary>An answer</summary>
#
# Adding the same to all scores changes nothing. And $y_c y_k = y_k y_c$.
#
# </details>
#
# Nobody builds this matrix: for $C$ classes it has $C^2$ numbers, but multiplied by $g$ it is
#
# $$ \frac{\partial L}{\partial x_c} = \sum_k g_k\, y_k\,([k = c] - y_c) = y_c \Big( g_c - \sum_k g_k\, y_k \Big) $$
#
# one sum for all classes, then one product each. In words: $\partial L/\partial x_c$ is positive
# where $g_c$ is above the average $g$, averaged by shares.

# %%
t = trace.softmax(scores, g=[0, 0, 1])
t.show()
assert np.allclose(t.final["gx"][0, :, 0], jacobian[2])

# %%
t

# %% [markdown]
# ## Cross-entropy: how wrong
#
# The loss of a sample of class $t$ is the negative logarithm of the share that its class was given:
#
# $$ \ell = -\ln y_t = \ln \sum_k e^{x_k} - x_t $$
#
# All of it on the right class: $-\ln 1 = 0$. Half: 0.69. Almost nothing: as large as you like. Ours had 5/8:

# %%
loss = F.cross_entropy(tinymed.tensor(scores)[None], tinymed.tensor([2]))
print(f"-ln(5/8) = {loss.item():.4f}")
assert np.isclose(loss.item(), -np.log(5 / 8))
assert round(loss.item(), 2) == 0.47
print(f"a network that knows nothing gives 1/C to each: ln 2 = {np.log(2):.4f}, ln 10 = {np.log(10):.4f}")

# %% [markdown]
# Remember $\ln C$: it is what the first printed loss should be near, and a network that starts far above it starts
# badly.
#
# ## Its gradient is the error
#
# From $\ell = \ln \sum_k e^{x_k} - x_t$, with no Jacobian at all:
#
# $$ \frac{\partial \ell}{\partial x_c} = \frac{e^{x_c}}{\sum_k e^{x_k}} - [c = t] = y_c - [c = t] $$
#
# What was said, minus what is true: $1/8,\; 2/8,\; 5/8 - 1$. That answers the question from the beginning: the right
# score should rise three times as fast as the first should fall.

# %%
t = trace.cross_entropy(scores, 2, g=1)
t.show()
assert np.allclose(t.final["gx"][0, :, 0], [1 / 8, 2 / 8, -3 / 8])
assert np.allclose(jacobian @ [0, 0, -8 / 5], [1 / 8, 2 / 8, -3 / 8])  # the long way: Jacobian, then −1/y of the class

# %%
t

# %% [markdown]
# The last assertion above goes the long way round, by $\partial \ell/\partial y_t = -1/y_t = -8/5$ and the
# Jacobian: $y_t$ cancels. It also shows a danger. With $y_t = 0$ in a float the long way is $0 \cdot \infty$; the short
# way is of size 1.
#
# For a **batch** of $N$ the loss is the mean, so each gradient is divided by $N$. Forgetting it is a common
# mistake in written-out backward passes; nothing crashes, the step is just $N$ times too long.

# %%
x = tinymed.tensor(np.stack([scores, scores]), requires_grad=True)
F.cross_entropy(x, tinymed.tensor([2, 0])).backward()
print("16 · gradient of the mean of two =\n", (16 * x.grad.numpy()).round(9))
assert np.allclose(16 * x.grad.numpy(), [[1, 2, -3], [-7, 2, 5]])

# %% [markdown]
# ## Why the loss wants scores
#
# `F.cross_entropy` takes scores, not shares, here and in PyTorch; its name does not tell. (Keras's takes shares, unless
# it is told `from_logits=True`.) Here both ways in float32, for a sample whose right class is $s$ behind. The true loss
# is $\ln(1 + e^s)$ and the true gradient of the right score practically $-1$:

# %%
print("   s  through shares: loss, gradient   from scores: loss, gradient")
for s in (5, 20, 80, 120):
    found = []
    for from_scores in (False, True):
        x = tinymed.tensor([[0.0, float(s)]], requires_grad=True)
        with np.errstate(all="ignore"):
            right = tinymed.tensor([0])
            loss = F.cross_entropy(x, right) if from_scores else -F.softmax(x, 1)[0, 0].log()
            loss.backward()
        found += [loss.item(), x.grad.numpy()[0, 0]]
    print(f"{s:>4}  {found[0]:>16.4f} {found[1]:>10.4f} {found[2]:>21.4f} {found[3]:>10.4f}")
assert np.isinf(found[0])
assert np.isnan(found[1])
assert found[2:] == [120, -1]

# %% [markdown]
# The same for two classes and $\sigma$, where it is quieter and therefore worse. In float32 $\sigma(20)$ is exactly 1,
# so $1 - p$ is 0, its logarithm is $-\infty$, and PyTorch and this engine cut that off at $-100$. The most wrong sample
# of all then gets a wrong loss and a gradient of 0: it is the one that teaches nothing.

# %%
found = []
for name, f in (("of a probability", F.binary_cross_entropy), ("of a score", F.binary_cross_entropy_with_logits)):
    x = tinymed.tensor([20.0], requires_grad=True)
    loss = f(F.sigmoid(x) if f is F.binary_cross_entropy else x, tinymed.tensor([0.0]))
    loss.backward()
    found.append((loss.item(), x.grad.item()))
    print(f"{name:<17} target 0, score 20: loss {loss.item():g}, gradient {x.grad.item():g}")
assert found == [(100, 0), (20, 1)]

# %% [markdown]
# The article's listing is written the first way: `Dense(1, activation='sigmoid')`, then `binary_crossentropy`.
# `tinymed.keras` therefore takes the $\sigma$ off the end while it trains, and puts it back for `predict`; the network
# `training.article_cnn` has no $\sigma$ at all. The formula behind `binary_cross_entropy_with_logits` is
#
# $$ \ell = \ln(1 + e^{x}) - t\,x = \max(x, 0) - t\,x + \ln(1 + e^{-|x|}), \qquad
#    \frac{\partial \ell}{\partial x} = \sigma(x) - t $$
#
# where in the second form no exponent is above 0. Again: what was said, minus what is true. The engine writes it once
# more differently: $\ln(1 + e^x) = x + \ln(1 + e^{-x})$, so $\ell = (1 - t)\,x + \ln(1 + e^{-x})$, and
# `np.logaddexp(0, -x)` is that logarithm without overflow. Its `p` is a weight for the positive class.

# %%
print(inspect.getsource(BCEWithLogits))

# %% [markdown]
# ## Two classes: softmax is a sigmoid
#
# Divide above and below by $e^{x_1}$:
#
# $$ y_1 = \frac{e^{x_1}}{e^{x_0} + e^{x_1}} = \frac{1}{1 + e^{-(x_1 - x_0)}} = \sigma(x_1 - x_0) $$
#
# So `Dense(1, "sigmoid")` with binary cross-entropy and `Dense(2, "softmax")` with cross-entropy are the same
# model; the second has one column of weights too many, because only the difference counts.

# %%
rng = np.random.default_rng(0)
x, t = tinymed.tensor(rng.standard_normal((6, 2))), tinymed.tensor([0, 1, 1, 0, 1, 0])
difference = x[:, 1] - x[:, 0]
assert tinymed.allclose(F.softmax(x, 1)[:, 1], F.sigmoid(difference))
two, one = F.cross_entropy(x, t), F.binary_cross_entropy_with_logits(difference, t.to("float64"))
print(f"cross-entropy of two scores {two.item():.6f}, binary cross-entropy of their difference {one.item():.6f}")
assert np.isclose(two.item(), one.item())

# %% [markdown]
# ## Why not the squared error
#
# $(\sigma(x) - t)^2$ is a loss too, and like cross-entropy it is least where $\sigma(x) = t$. Its gradient has the
# sigmoid's slope in it:
#
# $$ 2\,(\sigma(x) - t) \cdot \sigma(x)\,(1 - \sigma(x)) $$
#
# and that is near 0 where the answer is wrong *and sure*. Cross-entropy has no such factor, since its logarithm
# takes it away. On the right of the figure a whole model, score $= w x + b$ on seven samples, starts wrong and sure:
# with the squared error, 60 steps of gradient descent do not turn it round.

# %%
losses = {
    "cross-entropy": F.binary_cross_entropy_with_logits,
    "squared error": lambda x, t, **how: F.mse_loss(F.sigmoid(x), t, **how),
}
at = np.linspace(-8, 8, 321)
place = tinymed.tensor([-3.0, -2.0, -1.0, -0.5, 1.0, 2.0, 3.0], dtype="float64")
truth = tinymed.tensor([0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 1.0], dtype="float64")
fig, axes = plt.subplots(1, 3, figsize=(12, 3.5), layout="constrained")
slopes, ends = {}, {}
for (name, loss), style in zip(losses.items(), ({"color": "#0072B2"}, {"color": "#D55E00", "ls": "--"})):
    x = tinymed.tensor(at, requires_grad=True)
    each = loss(x, tinymed.ones(321, dtype="float64"), reduction="none")
    each.sum().backward()
    slopes[name] = x.grad.numpy()
    wb, path = tinymed.tensor([-5.0, 5.0], dtype="float64", requires_grad=True), []
    optimizer = optim.SGD([wb], lr=0.5)
    for _ in range(60):
        path.append(wb[0].item())
        optimizer.zero_grad()
        loss(wb[0] * place + wb[1], truth).backward()
        optimizer.step()
    ends[name] = path[-1]
    print(f"{name}: w goes from {path[0]:g} to {path[-1]:.2f}")
    for ax, where, curve in zip(axes, (at, at, range(60)), (each.detach().numpy(), slopes[name], path)):
        ax.plot(where, curve, lw=2, label=name, **style)
axes[0].set(title="Loss of one sample, target 1", xlabel="score x", ylabel="loss")
axes[1].set(title="Its gradient", xlabel="score x", ylabel="dℓ/dx")
axes[2].set(title="A model that starts wrong and sure", xlabel="step", ylabel="w")
axes[0].legend()
plt.show()
assert abs(slopes["squared error"][0]) < 1e-3 < 0.99 < abs(slopes["cross-entropy"][0])
assert ends["cross-entropy"] > 0 > ends["squared error"]

# %% [markdown]
# ## When classes are unequal, and labels not quite sure
#
# **Class weights** multiply the loss, and so the gradient, of each sample by a number of its class. "Balanced" is
# $N / (C \cdot N_c)$, which lets every class count the same in all. BreastMNIST's training split has 147 malignant
# pictures of 546:

# %%
counts = np.array([147, 399])
weights = counts.sum() / (2 * counts)
print("weights", weights.round(3), "-> each class counts", weights * counts)
x, t = tinymed.tensor(np.stack([scores[:2], scores[:2]]), requires_grad=True), tinymed.tensor([0, 1])
loss = F.cross_entropy(x, t, weight=tinymed.tensor(weights))
loss.backward()
print("gradients, a row a sample:\n", x.grad.numpy().round(4))
each = F.cross_entropy(x, t, reduction="none").detach().numpy()
assert np.allclose(weights * counts, 273)
assert np.isclose(loss.item(), (weights * each).sum() / weights.sum())

# %% [markdown]
# Mind the mean: with weights it is $\sum w \ell / \sum w$, in PyTorch and here, not $\sum w \ell / N$.
#
# **Label smoothing** (`label_smoothing`, $\varepsilon$) aims at $1 - \varepsilon + \varepsilon/C$ for the right class
# and $\varepsilon/C$ for the others. With hard labels no finite scores have loss 0: they grow as long as one trains.
# With $\varepsilon > 0$ the best are those whose shares equal the target.
#
# ## The gradient check
#
# Softmax, its logarithm and the losses have no kink, so any place will do. A random weighting of the outputs is
# part of the check. Question: why would adding up softmax's outputs, weights 1, let a wrong backward pass?
#
# <details><summary>An answer</summary>
#
# The sum is always 1: its gradient is 0, and so is that of many a wrong one.
#
# </details>

# %%
x = tinymed.randn(4, 3, dtype="float64").requires_grad_()
t, hot = tinymed.tensor([0, 2, 1, 2]), F.one_hot(tinymed.tensor([0, 2, 1, 2]), 3).to("float64")
for name, f in {
    "softmax": lambda x: F.softmax(x, 1),
    "log_softmax": lambda x: F.log_softmax(x, 1),
    "cross_entropy": lambda x: F.cross_entropy(x, t),
    "cross_entropy, smoothed": lambda x: F.cross_entropy(x, t, label_smoothing=0.1),
    "bce with logits": lambda x: F.binary_cross_entropy_with_logits(x, hot),
    "mse": lambda x: F.mse_loss(x, hot),
}.items():
    assert tinymed.gradcheck(f, (x,))
    print(f"{name:<24} agrees")

# %% [markdown]
# ## What the fast kernel does differently
#
# Written with one op for each sign of the formula, softmax and cross-entropy walk over the scores again and again and
# keep an array for every walk. `kernels/numba_loss.py` takes one row at a time, does all of it while the row is in the
# processor's nearest memory, and keeps only the shares $p$; backwards is $p$ with 1 taken off in one place.

# %%
rows = 16 if tinymed.get_backend() == "reference" else 512  # plain loops need their time
big = rng.standard_normal((rows, 1000)).astype(np.float32)
classes = tinymed.tensor(rng.integers(0, 1000, rows))


def in_one_pass(x):
    return F.cross_entropy(x, classes)


def op_by_op(x):
    e = (x - x.amax(1, keepdim=True).detach()).exp()
    return -(e / e.sum(1, keepdim=True)).log().gather(1, classes.unsqueeze(1)).mean()


gradients = {}
for f in (in_one_pass, op_by_op):
    times = []
    for _ in range(7):
        x = tinymed.tensor(big, requires_grad=True)
        start = time.perf_counter()
        f(x).backward()
        times.append(time.perf_counter() - start)
    gradients[f] = x.grad.numpy()
    print(f"{f.__name__.replace('_', ' '):<12} {1e3 * min(times):6.2f} ms for {rows} x 1000 scores, there and back")
assert np.allclose(gradients[in_one_pass], gradients[op_by_op], atol=1e-7)
print(f"by {tinymed.get_backend()}, on this machine; the gradients are the same")

# %% [markdown]
# ## Exercises
#
# > **Exercise 5.1.** Write `my_softmax(x)` for scores (N,C), a row a sample. It must stand scores of $\pm 1000$.


# %% tags=["exercise"]
def my_softmax(x):
    ### BEGIN SOLUTION
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)
    ### END SOLUTION


# %% tags=["check"]
check("softmax_stable", my_softmax)

# %% [markdown]
# > **Exercise 5.2.** Write `my_softmax_backward(g, y)`: from $g = \partial L/\partial y$ and $y$, both (N,C), to
# > $\partial L/\partial x$, without building the Jacobian.
#
# <details><summary>A hint</summary>
#
# $\sum_k g_k y_k$ is one number a row; `keepdims=True` lets it be subtracted from every column.
#
# </details>


# %% tags=["exercise"]
def my_softmax_backward(g, y):
    ### BEGIN SOLUTION
    return y * (g - (g * y).sum(1, keepdims=True))
    ### END SOLUTION


# %% tags=["check"]
check("softmax_backward", my_softmax_backward)

# %% [markdown]
# > **Exercise 5.3.** Write `my_cross_entropy_gradient(x, t)`: scores (N,C) and classes (N) to the gradient of the
# > *mean* loss, (N,C).


# %% tags=["exercise"]
def my_cross_entropy_gradient(x, t):
    ### BEGIN SOLUTION
    gx = np.exp(x - x.max(1, keepdims=True))
    gx /= gx.sum(1, keepdims=True)
    gx[np.arange(len(t)), t] -= 1
    return gx / len(t)
    ### END SOLUTION


# %% tags=["check"]
check("cross_entropy_gradient", my_cross_entropy_gradient)

# %% [markdown]
# > **Exercise 5.4.** Write `my_bce_with_logits(x, t)`: the loss of every sample, from scores and targets of the same
# > shape, right also for scores of $\pm 1000$. Derive the second form of $\ell$ in "Why the loss wants scores"
# > first: where does $\max(x, 0)$ come from?


# %% tags=["exercise"]
def my_bce_with_logits(x, t):
    ### BEGIN SOLUTION
    return np.maximum(x, 0) - t * x + np.log1p(np.exp(-abs(x)))
    ### END SOLUTION


# %% tags=["check"]
check("bce_with_logits_stable", my_bce_with_logits)

# %% [markdown]
# > **Exercise 5.5.** Write `my_relu6_backward(g, x)`. At the two kinks, do as the engine does.


# %% tags=["exercise"]
def my_relu6_backward(g, x):
    ### BEGIN SOLUTION
    return g * ((x > 0) & (x < 6))
    ### END SOLUTION


# %% tags=["check"]
check("relu6_backward", my_relu6_backward)

# %% [markdown]
# > **Exercise 5.6.** To think about: a network for five diseases, of which a patient may have several at once. Softmax
# > or five sigmoids?
#
# <details><summary>An answer</summary>
#
# Five sigmoids, each with its own binary cross-entropy. Softmax makes the shares compete: they sum to 1, so a second
# disease could only be seen by doubting the first.
#
# </details>
#
# ## What to take along
#
# - Without a bend between them, layers collapse into one. Slopes of 0 stop a gradient: on the flat ends of a sigmoid,
#   and for ever in a dead ReLU.
# - Softmax sees differences only. Take the largest out, always.
# - Softmax and cross-entropy belong together: the gradient is what was said minus what is true, $(p - [c = t]) / N$.
# - Losses want scores. If a loss is fed with probabilities, the most wrong samples may teach nothing.
#
# **Now open** `kernels/reference_activation.py`: this whole lesson stands there on three screens. Then
# `tinymed/ops/loss.py` at `CrossEntropy`. PyTorch's `F.cross_entropy` and `F.binary_cross_entropy_with_logits` have the
# same names, arguments and numbers.
