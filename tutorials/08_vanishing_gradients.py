# %% [markdown]
# # 08 · Vanishing and exploding gradients
#
# *Article 2.3, 3.2.1, 3.3.1 · 75 minutes · `tinymed/nn/init.py`, `tinymed/nn/utils.py`*
#
# Multiply 0.9 by itself 50 times, then 1.1. A gradient on its way back through 50 steps, or 50 layers, does just that.
# This lesson measures it, says when it happens, and what helps.

# %%
import inspect

import matplotlib.pyplot as plt
import numpy as np

import tinymed
import tinymed.nn.functional as F
from tinymed import nn, optim
from tinymed.autograd import grad
from tinymed.teach import check, trace

blue, orange, green, pink, black = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#222222"

# %% [markdown]
# ## What the article says
#
# Section 2.3 introduces the RNN in one sentence (3.2.1 has nearly the same):
#
# > 用于序列数据建模，如医疗文本分析，通过记忆单元和梯度消失/爆炸问题，实现对序列数据的建模和预测。
#
# Word for word: it models sequences "*through* memory cells *and the problem of vanishing/exploding gradients*". The
# problem is no tool, of course; two thoughts have run together. What is meant stands in 3.2.1, two lines below: in
# training, an RNN "容易受到梯度消失/爆炸问题的影响，导致训练效果不佳", it easily suffers from vanishing or
# exploding gradients, and trains badly. (The memory cell, 记忆单元, is the hidden state here; the LSTM has a real one.)
# And 3.3.1 says that the gates of the LSTM solve the problem (解决). Lesson 09 looks at how far that is true. First:
# what is the problem?
#
# ## The product of Jacobians
#
# The state is $h_t = \varphi(a_t)$, $a_t = W h_{t-1} + U x_t + b$. One step back, a gradient is multiplied by
#
# $$ J_t = \frac{\partial h_t}{\partial h_{t-1}} = \operatorname{diag}(\varphi'(a_t)) \cdot W $$
#
# (the Jacobian: the matrix of all $\partial h_{t,i} / \partial h_{t-1,j}$). Many steps back, by all of them:
#
# $$ \frac{\partial h_T}{\partial h_t} = J_T \cdot J_{T-1} \cdots J_{t+1} $$
#
# The same $W$ stands in every factor. For one unit and slope 1 this is $w^{T-t}$. By hand: what are $2^{10}$ and
# $(1/2)^{10}$?

# %%
for w in (2.0, 0.5):
    t = trace.rnn(np.zeros(10), w_ih=[[1]], w_hh=[[w]], h0=[1], nonlinearity="relu", g=[*[0] * 9, 1])
    print(f"w = {w}: dh_10/dh_0 = {t.final['gh0'].item():g}")
    assert t.final["gh0"].item() == w**10
assert 2.0**10 == 1024
print(f"after 50 steps: 0.9 -> {0.9**50:.4f}, 1.1 -> {1.1**50:.0f}")
assert round(0.9**50, 3) == 0.005
assert round(1.1**50) == 117

# %% [markdown]
# ## Step through it
#
# With tanh the slope $1 - h_t^2$ comes into every factor. Watch `da` shrink from step to step, though $w = 1$:

# %%
t = trace.rnn(np.ones(4), w_ih=[[0.5]], w_hh=[[1]], g=[0, 0, 0, 1])
for step in t:
    if step.code.startswith("da[j]"):
        print(f"{step.places:<32} {step.numbers} → {step.result:.5f}")

# %%
t

# %% [markdown]
# For matrices, two numbers say how strong $W$ is:
#
# - the *norm* $\|W\|_2$: the most by which it stretches any vector (its largest singular value);
# - the *spectral radius* $\rho(W)$: the largest $|\text{eigenvalue}|$. Over many steps $\|W^k\|_2$ grows like $\rho^k$:
#   $\lim_k \|W^k\|_2^{1/k} = \rho$ (Gelfand's formula).
#
# Always $\rho(W) \le \|W\|_2$. They can be far apart for a few steps:

