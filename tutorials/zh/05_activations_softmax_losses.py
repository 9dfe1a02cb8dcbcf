# %% [markdown]
# # 05 · 激活函数、softmax 与损失函数
#
# *文章 1.4.3、3.1.2、3.2.2、4.2、5.2.2 · 75 分钟 · `kernels/reference_activation.py`、`tinymed/ops/loss.py`*
#
# 网络的最后一层给“正常”0 分，给“良性”0.7 分，给“恶性”1.6 分。而这张图片其实是恶性的。错了多少，用一个数怎么说？
# 三个得分又各自该往哪个方向动？学完这一课，这两个问题你都能用手算回答；你还会明白，
# 为什么代码从来不完全照公式的样子去算。

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
# ## 文章怎么说
#
# | 节 | 文章原文 | 这里 |
# |---|---|---|
# | 1.4.3 | ReLU：修正线性单元 | $\max(0, x)$ |
# | 1.4.3 | ReLU6：限制在 0 到 6 之间的 ReLU 激活函数 | $\min(\max(0, x), 6)$ |
# | 4.2.3 | 激活函数为 sigmoid 函数 | $\sigma(x) = 1 / (1 + e^{-x})$ |
# | 1.4.3 | Softmax：一种归一化函数，用于多分类问题 | $y_c = e^{x_c} / \sum_k e^{x_k}$ |
# | 5.2.2 | `loss='binary_crossentropy'` | $\ell = -t \ln p - (1 - t) \ln(1 - p)$ |
#
# 中间一栏就是文章说的全部：只有名字，没有公式。右边一栏的字母：$x$ 是**得分**（score），可以是任何数（后面接
# softmax 或 $\sigma$ 时，也叫 logit）；$y$ 或 $p$ 是算出来的结果；$c$ 和 $k$ 数的是类别；$t$ 是正确答案，
# 即**目标**（target）；$\ell$ 是一个样本的损失，$L$ 是整批的损失。

# %% [markdown]
# ## 为什么要有一个弯
#
# 问：两个全连接层之间什么都不放，合起来算的是什么？
#
# <details><summary>参考答案</summary>
#
# 还是一层所算的：$W_2 (W_1 x) = (W_2 W_1)\, x$。
#
# </details>
#
# 卷积也是线性的：一百个接连排下去，仍是一个线性映射（没有填充时，就是一个更大的卷积核的卷积）。
# 深度网络能做到的事只要超出这一点，靠的就是一个不是直线的函数：**激活函数**（activation）。
# （下面三行依次是：两层，中间没有弯；两个矩阵先乘好，只做一次；中间加一个 ReLU。）

# %%
W1, W2, x = tinymed.randn(5, 3), tinymed.randn(2, 5), tinymed.randn(3, 1)
print("two layers, no bend:  ", (W2 @ (W1 @ x)).reshape(2).numpy())
print("their product, once:  ", ((W2 @ W1) @ x).reshape(2).numpy())
print("with a ReLU between:  ", (W2 @ F.relu(W1 @ x)).reshape(2).numpy())
assert tinymed.allclose(W2 @ (W1 @ x), (W2 @ W1) @ x, atol=1e-5)

# %% [markdown]
# ## 同样的字母，写成代码

# %%
for f in (reference.relu, reference.relu6, reference.sigmoid):
    print(inspect.getsource(f))

# %% [markdown]
# 公式只有一行，`sigmoid` 却写了两行。问：$a = -1000$ 时，`1 / (1 + math.exp(-a))` 会怎样？
#
# <details><summary>参考答案</summary>
#
# 会抛出 OverflowError：$e^{1000}$ 超出了浮点数的范围。$a$ 为负时，把分子分母同乘 $e^a$：值不变，指数却始终小于 0。
#
# </details>
#
# ## 手算
#
# 让 $-3, 0, 2, 6, 9$ 通过 ReLU6。再算文章 4.2.3 的 $h_1 = \sigma(1 + 1)$，文章印的结果是 1。（打印的那句话说：
# 1 是这个数四舍五入到整数的结果。）

