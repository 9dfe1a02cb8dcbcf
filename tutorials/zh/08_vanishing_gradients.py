# %% [markdown]
# # 08 · 梯度消失与梯度爆炸
#
# *文章 2.3、3.2.1、3.3.1 · 75 分钟 · `tinymed/nn/init.py`、`tinymed/nn/utils.py`*
#
# 把 50 个 0.9 乘起来，再把 50 个 1.1 乘起来。梯度往回穿过 50 步或 50 层，正是这样。这一课测量它，说明它什么时候发生，
# 什么办法管用。

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
# ## 文章怎么说
#
# 2.3 节用一句话介绍 RNN（3.2.1 节的说法几乎一样）：
#
# > 用于序列数据建模，如医疗文本分析，通过记忆单元和梯度消失/爆炸问题，实现对序列数据的建模和预测。
#
# 照字面读，它是**通过**记忆单元**和梯度消失/爆炸问题**来建模的。问题当然不是工具，这里是两层意思连到一起去了。本意在
# 3.2.1 节再往下两行：RNN 在训练过程中“容易受到梯度消失/爆炸问题的影响，导致训练效果不佳”。
# （这里的记忆单元就是隐藏状态；LSTM 才有真正的记忆单元。）3.3.1 节又说，LSTM 的门控机制“解决”了这个问题。
# 这话有几分对，第 09 课再看。先要问：问题是什么？
#
# ## 雅可比矩阵的乘积
#
# 状态是 $h_t = \varphi(a_t)$，$a_t = W h_{t-1} + U x_t + b$。往回一步，梯度要乘以
#
# $$ J_t = \frac{\partial h_t}{\partial h_{t-1}} = \operatorname{diag}(\varphi'(a_t)) \cdot W $$
#
# （雅可比矩阵：所有 $\partial h_{t,i} / \partial h_{t-1,j}$ 排成的矩阵。）往回许多步，就要乘以它们全部：
#
# $$ \frac{\partial h_T}{\partial h_t} = J_T \cdot J_{T-1} \cdots J_{t+1} $$
#
# 每个因子里都是同一个 $W$。如果只有一个单元，斜率为 1，它就是 $w^{T-t}$。手算：$2^{10}$ 和 $(1/2)^{10}$ 各是多少？

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
# ## 一步一步看
#
# 用 tanh 时，每个因子里还有斜率 $1 - h_t^2$。看 `da` 怎样一步步变小，尽管 $w = 1$：

# %%
t = trace.rnn(np.ones(4), w_ih=[[0.5]], w_hh=[[1]], g=[0, 0, 0, 1])
for step in t:
    if step.code.startswith("da[j]"):
        print(f"{step.places:<32} {step.numbers} → {step.result:.5f}")

# %%
t

# %% [markdown]
# 对矩阵来说，$W$ 有多强，有两个数可以说明：
#
# - **范数** $\|W\|_2$：它最多能把一个向量拉长多少倍（最大的奇异值）；
# - **谱半径** $\rho(W)$：最大的 $|\text{特征值}|$。步数多了，$\|W^k\|_2$ 就像 $\rho^k$ 那样变化：
#   $\lim_k \|W^k\|_2^{1/k} = \rho$（Gelfand 公式）。
#
# 总有 $\rho(W) \le \|W\|_2$。步数少的时候，两者可以相差很远：

# %%
W = np.array([[0.5, 4.0], [0.0, 0.5]])
for k in (1, 2, 5, 20):
    print(f"k = {k:>2}: ‖W^k‖ = {np.linalg.norm(np.linalg.matrix_power(W, k), 2):.1e}   ρ^k = {0.5**k:.1e}")
assert np.linalg.norm(W, 2) > 4
assert np.linalg.norm(np.linalg.matrix_power(W, 20), 2) < 0.01