# %%
W = np.array([[0.5, 4.0], [0.0, 0.5]])
for k in (1, 2, 5, 20):
    print(f"k = {k:>2}: ‖W^k‖ = {np.linalg.norm(np.linalg.matrix_power(W, k), 2):.1e}   ρ^k = {0.5**k:.1e}")
assert np.linalg.norm(W, 2) > 4
assert np.linalg.norm(np.linalg.matrix_power(W, 20), 2) < 0.01

# %% [markdown]
# A norm of 4 and yet it vanishes: a large norm is needed for gradients to explode, but it is not enough. The other
# direction is a proof. Since $\|J_t\|_2 \le \max|\varphi'| \cdot \|W\|_2$,
#
# $$ \left\| \frac{\partial h_T}{\partial h_t} \right\|_2 \le \left( \max|\varphi'| \cdot \|W\|_2 \right)^{T-t} $$
#
# and where the bracket is below 1, the gradient must vanish (Pascanu, Mikolov and Bengio 2013).
#
# ## The slope of the activation
#
# $\sigma' = \sigma (1 - \sigma)$ is largest at $\sigma = 1/2$: at most $1/4$. So every sigmoid on the way costs a
# factor of four at least. That is one reason for tanh in `nn.RNN`, whose slope reaches 1, and not the sigmoid of the
# article's example.

# %%
a = np.linspace(-6, 6, 241)
fig, ax = plt.subplots(figsize=(7, 3), layout="constrained")
largest = {}
activations = {"sigmoid": tinymed.sigmoid, "tanh": tinymed.tanh, "ReLU": tinymed.relu}
for (name, phi), color, style in zip(activations.items(), (blue, orange, green), ("-", "--", "-.")):
    x = tinymed.tensor(a, requires_grad=True)
    phi(x).sum().backward()
    largest[name] = x.grad.numpy().max()
    ax.plot(a, x.grad.numpy(), color=color, ls=style, label=f"{name}: at most {largest[name]:g}")
ax.set(xlabel="a", ylabel="slope at a", title="how much of a gradient an activation lets through")
ax.legend(loc="upper left")
plt.show()
assert largest == {"sigmoid": 0.25, "tanh": 1.0, "ReLU": 1.0}

# %% [markdown]
# ## Measured
#
# Now the whole product, with 32 units and random inputs. $W$ is orthogonal (a rotation, which stretches nothing) times
# a factor $r$, so that $\rho(W) = \|W\|_2 = r$ and nothing hides between the two. Before you look: which of the 18
# curves explode?
#
# To get the full Jacobian in one sweep, the batch holds 32 copies of the sequence, and copy $n$ asks for the gradient
# of unit $n$ of the last state.

# %%
H, T = 32, 40
rng = np.random.default_rng(0)
ROTATION = nn.init.orthogonal_(
    tinymed.empty(H, H, dtype="float64"), generator=tinymed.Generator().manual_seed(0)
).numpy()
RADII = 2.0, 1.5, 1.1, 1.0, 0.9, 0.5
SLOPES = {"tanh": (tinymed.tanh, 1.0), "relu": (tinymed.relu, 1.0), "sigmoid": (tinymed.sigmoid, 0.25)}


def jacobian_norms(W, phi, x):
    """‖∂h_T/∂h_t‖₂ for T − t = 0, 1, … T"""
    H = len(W)
    h = tinymed.zeros(H, H, dtype="float64").requires_grad_()
    states = [h]
    for x_t in x:
        h = phi(h @ tinymed.tensor(W.T) + tinymed.tensor(x_t))
        states.append(h)
    jacobians = grad(h, states, tinymed.eye(H, dtype="float64"))
    return np.array([np.linalg.norm(J.numpy(), 2) for J in reversed(jacobians)])