# %%
numbers = np.array([-3.0, 0.0, 2.0, 6.0, 9.0])
y = F.relu6(tinymed.tensor(numbers)).numpy()
print("ReLU6", y)
assert (y == [0, 0, 2, 6, 6]).all()
h1 = F.sigmoid(tinymed.tensor(2.0)).item()
print(f"σ(2) = {h1:.4f}; the article prints 1, which is this number rounded to a whole one")
assert round(h1, 4) == 0.8808

# %% [markdown]
# ## 它们长什么样
#
# 上排是函数，下排是斜率。梯度往回走时，要乘的就是斜率；所以看一看，下排的曲线在哪里是零。

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
# ## 反向
#
# 每个数单独通过，所以 $\partial L/\partial x = g \cdot f'(x)$，其中 $g = \partial L/\partial y$
# 从后面的层传来。ReLU6 的斜率在 0 与 6 之间是 1，其余地方是 0。对 sigmoid，
#
# $$ \sigma'(x) = \frac{e^{-x}}{(1 + e^{-x})^2} = \frac{1}{1 + e^{-x}} \cdot \frac{e^{-x}}{1 + e^{-x}}
#    = \sigma(x)\,(1 - \sigma(x)) $$
#
# 对 tanh，则是 $1 - y^2$。两者都只凭 $y$ 就能算出：所以引擎留着 $y$，忘掉 $x$。

# %%
t = trace.relu6(numbers, g=1)
t.show()
assert (t.final["gx"] == [0, 0, 1, 0, 0]).all()

# %%
t

# %% [markdown]
# ## 在折点上
#
# 在 $x = 0$ 处，ReLU 没有斜率：左边是 0，右边是 1。两者之间的任何数都说得过去（叫作**次梯度**，subgradient）；
# 引擎取 0，PyTorch 也是。梯度检验（第 10 课）不能在这里做，它自己也会这样说：打印的那句英文意思是“此处不可导，
# 一侧的斜率是 0，另一侧是 0.12573；请把输入从折点移开”。（0.12573 是斜率 1 乘上一个权重：检验时，
# 每个输出都乘一个随机数。）

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
# ## 饱和：实测
#
# sigmoid 的斜率在 $x = 0$ 处最大，也只有 1/4。问：连过十个 sigmoid，梯度最多还剩多少？

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
# 这一次带上权重：二十层，每层 64 个单元，按通常的办法初始化：方差取 $1/n$；ReLU 丢掉一半，取 $2/n$（He 等，2015）。
# 一层一层地看梯度有多大。（打印的是第一层与最后一层之比，最后一行是权重放大到四倍的 sigmoid；图中横轴是层，
# 第 1 层紧挨输入，纵轴是 ∂L/∂W 的大小。）


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
# 在 sigmoid 之下，剩下的不到一亿分之一。通常的初始化补不回 1/4 的斜率：十九层下来，
# 大约只剩 $(1/4)^{19} \approx 4 \cdot 10^{-12}$。把权重放大到四倍，大约剩 $10^{-4}$：更多的输入被推到了两端的平坦处。
# 3.1.2 选用 ReLU 和 ReLU6，这是原因之一；到第 08 课，它会以 RNN 的梯度消失再次出现。（tanh 在这里撑住了，因为它在 0
# 附近很陡，0 处的斜率是 1，而这些权重又让它的输入一直靠近 0。）
#
# ## 死掉的 ReLU：实测
#
# 一个 ReLU 如果对**每一个**样本都输出 0，那么它对每一个样本的斜率也都是 0：它的权重得不到梯度，从此再也不动
# （除非它下面的层改变了它的输入）。杀死它的，多半是迈得太大的一步。同一个网络，用越来越大的步长训练（每行打印：步长，
# 死掉的 ReLU 占多少，死掉的 leaky ReLU 占多少）：


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
# leaky ReLU（左边斜率 0.01）死不了，但这不等于说，步长这样大，它还能学得好。ReLU6 则两头都可能死。
#
# ## Softmax：从得分到份额
#
# $$ y_c = \frac{e^{x_c}}{\sum_k e^{x_k}} $$
#
# 每个 $y_c$ 都是正的，加起来是 1。手算：取得分 $0, \ln 2, \ln 5$（约为 0、0.7、1.6，就是本课开头那三个），这样
# $e^x = 1, 2, 5$。总和是 8，份额就是 $1/8, 2/8, 5/8$。

