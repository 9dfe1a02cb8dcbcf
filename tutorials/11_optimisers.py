# %% [markdown]
# # 11 · Optimisers
#
# *Article 5.2.2, 5.3.3 · 75 minutes · `kernels/reference_optim.py`, `tinymed/optim/`*
#
# The gradient says which way is down, not how far to go. An optimiser decides how far. After this lesson you can
# compute a step of SGD and of Adam by hand, say above which learning rate training blows up, and compare optimisers
# without fooling yourself.

# %%
import inspect
import math

import matplotlib.pyplot as plt
import numpy as np

import tinymed
import tinymed.nn.functional as F
from tinymed import keras, nn, optim
from tinymed.data import load_wisconsin
from tinymed.kernels import numpy_optim, reference_optim
from tinymed.optim import lr_scheduler
from tinymed.teach import check, trace

# %% [markdown]
# ## What the article says
#
# One word, in the listing of 5.2: `model.compile(optimizer='adam', loss='binary_crossentropy', …)`. Section 5.3.3
# repeats it: 选择 Adam 优化器. What Adam computes, and why not something simpler, it does not say. Here it is, with
# everything that came before. $p$ is one parameter, $g = \partial L / \partial p$, $\eta$ the learning rate.
#
# | name | what it remembers | what it does |
# |---|---|---|
# | SGD | nothing | $p \leftarrow p - \eta\, g$ |
# | momentum | $b \leftarrow \mu b + g$ | $p \leftarrow p - \eta\, b$ |
# | Nesterov | $b \leftarrow \mu b + g$ | $p \leftarrow p - \eta\,(g + \mu b)$ |
# | Adagrad | $s \leftarrow s + g^2$ | $p \leftarrow p - \eta\, g / (\sqrt{s} + \varepsilon)$ |
# | RMSprop | $v \leftarrow \alpha v + (1 - \alpha)\, g^2$ | $p \leftarrow p - \eta\, g / (\sqrt{v} + \varepsilon)$ |
# | Adam | $m$ and $v$, see below | $p \leftarrow p - \eta\, \hat m / (\sqrt{\hat v} + \varepsilon)$ |
# | AdamW | the same | first $p \leftarrow (1 - \eta\lambda)\, p$, then as Adam |
#
# Adam keeps two running means, of the gradient and of its square:
#
# $$ m \leftarrow \beta_1 m + (1 - \beta_1)\, g, \qquad v \leftarrow \beta_2 v + (1 - \beta_2)\, g^2 $$
#
# with $\hat m = m / (1 - \beta_1^t)$ and $\hat v = v / (1 - \beta_2^t)$ at step $t = 1, 2, \dots$ All that is
# remembered starts at 0. $\mu$, $\alpha$, $\beta_1$, $\beta_2$ are numbers below 1, $\lambda$ is the weight decay, and
# $\varepsilon$ is tiny and keeps the division from failing. Every formula is for one number; each parameter has its
# own memory. (Nesterov's is PyTorch's form, after Sutskever et al. 2013: the original takes the gradient at the place
# to which momentum alone would lead.)
#
# ## The same letters in code

# %%
print(inspect.getsource(reference_optim.sgd_step))
print(inspect.getsource(reference_optim.adam_step))

# %% [markdown]
# ## By hand: momentum
#
# $p = 1$, $\eta = \frac12$, $\mu = \frac12$, and the gradient is 2, twice. Work out both steps.
#
# $$ b = 2,\quad p = 1 - \tfrac12 \cdot 2 = 0 $$
#
# $$ b = \tfrac12 \cdot 2 + 2 = 3,\quad p = 0 - \tfrac12 \cdot 3 = -1.5 $$

# %%
t = trace.sgd([1.0], [[2.0], [2.0]], lr=0.5, momentum=0.5)
t.show()
assert t.final["p"] == -1.5
assert t.final["b"] == 3

# %%
t

# %% [markdown]
# If the gradient stays 2 for long, where does $b$ end? Where it no longer changes: $b = \mu b + g$, so
# $b = g / (1 - \mu)$. With the usual $\mu = 0.9$ that is $10\,g$. So momentum 0.9 makes the learning rate ten times
# larger, once it is under way, and a fair comparison lets plain SGD try ten times the rate.
#
# ## By hand: the first step of Adam
#
# Gradients of 0.001, 1 and 1000. How far does Adam go, with $\eta = 0.1$?

