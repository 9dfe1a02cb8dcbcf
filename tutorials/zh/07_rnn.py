# %% [markdown]
# # 07 · 循环神经网络
#
# *文章 3.2、4.2.1、4.2.2、4.2.3 · 75 分钟 · `kernels/reference_recurrent.py`、`tinymed/ops/recurrent.py`*
#
# 体温记录是一个序列：数一个接一个地来，38.5 意味着什么，要看它前面是什么。权重的个数是固定的，
# 网络怎么读得了任意长的序列？办法是一步读一个，边读边记。学完这一课，你能手算它记下了什么，能让梯度沿着时间往回传，
# 也能说出这样做的代价。

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
# ## 文章怎么说
#
# 3.2 节举出循环神经网络（RNN），用于序列数据。4.2.1 节给出隐藏状态，4.2.2 节给出输出：
#
# $$ h_t = \sigma(W_h \cdot [h_{t-1}, x_t] + b_h) \qquad y_t = \sigma(W_y \cdot h_t + b_y) $$
#
# | 字母 | 它是什么 | 形状 |
# |---|---|---|
# | $x_t$ | 时刻 $t$ 到来的输入 | $I$ 个数 |
# | $h_t$ | 状态：$x_1 \dots x_t$ 留下来的全部 | $H$ 个数 |
# | $[h_{t-1}, x_t]$ | 两个向量首尾相接 | $H + I$ 个数 |
# | $W_h, b_h$ | 状态的权重矩阵和偏置项，每个 $t$ 都用同一组 | $H \times (H + I)$、$H$ |
# | $y_t$ | 输出 | $O$ 个数 |
# | $W_y, b_y$ | 输出的权重矩阵和偏置项，每个 $t$ 都用同一组 | $O \times H$、$O$ |
# | $\sigma$ | 原文：“为激活函数” | 逐个数作用 |
#
# 文章的例子里，$\sigma$ 取 sigmoid。PyTorch 的 `nn.RNN` 用 tanh（或 ReLU），`tinymed` 也一样，原因见第 08 课。
# 下面是文章的形式，用循环写出来：

# %%
print(inspect.getsource(reference_recurrent.dot))
source = inspect.getsource(reference.article_rnn)
print(source[source.index("    h, y = np.zeros") :])

# %% [markdown]
# ## 文章的例子
#
# 4.2.3 节取 $x = 1, 2, 3$，权重全是 1，偏置项全是 1。我们把它的状态读作一个数，$h_0 = 0$（理由见下一节）。于是
#
# $$ h_1 = \sigma(1 \cdot 0 + 1 \cdot 1 + 1) = \sigma(2) \qquad h_2 = \sigma(h_1 + 2 + 1) \qquad
#    h_3 = \sigma(h_2 + 3 + 1) $$
#
# 文章印的是 $h_1 = h_2 = h_3 = 1$。精确到四位小数，$\sigma(2)$ 是多少？先估一估。

# %%
h, _ = reference.article_rnn(x=[1, 2, 3], h0=[0], W_h=[[1, 1]], b_h=[1], W_y=[[2]], b_y=[1])
print("h carried on exactly:", h[:, 0].round(4).tolist())
assert h[:, 0].round(4).tolist() == [0.8808, 0.9798, 0.9932]

# %% [markdown]
# 所以文章里的“= 1”，意思是四舍五入到整数。而且它接着**用的**也是舍入以后的数：三个 σ 里面是 2、4、5，其中
# $4 = 1 + 2 + 1$ 就是把 $h_1$ 当成了 1。算输出时，它用两个 1 组成的 $W_y$ 去乘 $[h_t, h_t]$，也就是 $2 h_t$，
# 所以我们取 $W_y = 2$。`carry=round` 照文章的做法来，跟踪把它一步步显示出来。（最后打印的一行，是从 h 反推出来的三个
# σ 里面的数。）

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
# 文章的数与引擎的数，并排来看。（每一条依次是公式、文章印的、引擎算的、结论。“h carried exactly”指 h 不舍入，
# 原样往下算；“h rounded to 1”指先舍入成 1 再用。前两条舍入之后相等；第三条形状对不上，马上就讲。）

# %%
for finding in findings():
    if finding.where == "4.2.3":
        print(finding.formula, "\n  the article:", finding.printed)
        for name, numbers in finding.computed.items():
            print(f"  {name}: {numbers}")
        print(f"  {finding.verdict}\n")

# %% [markdown]
# 舍入在这里不是小事。舍入成 0 或 1 的状态只容得下一个比特，精确的状态容得下一个数。而且舍入后的状态几乎处处斜率为 0，
# 梯度过不去，什么也学不到。