# %%
scores = np.log([1.0, 2.0, 5.0])
shares = F.softmax(tinymed.tensor(scores), 0).numpy()
print("scores", scores.round(3), "-> shares", shares)
assert np.allclose(shares, [1 / 8, 2 / 8, 5 / 8])
print(inspect.getsource(reference.softmax))

# %% [markdown]
# 循环里有一样东西，公式里没有：`top`。一步步走一遍。

# %%
t = trace.softmax(scores)
t.show()
assert np.allclose(t.final["y"][0, :, 0], shares)

# %%
t

# %% [markdown]
# ## 为什么要先减去最大值
#
# 给每个得分都加上同一个数 $a$：
#
# $$ \frac{e^{x_c + a}}{\sum_k e^{x_k + a}} = \frac{e^a \, e^{x_c}}{e^a \sum_k e^{x_k}} = y_c $$
#
# 什么也没变：softmax 只看得见差。所以 $a$ 可以由我们选，我们选 $a = -\max_k x_k$。在 float32 里，$e^{89}$
# 就已经是无穷大。下面先照公式原样算，再照引擎的办法算（as it stands：照公式原样；all far below 0：得分全都远小于 0；
# largest out：先减去最大值）：

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
# 问：为什么减最大值，而不是平均值，或者第一个数？
#
# <details><summary>参考答案</summary>
#
# 这样一来，指数全都不超过 0，所以不会溢出；其中又有一个恰好是 0，所以总和至少是 1，绝不会是 0。要是得分为 0 和
# 2000，减去平均值之后还会剩下 $e^{1000}$。
#
# </details>
#
# **softmax 的对数**要一口气算完：$\ln y_c = x_c - \max - \ln \sum_k e^{x_k - \max}$，因为 $y_c$
# 本身可能小到浮点数表示不了：

# %%
far = tinymed.tensor([0.0, 200.0])
with np.errstate(divide="ignore"):
    print("log of softmax:", np.log(F.softmax(far, 0).numpy()))
print("log_softmax:   ", F.log_softmax(far, 0).numpy())
assert F.log_softmax(far, 0).tolist() == [-200, 0]

# %% [markdown]
# ## Softmax 的反向
#
# 每个 $y_c$ 都依赖每个 $x_k$。记 $S = \sum_k e^{x_k}$，再记 $[c = k]$：$c = k$ 时为 1，否则为 0。由商的求导法则，
#
# $$ \frac{\partial y_c}{\partial x_k} = \frac{[c = k]\, e^{x_c} S - e^{x_c} e^{x_k}}{S^2} = y_c\,([c = k] - y_k) $$
#
# 这是一个矩阵，叫**雅可比矩阵**（Jacobian）。当 $y = 1/8, 2/8, 5/8$ 时，它的元素都是整数除以 64。先自己算出一行。

# %%
jacobian = np.diag(shares) - np.outer(shares, shares)
print("64 · Jacobian =\n", (64 * jacobian).round().astype(int))
assert np.allclose(64 * jacobian, [[7, -2, -5], [-2, 12, -10], [-5, -10, 15]])
assert np.allclose(jacobian.sum(1), 0)

# %% [markdown]
# 问：为什么每一行的和都是 0？为什么它是对称的？
#
# <details><summary>参考答案</summary>
#
# 给所有得分加同一个数，什么也不变。又因为 $y_c y_k = y_k y_c$。
#
# </details>
#
# 没有人真去构造这个矩阵：类别有 $C$ 个，它就有 $C^2$ 个数；可是乘上 $g$ 之后，
#
# $$ \frac{\partial L}{\partial x_c} = \sum_k g_k\, y_k\,([k = c] - y_c) = y_c \Big( g_c - \sum_k g_k\, y_k \Big) $$
#
# 所有类别共用一个和，然后每类只做一次乘积。用文字来说：以份额为权，求 $g$ 的平均；哪里的 $g_c$ 高于这个平均，
# 哪里的 $\partial L/\partial x_c$ 就是正的。

