# %% [markdown]
# # 07 · The recurrent network
#
# *Article 3.2, 4.2.1, 4.2.2, 4.2.3 · 75 minutes · `kernels/reference_recurrent.py`, `tinymed/ops/recurrent.py`*
#
# A temperature chart is a sequence: one number after another, and what 38.5 means depends on what came before. How can
# a network with a fixed number of weights read a sequence of any length? It reads one step at a time and keeps notes.
# After this lesson you can compute the notes by hand, send gradients back through time, and say what it costs.

# %%
import inspect
import math
import time

import matplotlib.pyplot as plt
import numpy as np

import tinymed
import tinymed.nn.functional as F
from tinymed import nn, optim
from tinymed.kernels import numpy_recurrent, reference, reference_recurrent
from tinymed.ops import recurrent
from tinymed.teach import check, findings, trace

_ = tinymed.use_backend("numpy")  # small arrays: nothing here is worth the wait of compiling

# %% [markdown]
# ## What the article says
#
# Section 3.2 names the recurrent neural network (循环神经网络, RNN) for sequence data. Section 4.2.1 gives the hidden
# state (隐藏状态), section 4.2.2 the output:
#
# $$ h_t = \sigma(W_h \cdot [h_{t-1}, x_t] + b_h) \qquad y_t = \sigma(W_y \cdot h_t + b_y) $$
#
# | letter | what it is | shape |
# |---|---|---|
# | $x_t$ | what arrives at time $t$ | $I$ numbers |
# | $h_t$ | the state: all that is kept of $x_1 \dots x_t$ | $H$ numbers |
# | $[h_{t-1}, x_t]$ | the two vectors joined end to end | $H + I$ numbers |
# | $W_h, b_h$ | weights and bias of the state, the same at every $t$ | $H \times (H + I)$, $H$ |
# | $y_t$ | the output | $O$ numbers |
# | $W_y, b_y$ | weights and bias of the output, the same at every $t$ | $O \times H$, $O$ |
# | $\sigma$ | "an activation function" (激活函数) | number by number |
#
# The article's example takes the sigmoid for $\sigma$. PyTorch's `nn.RNN` takes tanh (or ReLU), and so does `tinymed`.
# Lesson 08 shows why. Here is the article's form, loop by loop:

# %%
print(inspect.getsource(reference_recurrent.dot))
source = inspect.getsource(reference.article_rnn)
print(source[source.index("    h, y = np.zeros") :])

# %% [markdown]
# ## The article's example
#
# Section 4.2.3 takes $x = 1, 2, 3$, all weights 1, all biases 1. We read its state as one number, $h_0 = 0$ (why, the
# next section says). Then
#
# $$ h_1 = \sigma(1 \cdot 0 + 1 \cdot 1 + 1) = \sigma(2) \qquad h_2 = \sigma(h_1 + 2 + 1) \qquad
#    h_3 = \sigma(h_2 + 3 + 1) $$
#
# The article prints $h_1 = h_2 = h_3 = 1$. What is $\sigma(2)$, to four places? Estimate it first.

# %%
h, _ = reference.article_rnn(x=[1, 2, 3], h0=[0], W_h=[[1, 1]], b_h=[1], W_y=[[2]], b_y=[1])
print("h carried on exactly:", h[:, 0].round(4).tolist())
assert h[:, 0].round(4).tolist() == [0.8808, 0.9798, 0.9932]

# %% [markdown]
# So "= 1" in the article means: rounded to a whole number. It also *uses* the rounded number: inside its sigmas stand
# 2, 4 and 5, and $4 = 1 + 2 + 1$ takes $h_1$ as 1. Its output multiplies $W_y$, two ones, by $[h_t, h_t]$; that is
# $2 h_t$, so we take $W_y = 2$. `carry=round` does as the article does, and the trace shows it step by step:

# %%
t = trace.article_rnn([1, 2, 3], [0], [[1, 1]], [1], [[2]], [1], carry=round)
t.show()
inside = [math.log(h_t / (1 - h_t)) for h_t in t.final["h"][:, 0]]  # the inverse of the sigmoid
print("inside the sigmas:", np.round(inside, 6).tolist())
assert np.allclose(inside, [2, 4, 5])
assert np.allclose(t.final["y"], reference.sigmoid(3))

# %%
t

# %% [markdown]
# The article's numbers beside the engine's:

# %%
for finding in findings():
    if finding.where == "4.2.3":
        print(finding.formula, "\n  the article:", finding.printed)
        for name, numbers in finding.computed.items():
            print(f"  {name}: {numbers}")
        print(f"  {finding.verdict}\n")

# %% [markdown]
# Rounding is no detail here. A state rounded to 0 or 1 can hold one bit; an exact one holds a number. And a rounded
# state has slope 0 almost everywhere, so nothing could be learnt through it.

# %% [markdown]
# ## Shapes that do not fit
#
# The article calls the state $[0, 1]$ and gives a $2 \times 2$ matrix $W_h$. Read as a state of two numbers with one
# number of input, $[h_{t-1}, x_t]$ has $2 + 1 = 3$ numbers. What shape must $W_h$ have?

# %%
try:
    reference.article_rnn([1, 2, 3], [0, 1], np.ones((2, 2)), [1, 1], np.ones((2, 2)), [1, 1])
except ValueError as error:
    print(error)

# %% [markdown]
# With $2 \times 3$ it runs. In the article's own first line the vector $[0, 1]$ stands where $[h_0, x_1]$ belongs: it
# is a state 0 and an input 1, and then everything fits a state of one number. That is the reading above.

# %%
h, y = reference.article_rnn([1, 2, 3], [0, 1], np.ones((2, 3)), [1, 1], np.ones((2, 2)), [1, 1])
print(h.round(4).tolist())
assert np.allclose(h[0], reference.sigmoid(0 + 1 + 1 + 1))

# %% [markdown]
# ## One matrix or two
#
# PyTorch writes the same with two matrices and two biases:
#
# $$ h_t = \varphi(W_{ih} \cdot x_t + b_{ih} + W_{hh} \cdot h_{t-1} + b_{hh}) $$
#
# A row of $W_h$ times $[h, x]$ is a sum over the state's numbers plus a sum over the input's. So the article's matrix
# is PyTorch's two, side by side, state first: $W_h = [W_{hh} \,|\, W_{ih}]$. Of the two biases only the sum matters;
# there are two because cuDNN, the library for NVIDIA's cards, keeps two.

# %%
W_h = np.array([[1, -1, 0, 2, 0], [0, 1, 1, 0, -1], [1, 0, -1, 1, 1]]) / 4  # H = 3, I = 2
b_h, W_y, b_y, H = np.array([0.0, 1.0, -1.0]), np.ones((1, 3)), np.zeros(1), 3
x = np.array([[1.0, 0.0], [0.0, 1.0], [2.0, 1.0], [-1.0, 0.0]])  # T = 4
article_h, _ = reference.article_rnn(x, np.zeros(H), W_h, b_h, W_y, b_y, activation=math.tanh)

layer = nn.RNN(2, H).double()
weights = {"weight_hh_l0": W_h[:, :H], "weight_ih_l0": W_h[:, H:], "bias_ih_l0": b_h, "bias_hh_l0": np.zeros(H)}
layer.load_state_dict({name: tinymed.tensor(numbers) for name, numbers in weights.items()})
output, h_n = layer(tinymed.tensor(x))
print("the article's form:", article_h[-1].round(4).tolist())
print("nn.RNN:            ", output.detach().numpy()[-1].round(4).tolist())
assert np.allclose(article_h, output.detach().numpy())
assert np.allclose(h_n.detach().numpy()[0], article_h[-1])

# %% [markdown]
# `nn.RNN` gives every $h_t$ (`output`) and the last one again (`h_n`). It has no $W_y$: the output of 4.2.2 is a
# `nn.Linear` on top, at every $t$, or at the last one only if the question is about the whole sequence.
#
# ## The same letters in code