# %% [markdown]
# ## 形状对不上
#
# 文章把状态写成 $[0, 1]$，$W_h$ 给的是 $2 \times 2$ 的矩阵。如果读作“状态是两个数，输入是一个数”，$[h_{t-1}, x_t]$
# 就有 $2 + 1 = 3$ 个数。$W_h$ 应该是什么形状？（打印的错误信息就是答案。）

# %%
try:
    reference.article_rnn([1, 2, 3], [0, 1], np.ones((2, 2)), [1, 1], np.ones((2, 2)), [1, 1])
except ValueError as error:
    print(error)

# %% [markdown]
# 换成 $2 \times 3$ 就能运行。再看文章自己的第一行，$[h_0, x_1]$ 的位置上写的是向量 $[0, 1]$：那就是状态 0 和输入 1，
# 这样一来，处处都与“状态是一个数”相符。上一节就是这样读的。

# %%
h, y = reference.article_rnn([1, 2, 3], [0, 1], np.ones((2, 3)), [1, 1], np.ones((2, 2)), [1, 1])
print(h.round(4).tolist())
assert np.allclose(h[0], reference.sigmoid(0 + 1 + 1 + 1))

# %% [markdown]
# ## 一个矩阵还是两个
#
# 同一件事，PyTorch 写成两个矩阵、两个偏置项：
#
# $$ h_t = \varphi(W_{ih} \cdot x_t + b_{ih} + W_{hh} \cdot h_{t-1} + b_{hh}) $$
#
# $W_h$ 的一行乘以 $[h, x]$，是先对状态的数求和，再加上对输入的数求和。所以文章的矩阵就是 PyTorch 的两个矩阵左右并排，
# 状态在前：$W_h = [W_{hh} \,|\, W_{ih}]$。两个偏置项，起作用的只是它们的和；之所以有两个，是因为 NVIDIA
# 显卡的那个库 cuDNN 里有两个。

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
# `nn.RNN` 给出每一个 $h_t$（`output`），最后一个再单独给一遍（`h_n`）。它没有 $W_y$：4.2.2 的输出，是在上面再加一个
# `nn.Linear`，每个 $t$ 都用；如果问的是整个序列，就只用在最后一个 $t$ 上。
#
# ## 同样的字母，写成代码

# %%
print(inspect.getsource(reference.rnn))

# %% [markdown]
# ## 手算
#
# 两个隐藏单元，一个输入，ReLU，没有偏置项。$W_{ih}$ 把输入写进第一个单元，$W_{hh}$ 把两个单元对调：
#
# $$ W_{ih} = \begin{bmatrix} 1 \\ 0 \end{bmatrix} \qquad W_{hh} = \begin{bmatrix} 0 & 1 \\ 1 & 0 \end{bmatrix}
#    \qquad x = 1, 0, 2 $$
#
# 运行下面的单元格之前，先写下 $h_1, h_2, h_3$。第二个单元里存的是什么？

# %%
swap = trace.rnn([[1], [0], [2]], w_ih=[[1], [0]], w_hh=[[0, 1], [1, 0]], nonlinearity="relu")
swap.show(6)
states = swap.final["hs"][:, 0]
print(states.tolist())
assert states.tolist() == [[1, 0], [0, 1], [3, 0]]

# %%
swap

# %% [markdown]
# 时刻 1 的那个 1 去了第二个单元，在那里等了一步，又回来加到 2 上。
#
# ## 按时间展开
#
# 这个循环就是一个 $T$ 层的前馈网络，各层共用同一组权重。把它展开画出来：指向状态的箭头有两种，从每个 $h_t$
# 出发的箭头也有两条（图的两端除外）。请在右图里倒着走一遍。（左图是前向：同一组权重，每一步都用。右图是反向：h 从自己的
# y 和后一个 h 那里收集梯度。）


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
# ## 随时间反向传播
#
# 设 $a_t$ 是 $\varphi$ 里面的数，$g_t$ 是 $h_t$ 从自己的输出 $y_t$ 那里得到的梯度。状态 $h_t$ 被用了两次：一次在
# $y_t$ 里，一次在 $a_{t+1} = W_{hh} h_t + \dots$ 里。用了两次，就得到两份梯度，加在一起：
#
# $$ \frac{\partial L}{\partial h_t} = g_t + W_{hh}^T \cdot \frac{\partial L}{\partial a_{t+1}} \qquad\qquad
#    \frac{\partial L}{\partial a_t} = \varphi'(a_t) \circ \frac{\partial L}{\partial h_t} $$
#
# （$\circ$：逐个数相乘。）最后一步没有 $t + 1$，就从那里开始往回走。权重在**每一步**都用到，所以得到 $T$ 份梯度，
# 加在一起：
#
# $$ \frac{\partial L}{\partial W_{hh}} = \sum_t \frac{\partial L}{\partial a_t} \cdot h_{t-1}^T \qquad
#    \frac{\partial L}{\partial W_{ih}} = \sum_t \frac{\partial L}{\partial a_t} \cdot x_t^T \qquad
#    \frac{\partial L}{\partial b} = \sum_t \frac{\partial L}{\partial a_t} \qquad
#    \frac{\partial L}{\partial x_t} = W_{ih}^T \cdot \frac{\partial L}{\partial a_t} $$
#
# 对 tanh，$\varphi'(a_t) = 1 - h_t^2$：斜率从状态就能算出来，不必留着 $a_t$。全部内容就是这些，常简称
# BPTT（backpropagation through time）。写成代码：