# %%
t = trace.softmax(scores, g=[0, 0, 1])
t.show()
assert np.allclose(t.final["gx"][0, :, 0], jacobian[2])

# %%
t

# %% [markdown]
# ## 交叉熵：错了多少
#
# 样本属于类别 $t$，它的损失就是这一类所得份额的负对数：
#
# $$ \ell = -\ln y_t = \ln \sum_k e^{x_k} - x_t $$
#
# 份额全给了正确的类别：$-\ln 1 = 0$。给了一半：0.69。几乎没给：要多大有多大。我们的例子给了 5/8（打印的第二行说：
# 什么都不懂的网络给每一类 1/C）：

# %%
loss = F.cross_entropy(tinymed.tensor(scores)[None], tinymed.tensor([2]))
print(f"-ln(5/8) = {loss.item():.4f}")
assert np.isclose(loss.item(), -np.log(5 / 8))
assert round(loss.item(), 2) == 0.47
print(f"a network that knows nothing gives 1/C to each: ln 2 = {np.log(2):.4f}, ln 10 = {np.log(10):.4f}")

# %% [markdown]
# 记住 $\ln C$：训练时打印的第一个损失，应当在它附近；网络起步时远高于它，就是起步没起好。
#
# ## 它的梯度就是误差
#
# 从 $\ell = \ln \sum_k e^{x_k} - x_t$ 出发，根本用不着雅可比矩阵：
#
# $$ \frac{\partial \ell}{\partial x_c} = \frac{e^{x_c}}{\sum_k e^{x_k}} - [c = t] = y_c - [c = t] $$
#
# 说出的减去真实的：$1/8,\; 2/8,\; 5/8 - 1$。这就回答了开头的问题：正确类别的得分该升，第一个得分该降，
# 前者的幅度是后者的三倍（3/8 比 1/8）。

# %%
t = trace.cross_entropy(scores, 2, g=1)
t.show()
assert np.allclose(t.final["gx"][0, :, 0], [1 / 8, 2 / 8, -3 / 8])
assert np.allclose(jacobian @ [0, 0, -8 / 5], [1 / 8, 2 / 8, -3 / 8])  # the long way: Jacobian, then −1/y of the class

# %%
t

# %% [markdown]
# 上面最后一条断言走的是远路：先是 $\partial \ell/\partial y_t = -1/y_t = -8/5$，再乘雅可比矩阵，$y_t$
# 就约掉了。这也暴露出一个危险。浮点数里一旦 $y_t = 0$，远路算的是 $0 \cdot \infty$；近路得到的是大小为 1 的梯度。
#
# 样本成**批**（batch）时，损失是 $N$ 个样本的平均，所以每个梯度都要除以 $N$。手写反向时，
# 忘了这一步是常见的错误；程序不会崩溃，只是步子成了原来的 $N$ 倍。

# %%
x = tinymed.tensor(np.stack([scores, scores]), requires_grad=True)
F.cross_entropy(x, tinymed.tensor([2, 0])).backward()
print("16 · gradient of the mean of two =\n", (16 * x.grad.numpy()).round(9))
assert np.allclose(16 * x.grad.numpy(), [[1, 2, -3], [-7, 2, 5]])

