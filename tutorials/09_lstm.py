# %% [markdown]
# # 09 · The LSTM
#
# *Article 3.3, 4.3.1, 4.3.2, 4.3.3 · 90 minutes · `kernels/reference_recurrent.py`, `tinymed/nn/rnn.py`*
#
# A patient's allergy is noted on the first day and matters on the hundredth. Lesson 08 showed that a fresh RNN forgets
# within about ten steps, and that over a long way hardly a gradient is left to learn from. The long short-term memory
# (Hochreiter and Schmidhuber 1997) keeps a note until it is told to change it. After this lesson you can compute a step
# of it, forwards and backwards, load its weights from PyTorch, and say when it fails.

# %%
import inspect
import math

import matplotlib.pyplot as plt
import numpy as np

import tinymed
import tinymed.nn.functional as F
from tinymed import nn, optim
from tinymed.autograd import grad
from tinymed.kernels import numpy_recurrent, reference
from tinymed.ops import recurrent
from tinymed.teach import check, findings, trace

_ = tinymed.use_backend("numpy")  # small arrays: not worth the wait of compiling

blue, orange, green, pink, black = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#222222"

# %% [markdown]
# ## What the article says
#
# Section 3.3 names the long short-term memory network (长短时记忆网络, LSTM) and its two parts:
#
# - gate units (门控单元): "用于控制信息的流入和流出", they control what flows in and out;
# - memory units (记忆单元): "用于存储和传递序列数据中的信息", they store what the sequence says and pass it on.
#
# Then section 4.3.1 gives as the hidden state of the LSTM
#
# $$ h_t = \sigma(W_h \cdot [h_{t-1}, x_t] + b_h) $$
#
# Compare it with lesson 07. Where are the gates, where is the memory?

# %%
finding = next(finding for finding in findings() if finding.where == "4.3.1")
print("the article prints:", finding.printed)
for name, numbers in finding.computed.items():
    print(f"  {name}: h = {numbers}")
print(finding.verdict)
assert not finding.agrees

# %% [markdown]
# It is the formula of 4.2.1 once more, letter by letter, and 4.3.3 repeats the example of 4.2.3. Nothing in it can be
# opened or closed. What follows is what 3.3 describes.
#
# ## The formula
#
# Four sums are formed just as in the RNN, each with weights of its own:
#
# $$ a_q = W_{iq} \cdot x_t + b_{iq} + W_{hq} \cdot h_{t-1} + b_{hq} \qquad q = i, f, g, o $$
#
# $$ i = \sigma(a_i) \qquad f = \sigma(a_f) \qquad g = \tanh(a_g) \qquad o = \sigma(a_o) $$
#
# $$ c_t = f \circ c_{t-1} + i \circ g \qquad\qquad h_t = o \circ \tanh(c_t) $$
#
# | letter | name | the question it answers, for each unit |
# |---|---|---|
# | $i$ | input gate | how much of the new goes into the memory? |
# | $f$ | forget gate | how much of the old stays? |
# | $g$ | candidate | what is the new? |
# | $o$ | output gate | how much of the memory is shown? |
# | $c_t$ | cell, the memory | what is kept |
# | $h_t$ | hidden state | what others see, the gates of the next step too |
#
# A gate is a number between 0 and 1 that multiplies; so it has a sigmoid. The candidate may be negative; so it has a
# tanh. ($\circ$: number by number. The forget gate came later: Gers, Schmidhuber and Cummins 2000.)


# %%
def node(ax, x, y, text, color="white"):
    ax.text(x, y, text, ha="center", va="center", fontsize=12, zorder=5,
            bbox={"boxstyle": "round,pad=0.35", "fc": color, "ec": "0.3"})  # fmt: skip


def road(ax, points, color=black, width=1.6):
    xs, ys = zip(*points)
    ax.plot(xs[:-1], ys[:-1], color=color, lw=width, solid_capstyle="round")
    ax.annotate("", points[-1], points[-2],
                arrowprops={"arrowstyle": "-|>", "color": color, "lw": width, "shrinkA": 0, "shrinkB": 9})  # fmt: skip


