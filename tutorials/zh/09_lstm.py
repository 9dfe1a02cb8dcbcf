# %% [markdown]
# # 09 · 长短时记忆网络
#
# *文章 3.3、4.3.1、4.3.2、4.3.3 · 90 分钟 · `kernels/reference_recurrent.py`、`tinymed/nn/rnn.py`*
#
# 病人的过敏史在第一天记下，到第一百天还要紧。第 08 课说明，刚初始化的 RNN 大约十步就忘光了，而路一长，
# 可供学习的梯度就所剩无几。长短时记忆网络（long short-term memory，LSTM；Hochreiter 和 Schmidhuber，1997）
# 记下一样东西，就一直留着，直到接到改动的指令。学完这一课，你能算它的一步，前向和反向都能算，能从 PyTorch
# 载入它的权重，也能说出它什么时候会失败。

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
# ## 文章怎么说
#
# 3.3 节举出长短时记忆网络（LSTM）和它的两个部分：
#
# - 门控单元：“用于控制信息的流入和流出”；
# - 记忆单元：“用于存储和传递序列数据中的信息”。
#
# 接着，4.3.1 节给出的 LSTM 隐藏状态是
#
# $$ h_t = \sigma(W_h \cdot [h_{t-1}, x_t] + b_h) $$
#
# 与第 07 课比一比。门在哪里，记忆又在哪里？（打印的依次是：文章印的公式；照印的公式算出的 h；按门 i、f、g、o
# 和记忆单元 c 算出的 h；结论。）

# %%
finding = next(finding for finding in findings() if finding.where == "4.3.1")
print("the article prints:", finding.printed)
for name, numbers in finding.computed.items():
    print(f"  {name}: h = {numbers}")
print(finding.verdict)
assert not finding.agrees

# %% [markdown]
# 这就是 4.2.1 的公式，一个字母也没有变，4.3.3 也只是重复 4.2.3 的例子。其中没有任何东西能打开或关上。下面写的，才是
# 3.3 所描述的。
#
# ## 公式
#
# 先求四个和，与 RNN 一样，只是各有各的权重：
#
# $$ a_q = W_{iq} \cdot x_t + b_{iq} + W_{hq} \cdot h_{t-1} + b_{hq} \qquad q = i, f, g, o $$
#
# $$ i = \sigma(a_i) \qquad f = \sigma(a_f) \qquad g = \tanh(a_g) \qquad o = \sigma(a_o) $$
#
# $$ c_t = f \circ c_{t-1} + i \circ g \qquad\qquad h_t = o \circ \tanh(c_t) $$
#
# | 字母 | 名称 | 它对每个隐藏单元回答什么问题 |
# |---|---|---|
# | $i$ | 输入门 | 新的东西，有多少进入记忆？ |
# | $f$ | 遗忘门 | 旧的东西，留下多少？ |
# | $g$ | 候选值 | 新的东西是什么？ |
# | $o$ | 输出门 | 记忆拿出多少给外面看？ |
# | $c_t$ | 记忆单元（cell） | 保存的是什么 |
# | $h_t$ | 隐藏状态 | 外面看到的是什么，下一步的各个门也看它 |
#
# 门是 0 到 1 之间的数，用来相乘，所以用 sigmoid。候选值可以是负的，所以用 tanh。（$\circ$：逐个数相乘。
# 遗忘门是后来加上的：Gers、Schmidhuber 和 Cummins，2000。）下图是其中的一步：沿着橙色的路，记忆只遇到一个 ×
# 和一个 +，没有权重。


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
# ## 同样的字母，写成代码

# %%
print(inspect.getsource(reference.lstm))

# %% [markdown]
# ## 手算
#
# 造一个会记事的 LSTM，只有一个隐藏单元。输入有两个数：一个是值（+1 或 −1），一个是标志：1 = 写下来，0 = 保留原来的。
# 怎样的 $a_i, a_f, a_g, a_o$ 能做到？（这几个和取 ±100 时，在所有要紧的数位上，门就是 0 和 1。）先自己想一想。
#
# $$ a_i = 200 \cdot \text{标志} - 100 \qquad a_f = 100 - 200 \cdot \text{标志} \qquad a_g = 100 \cdot \text{值}
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
# 后面两步的输入说的正相反，它仍然留住了最初的 +1，直到接到指令才改。只要梯度到得了，训练自己就能找到这样的权重。
# 下面是文章的序列 1, 2, 3，权重全取 1，两个偏置项中的一个取 1：

# %%
t = trace.lstm([1, 2, 3], np.ones((4, 1)), np.ones((4, 1)), np.ones(4))
h = t.final["hs"].ravel()
print("h =", h.round(4).tolist())
assert h.round(4).tolist() == finding.computed["with gates i, f, g, o and a cell c"]