# %% [markdown]
# ## 为什么损失函数要的是得分
#
# `F.cross_entropy` 接收的是得分，不是份额，这里如此，PyTorch 也如此；光看名字看不出来。（Keras 的接收份额，除非用
# `from_logits=True` 说明。）下面用 float32 把两种做法都试一遍，样本的正确类别落后 $s$ 分。真正的损失是
# $\ln(1 + e^s)$，正确得分的真正梯度几乎就是 $-1$。（表中左边两列先算份额再取对数，右边两列直接从得分算，
# 各是损失和梯度。）

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
# 两个类别配 $\sigma$ 时也是这样，只是更不声不响，因而更糟。在 float32 里，$\sigma(20)$ 恰好是 1，于是 $1 - p$
# 是 0，它的对数是 $-\infty$，PyTorch 和本引擎把它截在 $-100$。这样一来，错得最厉害的那个样本，损失是错的，
# 梯度是 0：偏偏是它，什么也教不了网络。

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
# 文章的代码用的是前一种写法：`Dense(1, activation='sigmoid')`，然后是 `binary_crossentropy`。所以 `tinymed.keras`
# 在训练时把末尾的 $\sigma$ 拿掉，到 `predict` 再放回去；网络 `training.article_cnn` 里根本没有 $\sigma$。
# `binary_cross_entropy_with_logits` 背后的公式是
#
# $$ \ell = \ln(1 + e^{x}) - t\,x = \max(x, 0) - t\,x + \ln(1 + e^{-|x|}), \qquad
#    \frac{\partial \ell}{\partial x} = \sigma(x) - t $$
#
# 第二种写法里，没有一个指数大于 0。又是说出的减去真实的。引擎里又是另一种写法：$\ln(1 + e^x) = x + \ln(1 + e^{-x})$，
# 所以 $\ell = (1 - t)\,x + \ln(1 + e^{-x})$，而 `np.logaddexp(0, -x)` 就是这个对数，不会溢出。
# 其中的 `p` 是正类的权重。

# %%
print(inspect.getsource(BCEWithLogits))

# %% [markdown]
# ## 两个类别：softmax 就是 sigmoid
#
# 分子分母同除以 $e^{x_1}$：
#
# $$ y_1 = \frac{e^{x_1}}{e^{x_0} + e^{x_1}} = \frac{1}{1 + e^{-(x_1 - x_0)}} = \sigma(x_1 - x_0) $$
#
# 所以，`Dense(1, "sigmoid")` 配二元交叉熵，与 `Dense(2, "softmax")` 配交叉熵，是同一个模型；后者多了一列权重，
# 因为起作用的只有差。

# %%
rng = np.random.default_rng(0)
x, t = tinymed.tensor(rng.standard_normal((6, 2))), tinymed.tensor([0, 1, 1, 0, 1, 0])
difference = x[:, 1] - x[:, 0]
assert tinymed.allclose(F.softmax(x, 1)[:, 1], F.sigmoid(difference))
two, one = F.cross_entropy(x, t), F.binary_cross_entropy_with_logits(difference, t.to("float64"))
print(f"cross-entropy of two scores {two.item():.6f}, binary cross-entropy of their difference {one.item():.6f}")
assert np.isclose(two.item(), one.item())

# %% [markdown]
# ## 为什么不用平方误差
#
# $(\sigma(x) - t)^2$ 也是一种损失，而且和交叉熵一样，在 $\sigma(x) = t$ 处最小。它的梯度里含有 sigmoid 的斜率：
#
# $$ 2\,(\sigma(x) - t) \cdot \sigma(x)\,(1 - \sigma(x)) $$
#
# 答案错了**又很有把握**的时候，这个梯度接近 0。交叉熵没有这个因子，它的对数把它消掉了。
# 图的左边两格是一个样本（目标为 1）的损失和梯度；右边一格是一个完整的模型，得分 $= w x + b$，七个样本，
# 起步时错了又很有把握（纵轴是 $w$，横轴是步数）：用平方误差，梯度下降走 60 步也扭转不过来。

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
# ## 类别不均衡，标签又不太可靠时
#
# **类别权重**：每个样本的损失乘上它那一类的一个数，梯度也就乘上了它。“均衡”的权重是 $N / (C \cdot N_c)$，
# 让每一类的总分量相同。BreastMNIST 的训练集有 546 张图片，其中 147 张是恶性：

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
# 留意平均的算法：带权重时，平均是 $\sum w \ell / \sum w$，PyTorch 和这里都是，而不是 $\sum w \ell / N$。
#
# **标签平滑**（`label_smoothing`，$\varepsilon$）把正确类别的目标定为 $1 - \varepsilon + \varepsilon/C$，其余类别定为
# $\varepsilon/C$。用硬标签时，有限的得分都达不到损失 0：训练多久，得分就涨多久。$\varepsilon > 0$ 时，
# 最佳的得分就是使份额等于目标的那些。
#
# ## 梯度检验
#
# softmax、它的对数以及这些损失都没有折点，在哪里检验都行。检验时要给输出加上随机的权重。问：如果只把 softmax
# 的输出加起来，也就是权重全取 1，为什么错误的反向也能通过？
#
# <details><summary>参考答案</summary>
#
# 和恒为 1：它的梯度是 0，而许多错误的反向，在这里也给出 0。
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
# ## 快速内核有什么不同
#
# 如果公式里有一个符号就写一个运算，softmax 和交叉熵就要在得分上一遍又一遍地走，每走一遍都留下一个数组。
# `kernels/numba_loss.py` 一次取一行，趁它还在离处理器最近的缓存里，把该做的全做完，只留下份额 $p$；反向就是
# $p$，在一个位置上减去 1。（打印的第一行是一遍做完，第二行是逐个运算。）

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
# ## 练习
#
# > **练习 5.1.** 写 `my_softmax(x)`：得分为 (N,C)，一行一个样本。得分到了 $\pm 1000$ 也要算得对。