fig, ax = plt.subplots(figsize=(10, 4), layout="constrained")
road(ax, [(0, 3), (1.5, 3)], orange, 3)
road(ax, [(1.5, 3), (4, 3)], orange, 3)
road(ax, [(4, 3), (8, 3)], orange, 3)
for x, gate in ((1.5, "f"), (3, "i"), (4, "g"), (5.6, "o")):
    road(ax, [(0.4, 0), (x, 0), (x, 1)], "0.55")
    node(ax, x, 1, rf"${gate} = {'tanh' if gate == 'g' else 'σ'}$", "#CFE8F5" if gate != "g" else "#FBE3D3")
road(ax, [(1.5, 1), (1.5, 3)])
road(ax, [(3, 1), (3, 2), (4, 2)])
road(ax, [(4, 1), (4, 2)])
road(ax, [(4, 2), (4, 3)])
road(ax, [(6.8, 3), (6.8, 2)])
road(ax, [(5.6, 1), (5.6, 1.35), (6.8, 1.35)])
road(ax, [(6.8, 2.2), (6.8, 1.35)])
road(ax, [(6.8, 1.35), (8, 1.35)], blue, 2)
for x, y, text in ((1.5, 3, "×"), (4, 3, "+"), (4, 2, "×"), (6.8, 2.2, "tanh"), (6.8, 1.35, "×"), (0, 3, "$c_{t-1}$"),
                   (8, 3, "$c_t$"), (8, 1.35, "$h_t$"), (0.1, 0, "$h_{t-1}, x_t$")):  # fmt: skip
    node(ax, x, y, text)
ax.set(
    xlim=(-0.6, 8.5),
    ylim=(-0.5, 3.5),
    title="one step: along the orange road the memory meets one × and one +, no weight",
)
ax.axis("off")
plt.show()

# %% [markdown]
# ## The same letters in code

# %%
print(inspect.getsource(reference.lstm))

# %% [markdown]
# ## By hand
#
# An LSTM of one unit that remembers. The input has two numbers, a value (+1 or −1) and a flag: 1 = write it down, 0 =
# keep what you have. Which sums $a_i, a_f, a_g, a_o$ do that? (Sums of ±100 make the gates 0 and 1 to all digits that
# matter.) Think first.
#
# $$ a_i = 200 \cdot \text{flag} - 100 \qquad a_f = 100 - 200 \cdot \text{flag} \qquad a_g = 100 \cdot \text{value}
#    \qquad a_o = 100 $$

# %%
value_and_flag = [[1, 1], [-1, 0], [-1, 0], [-1, 1], [1, 0]]
w_ih = [[0, 200], [0, -200], [100, 0], [0, 0]]  # rows i, f, g, o
latch = trace.lstm(value_and_flag, w_ih, w_hh=np.zeros((4, 1)), b_ih=[-100, 100, 0, 100])
latch.show(20)
print("c =", latch.final["cs"].ravel().round(12).tolist())
assert np.allclose(latch.final["cs"].ravel(), [1, 1, 1, -1, -1])

# %%
latch

# %% [markdown]
# It kept the first +1 through two steps that said otherwise, and changed when it was told to. Training finds such
# weights by itself, if gradients reach it. Here is the article's sequence 1, 2, 3 with all weights and one of the
# biases 1:

# %%
t = trace.lstm([1, 2, 3], np.ones((4, 1)), np.ones((4, 1)), np.ones(4))
h = t.final["hs"].ravel()
print("h =", h.round(4).tolist())
assert h.round(4).tolist() == finding.computed["with gates i, f, g, o and a cell c"]