# %%
print(inspect.getsource(reference.rnn))

# %% [markdown]
# ## By hand
#
# Two units, one input, ReLU, no bias. $W_{ih}$ writes the input into the first unit; $W_{hh}$ swaps the two units:
#
# $$ W_{ih} = \begin{bmatrix} 1 \\ 0 \end{bmatrix} \qquad W_{hh} = \begin{bmatrix} 0 & 1 \\ 1 & 0 \end{bmatrix}
#    \qquad x = 1, 0, 2 $$
#
# Write down $h_1, h_2, h_3$ before you run the cell. What does the second unit hold?

# %%
swap = trace.rnn([[1], [0], [2]], w_ih=[[1], [0]], w_hh=[[0, 1], [1, 0]], nonlinearity="relu")
swap.show(6)
states = swap.final["hs"][:, 0]
print(states.tolist())
assert states.tolist() == [[1, 0], [0, 1], [3, 0]]

# %%
swap

# %% [markdown]
# The 1 of time 1 went to the second unit, waited there one step, and came back to be added to the 2.
#
# ## Unrolled in time
#
# The loop is a feed-forward network with $T$ layers that share their weights. Drawn out, it has two kinds of arrows
# into the state, and each $h_t$ has two arrows out of it, but for those at the two ends of the drawing. Follow them
# backwards in the right-hand picture.


# %%
def arrow(ax, start, end, color, label="", shift=(0.0, 0.0)):
    ax.annotate(
        "", end, start, arrowprops={"arrowstyle": "-|>", "color": color, "lw": 1.8, "shrinkA": 17, "shrinkB": 17}
    )
    ax.text((start[0] + end[0]) / 2 + shift[0], (start[1] + end[1]) / 2 + shift[1], label, color=color, fontsize=11)


blue, orange, green = "#0072B2", "#D55E00", "#00785A"
fig, axes = plt.subplots(1, 2, figsize=(12, 4), layout="constrained")
for ax, back in zip(axes, (False, True)):
    for k in range(4):
        rows = {"h": 1} if k == 0 else {"x": 0, "h": 1, "y": 2}
        for letter, row in rows.items():
            ax.text(k, row, f"${letter}_{k}$", ha="center", va="center", fontsize=13,
                    bbox={"boxstyle": "circle", "fc": "white", "ec": "0.3"})  # fmt: skip
    for k in range(1, 4):
        roads = [((k, 0), (k, 1), blue, "$W_{ih}$", (0.05, -0.05)), ((k, 1), (k, 2), green, "$W_y$", (0.05, -0.05)),
                 ((k - 1, 1), (k, 1), orange, "$W_{hh}$", (-0.13, 0.1))]  # fmt: skip
        for start, end, color, label, shift in roads:
            if back:
                start, end, label = end, start, label.replace("}$", "}^T$") if "{" in label else "$W_y^T$"
            arrow(ax, start, end, color, label, shift)
    ax.set(xlim=(-0.4, 3.5), ylim=(-0.35, 2.35))
    ax.axis("off")
axes[0].set_title("forwards: one set of weights, used at every step")
axes[1].set_title("backwards: h gathers from its y and from the h after it")
plt.show()

# %% [markdown]
# ## Back-propagation through time
#
# Let $a_t$ be what stands inside $\varphi$, and $g_t$ what flows into $h_t$ from its own output $y_t$. The state $h_t$
# is used twice: by $y_t$ and by $a_{t+1} = W_{hh} h_t + \dots$. What is used twice gets both gradients, added:
#
# $$ \frac{\partial L}{\partial h_t} = g_t + W_{hh}^T \cdot \frac{\partial L}{\partial a_{t+1}} \qquad\qquad
#    \frac{\partial L}{\partial a_t} = \varphi'(a_t) \circ \frac{\partial L}{\partial h_t} $$
#
# ($\circ$: number by number.) At the last step there is no $t + 1$; from there it runs backwards. The weights are used
# at *every* step, so they get $T$ gradients, added:
#
# $$ \frac{\partial L}{\partial W_{hh}} = \sum_t \frac{\partial L}{\partial a_t} \cdot h_{t-1}^T \qquad
#    \frac{\partial L}{\partial W_{ih}} = \sum_t \frac{\partial L}{\partial a_t} \cdot x_t^T \qquad
#    \frac{\partial L}{\partial b} = \sum_t \frac{\partial L}{\partial a_t} \qquad
#    \frac{\partial L}{\partial x_t} = W_{ih}^T \cdot \frac{\partial L}{\partial a_t} $$
#
# For tanh, $\varphi'(a_t) = 1 - h_t^2$: the slope can be read off the state, $a_t$ need not be kept. That is the whole
# of it, often called BPTT. In code:

# %%
print(inspect.getsource(reference_recurrent.dot_grad))
print(inspect.getsource(reference.rnn_grad))

# %% [markdown]
# ## Backwards by hand
#
# One unit, ReLU, $h_t = w h_{t-1} + u x_t$ with $w = 2$, $u = 1$, $x = 1, 1, 1$, and the loss is the last state:
#
# $$ L = h_3 = w^2 u x_1 + w u x_2 + u x_3 = 7 \qquad
#    \frac{\partial L}{\partial w} = 2 w u x_1 + u x_2 = 5 \qquad
#    \frac{\partial L}{\partial u} = w^2 x_1 + w x_2 + x_3 = 7 $$
#
# Which step contributes how much of the 5?

# %%
back = trace.rnn([1, 1, 1], w_ih=[[1]], w_hh=[[2]], nonlinearity="relu", g=[0, 0, 1])
back.show()
assert back.final["hs"].ravel().tolist() == [1, 3, 7]
assert (back.final["gw_hh"].item(), back.final["gw_ih"].item()) == (5, 7)
assert back.final["gx"].ravel().tolist() == [4, 2, 1]

# %%
back

# %% [markdown]
# ## Gradients of a shared weight add up over time
#
# Give each step a weight of its own, $w_1, w_2, w_3$, all equal to 2, and let the engine's autograd find the three
# gradients. Their sum is the gradient of the shared weight.

# %%
copies = [tinymed.tensor(2.0, requires_grad=True) for _ in range(3)]
h = tinymed.tensor(0.0)
for w_t in copies:
    h = F.relu(w_t * h + 1.0)
h.backward()
parts = [w_t.grad.item() for w_t in copies]
print("from each step:", parts, " added:", sum(parts))
assert parts == [0, 2, 3]
assert sum(parts) == 5

# %% [markdown]
# The first step gives 0, for there $w$ multiplies $h_0 = 0$. Now the whole: the hand-written backward must agree with
# differences of the loss, and with what autograd finds for the formula written in elementary operations:

# %%
tinymed.manual_seed(0)
sizes = {"x": (5, 2, 3), "h0": (2, 4), "w_ih": (4, 3), "w_hh": (4, 4), "b_ih": (4,), "b_hh": (4,)}
inputs = {name: tinymed.randn(*size, dtype="float64", requires_grad=True) for name, size in sizes.items()}
assert tinymed.gradcheck(recurrent.rnn, tuple(inputs.values()))
x, h, w_ih, w_hh, b_ih, b_hh = inputs.values()
total = 0.0
for x_t in x:
    h = (x_t @ w_ih.T + b_ih + h @ w_hh.T + b_hh).tanh()
    total = total + h.sum()
total.backward()
loops = trace.rnn(x, w_ih, w_hh, b_ih, b_hh, inputs["h0"], g=1)
for name in ("x", "h0", "w_ih", "w_hh"):
    assert np.allclose(loops.final[f"g{name}"], inputs[name].grad.numpy())
print("the loops, autograd and the differences agree")

# %% [markdown]
# ## Several layers, both directions
#
# `num_layers=2`: a second RNN reads the states of the first as its input. `bidirectional=True`: another RNN reads
# from the end to the start, and the two states are joined; only for sequences that are complete before one asks.