# %% tags=["exercise"]
def my_softmax(x):
    ### BEGIN SOLUTION
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)
    ### END SOLUTION


# %% tags=["check"]
check("softmax_stable", my_softmax)

# %% [markdown]
# > **练习 5.2.** 写 `my_softmax_backward(g, y)`：由 $g = \partial L/\partial y$ 和 $y$（都是 (N,C)）求
# > $\partial L/\partial x$，不构造雅可比矩阵。
#
# <details><summary>提示</summary>
#
# $\sum_k g_k y_k$ 是每行一个数；用 `keepdims=True`，就能从每一列里减去它。
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
# > **练习 5.3.** 写 `my_cross_entropy_gradient(x, t)`：由得分 (N,C) 和类别 (N)，求**平均**损失的梯度 (N,C)。


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
# > **练习 5.4.** 写 `my_bce_with_logits(x, t)`：由形状相同的得分和目标，求每个样本的损失，得分为 $\pm 1000$
# > 时也要对。先推导“为什么损失函数要的是得分”一节里 $\ell$ 的第二种写法：$\max(x, 0)$ 是从哪里来的？


# %% tags=["exercise"]
def my_bce_with_logits(x, t):
    ### BEGIN SOLUTION
    return np.maximum(x, 0) - t * x + np.log1p(np.exp(-abs(x)))
    ### END SOLUTION


# %% tags=["check"]
check("bce_with_logits_stable", my_bce_with_logits)

# %% [markdown]
# > **练习 5.5.** 写 `my_relu6_backward(g, x)`。在两个折点上，照引擎的做法。


# %% tags=["exercise"]
def my_relu6_backward(g, x):
    ### BEGIN SOLUTION
    return g * ((x > 0) & (x < 6))
    ### END SOLUTION


# %% tags=["check"]
check("relu6_backward", my_relu6_backward)

# %% [markdown]
# > **练习 5.6.** 想一想：一个网络要判断五种疾病，病人可能同时患几种。用 softmax，还是用五个 sigmoid？
#
# <details><summary>参考答案</summary>
#
# 用五个 sigmoid，每个配自己的二元交叉熵。softmax 让各个份额互相竞争：它们的和是 1，所以要看出第二种疾病，
# 就只能怀疑第一种。
#
# </details>
#
# ## 要点
#
# - 中间没有弯，多少层都会塌成一层。斜率为 0，梯度就被拦住：在 sigmoid 两端的平坦处是这样，在死掉的 ReLU
#   里更是永远如此。
# - softmax 只看得见差。先减去最大值，每次都要。
# - softmax 和交叉熵是一家：梯度就是说出的减去真实的，$(p - [c = t]) / N$。
# - 损失函数要的是得分。喂给它概率，错得最厉害的样本可能什么也教不了。
#
# **接下来打开** `kernels/reference_activation.py`：这一整课都在里面，三屏就能看完。然后打开 `tinymed/ops/loss.py`，
# 看 `CrossEntropy`。PyTorch 的 `F.cross_entropy` 和 `F.binary_cross_entropy_with_logits` 名字相同、参数相同，
# 算出的数也相同。