# %% [markdown]
# ## Backwards
#
# The cell $c_t$ is used twice: by $h_t = o \circ \tanh(c_t)$ and by $c_{t+1} = f_{t+1} \circ c_t + \dots$ Both
# gradients add:
#
# $$ \frac{\partial L}{\partial c_t} = \frac{\partial L}{\partial h_t} \circ o \circ (1 - \tanh^2 c_t)
#    + f_{t+1} \circ \frac{\partial L}{\partial c_{t+1}} $$
#
# The second part is the point of the whole design. Along the cell the gradient is multiplied by
#
# $$ \frac{\partial c_t}{\partial c_{t-1}} = f_t $$
#
# and by nothing else: no matrix $W$, no slope of an activation. If $f = 1$ the gradient arrives as it left. (This is
# the road straight along the cell. $c_{t-1}$ also acts through $h_{t-1}$ on the gates; those roads do meet $W_{hh}$.)
#
# The rest is the product rule, with $\sigma' = \sigma(1 - \sigma)$ and $\tanh' = 1 - \tanh^2$:
#
# $$ \frac{\partial L}{\partial a_i} = \frac{\partial L}{\partial c_t} \circ g \circ i (1 - i) \qquad
#    \frac{\partial L}{\partial a_f} = \frac{\partial L}{\partial c_t} \circ c_{t-1} \circ f (1 - f) $$
#
# $$ \frac{\partial L}{\partial a_g} = \frac{\partial L}{\partial c_t} \circ i \circ (1 - g^2) \qquad
#    \frac{\partial L}{\partial a_o} = \frac{\partial L}{\partial h_t} \circ \tanh(c_t) \circ o (1 - o) $$
#
# and from the four $a$ on it is lesson 07: $\partial L / \partial h_{t-1}$ gets
# $W_{hh}^T \cdot \partial L / \partial a$, the weights get sums over time.

# %%
print(inspect.getsource(reference.lstm_grad))

# %% [markdown]
# The road along the cell, in numbers: the forget gate alone multiplies `dc` (the gate $g$ and the gradient $g$ share a
# letter in the books; in the code the gradient is `gh`).

# %%
back = trace.lstm([1, 2, 3], np.ones((4, 1)), np.ones((4, 1)), np.ones(4), g=[0, 0, 1])
for step in back:
    if step.code.startswith("dc"):
        print(f"{step.places:<52} {step.numbers} → {step.result:.4f}")

# %%
back

# %% [markdown]
# The gradient check: the loops, differences, and autograd on the formula written in elementary operations.