# %% [markdown]
# 范数是 4，最后还是消失了：梯度要爆炸，范数必须大，但光是大还不够。另一个方向则可以证明。由于
# $\|J_t\|_2 \le \max|\varphi'| \cdot \|W\|_2$，
#
# $$ \left\| \frac{\partial h_T}{\partial h_t} \right\|_2 \le \left( \max|\varphi'| \cdot \|W\|_2 \right)^{T-t} $$
#
# 只要括号里的数小于 1，梯度就必定消失（Pascanu、Mikolov 和 Bengio，2013）。
#
# ## 激活函数的斜率
#
# $\sigma' = \sigma (1 - \sigma)$ 在 $\sigma = 1/2$ 时最大，至多是 $1/4$。所以路上每经过一个 sigmoid，
# 梯度至少缩小到四分之一。`nn.RNN` 用斜率能到 1 的 tanh，而不用文章例子里的 sigmoid，这是原因之一。
# （图：每种激活函数能让多少梯度通过；纵轴是 a 处的斜率。）

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
# ## 测出来看
#
# 现在看整个乘积：32 个单元，输入是随机的。$W$ 取一个正交矩阵（旋转，什么也不拉长）乘以因子 $r$，于是
# $\rho(W) = \|W\|_2 = r$，两者之间没有差距，什么也藏不住。看图之前先猜：18 条曲线里，哪些会爆炸？
#
# 为了只做一次反向就得到整个雅可比矩阵，一批里放同一个序列的 32 份，第 $n$ 份求的是最后状态中第 $n$ 个单元的梯度。
# （图的横轴是往回走的步数，纵轴是雅可比矩阵的范数。打印的头两行：$r = 1.5$ 的 ReLU 有多大比例的单元开着；
# 预计每步的因子，与实测的因子。后面是 40 步之后的范数。）

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
# - $r = 1$ 以下全都消失，每条线都接近直线：每一步乘一个固定的因子。
# - $r = 1$ 时，甚至到 1.1，tanh 和 ReLU 也消失，因为有些斜率小于 1（ReLU：单元关着的地方斜率是 0）。
# - tanh 在 1.5 和 2 时爆炸，但比 $r^k$ 慢得多：状态大了就饱和，斜率随之下降。
# - ReLU 在 $r = 1.5$ 时徘徊不定，至少这一次抽样是这样。如果开着的单元占比例 $p$，一步能通过的大约是 $r \sqrt{p}$，
#   而不是 $r$。要是恰好开一半，分界就在 $r = \sqrt{2}$；这个数下面还会遇到。
# - 用 sigmoid 则全都消失，$r = 2$ 也不例外：上界是 $(2 / 4)^{40}$。
#
# 只有很窄的一段 $r$ 能把梯度带过 40 步。PyTorch 从哪里出发呢？它从 $U(-1/\sqrt{H}, 1/\sqrt{H})$ 中抽取权重，方差是
# $1/(3H)$。方差为 $s^2$ 的大随机矩阵，特征值填满一个半径为 $s \sqrt{H}$ 的圆盘（圆律）：这里是
# $\sqrt{1/3} \approx 0.58$。

# %%
tinymed.manual_seed(0)
W_fresh = nn.RNN(1, 128).weight_hh_l0.detach().numpy()
radius = abs(np.linalg.eigvals(W_fresh)).max()
print(f"spectral radius of a fresh nn.RNN: {radius:.2f}; to the power of 10: {radius**10:.4f}")
assert abs(radius - 3**-0.5) < 0.08

# %% [markdown]
# 刚初始化的 RNN 大约十步就忘光了：第 07 课那幅 $|\partial L / \partial x_t|$ 的图已经显示过。
#
# ## 深度也是同一回事
#
# 层数多的普通网络里也有同样的乘积，只是每个因子里的 $W$ 各不相同。所以梯度有多大，取决于出发时的权重有多大。对
# $a = W x$，设输入有 $n$ 个，权重相互独立、均值为 0，那么
#
# $$ \operatorname{Var}(a_i) = n \cdot \operatorname{Var}(w) \cdot \mathbb{E}[x_j^2] $$
#
# 要让逐层的离散程度保持不变，就要 $n \operatorname{Var}(w) = 1$：这是 Glorot（Xavier）初始化，它取扇入（fan-in）
# 与扇出（fan-out）的平均，好把反向也照顾到。ReLU 丢掉 $\mathbb{E}[x^2]$ 的一半，所以要
# $n \operatorname{Var}(w) = 2$：这是 He 初始化，也就是上面的 $\sqrt{2}$。正交的 $W$ 精确地保持每个长度，
# 而不只是平均来说。
#
# （后面的图：左，ReLU 网络每层输出的标准差；中，到达每层的梯度的范数，与最后一层相比；右，按激活函数比较梯度。
# 打印的是：第 1 层的梯度是第 30 层的多少。）

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
# `nn.Linear` 的默认初始化是 $n \operatorname{Var}(w) = 1/3$：网络只有两三层时，谁也不会察觉；到了三十层，就毫无希望。
# 这是 PyTorch 的默认值，所以也是我们的。
#
# ## 裁剪，以及它在悬崖边的作用
#
# 梯度爆炸时，一步就可能丢掉学到的一切。对策很直接：所有梯度合在一起的范数一旦超过界限，就用同一个因子把它们全部缩小。
# 方向不变。
#
# $$ g \leftarrow g \cdot \min\left(1, \frac{c}{\|g\|}\right) $$

# %%
print(inspect.getsource(nn.utils.clip_grad_norm_))