x = rng.normal(0, 0.3, (T, H))
fig, axes = plt.subplots(1, 3, figsize=(12, 3.8), sharey=True, layout="constrained")
norms = {}
for ax, (name, (phi, slope)) in zip(axes, SLOPES.items()):
    for r, color, style in zip(RADII, (orange, pink, black, black, green, blue), ["-", "--", "-.", "-", "--", "-"]):
        norms[name, r] = jacobian_norms(r * ROTATION, phi, x)
        ax.semilogy(norms[name, r], color=color, ls=style, label=f"r = {r}")
        bound = (slope * r) ** np.arange(T + 1)
        assert (norms[name, r] <= bound * (1 + 1e-9)).all(), "the bound is a theorem"
    ax.axhline(1, color="0.6", lw=0.8)
    ax.set(title=f"{name}, slope at most {slope:g}", xlabel="steps back, T − t", ylim=(1e-18, 1e6))
axes[0].set_ylabel("norm of the Jacobian")
axes[2].legend(loc="upper right")
plt.show()
h, on = np.zeros(H), []
for x_t in x:
    h = np.maximum(1.5 * ROTATION @ h + x_t, 0)
    on.append((h > 0).mean())
share, factor = np.mean(on), norms["relu", 1.5][-1] ** (1 / T)
print(f"ReLU at r = 1.5: {share:.2f} of the units are on")
print(f"  expected a step: 1.5·√{share:.2f} = {1.5 * share**0.5:.2f}, measured {factor:.2f}")
assert abs(factor - 1.5 * share**0.5) < 0.1
print("after 40 steps:")
for name in SLOPES:
    print(f"  {name:<8}", "  ".join(f"r {r}: {norms[name, r][-1]:.0e}" for r in RADII))
assert norms["tanh", 1.5][-1] > 10
assert norms["relu", 2.0][-1] > 100
assert norms["tanh", 2.0][-1] < 1e-6 * 2.0**T
assert 1e-3 < norms["relu", 1.5][-1] < 1e3
assert norms["tanh", 1.0][-1] < 0.1
assert norms["tanh", 1.1][-1] < 0.5
assert max(norms["sigmoid", r][-1] for r in RADII) < 1e-12

# %% [markdown]
# - Below $r = 1$ all vanish, and each line is nearly straight: a constant factor a step.
# - At $r = 1$, and still at 1.1, tanh and ReLU vanish as well, because some slopes are below 1 (for ReLU: 0 wherever
#   a unit is off).
# - Tanh explodes at 1.5 and 2, but far slower than $r^k$: large states saturate it, and the slopes fall.
# - ReLU at $r = 1.5$ hovers, in this draw. Where a share $p$ of the units is on, a step passes about $r \sqrt{p}$, not
#   $r$. With half of them on the border would be at $r = \sqrt{2}$; you will meet that number again below.
# - With the sigmoid everything vanishes, at $r = 2$ too: the bound is $(2 / 4)^{40}$.
#
# Only a narrow band of $r$ carries a gradient over 40 steps. How does PyTorch start? It draws weights from
# $U(-1/\sqrt{H}, 1/\sqrt{H})$, of variance $1/(3H)$. The eigenvalues of a large random matrix with variance $s^2$ fill
# a disc of radius $s \sqrt{H}$ (the circular law): here $\sqrt{1/3} \approx 0.58$.

# %%
tinymed.manual_seed(0)
W_fresh = nn.RNN(1, 128).weight_hh_l0.detach().numpy()
radius = abs(np.linalg.eigvals(W_fresh)).max()
print(f"spectral radius of a fresh nn.RNN: {radius:.2f}; to the power of 10: {radius**10:.4f}")
assert abs(radius - 3**-0.5) < 0.08