# %%
print(inspect.getsource(reference_recurrent.dot_grad))
print(inspect.getsource(reference.rnn_grad))

# %% [markdown]
# ## 手算反向
#
# 一个隐藏单元，ReLU，$h_t = w h_{t-1} + u x_t$，其中 $w = 2$，$u = 1$，$x = 1, 1, 1$，损失就是最后一个状态：
#
# $$ L = h_3 = w^2 u x_1 + w u x_2 + u x_3 = 7 \qquad
#    \frac{\partial L}{\partial w} = 2 w u x_1 + u x_2 = 5 \qquad
#    \frac{\partial L}{\partial u} = w^2 x_1 + w x_2 + x_3 = 7 $$
#
# 这个 5 里面，每一步各贡献多少？

# %%
back = trace.rnn([1, 1, 1], w_ih=[[1]], w_hh=[[2]], nonlinearity="relu", g=[0, 0, 1])
back.show()
assert back.final["hs"].ravel().tolist() == [1, 3, 7]
assert (back.final["gw_hh"].item(), back.final["gw_ih"].item()) == (5, 7)
assert back.final["gx"].ravel().tolist() == [4, 2, 1]

# %%
back

# %% [markdown]
# ## 共享权重的梯度，按时间相加
#
# 给每一步各自的权重 $w_1, w_2, w_3$，都等于 2，让引擎的自动求导去算三个梯度。它们的和就是共享权重的梯度。

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
# 第一步给出 0，因为那里 $w$ 乘的是 $h_0 = 0$。再看整体：手写的反向必须与损失的差分一致，
# 也必须与自动求导一致，后者用的是由基本运算写成的公式：

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
# ## 多层与双向
#
# `num_layers=2`：第二个 RNN 把第一个 RNN 的状态当作输入来读。`bidirectional=True`：另一个 RNN 从末尾读到开头，
# 两个状态拼在一起；只有在提问之前序列已经完整，才能这样用。

# %%
deep = nn.RNN(input_size=3, hidden_size=4, num_layers=2, bidirectional=True)
output, h_n = deep(tinymed.randn(7, 5, 3))  # T = 7 steps, N = 5 sequences, I = 3 numbers
print("output", output.shape, "= T, N, 2 directions x 4;  h_n", h_n.shape, "= 2 layers x 2 directions, N, 4")
assert output.shape == (7, 5, 8)
assert h_n.shape == (4, 5, 4)