# %% [markdown]
# 只有一个单元的网络，就足以看到悬崖：$h_t = \tanh(w h_{t-1} + b)$，$h_0 = 0.5$，20 步，$L = (h_{20} - 0.6)^2$。
# $(w, b)$ 平面上（在 $w$ 明显大于 1 的地方）有一条分界：在一侧，状态最后接近 $+1$，在另一侧接近 $-1$；两侧之间，
# 损失像一堵墙那样陡降。梯度下降从叉号处出发，一次不裁剪，一次裁剪。（左图：一个单元走 20 步之后的损失，
# 白色路径不裁剪，橙色路径裁剪到范数 1。右图：每一步裁剪之前的梯度范数。打印的是最大的梯度、终点和最后的损失。）


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
# 不裁剪时，墙边的一个梯度就把权重远远抛到一片平台上，那里单元饱和，梯度几乎为 0，再没有什么能把权重带回来：先爆炸，
# 后消失。裁剪之后，没有一步比 $0.05 \cdot 1$ 更长。要记住两点：裁剪的是**所有**梯度合在一起的范数（逐个数裁剪，
# 方向就变了）；裁剪放在 `backward` 之后、`step` 之前。对消失的梯度，裁剪毫无用处：没有的东西，无从放大。
#
# ## 梯度消失时，什么有帮助
#
# - **初始化**：正交的 $W_{hh}$，He 或 Xavier 权重；上面已经测过。
# - **归一化**（`nn.BatchNorm2d`、`nn.LayerNorm`）：不管权重怎样，都把每一层的离散程度拉回到 1。
# - **残差连接** $h + f(h)$：雅可比矩阵是 $I + \partial f / \partial h$，其中的 $I$ 就是一条没有权重的路。
# - **门**：LSTM 的记忆有一条这样的路穿过时间，而且能学会把它开多大。那是第 09 课。
#
# ## 训练好的 RNN 的梯度
#
# 已经学会任务的 RNN，还会十步之内就忘光吗？任务与第 07 课相同，现在延迟是 8 步（数据是生成的）。猜一猜，
# 训练会怎样改变谱半径。（图：虚线是刚初始化的，实线是训练好的，竖的点线是任务的延迟。）

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
# 跨过这段延迟，刚初始化的网络只能传过百分之几。这已经够它起步了：Adam 会除以梯度的大小，
# 所以很小的梯度照样走完整的一步，只要旁边更大的梯度没有把它淹没。接着，训练自己打开了路，谱半径升到 1 附近。要是延迟
# 50 步，可供起步的就几乎什么也不剩了（打印的是：刚初始化的网络走 8 步剩多少，按谱半径走 50 步大约剩多少）：

# %%
print(f"fresh, over {DELAY} steps: {before[0][DELAY]:.3f}; over 50, at its radius, about {before[1] ** 50:.0e}")
assert 0.01 < before[0][DELAY] < 0.1
assert before[1] ** 50 < 1e-10

# %% [markdown]
# ## 练习
#
# > **练习 8.1.** 写 `clip_gradients(g1, g2, max_norm)`：把两个参数的梯度像 `clip_grad_norm_` 那样一起裁剪，
# > 返回一对新数组。


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
# > **练习 8.2.** 一个单元：$h_t = \tanh(w h_{t-1} + x_t)$。写 `scalar_jacobian(x, w, h0)`：用各步的乘积算出
# > $\partial h_T / \partial h_0$。
#
# <details><summary>提示</summary>
#
# tanh 在 $a_t$ 处的斜率是 $1 - h_t^2$。所以向前走，边走边乘。
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
# > **练习 8.3.** 写 `largest_stretch(W, v, steps)`：不做奇异值分解，用幂迭代求 $\|W\|_2$。从向量 `v` 出发，先乘 $W$，
# > 再乘 $W^T$，共做 `steps` 次，每次之后把长度缩放到 1。最后，$\|W v\|$ 就是答案。为什么只用 $W$ 迭代不行？
#
# <details><summary>这个问题的答案</summary>
#
# 只用 $W$ 时，向量会转向 $|\text{特征值}|$ 最大的特征向量，那与 $\rho(W)$ 有关，与范数无关；
# 如果那个特征值是一对共轭复数中的一个，向量就会永远转下去。$W^T W$ 是对称的，它的特征值是奇异值的平方。
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
# > **练习 8.4.** 写 `gradient_bound(W, max_slope, steps)`：不多不少，就是本课给 $\|\partial h_T / \partial h_{T-k}\|_2$
# > 的上界，其中 $k$ = `steps`。可以用 `np.linalg.norm(W, 2)`。


# %% tags=["exercise"]
def gradient_bound(W, max_slope, steps):
    ### BEGIN SOLUTION
    return (max_slope * np.linalg.norm(W, 2)) ** steps
    ### END SOLUTION


# %% tags=["check"]
check("gradient_bound", gradient_bound)

# %% [markdown]
# ## 要点
#
# - 梯度穿过 $k$ 步，就要乘以 $k$ 个雅可比矩阵 $\operatorname{diag}(\varphi'(a)) \cdot W$。起决定作用的，是它们大小的
#   $k$ 次方。
# - $\max|\varphi'| \cdot \|W\|_2 < 1$ 就足以使梯度消失。大于 1 时可能爆炸，也可能不爆炸。
# - sigmoid 的斜率至多是 $1/4$：往回的路很长时，不能用它作激活函数。
# - 初始化决定从哪里出发。裁剪能止住爆炸，对消失无能为力；要对付消失，得有没有权重的路：残差连接、门。
#
# **接下来打开** `tinymed/nn/init.py`：每种初始化只有一行，附有公式；再打开 `tinymed/nn/utils.py`，看
# `clip_grad_norm_`。PyTorch 的函数名字相同，默认值也相同。