# %%
t = trace.adam([0.0, 0.0, 0.0], [[0.001, 1.0, -1000.0]], lr=0.1)
t.show(5)
print("after one step:", t.final["p"])
assert np.allclose(t.final["p"], [-0.1, -0.1, 0.1], atol=1e-5)

# %%
t

# %% [markdown]
# The same distance. At $t = 1$ the corrections undo the factors: $\hat m = g$, $\hat v = g^2$, and
#
# $$ \frac{\hat m}{\sqrt{\hat v} + \varepsilon} = \frac{g}{|g| + \varepsilon} \approx \text{sign}(g) $$
#
# While the gradient keeps its sign, Adam's steps have the size of the learning rate, whatever the size of the gradient.
# Where the sign is chance, $\hat m$ averages to little, and they shrink to about a quarter of it,
# $\sqrt{(1 - \beta_1)/(1 + \beta_1)} = 0.23$. Multiply the loss by 1000, and nothing changes; SGD would go 1000 times
# as far.
#
# Why the correction? Both $m$ and $v$ start at 0 and are too small at first. One might think that without it the
# first steps are too short. Are they? For a constant gradient the step would be $\eta$ times

# %%
steps = np.arange(1, 3001)
uncorrected = (1 - 0.9**steps) / np.sqrt(1 - 0.999**steps)
fig, ax = plt.subplots(figsize=(7, 3.2), layout="constrained")
ax.semilogx(steps, uncorrected, color="#d55e00", label="without correction")
ax.axhline(1, color="#0072b2", label="with correction")
ax.set(xlabel="step t", ylabel="length of a step / learning rate", title="Adam's step for a constant gradient")
ax.legend()
plt.show()
print(f"first step {uncorrected[0]:.2f}, longest {uncorrected.max():.2f} at step {1 + uncorrected.argmax()}")
assert round(math.sqrt((1 - 0.9) / (1 + 0.9)), 2) == 0.23
assert round(uncorrected[0], 2) == 3.16
assert (round(uncorrected.max(), 2), 1 + uncorrected.argmax()) == (6.57, 12)

# %% [markdown]
# Too *long*. $m$ has grown to its size after some ten steps; $v$, by which one divides, needs a thousand. Without
# the correction the first steps are three to seven times the learning rate, just when the network knows least.
#
# ## The same in tinymed
#
# `optim.Adam` gathers parameters, gradients and memory, and calls the kernel. Its numbers are PyTorch's:
# `tests/test_optim.py` holds all of these optimisers, on two of its backends, against PyTorch's over twenty steps, to
# nine digits in float64. What one writes:

# %%
p = nn.Parameter(np.array([0.0, 0.0, 0.0]))
optimizer = optim.Adam([p], lr=0.1)
loss = (p * tinymed.tensor(np.array([0.001, 1.0, -1000.0]))).sum()
optimizer.zero_grad()
loss.backward()
optimizer.step()
print(p.tolist())
assert np.allclose(p.detach().numpy(), t.final["p"], rtol=1e-12)

print("the article's 'adam' is", keras.OPTIMIZERS["adam"]([p]))
assert keras.OPTIMIZERS["adam"]([p]).param_groups[0]["eps"] == 1e-7
assert optimizer.param_groups[0]["eps"] == 1e-8

# %% [markdown]
# Keras's `'adam'` has $\varepsilon = 10^{-7}$, PyTorch's $10^{-8}$. (And Keras itself adds it to $\sqrt{v}$ before the
# correction, so that at first it weighs more; `tinymed.keras` adds it where the formula above does.) Such details are
# where two frameworks part.
#
# ## How large a learning rate
#
# Near a minimum a loss looks like a bowl, $L = \frac{a}{2} p^2$, where $a$ says how steep it is. There $g = a p$, and
# a step of SGD multiplies:
#
# $$ p \leftarrow p - \eta\, a\, p = (1 - \eta\, a)\, p $$
#
# For which $\eta$ does $p$ shrink? It must be that $|1 - \eta a| < 1$, so $\eta < 2 / a$. Take $a = 4$. (With many
# parameters $a$ becomes an eigenvalue of the matrix $A$ of second derivatives, and books write $2/\lambda$: $v$ is an
# eigenvector and $\lambda$ its eigenvalue if $A v = \lambda v$. Along $v$, $A$ only stretches, by $\lambda$.)