# %% [markdown]
# A fresh RNN forgets, within about ten steps: lesson 07's picture of $|\partial L / \partial x_t|$ showed it.
#
# ## Depth is the same story
#
# A plain network of many layers has the same product, with another $W$ in each factor. So the gradient's size hangs on
# the size of the weights one starts from. For $a = W x$ with $n$ inputs and independent weights of mean 0,
#
# $$ \operatorname{Var}(a_i) = n \cdot \operatorname{Var}(w) \cdot \mathbb{E}[x_j^2] $$
#
# To keep the spread from layer to layer, $n \operatorname{Var}(w) = 1$: Glorot's (Xavier) initialisation, which takes
# the mean of fan-in and fan-out so that the way back is served too. ReLU throws half of $\mathbb{E}[x^2]$ away, so for
# it $n \operatorname{Var}(w) = 2$: He's, the $\sqrt{2}$ from above. An orthogonal $W$ keeps every length exactly, not
# only on average.

# %%
print(inspect.getsource(nn.init.xavier_normal_))
print(inspect.getsource(nn.init.kaiming_normal_))

# %%
DEPTH, WIDTH = 30, 64
STARTS = {
    "N(0, 0.1²)": lambda w: nn.init.normal_(w, 0, 0.1),
    "nn.Linear's default": lambda w: w,
    "Xavier": nn.init.xavier_normal_,
    "He": lambda w: nn.init.kaiming_normal_(w, nonlinearity="relu"),
    "orthogonal, gain √2": lambda w: nn.init.orthogonal_(w, 2**0.5),
}


def gradients_by_layer(start, phi):
    """The spread of what each layer gives, and the norm of the gradient that arrives there"""
    tinymed.manual_seed(0)
    h, outputs = tinymed.randn(256, WIDTH), []
    for _ in range(DEPTH):
        layer = nn.Linear(WIDTH, WIDTH)
        nn.init.zeros_(layer.bias)
        start(layer.weight)
        h = phi(layer(h))
        outputs.append(h)
    last = tinymed.randn(256, WIDTH)
    arrived = [np.linalg.norm(g.numpy()) for g in grad(h, outputs, last)]
    return np.array([y.detach().numpy().std() for y in outputs]), np.array(arrived) / np.linalg.norm(last.numpy())


fig, axes = plt.subplots(1, 3, figsize=(12, 3.8), layout="constrained")
first = {}
colors, styles = (pink, blue, green, orange, black), ("-", "--", "-.", "-", ":")
for (name, start), color, style in zip(STARTS.items(), colors, styles):
    spread, arrived = gradients_by_layer(start, tinymed.relu)
    first[name] = arrived[0]
    axes[0].semilogy(range(1, DEPTH + 1), spread, color=color, ls=style, label=name)
    axes[1].semilogy(range(1, DEPTH + 1), arrived, color=color, ls=style)
pairs = ("sigmoid", "Xavier"), ("tanh", "Xavier"), ("relu", "He")
for (phi, start), color, style in zip(pairs, (blue, orange, green), styles[1:]):
    _, arrived = gradients_by_layer(STARTS[start], SLOPES[phi][0])
    first[f"{phi}, {start}"] = arrived[0]
    axes[2].semilogy(range(1, DEPTH + 1), arrived, color=color, ls=style, label=f"{phi}, {start}")
axes[0].set(title="ReLU: spread of what a layer gives", xlabel="layer", ylabel="standard deviation")
axes[1].set(title="ReLU: gradient that arrives there", xlabel="layer", ylabel="norm, relative to the last")
axes[2].set(title="gradient, by activation", xlabel="layer", ylabel="norm, relative to the last")
axes[0].legend(loc="lower left", fontsize=8)
axes[2].legend(loc="lower right", fontsize=8)
plt.show()
for name, share in first.items():
    print(f"{name:<20} at layer 1 the gradient has {share:.1e} of its size at layer {DEPTH}")
assert 0.1 < first["He"] < 10
assert 0.1 < first["orthogonal, gain √2"] < 10
assert first["nn.Linear's default"] < 1e-6
assert first["Xavier"] < 1e-3
assert first["sigmoid, Xavier"] < 1e-10