# %% [markdown]
# ## 反向
#
# 记忆单元 $c_t$ 被用了两次：一次在 $h_t = o \circ \tanh(c_t)$ 里，一次在 $c_{t+1} = f_{t+1} \circ c_t + \dots$ 里。
# 两份梯度相加：
#
# $$ \frac{\partial L}{\partial c_t} = \frac{\partial L}{\partial h_t} \circ o \circ (1 - \tanh^2 c_t)
#    + f_{t+1} \circ \frac{\partial L}{\partial c_{t+1}} $$
#
# 第二项是整个设计的要害。沿着记忆单元，梯度只乘以
#
# $$ \frac{\partial c_t}{\partial c_{t-1}} = f_t $$
#
# 此外什么也不乘：没有矩阵 $W$，没有激活函数的斜率。如果 $f = 1$，梯度出发时是多少，到达时还是多少。
# （这说的是沿记忆单元直走的那条路。$c_{t-1}$ 还会通过 $h_{t-1}$ 影响各个门，那些路确实要经过 $W_{hh}$。）
#
# 其余的只是乘积求导法则，用到 $\sigma' = \sigma(1 - \sigma)$ 和 $\tanh' = 1 - \tanh^2$：
#
# $$ \frac{\partial L}{\partial a_i} = \frac{\partial L}{\partial c_t} \circ g \circ i (1 - i) \qquad
#    \frac{\partial L}{\partial a_f} = \frac{\partial L}{\partial c_t} \circ c_{t-1} \circ f (1 - f) $$
#
# $$ \frac{\partial L}{\partial a_g} = \frac{\partial L}{\partial c_t} \circ i \circ (1 - g^2) \qquad
#    \frac{\partial L}{\partial a_o} = \frac{\partial L}{\partial h_t} \circ \tanh(c_t) \circ o (1 - o) $$
#
# 从这四个 $a$ 往后，就是第 07 课：$\partial L / \partial h_{t-1}$ 得到 $W_{hh}^T \cdot \partial L / \partial a$，
# 权重得到按时间的求和。

# %%
print(inspect.getsource(reference.lstm_grad))

# %% [markdown]
# 沿着记忆单元的那条路，用数来看：往前一步传时，乘在 `dc` 上的只有遗忘门（书上，门 $g$ 与梯度 $g$ 用的是同一个字母；
# 代码里，梯度叫 `gh`）。

# %%
back = trace.lstm([1, 2, 3], np.ones((4, 1)), np.ones((4, 1)), np.ones(4), g=[0, 0, 1])
for step in back:
    if step.code.startswith("dc"):
        print(f"{step.places:<52} {step.numbers} → {step.result:.4f}")

# %%
back

# %% [markdown]
# 梯度检验：循环、差分，以及对由基本运算写成的公式自动求导，三者对照。

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
# ## 量一量这条路
#
# 把**所有**的路都算上，量 $\|\partial c_T / \partial c_t\|_2$：16 个单元，权重随机，输入取自正态分布，遗忘门偏置
# $b_f$ 取三个值。点线只是遗忘门的乘积（取各单元中最大的）。旁边是普通 RNN 的
# $\|\partial h_T / \partial h_t\|_2$。要走 40 步，$b_f$ 该取多少？（图：记忆能追溯到多远；横轴是往回走的步数，
# 纵轴是雅可比矩阵的范数。打印的是走完 40 步的范数。）

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
# PyTorch 抽取的 $b_f$ 就在 0 左右，而 $b_f = 0$ 时，LSTM 不比 RNN 强：它的遗忘门停在 $\sigma(0) = 1/2$ 附近，
# 每一步都丢掉一半的记忆。
#
# ## 遗忘门偏置
#
# 所以，**未经训练**的 LSTM 能看多远，由遗忘门的偏置项决定。偏置项为 $b_f$，其余都很小时，$f \approx \sigma(b_f)$，
# 走过 $n$ 步还剩 $\sigma(b_f)^n$。（下面每行打印的是：偏置项、遗忘门、走几步剩一半、走 40 步剩多少。）

# %%
for b in (0, 1, 3, math.log(40)):
    f = reference.sigmoid(b)
    half = math.log(0.5) / math.log(f)
    print(f"b_f = {b:4.2f}: f = {f:.3f}, halved after {half:5.1f} steps, left after 40: {f**40:.1e}")
assert reference.sigmoid(0) ** 40 < 1e-12
assert round(reference.sigmoid(math.log(40)) ** 40, 1) == 0.4