# %%
deep = nn.RNN(input_size=3, hidden_size=4, num_layers=2, bidirectional=True)
output, h_n = deep(tinymed.randn(7, 5, 3))  # T = 7 steps, N = 5 sequences, I = 3 numbers
print("output", output.shape, "= T, N, 2 directions x 4;  h_n", h_n.shape, "= 2 layers x 2 directions, N, 4")
assert output.shape == (7, 5, 8)
assert h_n.shape == (4, 5, 4)

# %% [markdown]
# ## Cutting time short
#
# BPTT keeps every $h_t$ until the way back has passed: memory grows with $T$. For a very long recording one cuts it
# into chunks, hands the state over, and stops the gradient at the cut with `detach()`: *truncated* BPTT. What changes
# forwards? What backwards?

# %%
layer = nn.RNN(1, 8)
x = tinymed.randn(12, 1, 1)
h, outputs, chunks = None, [], []
for start in range(0, 12, 4):
    chunk = x[start : start + 4].detach().requires_grad_()
    out, h = layer(chunk, h)
    h = h.detach()  # the cut
    outputs.append(out)
    chunks.append(chunk)
whole = x.detach().requires_grad_()
uncut = layer(whole)[0]
assert np.allclose(tinymed.cat(outputs).detach().numpy(), uncut.detach().numpy(), atol=1e-6)
uncut[-1].sum().backward()
outputs[-1][-1].sum().backward()
far = abs(whole.grad.numpy()[:, 0, 0])
cut = abs(np.concatenate([np.zeros((4, 1, 1)) if c.grad is None else c.grad.numpy() for c in chunks])[:, 0, 0])
assert (cut[:8] == 0).all()
assert np.allclose(cut[8:], far[8:], atol=1e-6)
assert far[0] < far[-1] / 100

fig, ax = plt.subplots(figsize=(7, 3), layout="constrained")
steps = np.arange(1, 13)
ax.bar(steps - 0.2, far, 0.4, color=blue, label="whole sequence")
ax.bar(steps + 0.2, cut, 0.4, color=orange, label="chunks of 4")
for border in (4.5, 8.5):
    ax.axvline(border, color="0.5", ls=":")
ax.set(
    xlabel="time step t",
    ylabel="|dL / dx_t|",
    title="the loss is at step 12: what reaches back past a cut?",
    xticks=steps,
    yscale="log",
)
ax.legend(loc="upper left")
plt.show()

# %% [markdown]
# The states are the same; the gradient is the same inside the last chunk and exactly 0 before it. Also look at how fast
# it falls without any cut: lesson 08 is about that.
#
# ## Learning to remember
#
# A task that needs a memory: the input is a random row of +1 and −1, the target at time $t$ is what came five steps
# before. Without memory one can only guess: accuracy 0.5. The data are generated. We train three times, with the
# gradient through the whole sequence of 24, through chunks of 8, and through chunks of 3. Which will fail, and why?

# %%
T, DELAY = 24, 5


def echo_batch(rng, n=32):
    """Bits as −1 and +1, (T,N,1), and the bits of five steps before"""
    bits = rng.integers(0, 2, (T, n, 1)).astype(np.float32)
    return tinymed.tensor(2 * bits - 1), tinymed.tensor(bits[:-DELAY])