# %% [markdown]
# The default of `nn.Linear` has $n \operatorname{Var}(w) = 1/3$: for a network of two or three layers no one notices,
# for thirty it is hopeless. That is PyTorch's default, and so ours.
#
# ## Clipping, and what it does at a cliff
#
# Where gradients explode, one step can throw away what was learnt. The remedy is blunt: if the norm of all gradients
# together exceeds a limit, scale them all down by one factor. The direction stays.
#
# $$ g \leftarrow g \cdot \min\left(1, \frac{c}{\|g\|}\right) $$

# %%
print(inspect.getsource(nn.utils.clip_grad_norm_))

# %% [markdown]
# A network of one unit is enough to see a cliff: $h_t = \tanh(w h_{t-1} + b)$, $h_0 = 0.5$, 20 steps, and
# $L = (h_{20} - 0.6)^2$. On one side of a border in the plane of $(w, b)$ (for $w$ well above 1) the state ends near
# $+1$, on the other near $-1$; between them the loss falls like a wall. Gradient descent starts at the cross, with and
# without clipping.


# %%
def loss_of(w, b):
    h = tinymed.full_like(w, 0.5)
    for _ in range(20):
        h = (w * h + b).tanh()
    return (h - 0.6) ** 2


START = 1.6, -0.5


def descend(clip, steps=80, lr=0.05):
    w, b = (tinymed.tensor(v, dtype="float64", requires_grad=True) for v in START)
    optimizer = optim.SGD([w, b], lr=lr)
    path, sizes = [(w.item(), b.item())], []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = loss_of(w, b)
        loss.backward()
        sizes.append(nn.utils.clip_grad_norm_([w, b], clip).item())  # returns the norm before clipping
        optimizer.step()
        path.append((w.item(), b.item()))
    return np.array(path), np.array(sizes), loss.item()


paths = {"without clipping": descend(float("inf")), "clipped to norm 1": descend(1.0)}
ws, bs = np.meshgrid(np.linspace(0.5, 3, 200), np.linspace(-1, 2.3, 200))
surface = loss_of(tinymed.tensor(ws), tinymed.tensor(bs)).numpy()
fig, axes = plt.subplots(1, 2, figsize=(12, 4), layout="constrained")
filled = axes[0].contourf(ws, bs, surface, 24, cmap="cividis")
fig.colorbar(filled, ax=axes[0], label="loss")
for (name, (path, sizes, last)), color, style in zip(paths.items(), ("white", "#FF8C42"), ("o--", ".-")):
    axes[0].plot(*path.T, style, color=color, ms=5, lw=1.5, label=name)
    axes[1].semilogy(sizes, style, color=color, ms=4, lw=1.2, label=name)
    print(
        f"{name:<18} largest gradient {sizes.max():6.2f}, ends at w {path[-1][0]:.2f}, b {path[-1][1]:.2f}, "
        f"loss {last:.4f}"
    )
axes[0].plot(*START, "X", color="white", mec="black", ms=11)
axes[0].set(xlabel="w", ylabel="b", title="the loss after 20 steps of one unit", xlim=(0.5, 3), ylim=(-1, 2.3))
axes[0].legend(loc="upper left", facecolor="0.35", labelcolor="white")
axes[1].set(
    xlabel="step of gradient descent",
    ylabel="norm of the gradient before clipping",
    title="the cliff, seen from the gradient",
    ylim=(1e-7, 1e3),
)
axes[1].set_facecolor("0.35")
axes[1].legend(loc="upper right", facecolor="0.35", labelcolor="white")
plt.show()

assert paths["without clipping"][1].max() > 20
assert paths["without clipping"][2] > 0.1
assert paths["clipped to norm 1"][2] < 0.01
assert np.linalg.norm(np.diff(paths["clipped to norm 1"][0], axis=0), axis=1).max() < 0.05 * 1.001