# %%
fig, ax = plt.subplots(figsize=(8, 3.4), layout="constrained")
looks = [
    (0.02, "too small", "#56b4e9", "-"),
    (0.2, "right", "#009e73", "-"),
    (0.48, "just below the limit", "#e69f00", "--"),
    (0.52, "above the limit", "#d55e00", ":"),
]
for lr, name, colour, style in looks:
    walk = (1 - lr * 4) ** np.arange(26)
    ax.plot(walk, style, color=colour, marker=".", label=f"η = {lr}: {name}")
ax.set(xlabel="step", ylabel="p", title="L = 2p², SGD from p = 1: the limit is η = 2/a = 0.5")
ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1))
plt.show()

# %% [markdown]
# Too large shows as a zigzag before it shows as a disaster. And 0.02 and 0.48 shrink equally fast (why? compare
# $|1 - \eta a|$). Is the limit really there? Measure it, by halving, and for momentum too.


# %%
def grows(lr, momentum=0.0, nesterov=False, steepness=4.0):
    """Whether 300 steps on L = a/2·p² lead away from the minimum."""
    p = nn.Parameter(np.array([1.0]))
    optimizer = optim.SGD([p], lr, momentum=momentum, nesterov=nesterov)
    for _ in range(300):
        p.grad = tinymed.tensor(steepness * p.detach().numpy())
        optimizer.step()
        if not abs(p.item()) < 1e6:  # also for NaN
            return True
    return abs(p.item()) > 1


def limit(**how):
    low, high = 0.0, 4.0
    while high - low > 1e-4:
        middle = (low + high) / 2
        low, high = (low, middle) if grows(middle, **how) else (middle, high)
    return low


predicted = {
    "SGD": ({}, 2 / 4),
    "momentum 0.5": ({"momentum": 0.5}, 2 * (1 + 0.5) / 4),
    "momentum 0.9": ({"momentum": 0.9}, 2 * (1 + 0.9) / 4),
    "Nesterov 0.9": ({"momentum": 0.9, "nesterov": True}, 2 * (1 + 0.9) / (1 + 2 * 0.9) / 4),
}
for name, (how, theory) in predicted.items():
    measured = limit(**how)
    print(f"{name:<13} measured limit {measured:.3f}, theory {theory:.3f}")
    assert abs(measured - theory) < 0.002

# %% [markdown]
# The limits are
#
# | SGD | momentum | Nesterov |
# |---|---|---|
# | $2/a$ | $2 (1 + \mu)/a$ | $2 (1 + \mu) / ((1 + 2\mu)\, a)$ |
#
# Momentum allows almost double; Nesterov, of the same memory, *less* than plain SGD. A network has one $a$ for
# each direction, and the steepest sets the limit for all.
#
# ## A valley
#
# In a valley one direction is steep, one flat: $L = \frac12 (p_1^2 + 25\, p_2^2)$. The limit is $2/25 = 0.08$, and
# along the flat direction each step covers at most 8 % of the way. The ratio 25 of steepest to flattest, the
# *condition number*, is what makes training slow, and what the other optimisers are for.


# %%
def path(make, bowl, start, steps=60):
    """The places that an optimiser visits on L = ½ pᵀ·bowl·p."""
    p = nn.Parameter(np.array(start))
    optimizer, places = make([p]), [np.array(start)]
    for _ in range(steps):
        loss = (p * (tinymed.tensor(bowl) @ p)).sum() / 2
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        places.append(p.detach().numpy().copy())
    return np.array(places)


def height(places, bowl):
    return np.einsum("...i,ij,...j->...", places, bowl, places) / 2