def train(window, steps=250):
    tinymed.manual_seed(0)
    rng = np.random.default_rng(0)
    layer, head = nn.RNN(1, 16), nn.Linear(16, 1)
    optimizer = optim.Adam([*layer.parameters(), *head.parameters()], lr=0.01)
    accuracy = []
    for _ in range(steps):
        x, target = echo_batch(rng)
        h, outputs = None, []
        for start in range(0, T, window):
            out, h = layer(x[start : start + window], h)
            h = h.detach()
            outputs.append(out)
        score = head(tinymed.cat(outputs))[DELAY:]
        loss = F.binary_cross_entropy_with_logits(score, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        accuracy.append(((score.detach().numpy() > 0) == (target.numpy() > 0.5)).mean())
    return np.array(accuracy), layer, head


runs = {window: train(window) for window in (24, 8, 3)}
fig, ax = plt.subplots(figsize=(7, 3.2), layout="constrained")
for (window, (accuracy, _, _)), color, style in zip(runs.items(), (blue, green, orange), ("-", "--", "-.")):
    name = "whole sequence" if window == T else f"chunks of {window}"
    ax.plot(np.convolve(accuracy, np.ones(10) / 10, "valid"), color=color, ls=style, label=name)
    print(f"{name}: accuracy over the last 20 batches {accuracy[-20:].mean():.2f}")
ax.axhline(0.5, color="0.5", ls=":", label="guessing")
ax.set(xlabel="training step", ylabel="accuracy (mean of 10 batches)", title="repeat what came 5 steps ago")
ax.legend(loc="center right")
plt.show()
assert runs[24][0][-20:].mean() > 0.99
assert runs[8][0][-20:].mean() > 0.9
assert runs[3][0][-20:].mean() < 0.7

# %% [markdown]
# In chunks of 3 no gradient ever runs from an output to the input five steps before it, so nothing tells the weights to
# keep that input. In chunks of 8 it does, for the outputs late in a chunk, and the shared weights serve the others too.
# The state crosses the cuts in all three: what is missing is not the memory but the lesson about it.
#
# That the third curve rises now and then is no contradiction: random weights keep an echo of the past by themselves,
# and the output layer can learn to read it. But no gradient says that the echo is worth keeping, and the next steps
# undo it.
#
# ## What the fast kernel does differently
#
# $W_{hh} h_{t-1}$ has to wait for $h_{t-1}$. $W_{ih} x_t$ does not: all inputs are there at the start. So the NumPy
# kernel does *one* matrix product for all $T \cdot N$ inputs, and only then the recurrence. Backwards likewise: the
# sums over time of the weight gradients are two products after the loop.

# %%
print(inspect.getsource(numpy_recurrent.rnn))
print(inspect.getsource(numpy_recurrent.rnn_grad))

# %%
x, layer = tinymed.randn(20, 4, 8), nn.RNN(8, 16)
answers = {}
for backend in ("reference", "numpy"):
    with tinymed.use_backend(backend):
        began = time.perf_counter()
        answers[backend] = layer(x)[0].detach().numpy()
        print(f"{backend:<10} {1e3 * (time.perf_counter() - began):8.2f} ms")
print("largest difference", abs(answers["reference"] - answers["numpy"]).max())
assert np.allclose(answers["reference"], answers["numpy"], atol=1e-5)

# %% [markdown]
# What cannot be helped: $T$ small products, one after another. A convolution has no such chain, nor has attention; that
# is one reason why they displaced the RNN where the hardware is wide.
#
# ## Exercises
#
# > **Exercise 7.1.** Write `split_weights(W_h, hidden_size)`: the article's matrix as PyTorch's `w_ih, w_hh`.
#
# <details><summary>A hint</summary>
#
# In $[h_{t-1}, x_t]$ the state comes first. Which columns of $W_h$ does it meet?
#
# </details>


# %% tags=["exercise"]
def split_weights(W_h, hidden_size):
    ### BEGIN SOLUTION
    return W_h[:, hidden_size:], W_h[:, :hidden_size]
    ### END SOLUTION


# %% tags=["check"]
check("rnn_split_weights", split_weights)

# %% [markdown]
# > **Exercise 7.2.** Write `rnn_output(h, W_y, b_y)`, the article's 4.2.2 for one step: `h` (H,), `W_y` (O,H), `b_y`
# > (O,).


# %% tags=["exercise"]
def rnn_output(h, W_y, b_y):
    ### BEGIN SOLUTION
    return 1 / (1 + np.exp(-(W_y @ h + b_y)))
    ### END SOLUTION


# %% tags=["check"]
check("rnn_output", rnn_output)

# %% [markdown]
# > **Exercise 7.3.** Write the RNN forward, with tanh: `x` (T,N,I), `h0` (N,H), `w_ih` (H,I), `w_hh` (H,H), `b` (H,) →
# > every state, one array (T,N,H). One loop, over time, is enough.


# %% tags=["exercise"]
def rnn_forward(x, h0, w_ih, w_hh, b):
    ### BEGIN SOLUTION
    hs, h = [], h0
    for x_t in x:
        h = np.tanh(x_t @ w_ih.T + h @ w_hh.T + b)
        hs.append(h)
    return np.array(hs)
    ### END SOLUTION


# %% tags=["check"]
check("rnn_forward", rnn_forward)

# %% [markdown]
# > **Exercise 7.4.** And backwards: from `g` (T,N,H), what flows into every state from outside, and the states `hs` of
# > 7.3, to `gx, gh0, gw_ih, gw_hh, gb`.
#
# <details><summary>A hint</summary>
#
# Walk time backwards with one array `dh`, what comes from the step after. In each step: add `g[t]`, multiply by the
# slope $1 - h_t^2$, add to the three sums, and make the `dh` for the step before.
#
# </details>


# %% tags=["exercise"]
def rnn_backward(g, x, h0, hs, w_ih, w_hh):
    ### BEGIN SOLUTION
    gx, gw_ih, gw_hh, gb = np.zeros_like(x), np.zeros_like(w_ih), np.zeros_like(w_hh), np.zeros(len(w_hh))
    dh = np.zeros_like(h0)
    for t in reversed(range(len(x))):
        da = (g[t] + dh) * (1 - hs[t] ** 2)
        gw_ih += da.T @ x[t]
        gw_hh += da.T @ (hs[t - 1] if t else h0)
        gb += da.sum(0)
        gx[t] = da @ w_ih
        dh = da @ w_hh
    return gx, dh, gw_ih, gw_hh, gb
    ### END SOLUTION


# %% tags=["check"]
check("rnn_backward", rnn_backward)

# %% [markdown]
# > **Exercise 7.5.** One unit without an activation: $h_t = w h_{t-1} + x_t$, $h_0 = 0$, $L = h_T$. Write
# > `truncated_gradient(x, w, k)`: $\partial L / \partial w$ where the gradient goes back through the last $k$ steps
# > only. With $k = T$ it must be the whole derivative. For which $w$ does a small $k$ do little harm?


# %% tags=["exercise"]
def truncated_gradient(x, w, k):
    ### BEGIN SOLUTION
    h = [0.0]
    for x_t in x:
        h.append(w * h[-1] + x_t)
    dh, gw = 1.0, 0.0
    for t in range(len(x), len(x) - k, -1):
        gw += dh * h[t - 1]
        dh *= w
    return gw
    ### END SOLUTION


# %% tags=["check"]
check("rnn_truncated_gradient", truncated_gradient)

# %% [markdown]
# <details><summary>An answer to the question</summary>
#
# The step that lies $j$ before the last contributes $w^j h_{T-1-j}$. For $|w| < 1$ that falls like $w^j$: a small $k$
# is enough. For $|w| > 1$ the early states are small by the same power by which the factor is large: with $w = 2$ and
# all $x = 1$ the term is $2^{T-1} - 2^j$, nearly the same for most steps, so $k$ steps give about $k / T$ of the whole.
# With $w = 1$ it is $T - 1 - j$: the last steps count most.
#
# </details>
#
# ## What to take along
#
# - A recurrent network is one small layer, applied at every step to the new input and its own last state.
# - The article's $W_h$ is PyTorch's $W_{hh}$ and $W_{ih}$ side by side.
# - Backwards, each state gets two gradients: from its output and from the next step. Each weight gets one gradient per
#   step, and they add.
# - Cutting the gradient leaves the states as they are, and ends what can be learnt at the cut.
#
# **Now open** `kernels/reference_recurrent.py` at `rnn` and `rnn_grad`, and `tinymed/ops/recurrent.py` at `RNN`: the op
# that joins the two. PyTorch's `nn.RNN` has the same names, arguments, weights and numbers.