# %% [markdown]
# Without clipping one gradient at the wall throws the weights far out onto a plateau, where the unit is saturated, the
# gradient is next to 0, and nothing brings them back: exploding, then vanishing. With clipping no step is
# longer than $0.05 \cdot 1$. Two things to remember: clip the norm of *all* gradients together (clipping number by
# number changes the direction), and clip after `backward`, before `step`. Clipping does nothing for gradients that
# vanish: what is not there cannot be scaled.
#
# ## What helps where gradients vanish
#
# - *Initialisation*: orthogonal $W_{hh}$, He or Xavier weights; measured above.
# - *Normalisation* (`nn.BatchNorm2d`, `nn.LayerNorm`): bring every layer's spread back to 1, whatever the weights are.
# - *Residual connections*, $h + f(h)$: the Jacobian is $I + \partial f / \partial h$; the $I$ is a road without
#   weights.
# - *Gates*: the LSTM's memory has such a road through time, and learns how open it is. That is lesson 09.
#
# ## Gradients of a trained RNN
#
# Does an RNN that has learnt a task still forget within ten steps? Lesson 07's task, now with a delay of 8 (generated
# data). Guess what training does to the spectral radius.

# %%
DELAY = 8
tinymed.manual_seed(0)
rng = np.random.default_rng(0)
layer, head = nn.RNN(1, H), nn.Linear(H, 1)
parameters = [*layer.parameters(), *head.parameters()]
optimizer = optim.Adam(parameters, lr=3e-3)


def measured(bits):
    """‖∂h_T/∂h_t‖₂ along one sequence, and the spectral radius"""
    w_ih, w_hh, b_ih, b_hh = (p.detach().numpy().astype(float) for p in layer.parameters())
    return jacobian_norms(w_hh, tinymed.tanh, bits @ w_ih.T + b_ih + b_hh), abs(np.linalg.eigvals(w_hh)).max()


sequence = 2.0 * rng.integers(0, 2, (24, 1)) - 1
before = measured(sequence)
for _ in range(400):
    bits = rng.integers(0, 2, (24, 32, 1)).astype(np.float32)
    score = head(layer(tinymed.tensor(2 * bits - 1))[0])[DELAY:]
    loss = F.binary_cross_entropy_with_logits(score, tinymed.tensor(bits[:-DELAY]))
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(parameters, 1.0)
    optimizer.step()
after = measured(sequence)
accuracy = ((score.detach().numpy() > 0) == (bits[:-DELAY] > 0.5)).mean()
print(f"accuracy {accuracy:.2f}; spectral radius {before[1]:.2f} -> {after[1]:.2f}")

fig, ax = plt.subplots(figsize=(7, 3.2), layout="constrained")
ax.semilogy(before[0], "--", color=blue, label=f"fresh, radius {before[1]:.2f}")
ax.semilogy(after[0], "-", color=orange, label=f"trained, radius {after[1]:.2f}")
ax.axvline(DELAY, color="0.5", ls=":", label="the delay of the task")
ax.set(
    xlabel="steps back, T − t",
    ylabel="norm of the Jacobian",
    title="training opens the road through time",
)
ax.legend(loc="lower left")
plt.show()
assert accuracy > 0.95
assert after[0][DELAY] > 10 * before[0][DELAY]
assert after[1] > before[1] + 0.1

# %% [markdown]
# Across the delay the fresh network passes on a few hundredths. That was enough to start from: Adam divides by the
# gradient's size, so a small gradient still makes a full step, as long as the larger ones beside it do not drown it.
# Training then opens its own road, to a radius near 1. Over a delay of 50 next to nothing is left to start from:

# %%
print(f"fresh, over {DELAY} steps: {before[0][DELAY]:.3f}; over 50, at its radius, about {before[1] ** 50:.0e}")
assert 0.01 < before[0][DELAY] < 0.1
assert before[1] ** 50 < 1e-10