# %% [markdown]
# ## 把时间截短
#
# BPTT 要把每个 $h_t$ 一直留到反向走完：内存随 $T$ 增长。记录非常长时，就把它切成段，状态交给下一段，梯度在切口处用
# `detach()` 停下：这叫**截断**的 BPTT。前向会变吗？反向呢？（图中损失在第 12 步：越过切口往回，还能到达多少？
# 蓝色是整个序列，橙色是每段 4 步。）

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
# 状态相同；梯度在最后一段之内相同，在它之前恰好是 0。再看看没有任何切口时它降得多快：第 08 课讲的就是这件事。
#
# ## 学会记住
#
# 这个任务需要记忆：输入是一行随机的 +1 和 −1，时刻 $t$ 的目标是五步之前来的那个数。没有记忆就只能猜，准确率 0.5。
# 数据是生成的。我们训练三次：梯度走过整个序列（24 步）；每段 8 步；每段 3 步。哪一个会失败，为什么？（打印的是最后
# 20 批的准确率；图的横轴是训练步数，纵轴是 10 批的平均准确率。）

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
# 每段 3 步时，没有一份梯度能从输出走到五步之前的输入，所以没有什么告诉权重要留住那个输入。每段 8 步时，
# 一段里靠后的输出办得到，而权重是共享的，其余的输出也跟着受益。三次训练里，状态都越过了切口：缺的不是记忆，
# 而是教它该记什么的那一课。
#
# 第三条曲线时而上升，这并不矛盾：随机的权重自己就带着过去的回声，输出层能学会去读它。但没有梯度说这回声值得留下，
# 后面的几步又把它抹掉了。
#
# ## 快速内核有什么不同
#
# $W_{hh} h_{t-1}$ 必须等 $h_{t-1}$。$W_{ih} x_t$ 不用等：所有输入一开始就都在。所以 NumPy 内核对全部 $T \cdot N$
# 个输入只做**一次**矩阵乘法，然后才做递推。反向也是这样：权重梯度按时间的求和，是循环之后的两次矩阵乘法。

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
# 躲不开的是：$T$ 次小乘法，一次接着一次。卷积没有这样的链条，注意力也没有；在能大量并行的硬件上，它们取代了 RNN，
# 这是原因之一。
#
# ## 练习
#
# > **练习 7.1.** 写 `split_weights(W_h, hidden_size)`：把文章的矩阵拆成 PyTorch 的 `w_ih, w_hh`。
#
# <details><summary>提示</summary>
#
# $[h_{t-1}, x_t]$ 里状态在前。与它相乘的是 $W_h$ 的哪几列？
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
# > **练习 7.2.** 写 `rnn_output(h, W_y, b_y)`：文章 4.2.2 的一步，`h` 是 (H,)，`W_y` 是 (O,H)，`b_y` 是 (O,)。


# %% tags=["exercise"]
def rnn_output(h, W_y, b_y):
    ### BEGIN SOLUTION
    return 1 / (1 + np.exp(-(W_y @ h + b_y)))
    ### END SOLUTION


# %% tags=["check"]
check("rnn_output", rnn_output)

# %% [markdown]
# > **练习 7.3.** 写出 RNN 的前向，用 tanh：`x` (T,N,I)、`h0` (N,H)、`w_ih` (H,I)、`w_hh` (H,H)、`b` (H,) → 所有状态，
# > 一个 (T,N,H) 的数组。对时间写一重循环就够了。


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
# > **练习 7.4.** 再写反向：已知 `g` (T,N,H)，即从外面流进每个状态的梯度，以及 7.3 的状态 `hs`，求
# > `gx, gh0, gw_ih, gw_hh, gb`。
#
# <details><summary>提示</summary>
#
# 用一个数组 `dh` 记后一步传来的梯度，沿时间倒着走。每一步：加上 `g[t]`，乘以斜率 $1 - h_t^2$，加进三个求和，
# 再算出给前一步的 `dh`。
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
# > **练习 7.5.** 一个没有激活函数的单元：$h_t = w h_{t-1} + x_t$，$h_0 = 0$，$L = h_T$。写
# > `truncated_gradient(x, w, k)`：梯度只往回走最后 $k$ 步时的 $\partial L / \partial w$。$k = T$ 时，
# > 它必须是完整的导数。对怎样的 $w$，$k$ 小一点也无大碍？


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
# <details><summary>这个问题的答案</summary>
#
# 从最后一步往前数 $j$ 步的那一步，贡献的是 $w^j h_{T-1-j}$。$|w| < 1$ 时，它像 $w^j$ 那样下降：$k$ 小一点就够。
# $|w| > 1$ 时，因子按什么样的幂变大，早先的状态就按同样的幂变小：取 $w = 2$，所有 $x = 1$，这一项是 $2^{T-1} - 2^j$，
# 大多数步的贡献几乎一样大，所以 $k$ 步大约只给出全部的 $k / T$。$w = 1$ 时它是 $T - 1 - j$：最后的几步最要紧。
#
# </details>
#
# ## 要点
#
# - 循环网络就是一个小小的层，每一步都作用在新的输入和自己上一步的状态上。
# - 文章的 $W_h$ 就是 PyTorch 的 $W_{hh}$ 和 $W_{ih}$ 左右并排。
# - 反向时，每个状态得到两份梯度：一份来自它的输出，一份来自后一步。每个权重在每一步都得到一份梯度，加在一起。
# - 把梯度切断，状态不变，但能学到的东西到切口为止。
#
# **接下来打开** `kernels/reference_recurrent.py`，看 `rnn` 和 `rnn_grad`；再打开 `tinymed/ops/recurrent.py`，看
# `RNN`：把前向和反向合在一起的运算。PyTorch 的 `nn.RNN` 名字、参数、权重都相同，算出的数也相同。