walkers = {
    "SGD, η = 0.07": lambda ps: optim.SGD(ps, 0.07),
    "momentum 0.8, η = 0.02": lambda ps: optim.SGD(ps, 0.02, momentum=0.8),
    "Nesterov 0.8, η = 0.03": lambda ps: optim.SGD(ps, 0.03, momentum=0.8, nesterov=True),
    "Adagrad, η = 1": lambda ps: optim.Adagrad(ps, 1.0),
    "RMSprop, η = 0.1": lambda ps: optim.RMSprop(ps, 0.1, alpha=0.9),
    "Adam, η = 0.2": lambda ps: optim.Adam(ps, 0.2),
}
valley, turn = np.diag([1.0, 25.0]), np.array([[1, -1], [1, 1]]) / math.sqrt(2)
turned = turn @ valley @ turn.T  # the same valley, lying at 45°
grid = np.stack(np.meshgrid(np.linspace(-4.6, 2, 120), np.linspace(-2.2, 2.2, 80)), axis=-1)
fig, axes = plt.subplots(2, 3, figsize=(10.5, 5), layout="constrained", sharex=True, sharey=True)
table = {}
for ax, (name, make) in zip(axes.flat, walkers.items()):
    walk = path(make, valley, [-4.0, 1.5])
    slanted = path(make, turned, turn @ [-4.0, 1.5])
    table[name] = height(walk, valley)[-10:].max(), height(slanted, turned)[-10:].max()
    ax.contour(*np.moveaxis(grid, -1, 0), height(grid, valley), levels=[0.1, 0.5, 2, 5, 10, 20, 40], colors="0.75")
    ax.plot(*walk.T, ".-", color="#0072b2", lw=1, ms=4)
    ax.plot(0, 0, "*", color="#d55e00", ms=11)
    ax.set_title(f"{name}\nhighest loss, last ten steps: {table[name][0]:.0e}", fontsize=10)
for ax in axes[1]:
    ax.set_xlabel("p₁ (flat)")
for ax in axes[:, 0]:
    ax.set_ylabel("p₂ (steep)")
plt.show()
print(f"{'highest loss, steps 51–60':<28}straight  turned by 45°")
for name, (straight, slanted) in table.items():
    print(f"{name:<27} {straight:8.1e}  {slanted:8.1e}")
for name in list(table)[:3]:
    assert math.isclose(*table[name], rel_tol=1e-6)
for name in list(table)[3:]:
    assert table[name][1] > 5 * table[name][0]

# %% [markdown]
# Momentum cancels what changes sign and gathers what does not. Adagrad, RMSprop and Adam divide each gradient by the
# size that it had so far, so steep and flat look alike to them. But look at the second column: the same valley, turned
# by 45°. The first three do not mind, for they know no axes. The others divide *per number*, and end higher
# once the valley does not lie along the axes. What they are worth depends on the coordinates in which a network
# happens to be written. (The rates are picked by hand: compare the shapes of the paths, and each row's two columns, not
# the rows.)
#
# ## Schedules
#
# With batches drawn at random the gradient is noisy. On $L = p^2 / 2$, with noise of variance $\sigma^2$ in each
# gradient, a constant rate never arrives: $p$ goes on trembling, with variance
#
# $$ \overline{p^2} = \frac{\eta\, \sigma^2}{2 - \eta} $$
#
# A large rate is fast at first, a small one quiet at the end. So let it fall. That is a schedule.

# %%
quiet = {}
for name in ("constant", "cosine"):
    p = nn.Parameter(np.full(2000, 3.0))  # 2000 runs side by side
    optimizer, noise = optim.SGD([p], lr=0.1), np.random.default_rng(0)
    schedule = lr_scheduler.CosineAnnealingLR(optimizer, T_max=200) if name == "cosine" else None
    for _ in range(200):
        p.grad = tinymed.tensor(p.detach().numpy() + noise.standard_normal(2000))
        optimizer.step()
        if schedule:
            schedule.step()
    quiet[name] = np.square(p.detach().numpy()).mean()
    print(f"rate {name}: mean of p² after 200 steps {quiet[name]:.4f}")
print(f"theory for the constant rate: {0.1 / 1.9:.4f}")
assert abs(quiet["constant"] / (0.1 / 1.9) - 1) < 0.1
assert quiet["cosine"] < quiet["constant"] / 3


# %%
def warm_up_then_cosine(optimizer):
    warm = lr_scheduler.LinearLR(optimizer, start_factor=0.1, total_iters=10)
    return lr_scheduler.SequentialLR(optimizer, [warm, lr_scheduler.CosineAnnealingLR(optimizer, T_max=90)], [10])