# %% [markdown]
# $b_f = 1$ 是经典的建议（Gers 等，2000；Jozefowicz 等，2015）。要记 $T$ 步，取 $b_f = \ln T$，最后剩下
# $(T / (T + 1))^T \approx 1/e$；再取 $b_i = -\ln T$，输入门就几乎是关着的，记忆不会被噪声填满（Tallec 和 Ollivier
# 2018 年的做法，是为一系列不同的 $T$ 抽取这样的偏置项）。PyTorch 的偏置项全部从 $U(-1/\sqrt{H}, 1/\sqrt{H})$ 中抽取，
# 这件事留给你自己做；Keras 取 $b_f = 1$。
#
# ## 一个需要长记忆的任务
#
# 第一个输入是 +1 或 −1；后面是噪声（正态分布，标准差 0.5）；$T$ 步之后问：当初是哪一个？瞎猜是 0.5。数据是生成的。
# 三位选手，各用 Adam 训练 300 步，各用三个种子，参数个数大致相同：一个 RNN，一个按 `nn.LSTM` 默认初始化的 LSTM，
# 一个取 $b_f = \ln T$、$b_i = -\ln T$ 的 LSTM。请下注。（图：横轴是序列长度，纵轴是在新序列上的准确率；线是平均，
# 标记是单个种子；“as drawn”即默认初始化。）


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
# - RNN 学得会 20 步。到了 40 步和 80 步，就看运气了：少数种子学会，多数学不会；换一台机器，舍入不同，
#   学会的也可能换成别的种子。
# - 默认初始化的 LSTM 比 RNN 失败得**更早**。光有门，什么也解决不了；$f \approx 1/2$ 是很短的记忆。
# - 同一个 LSTM，按长度设好门，每种长度、每个种子都学会了。
#
# 那么文章的这句话（2.3 节，3.3.1 节几乎相同）“通过门控机制，解决梯度消失/爆炸问题”，说得对吗？有了门，在 $f$ 接近 1
# 的地方，梯度**可以**不消失。但门本身并不保证这一点。至于梯度爆炸，即经过 $W_{hh}$ 和各个门的那种，门毫无作用：
# 在量那条路的图里，$b_f = 4$ 的曲线升到了 1 以上。所以还要裁剪，上面的训练就是这样做的。换一个训练步数或学习率，
# 图里的分界会移动；要看的是三者的次序。
#
# ## 序列上的门
#
# $T = 40$ 的赢家学到了什么？我们手工造的是锁存器（latch）：写一次，然后保持。猜一猜，训练找到的是不是同一个。
# 下面是一个新序列，以及噪声不变、第一个输入反号的同一个序列。（图中自上而下：输入 x；输入门；遗忘门；第一个输入为 −1
# 时的记忆；第一个输入为 +1 时的记忆。两幅门画的都是第一个输入为 −1 的情形。打印的是记忆最强的那个单元：4 步之后的值，
# 40 步之后的值，以及切断从 h 到 g 的路之后的值。）

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
# 不是我们的锁存器。遗忘门一直大开着，与我们设的一样。但记忆并没有停在最初写下的数上，它在**增长**，而且对
# +1 和对 −1，增长最多的不是同一个单元。只切断从 $h_{t-1}$ 到候选值的路，增长就几乎全没有了：状态又喂给候选值，
# 网络每一步都更响亮地附和自己，直到噪声再也扭转不了它。训练找到的是**一个**解，不是教科书上的那一个；想知道是哪一个，
# 就得打开来看。
#
# ## 权重怎样排列
#
# PyTorch 把四个门的权重上下叠放，次序是 i、f、g、o：

# %%
layer = nn.LSTM(input_size=3, hidden_size=5)
for name, numbers in layer.state_dict().items():
    print(f"{name:<14} {tuple(numbers.shape)}")
w_ii, w_if, w_ig, w_io = layer.weight_ih_l0.chunk(4)
assert w_if.shape == (5, 3)

# %% [markdown]
# 这个次序是习惯，不是定律。Keras 用的是 i、f、c、o（c 就是我们的 g，次序相同），矩阵转置，偏置项只有一个；ONNX
# 用的是 i、o、f、c。形状全都一样，所以按错误的次序载入权重，不会报错，只会算出毫无意义的数：

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
# 四块，每块有 $H I + H^2$ 个权重，以及两个长为 $H$ 的偏置项：
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
# ## GRU
#
# 门控循环单元（gated recurrent unit，GRU；Cho 等，2014）在状态之外没有记忆单元，门也少一个。旧状态留下多少，
# 只由一个门 $z$ 决定，新的进来多少就是 $1 - z$；$r$ 则决定候选值 $n$ 看得到多少过去：
#
# $$ n = \tanh(W_{in} x_t + b_{in} + r \circ (W_{hn} h_{t-1} + b_{hn})) \qquad
#    h_t = (1 - z) \circ n + z \circ h_{t-1} $$
#
# 其中 $r, z = \sigma(\cdot)$，里面各是一个和，与 LSTM 相同。
# 它的直路是 $\partial h_t / \partial h_{t-1} = z$。共三块，次序是 r、z、n，所以参数是 LSTM 的四分之三。（Cho 等人让
# $r$ 在矩阵乘法之前作用于 $h_{t-1}$；PyTorch 放在乘法之后，我们也一样。）`nn.GRU` 可以直接用，
# `kernels/reference_recurrent.py` 里有它的循环。