# %% [markdown]
# ## Exercises
#
# > **Exercise 8.1.** Write `clip_gradients(g1, g2, max_norm)`: the gradients of two parameters, clipped together as
# > `clip_grad_norm_` does it, as a pair of new arrays.


# %% tags=["exercise"]
def clip_gradients(g1, g2, max_norm):
    ### BEGIN SOLUTION
    norm = np.sqrt((g1**2).sum() + (g2**2).sum())
    scale = min(1, max_norm / norm)
    return g1 * scale, g2 * scale
    ### END SOLUTION


# %% tags=["check"]
check("clip_gradients", clip_gradients)

# %% [markdown]
# > **Exercise 8.2.** One unit: $h_t = \tanh(w h_{t-1} + x_t)$. Write `scalar_jacobian(x, w, h0)`:
# > $\partial h_T / \partial h_0$ as a product over the steps.
#
# <details><summary>A hint</summary>
#
# The slope of tanh at $a_t$ is $1 - h_t^2$. So run forwards, and multiply as you go.
#
# </details>


# %% tags=["exercise"]
def scalar_jacobian(x, w, h0):
    ### BEGIN SOLUTION
    h, product = h0, 1.0
    for x_t in x:
        h = np.tanh(w * h + x_t)
        product *= w * (1 - h**2)
    return product
    ### END SOLUTION


# %% tags=["check"]
check("scalar_jacobian", scalar_jacobian)

# %% [markdown]
# > **Exercise 8.3.** Write `largest_stretch(W, v, steps)`: $\|W\|_2$ without a singular value decomposition, by power
# > iteration. Start from the vector `v`; apply $W$, then $W^T$, `steps` times, and scale to length 1 after each time.
# > At the end, $\|W v\|$ is the answer. Why does iterating with $W$ alone not do?
#
# <details><summary>An answer to the question</summary>
#
# With $W$ alone the vector turns to the eigenvector of the largest $|\text{eigenvalue}|$, which has to do with
# $\rho(W)$, not with the norm; and where that eigenvalue is one of a complex pair, the vector turns for ever. $W^T W$
# is symmetric, its eigenvalues are the squares of the singular values.
#
# </details>


# %% tags=["exercise"]
def largest_stretch(W, v, steps):
    ### BEGIN SOLUTION
    for _ in range(steps):
        v = W.T @ (W @ v)
        v = v / np.linalg.norm(v)
    return np.linalg.norm(W @ v)
    ### END SOLUTION


# %% tags=["check"]
check("largest_stretch", largest_stretch)

# %% [markdown]
# > **Exercise 8.4.** Write `gradient_bound(W, max_slope, steps)`: the bound of this lesson on
# > $\|\partial h_T / \partial h_{T-k}\|_2$ for $k$ = `steps`, exactly. You may use `np.linalg.norm(W, 2)`.


# %% tags=["exercise"]
def gradient_bound(W, max_slope, steps):
    ### BEGIN SOLUTION
    return (max_slope * np.linalg.norm(W, 2)) ** steps
    ### END SOLUTION


# %% tags=["check"]
check("gradient_bound", gradient_bound)

# %% [markdown]
# ## What to take along
#
# - A gradient through $k$ steps is multiplied by $k$ Jacobians, $\operatorname{diag}(\varphi'(a)) \cdot W$. Their
#   size, to the power of $k$, decides.
# - $\max|\varphi'| \cdot \|W\|_2 < 1$ suffices to vanish. Above 1 it may explode, or not.
# - The sigmoid's slope is at most $1/4$: no activation for a long way back.
# - Initialisation sets where one starts. Clipping stops explosions and does nothing for what vanishes; for that there
#   are roads without weights: residual connections, gates.
#
# **Now open** `tinymed/nn/init.py`: each initialisation is one line, with its formula, and `tinymed/nn/utils.py` at
# `clip_grad_norm_`. PyTorch's functions have the same names and defaults.