schedules = {
    "StepLR(30, gamma=0.3)": lambda o: lr_scheduler.StepLR(o, 30, gamma=0.3),
    "ExponentialLR(0.96)": lambda o: lr_scheduler.ExponentialLR(o, 0.96),
    "CosineAnnealingLR(100)": lambda o: lr_scheduler.CosineAnnealingLR(o, 100),
    "LinearLR(0.1, 1, 10)": lambda o: lr_scheduler.LinearLR(o, 0.1, 1.0, 10),
    "SequentialLR: warm-up, cosine": warm_up_then_cosine,
    "OneCycleLR(1, 101)": lambda o: lr_scheduler.OneCycleLR(o, 1.0, 101, cycle_momentum=False),
}
fig, axes = plt.subplots(2, 3, figsize=(10, 4.4), layout="constrained", sharex=True, sharey=True)
for ax, (name, make) in zip(axes.flat, schedules.items()):
    optimizer = optim.SGD([nn.Parameter(np.zeros(1))], lr=1.0)
    schedule, rates = make(optimizer), []
    for _ in range(100):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    ax.plot(rates, color="#0072b2")
    ax.set_title(name, fontsize=10)
    ax.grid(alpha=0.3)
for ax in axes[1]:
    ax.set_xlabel("epoch (or batch)")
for ax in axes[:, 0]:
    ax.set_ylabel("learning rate")
plt.show()

# %% [markdown]
# A warm-up mostly goes with Adam, whose first steps have full length while $v$ rests on a handful of gradients.
#
# ## Weight decay is not L2, for Adam
#
# To keep weights small one adds $\frac{\lambda}{2} p^2$ to the loss, which adds $\lambda p$ to the gradient: L2. Or one
# multiplies $p$ by $1 - \eta\lambda$ each step: weight decay. For plain SGD the two are one and the same:
# $p - \eta (g + \lambda p) = (1 - \eta\lambda)\, p - \eta g$. For Adam?
#
# Take weights that are 1, whose gradients are pure noise, $+s$ or $-s$; nothing pulls at them but the decay. After 500
# steps, with $\eta\lambda = 10^{-4}$, each should be $(1 - 10^{-4})^{500} = 0.951$.

# %%
print("size of the gradients   ", *(f"{s:>6g}" for s in (0.01, 0.1, 1, 10)))
left = {}
for name, make in {"SGD": optim.SGD, "Adam": optim.Adam, "AdamW": optim.AdamW}.items():
    for s in (0.01, 0.1, 1, 10):
        p, coin = nn.Parameter(np.ones(1000)), np.random.default_rng(0)
        optimizer = make([p], lr=1e-3, weight_decay=0.1)
        for _ in range(500):
            p.grad = tinymed.tensor(s * coin.choice([-1.0, 1.0], 1000))
            optimizer.step()
        left[name, s] = p.detach().numpy().mean()
    print(f"{name:<5}, weight_decay=0.1 ", *(f"{left[name, s]:6.3f}" for s in (0.01, 0.1, 1, 10)))
assert round((1 - 1e-4) ** 500, 3) == 0.951
assert all(abs(left[name, s] - 0.951) < 0.002 for name in ("SGD", "AdamW") for s in (0.01, 0.1, 1, 10))
assert left["Adam", 0.01] < 0.7 < 0.99 < left["Adam", 10]

# %% [markdown]
# In Adam the decay passes through the division by $\sqrt{\hat v}$. Weights with large gradients are hardly held, those
# with small ones are crushed. AdamW keeps the decay out of the gradient (`decoupled` in `adam_step` above). PyTorch's
# `Adam(weight_decay=…)` is L2 too; who wants weight decay takes `AdamW`.
#
# ## Which is best
#
# Real data: 455 rows of the Wisconsin breast cancer set (30 measures of cell nuclei each; scikit-learn's copy), a
# small network, 8 epochs (56 steps). Each optimiser gets *every* learning rate of one grid, and five starts. What is
# shown is the loss on the training rows, for that is what an optimiser is to lower. It says nothing of how well such a
# network would diagnose; for that there are test rows, and lesson 12.

# %%
data = load_wisconsin("train")
rows = np.stack([x.numpy() for x, _ in data])
malignant = np.array([[int(y)] for _, y in data], np.float32)