# %%
gru, lstm = (sum(p.numel() for p in kind(3, 5).parameters()) for kind in (nn.GRU, nn.LSTM))
print(gru, "of", lstm, "parameters")
assert gru == 3 / 4 * lstm

# %% [markdown]
# ## 快速内核有什么不同
#
# 与第 07 课一样，全部输入只做一次矩阵乘法，这里连四个门也一起算。又因为
# $\sigma(a) = \frac12 + \frac12 \tanh(\frac{a}{2})$，四个门合起来就是对 $4H$ 个数的数组做**一次** tanh，
# 前后各缩放一下。而且它不会溢出。

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
# ## 练习
#
# > **练习 9.1.** 写 `lstm_parameters(I, H)`：`nn.LSTM(I, H)` 要学多少个数。


# %% tags=["exercise"]
def lstm_parameters(I, H):
    ### BEGIN SOLUTION
    return 4 * (H * I + H * H + 2 * H)
    ### END SOLUTION


# %% tags=["check"]
check("lstm_parameters", lstm_parameters)

# %% [markdown]
# > **练习 9.2.** 写出一步：已知 `x` (N,I)、`h` 和 `c` (N,H)、`w_ih` (4H,I)、`w_hh` (4H,H)、`b` (4H,)，次序与 PyTorch
# > 相同 → 新的 `h, c`。（`np.split(a, 4, axis=1)` 给出四块。）


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
# > **练习 9.3.** 再写这一步的反向：已知 `dh` 和 `dc` (N,H)，前者是流进新的 `h` 的全部梯度，后者是从后一步流进新的
# > `c` 的梯度；`gates` (N,4H)，是激活之后的门；还有 `c_before` 和 `c`。返回 `da` (N,4H) 和 `dc_before` (N,H)。
#
# <details><summary>提示</summary>
#
# 先算到达 `c` 的全部梯度：一份来自 `dc`，一份来自 `dh`，经过 $o \circ \tanh(c)$。然后，每个门的梯度就是它在
# $c = f c_{\text{before}} + i g$ 里的因子，乘以它自己的斜率。
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
# > **练习 9.4.** 写 `memory_road(f)`：已知 $T$ 步的遗忘门 (T,H)，对每个单元，求梯度在从 $c_T$ 直通 $c_0$
# > 的路上要乘的因子。


# %% tags=["exercise"]
def memory_road(f):
    ### BEGIN SOLUTION
    return f.prod(0)
    ### END SOLUTION


# %% tags=["check"]
check("lstm_memory_road", memory_road)

# %% [markdown]
# > **练习 9.5.** 写 `forget_bias(n)`：走过 `n` 步，记忆恰好剩一半，$b_f$ 应取多少；求和里的其余各项都是 0。`n = 1`
# > 时它是多少？`n` 增大时，它怎样变？
#
# <details><summary>提示</summary>
#
# $\sigma(b)^n = 1/2$。sigmoid 的反函数是 $\ln(f / (1 - f))$。
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
# <details><summary>这个问题的答案</summary>
#
# 只走一步时是 0；$n$ 很大时大约是 $\ln(n / \ln 2) = \ln n + 0.37$，比经验法则 $\ln n$ 稍大一点。
#
# </details>
#
# ## 要点
#
# - 文章 4.3.1 的公式就是普通的 RNN。LSTM 有记忆 $c$，还有用来相乘的门：$c_t = f \circ c_{t-1} + i \circ g$，
#   $h_t = o \circ \tanh(c_t)$。
# - 沿着记忆单元，梯度只遇到遗忘门，别的什么也没有。$f$ 接近 1，它就过得去。
# - 一开始 $f$ 是否接近 1，由你决定：设好遗忘门偏置。
# - PyTorch 的次序是 i、f、g、o。次序错了，不会报错。
#
# **接下来打开** `tinymed/nn/rnn.py`，看 `LSTMCell`：这一课的公式，只有五行；再打开 `kernels/reference_recurrent.py`，
# 看 `lstm_grad`。PyTorch 的 `nn.LSTM` 名字、权重的排列都相同，算出的数也相同。