# %%
tinymed.manual_seed(0)
sizes = {"x": (4, 2, 3), "h0": (2, 2), "c0": (2, 2), "w_ih": (8, 3), "w_hh": (8, 2), "b_ih": (8,), "b_hh": (8,)}
inputs = {name: tinymed.randn(*size, dtype="float64", requires_grad=True) for name, size in sizes.items()}
assert tinymed.gradcheck(recurrent.lstm, tuple(inputs.values()))
x, h, c, w_ih, w_hh, b_ih, b_hh = inputs.values()
total = 0.0
for x_t in x:
    i, f, g, o = (x_t @ w_ih.T + b_ih + h @ w_hh.T + b_hh).chunk(4, 1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    h = o.sigmoid() * c.tanh()
    total = total + h.sum()
total.backward()
loops = trace.lstm(x, w_ih, w_hh, b_ih, b_hh, inputs["h0"], inputs["c0"], g=1)
for name in ("x", "h0", "c0", "w_ih", "w_hh"):
    assert np.allclose(loops.final[f"g{name}"], inputs[name].grad.numpy())
print("the loops, autograd and the differences agree")

# %% [markdown]
# ## The road, measured
#
# $\|\partial c_T / \partial c_t\|_2$ with *all* roads, for 16 units with random weights, inputs from a normal
# distribution and three forget biases $b_f$; dotted, the product of the forget gates alone (the largest over the
# units). Beside them the plain RNN, $\|\partial h_T / \partial h_t\|_2$. What should $b_f$ be for 40 steps?

# %%
H, T = 16, 40


def set_gate_bias(layer, gate, value):
    """Both biases of a gate ("ifgo") of an LSTM or LSTMCell: value and 0"""
    H, at = layer.hidden_size, "ifgo".index(gate)
    with tinymed.no_grad():
        for name, bias in layer.named_parameters():
            if name.startswith("bias"):
                bias[at * H : (at + 1) * H] = value if "bias_hh" in name else 0.0


def memory_jacobians(forget_bias):
    tinymed.manual_seed(0)
    cell, x = nn.LSTMCell(2, H).double(), tinymed.randn(T, 1, 2, dtype="float64")
    set_gate_bias(cell, "f", forget_bias)
    h, c = tinymed.zeros(H, H, dtype="float64"), tinymed.zeros(H, H, dtype="float64").requires_grad_()
    cells, open_gates = [c], []
    for x_t in x:
        a = x_t @ cell.weight_ih.T + h @ cell.weight_hh.T + cell.bias_ih + cell.bias_hh
        open_gates.append(a[0, H : 2 * H].sigmoid().detach().numpy())
        h, c = cell(x_t.repeat(H, 1), (h, c))
        cells.append(c)
    norms = [np.linalg.norm(J.numpy(), 2) for J in grad(c, cells, tinymed.eye(H, dtype="float64"))]
    direct = np.cumprod([np.ones(H), *open_gates[::-1]], 0).max(1)
    return np.array(norms[::-1]), direct


def rnn_jacobians():
    tinymed.manual_seed(0)
    cell, x = nn.RNNCell(2, H).double(), tinymed.randn(T, 1, 2, dtype="float64")
    h = tinymed.zeros(H, H, dtype="float64").requires_grad_()
    states = [h]
    for x_t in x:
        h = cell(x_t.repeat(H, 1), h)
        states.append(h)
    return np.array([np.linalg.norm(J.numpy(), 2) for J in grad(h, states, tinymed.eye(H, dtype="float64"))][::-1])


fig, ax = plt.subplots(figsize=(8, 3.6), layout="constrained")
reached = {"RNN": rnn_jacobians()}
ax.semilogy(reached["RNN"], "-.", color=black, label="RNN")
for forget_bias, color in zip((0, 1, 4), (pink, blue, orange)):
    norms, direct = memory_jacobians(forget_bias)
    reached[forget_bias] = norms
    ax.semilogy(norms, color=color, label=f"LSTM, forget bias {forget_bias}")
    ax.semilogy(direct, ":", color=color)
ax.set(
    xlabel="steps back, T − t",
    ylabel="norm of the Jacobian",
    title="how far back the memory can be reached (dotted: forget gates alone)",
)
ax.legend(loc="lower left")
plt.show()
for name, norms in reached.items():
    print(f"{name if name == 'RNN' else f'LSTM, forget bias {name}'}: {norms[T]:.0e} over {T} steps")
assert reached[4][T] > 1
assert reached[0][T] < 1e-6
assert reached["RNN"][T] < 1e-6

# %% [markdown]
# With $b_f = 0$, about which PyTorch draws it, an LSTM is no better than the RNN: its forget gates stand near
# $\sigma(0) = 1/2$, and half of the memory is gone in each step.
#
# ## The forget bias
#
# So the bias of the forget gate decides how far an *untrained* LSTM sees. With $b_f$ and everything else small,
# $f \approx \sigma(b_f)$, and what is left after $n$ steps is $\sigma(b_f)^n$:

# %%
for b in (0, 1, 3, math.log(40)):
    f = reference.sigmoid(b)
    half = math.log(0.5) / math.log(f)
    print(f"b_f = {b:4.2f}: f = {f:.3f}, halved after {half:5.1f} steps, left after 40: {f**40:.1e}")
assert reference.sigmoid(0) ** 40 < 1e-12
assert round(reference.sigmoid(math.log(40)) ** 40, 1) == 0.4

# %% [markdown]
# $b_f = 1$ is the classic advice (Gers et al. 2000; Jozefowicz et al. 2015). For a memory over $T$ steps, $b_f = \ln T$
# leaves $(T / (T + 1))^T \approx 1/e$; with $b_i = -\ln T$ the input gate is almost closed, so that noise does not fill
# the memory (Tallec and Ollivier 2018 draw such biases for a range of $T$). PyTorch draws all biases from
# $U(-1/\sqrt{H}, 1/\sqrt{H})$ and leaves this to you; Keras sets $b_f = 1$.
#
# ## A task that needs a long memory
#
# The first input is +1 or −1; noise follows (normal, standard deviation 0.5); after $T$ steps: which was it? Guessing
# gives 0.5. The data are generated. Three contestants, 300 steps of Adam each, three seeds, and about the same number
# of parameters: an RNN, an LSTM as `nn.LSTM` draws it, and an LSTM with $b_f = \ln T$, $b_i = -\ln T$. Place your bets.


# %%
def remember(rng, T, n):
    """The first of T numbers is +1 or −1, the rest noise: x (T,N,1), and whether the first was +1, (N,1)"""
    x = 0.5 * rng.standard_normal((T, n, 1)).astype(np.float32)
    positive = rng.integers(0, 2, (n, 1)).astype(np.float32)
    x[0] = 2 * positive - 1
    return tinymed.tensor(x), tinymed.tensor(positive)


def contest(kind, T, seed, steps=300):
    """Trains one contestant; its accuracy on 500 new sequences, and the layer"""
    tinymed.manual_seed(seed)
    rng = np.random.default_rng(seed)
    layer = nn.RNN(1, 17) if kind == "RNN" else nn.LSTM(1, 8)
    if kind == "LSTM, ln T":
        set_gate_bias(layer, "f", math.log(T))
        set_gate_bias(layer, "i", -math.log(T))
    head = nn.Linear(layer.hidden_size, 1)
    parameters = [*layer.parameters(), *head.parameters()]
    optimizer = optim.Adam(parameters, lr=0.01)
    for _ in range(steps):
        x, target = remember(rng, T, 32)
        loss = F.binary_cross_entropy_with_logits(head(layer(x)[0][-1]), target)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
    x, target = remember(rng, T, 500)
    with tinymed.no_grad():
        score = head(layer(x)[0][-1])
    return ((score.numpy() > 0) == (target.numpy() > 0.5)).mean(), layer


LENGTHS, SEEDS = (10, 20, 40, 80), (0, 1, 2)
looks = {"RNN": (black, "s-."), "LSTM, as drawn": (pink, "^--"), "LSTM, ln T": (orange, "o-")}
scores, trained = {}, {}
with tinymed.use_backend("numba"):  # 36 trainings: worth compiling, once for this machine
    for kind in looks:
        for length in LENGTHS:
            results = [contest(kind, length, seed) for seed in SEEDS]
            scores[kind, length] = [accuracy for accuracy, _ in results]
            trained[kind, length] = results[0][1]
        row = "   ".join(f"T = {n}: {' '.join(f'{a:.2f}' for a in scores[kind, n])}" for n in LENGTHS)
        print(f"{kind:<15} {row}")

fig, ax = plt.subplots(figsize=(8, 3.6), layout="constrained")
for shift, (kind, (color, style)) in zip((0.96, 1.0, 1.04), looks.items()):
    at = np.array(LENGTHS) * shift
    ax.plot(at, [np.mean(scores[kind, n]) for n in LENGTHS], style[1:], color=color, label=kind)
    for k in range(len(SEEDS)):
        ax.plot(at, [scores[kind, n][k] for n in LENGTHS], style[0], color=color, ms=5, alpha=0.7)
ax.axhline(0.5, color="0.5", ls=":", label="guessing")
ax.set(xscale="log", xlabel="length T of the sequence", ylabel="accuracy on new sequences", ylim=(0.4, 1.03),
       title="which was the first symbol? lines: mean, marks: single seeds")  # fmt: skip
ax.set_xticks(LENGTHS, [str(n) for n in LENGTHS])
ax.minorticks_off()
ax.legend(loc="lower left", fontsize=9)
plt.show()
by_length = {(kind, n): np.array(scores[kind, n]) for kind in looks for n in LENGTHS}
assert all((by_length["LSTM, ln T", n] > 0.85).all() for n in LENGTHS)
assert all((by_length["LSTM, as drawn", n] < 0.7).all() for n in (20, 40, 80))
assert by_length["RNN", 20].mean() > 0.9
assert min(by_length["RNN", n].min() for n in (40, 80)) < 0.7

# %% [markdown]
# - The RNN learns 20 steps. At 40 and 80 it is a matter of luck: a few seeds find it, most do not, and another
#   machine's rounding can change which.
# - The LSTM as drawn fails *before* the RNN does. Gates alone solve nothing; $f \approx 1/2$ is a short memory.
# - The same LSTM with its gates set for the length learns every length, with every seed.
#
# So is the article's sentence true (2.3, and nearly the same 3.3.1), "通过门控机制，解决梯度消失/爆炸问题", that gating
# *solves* vanishing and exploding gradients? Gates make it *possible* for gradients not to vanish, where $f$ is near 1.
# They do not make it so by themselves. Against exploding gradients, through $W_{hh}$ and the gates, they do nothing: in
# the picture of the road the curve for $b_f = 4$ rises above 1. So clip, as the training above does. Other steps or
# learning rates would move the borders in the figure; the order of the three is the point.
#
# ## Gates over a sequence
#
# What has the winner for $T = 40$ learnt? We built the latch by hand: write once, then keep. Guess whether training
# found the same. Here is one new sequence, and once more the same noise with the first input turned round:

# %%
layer = trained["LSTM, ln T", 40]
weights = [p.detach().numpy().astype(float) for p in layer.parameters()]
noise = remember(np.random.default_rng(5), 40, 1)[0].numpy().astype(float)
cells = {}
for first in (+1, -1):
    x = np.concatenate([[[[first]]], noise[1:]])
    _, cells[first], gates = reference.lstm(x, np.zeros((1, 8)), np.zeros((1, 8)), *weights)
bound = max(abs(c).max() for c in cells.values())
rows = {"input gate i": (gates[:, 0, :8], "viridis", 0, 1), "forget gate f": (gates[:, 0, 8:16], "viridis", 0, 1)}
rows |= {f"memory c\nfirst {first:+d}": (cells[first][:, 0], "RdBu_r", -bound, bound) for first in (-1, +1)}

fig, axes = plt.subplots(5, 1, figsize=(9, 7), sharex=True, layout="constrained", height_ratios=(1, 1.4, 1.4, 1.4, 1.4))
axes[0].bar(range(1, 41), x.ravel(), color=[orange] + ["0.6"] * 39)
axes[0].set(ylabel="input x", title="eight units, 40 steps: gates (for the first input −1) and memory")
for ax, (name, (numbers, colours, low, high)) in zip(axes[1:], rows.items()):
    shown = ax.imshow(numbers.T, cmap=colours, vmin=low, vmax=high, aspect="auto", extent=(0.5, 40.5, 8.5, 0.5))
    ax.set(ylabel=f"{name}\nunit", yticks=(1, 4, 8))
    fig.colorbar(shown, ax=ax)
axes[-1].set_xlabel("time step")
plt.show()
w_ih, w_hh, b_ih, b_hh = weights
cut = np.where(np.arange(32)[:, None] // 8 == 2, 0, w_hh)  # rows i, f, g, o: without those of the candidate g
strongest = {}
for first in (+1, -1):
    x = np.concatenate([[[[first]]], noise[1:]])
    _, alone, _ = reference.lstm(x, np.zeros((1, 8)), np.zeros((1, 8)), w_ih, cut, b_ih, b_hh)
    c = cells[first][:, 0]
    strongest[first] = unit = abs(c[-1]).argmax()
    print(f"first {first:+d}: unit {unit + 1} holds {c[3, unit]:5.2f} after 4 steps, {c[-1, unit]:5.2f} after 40; "
          f"with the road from h to g cut {alone[-1, 0, unit]:5.2f}")  # fmt: skip
    assert abs(c[-1, unit]) > 3 * abs(c[3, unit])
    assert abs(c[-1, unit]) > 5 * abs(alone[-1, 0, unit])
assert strongest[1] != strongest[-1]
print(f"mean forget gate {gates[:, 0, 8:16].mean():.2f}")
assert gates[:, 0, 8:16].mean() > 0.9
assert np.corrcoef(cells[1][-1, 0], cells[-1][-1, 0])[0, 1] < 0

# %% [markdown]
# Not our latch. The forget gates stay wide open, as we set them. But the memory does not rest at what was written
# first: it *grows*, most in another unit for +1 than for −1. Cut the road from $h_{t-1}$ to the candidate alone, and
# nearly all of the growth is gone: the state feeds the candidate, and the network agrees with itself a little louder at
# every step, until noise cannot turn it. Training finds *a* solution, not the one in the textbook; to know which, one
# has to look.
#
# ## The layout of the weights
#
# PyTorch keeps the weights of the four gates one under another, in the order i, f, g, o:

# %%
layer = nn.LSTM(input_size=3, hidden_size=5)
for name, numbers in layer.state_dict().items():
    print(f"{name:<14} {tuple(numbers.shape)}")
w_ii, w_if, w_ig, w_io = layer.weight_ih_l0.chunk(4)
assert w_if.shape == (5, 3)

# %% [markdown]
# The order is a habit, no law. Keras has i, f, c, o (c is our g: the same order), with matrices transposed and one
# bias; ONNX has i, o, f, c. All shapes agree, so weights loaded in a wrong order raise no error. They just compute
# nonsense:

# %%
x = tinymed.randn(6, 1, 3)
right = layer(x)[0].detach().numpy()
onnx_order = {
    name: tinymed.cat([numbers.chunk(4)[k] for k in (0, 3, 1, 2)]) for name, numbers in layer.state_dict().items()
}
layer.load_state_dict(onnx_order)  # no complaint
wrong = layer(x)[0].detach().numpy()
print("right:", *(f"{v:7.3f}" for v in right[-1, 0]), "\nwrong:", *(f"{v:7.3f}" for v in wrong[-1, 0]))
assert not np.allclose(right, wrong, atol=0.01)

# %% [markdown]
# Four blocks, each with $H I + H^2$ weights and two biases of $H$:
#
# $$ 4 \cdot (H I + H^2 + 2 H) $$

# %%
for I, H in [(1, 8), (3, 5), (64, 128)]:
    count = sum(p.numel() for p in nn.LSTM(I, H).parameters())
    print(f"I = {I}, H = {H}: {count} parameters, an RNN has {sum(p.numel() for p in nn.RNN(I, H).parameters())}")
    assert count == 4 * (H * I + H * H + 2 * H)
assert sum(p.numel() for p in nn.LSTM(1, 8).parameters()) == 352  # the contest: 352 against
assert sum(p.numel() for p in nn.RNN(1, 17).parameters()) == 340

# %% [markdown]
# ## The GRU
#
# The gated recurrent unit (Cho et al. 2014) has no cell beside its state and one gate fewer. A single gate $z$ says how
# much of the old state stays, $1 - z$ how much of the new comes in; $r$ says how much of the past the proposal $n$
# sees:
#
# $$ n = \tanh(W_{in} x_t + b_{in} + r \circ (W_{hn} h_{t-1} + b_{hn})) \qquad
#    h_t = (1 - z) \circ n + z \circ h_{t-1} $$
#
# and $r, z = \sigma(\cdot)$, each of a sum as in the LSTM.
# Its straight road is $\partial h_t / \partial h_{t-1} = z$. Three blocks, in the order r, z, n, so three quarters of
# an LSTM's parameters. (Cho et al. let $r$ act on $h_{t-1}$ before the product; PyTorch, and so we, after it.) `nn.GRU`
# is there; `kernels/reference_recurrent.py` has its loops.

# %%
gru, lstm = (sum(p.numel() for p in kind(3, 5).parameters()) for kind in (nn.GRU, nn.LSTM))
print(gru, "of", lstm, "parameters")
assert gru == 3 / 4 * lstm

# %% [markdown]
# ## What the fast kernel does differently
#
# As in lesson 07 one matrix product serves all inputs, here for all gates at once. And since
# $\sigma(a) = \frac12 + \frac12 \tanh(\frac{a}{2})$, all four gates are *one* tanh over an array of $4H$ numbers,
# scaled before and after. It cannot overflow either.

# %%
print(inspect.getsource(numpy_recurrent.lstm))
a = np.linspace(-30, 30, 101)
assert np.allclose(0.5 + 0.5 * np.tanh(a / 2), [reference.sigmoid(v) for v in a])
x, layer = tinymed.randn(5, 2, 3), nn.LSTM(3, 4)
answers = []
for backend in ("reference", "numpy"):
    with tinymed.use_backend(backend):
        answers.append(layer(x)[0].detach().numpy())
print("largest difference", abs(answers[0] - answers[1]).max())
assert np.allclose(*answers, atol=1e-6)

# %% [markdown]
# ## Exercises
#
# > **Exercise 9.1.** Write `lstm_parameters(I, H)`: how many numbers `nn.LSTM(I, H)` learns.


# %% tags=["exercise"]
def lstm_parameters(I, H):
    ### BEGIN SOLUTION
    return 4 * (H * I + H * H + 2 * H)
    ### END SOLUTION


# %% tags=["check"]
check("lstm_parameters", lstm_parameters)

# %% [markdown]
# > **Exercise 9.2.** Write one step: `x` (N,I), `h` and `c` (N,H), `w_ih` (4H,I), `w_hh` (4H,H), `b` (4H,) in PyTorch's
# > order → the new `h, c`. (`np.split(a, 4, axis=1)` gives four blocks.)


# %% tags=["exercise"]
def lstm_cell(x, h, c, w_ih, w_hh, b):
    ### BEGIN SOLUTION
    i, f, g, o = np.split(x @ w_ih.T + h @ w_hh.T + b, 4, axis=1)
    i, f, o = (1 / (1 + np.exp(-a)) for a in (i, f, o))
    c = f * c + i * np.tanh(g)
    return o * np.tanh(c), c
    ### END SOLUTION


# %% tags=["check"]
check("lstm_cell", lstm_cell)

# %% [markdown]
# > **Exercise 9.3.** And back: `dh` and `dc` (N,H), all that flows into the new `h` and, from the step after, into the
# > new `c`; `gates` (N,4H) after their activations; `c_before` and `c`. Return `da` (N,4H) and `dc_before` (N,H).
#
# <details><summary>A hint</summary>
#
# First all of what reaches `c`: from `dc`, and from `dh` through $o \circ \tanh(c)$. Then each gate's factor in
# $c = f c_{\text{before}} + i g$, times its slope.
#
# </details>


# %% tags=["exercise"]
def lstm_cell_backward(dh, dc, gates, c_before, c):
    ### BEGIN SOLUTION
    i, f, g, o = np.split(gates, 4, axis=1)
    tanh_c = np.tanh(c)
    dc = dc + dh * o * (1 - tanh_c**2)
    da = [dc * g * i * (1 - i), dc * c_before * f * (1 - f), dc * i * (1 - g**2), dh * tanh_c * o * (1 - o)]
    return np.concatenate(da, 1), dc * f
    ### END SOLUTION


# %% tags=["check"]
check("lstm_cell_backward", lstm_cell_backward)

# %% [markdown]
# > **Exercise 9.4.** Write `memory_road(f)`: from the forget gates of $T$ steps, (T,H), the factor by which a gradient
# > is multiplied on the straight road from $c_T$ to $c_0$, for each unit.


# %% tags=["exercise"]
def memory_road(f):
    ### BEGIN SOLUTION
    return f.prod(0)
    ### END SOLUTION


# %% tags=["check"]
check("lstm_memory_road", memory_road)

# %% [markdown]
# > **Exercise 9.5.** Write `forget_bias(n)`: the $b_f$ with which half of the memory is left after `n` steps, where the
# > rest of the sum is 0. What is it for `n = 1`, and what does it do as `n` grows?
#
# <details><summary>A hint</summary>
#
# $\sigma(b)^n = 1/2$. The inverse of the sigmoid is $\ln(f / (1 - f))$.
#
# </details>


# %% tags=["exercise"]
def forget_bias(n):
    ### BEGIN SOLUTION
    f = 0.5 ** (1 / n)
    return np.log(f / (1 - f))
    ### END SOLUTION


# %% tags=["check"]
check("lstm_forget_bias", forget_bias)

# %% [markdown]
# <details><summary>An answer to the question</summary>
#
# 0 for one step; for large $n$ it is about $\ln(n / \ln 2) = \ln n + 0.37$, a little above the rule of thumb.
#
# </details>
#
# ## What to take along
#
# - The article's 4.3.1 is the plain RNN. An LSTM has a memory $c$, and gates that multiply:
#   $c_t = f \circ c_{t-1} + i \circ g$, $h_t = o \circ \tanh(c_t)$.
# - Along the cell a gradient meets the forget gate and nothing else. With $f$ near 1 it comes through.
# - Whether $f$ is near 1 is up to you at the start: set the forget bias.
# - PyTorch's order is i, f, g, o. A wrong order raises no error.
#
# **Now open** `tinymed/nn/rnn.py` at `LSTMCell`: the formula of this lesson in five lines, and
# `kernels/reference_recurrent.py` at `lstm_grad`. PyTorch's `nn.LSTM` has the same names, layout and numbers.