def train(make, lr, seed, epochs=8, batch=64):
    """The loss over all rows after each epoch."""
    tinymed.manual_seed(seed)
    order = np.random.default_rng(seed)
    model = nn.Sequential(nn.Linear(30, 16), nn.ReLU(), nn.Linear(16, 1))
    optimizer, losses = make(model.parameters(), lr=lr), []
    for _ in range(epochs):
        for picked in np.array_split(order.permutation(len(rows)), len(rows) // batch):
            scores = model(tinymed.from_numpy(rows[picked]))
            loss = F.binary_cross_entropy_with_logits(scores, tinymed.from_numpy(malignant[picked]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with tinymed.no_grad():
            scores = model(tinymed.from_numpy(rows))
            losses.append(F.binary_cross_entropy_with_logits(scores, tinymed.from_numpy(malignant)).item())
    return losses


contenders = {
    "SGD": optim.SGD,
    "momentum 0.9": lambda ps, lr: optim.SGD(ps, lr, momentum=0.9),
    "Adagrad": optim.Adagrad,
    "RMSprop": optim.RMSprop,
    "Adam": optim.Adam,
}
grid_of_rates, seeds = 10.0 ** np.arange(-3, 1, 0.5), range(5)
curves = {
    name: np.array([[train(make, lr, seed) for seed in seeds] for lr in grid_of_rates])
    for name, make in contenders.items()
}  # (rates, seeds, epochs)

# %%
colours = ["#000000", "#0072b2", "#009e73", "#cc79a7", "#d55e00"]
fig, (left_ax, right_ax) = plt.subplots(1, 2, figsize=(10.5, 4), layout="constrained", sharey=True)
chosen = {}
for colour, (name, losses) in zip(colours, curves.items()):
    final = losses[:, :, -1]
    left_ax.loglog(grid_of_rates, np.median(final, axis=1), "o-", color=colour, label=name, ms=4)
    left_ax.fill_between(grid_of_rates, final.min(1), final.max(1), color=colour, alpha=0.12, lw=0)
    chosen[name] = int(np.median(final, axis=1).argmin())
    epochs = np.arange(1, losses.shape[2] + 1)
    best_of = losses[chosen[name]]
    right_ax.plot(epochs, np.median(best_of, axis=0), "o-", color=colour, ms=4)
    right_ax.fill_between(epochs, best_of.min(0), best_of.max(0), color=colour, alpha=0.12, lw=0)
left_ax.set(xlabel="learning rate", ylabel="training loss", title="after 8 epochs, against the rate", ylim=(0.04, 2))
right_ax.set(xlabel="epoch", title="each at its best rate")
fig.legend(loc="outside lower center", ncols=5, title="line: median of five starts, band: smallest to largest")
plt.show()
print("                 at rate 0.001          best rate, and the loss there")
for name, losses in curves.items():
    slow, best = losses[0, :, -1], losses[chosen[name], :, -1]
    print(
        f"{name:<14} {np.median(slow):.3f} ({slow.min():.3f}–{slow.max():.3f})   "
        f"{grid_of_rates[chosen[name]]:>6.3f}: {np.median(best):.3f} ({best.min():.3f}–{best.max():.3f})"
    )
at_default = [np.median(losses[0, :, -1]) for losses in curves.values()]
at_best = [np.median(losses[chosen[name], :, -1]) for name, losses in curves.items()]
assert max(at_best) < 0.2 < 0.3 < min(at_default)
assert list(curves)[np.argmin(at_default)] == "RMSprop" != list(curves)[np.argmin(at_best)]
assert len(set(chosen.values())) > 1
assert chosen["SGD"] == chosen["momentum 0.9"]
bands = sorted((losses[chosen[name], :, -1] for name, losses in curves.items()), key=np.median)
assert bands[0].max() > bands[-1].min(), "even the best and the last overlap"

# %% [markdown]
# At 0.001 RMSprop is far ahead, and SGD, momentum and Adagrad have hardly begun. Each at its own best rate, RMSprop is
# no longer first; all of them learn, and even the bands of the best and the last overlap: a difference between two
# lines is worth something only where it exceeds what another start does. Whoever shows that A beats B must have tuned B
# as well as A. (SGD and momentum 0.9 want the same rate here: ten times momentum's would be above SGD's limit, $2/a$
# against $3.8/a$.)
#
# Why then does everyone begin with Adam? One reason: its rate is about its longest step. A loss 100 times larger
# leaves Adam's best rate where it was, and divides SGD's by 100. So a rate that worked elsewhere is a fair first guess.
#
# ## What the fast kernels do differently
#
# The plain loops go number by number. `kernels/numpy_optim.py` goes array by array, in place, and takes the constant
# factors out; `kernels/numba_optim.py` makes one pass over memory, all parameters in one call. An Adam step reads four
# arrays, writes three and computes little: for a large network it is as fast as memory is. The numbers agree, to
# rounding:

# %%
rng = np.random.default_rng(0)
start = [rng.standard_normal(50) for _ in range(3)] + [rng.random(50)]
results = []
for module in (reference_optim, numpy_optim):
    p, g, m, v = (a.copy() for a in start)
    module.adam_step([p], [g], [m], [v], [3], 0.1, 0.9, 0.999, 1e-8, 0.0, False)
    results.append(p)
print("largest difference:", abs(results[0] - results[1]).max())
assert np.allclose(*results, rtol=1e-12)

# %% [markdown]
# ## Exercises
#
# > **Exercise 11.1.** Write one step of SGD with momentum: from `p`, gradient `g` and memory `b` to the new `p` and
# > `b`. The arguments stay as they were.


# %% tags=["exercise"]
def my_sgd_momentum_step(p, g, b, lr, momentum):
    ### BEGIN SOLUTION
    b = momentum * b + g
    return p - lr * b, b
    ### END SOLUTION


# %% tags=["check"]
check("sgd_momentum_step", my_sgd_momentum_step)

# %% [markdown]
# > **Exercise 11.2.** Write step number `t` (from 1) of Adam, with bias correction. Return the new `p`, `m`, `v`.


# %% tags=["exercise"]
def my_adam_step(p, g, m, v, t, lr, beta1, beta2, eps):
    ### BEGIN SOLUTION
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
    return p - lr * m_hat / (np.sqrt(v_hat) + eps), m, v
    ### END SOLUTION


# %% tags=["check"]
check("adam_step", my_adam_step)

# %% [markdown]
# > **Exercise 11.3.** A schedule: at step `t` (from 0) of `total`, the rate first grows in a straight line, from
# > `lr / warmup` at $t = 0$ to `lr` at $t = $ `warmup` − 1, and then falls along half a cosine, from `lr` at $t = $
# > `warmup` to 0 at $t = $ `total`.
#
# <details><summary>A hint</summary>
#
# From which step on does the cosine count, and how many steps does it have?
# $\frac12 (1 + \cos \pi s)$ falls from 1 to 0 while $s$ goes from 0 to 1.
#
# </details>


# %% tags=["exercise"]
def my_warmup_cosine(t, lr, warmup, total):
    ### BEGIN SOLUTION
    if t < warmup:
        return lr * (t + 1) / warmup
    return lr * (1 + math.cos(math.pi * (t - warmup) / (total - warmup))) / 2
    ### END SOLUTION


# %% tags=["check"]
check("warmup_cosine", my_warmup_cosine)

# %% [markdown]
# > **Exercise 11.4.** To think about. The loss is $L = \frac12 p^T A\, p$ for many parameters at once, with a
# > symmetric, positive definite matrix $A$ (all eigenvalues above 0). Then $g = A p$. From which learning rate on does
# > SGD diverge? Write `learning_rate_limit(A)`.
#
# <details><summary>A hint</summary>
#
# A step is $p \leftarrow (I - \eta A)\, p$. Along an eigenvector of $A$ this is the bowl from above. Which of them
# decides? `np.linalg.eigvalsh`.
#
# </details>


# %% tags=["exercise"]
def my_learning_rate_limit(A):
    ### BEGIN SOLUTION
    return 2 / np.linalg.eigvalsh(A).max()
    ### END SOLUTION


# %% tags=["check"]
check("learning_rate_limit", my_learning_rate_limit)

# %% [markdown]
# ## What to take along
#
# - SGD goes as far as the gradient is large; Adam goes at most about as far as the learning rate.
# - Above $2/a$, $a$ that of the steepest direction, SGD diverges; the flattest direction sets how long it takes.
# - Bias correction keeps Adam's first steps from being too long.
# - Weight decay with Adam means AdamW.
# - Compare optimisers each at its best rate, over several starts, and show the spread.
#
# **Now open** `kernels/reference_optim.py`: all of them stand there, one loop each. Then `tinymed/optim/adam.py`, and
# `tinymed/optim/optimizer.py` at `update`, where the docstring shows how to write one of your own.
