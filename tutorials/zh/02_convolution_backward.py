# %% [markdown]
# # 02 · 卷积的反向传播
#
# *文章 3.1.2、4.1.1 · 75 分钟 · `kernels/reference.py`、`tinymed/ops/conv.py`*
#
# 网络之所以能学习，是因为每个权重都得知了自己该往哪边动。学完这一课，你能说出卷积告诉权重、偏置和输入的各是什么，
# 为什么答案有三个，乘积表却只有一张，以及文章里的网络从来不看图像的哪些像素。

# %%
import inspect
import time

import matplotlib.pyplot as plt
import numpy as np

import tinymed
import tinymed.nn.functional as F
from tinymed.gradcheck import GradcheckError
from tinymed.kernels import numpy_backend, reference
from tinymed.kernels.shapes import conv_shape
from tinymed.ops.conv import Conv2d
from tinymed.teach import check, trace
from tinymed.training import article_cnn

tinymed.use_backend("numpy")  # arrays of a few numbers: nothing here is worth compiling
_ = tinymed.manual_seed(0)

# %% [markdown]
# ## 文章怎么说
#
# 3.1.2 节说，卷积核是“一组可训练的权重参数”。4.1.1 节给出前向的求和：
#
# $$ \text{卷积} = \sum_{i=1}^{m} w_{i} * f(x_i) $$
#
# 然后就停下了。权重凭什么可以训练，文章没有讲：一个数稍稍改变时，损失 $L$ 会改变多少？要问的数有三种：
#
# | 求什么 | 形状 | 谁要用 |
# |---|---|---|
# | $\partial L / \partial w$ | 与 $w$ 相同，(O,C,KH,KW) | 优化器，用它来移动 $w$ |
# | $\partial L / \partial b$ | 与 $b$ 相同，(O) | 优化器，用它来移动 $b$ |
# | $\partial L / \partial x$ | 与 $x$ 相同，(N,C,H,W) | 前一层，当作自己的 $g$ |
#
# 已知的是 $g = \partial L / \partial y$，形状与 $y$ 相同，(N,O,OH,OW)，由后一层传来。

# %% [markdown]
# ## 一次只看一个乘积
#
# > 往下读之前先想一想：在文章的例子里，图像是 3x3，卷积核是 2x2。把正中间的像素加 1，四个输出里有几个会变？各变多少？
#
# 前向时，$y$ 就是一串乘积，每个乘积都加到某一个输出上：
#
# $$ y_{n,o,i,j} \mathrel{+}= w_{o,c,u,v} \cdot x_{n,c,h,q} \qquad h = is + ud - p, \quad q = js + vd - p $$
#
# 只看其中一个。$w$ 增加一点点 $\varepsilon$，这个乘积就增加 $\varepsilon x$，它所在的 $y$ 也增加这么多，
# 于是 $L$ 增加 $g \cdot \varepsilon x$。$x$ 增加 $\varepsilon$，$L$ 就增加 $g \cdot \varepsilon w$。
# 一个数如果出现在好几个乘积里，就把每个乘积给它的那一份加起来。整个推导就是这样：
#
# $$ \frac{\partial L}{\partial w_{o,c,u,v}} \mathrel{+}= x_{n,c,h,q} \cdot g_{n,o,i,j} \qquad
# \frac{\partial L}{\partial x_{n,c,h,q}} \mathrel{+}= w_{o,c,u,v} \cdot g_{n,o,i,j} $$
#
# 走的还是原来那张乘积表。偏置则是给本通道的每个输出各加了一次，所以
#
# $$ \frac{\partial L}{\partial b_o} = \sum_n \sum_i \sum_j g_{n,o,i,j} $$

# %% [markdown]
# ## 同样的字母，写成代码
#
# `products` 就是那张表，与第 01 课的是同一张。有三个函数沿着它走；请比较带 `+=` 的那几行。

# %%
for function in (reference.conv2d, reference.conv2d_input_grad, reference.conv2d_weight_grad):
    print(inspect.getsource(function))
print(inspect.getsource(reference.conv2d_bias_grad))

# %% [markdown]
# 在引擎里，前向和反向写在同一个类中。`ctx.needs` 说明哪些梯度有人要：第一层的 $\partial L / \partial x$
# 是对图片的梯度，没有人要，就不算了。

# %%
print(inspect.getsource(Conv2d))

# %% [markdown]
# ## 手算
#
# 文章的图像 1…9，以及它的卷积核，2x2 的单位矩阵。
# 设损失为 $L = 1 \cdot y_{0,0} + 2 \cdot y_{0,1} + 3 \cdot y_{1,0} + 4 \cdot y_{1,1}$，这样 $g$ 就是 1、2、3、4。
#
# - 正中间的像素，在第一个窗口里遇到 $w_{1,1} = 1$，在第二个里遇到 $w_{1,0} = 0$，在第三个里遇到 $w_{0,1} = 0$，
#   在最后一个里遇到 $w_{0,0} = 1$：
#   $\partial L / \partial x_{1,1} = 1 \cdot 1 + 0 \cdot 2 + 0 \cdot 3 + 1 \cdot 4 = 5$。
# - $w_{0,0}$ 在四个窗口里依次遇到 1、2、4、5：
#   $\partial L / \partial w_{0,0} = 1 \cdot 1 + 2 \cdot 2 + 4 \cdot 3 + 5 \cdot 4 = 37$。
# - $\partial L / \partial b = 1 + 2 + 3 + 4 = 10$。
#
# 前面那个问题的答案也在这里：正中间的像素落在全部四个窗口里，但其中两个窗口给它的权重是 0。所以有两个输出会变，各变 1。
# 运行下面的单元格之前，先算出四个角的像素和 $w_{1,1}$。

# %%
image = np.arange(1.0, 10.0).reshape(3, 3)
kernel = np.eye(2)
g = np.array([[1.0, 2.0], [3.0, 4.0]])

x = tinymed.tensor(image)[None, None].requires_grad_()
w = tinymed.tensor(kernel)[None, None].requires_grad_()
b = tinymed.zeros(1, dtype="float64").requires_grad_()
(F.conv2d(x, w, b) * tinymed.tensor(g)).sum().backward()

print("dL/dx\n", x.grad[0, 0].numpy())
print("dL/dw\n", w.grad[0, 0].numpy())
print("dL/db\n", b.grad.numpy())
assert x.grad[0, 0].tolist() == [[1, 2, 0], [3, 1 + 4, 2], [0, 3, 4]]
assert w.grad[0, 0].tolist() == [[37, 47], [67, 77]]
assert b.grad.tolist() == [10]
changed = F.conv2d(tinymed.tensor(image + (image == 5))[None, None], w) - F.conv2d(x, w)
assert changed[0, 0].tolist() == [[1, 0], [0, 1]]

# %% [markdown]
# ## 一步一步看
#
# 给了 `g`，跟踪在前向结束之后还会走下去：16 个乘积加到 $y$，同样的 16 个加到 `gx`，同样的 16 个加到 `gw`，
# 最后四个数加到 `gb`。偏置还给前向添了它自己的四步。（打印的四行是各段的第一步：前向、到 $x$、到 $w$、到 $b$。）

# %%
t = trace.conv2d(image, kernel, [0], g=g)
for phase, k in (("forward", 0), ("into x", 20), ("into w", 36), ("into b", 52)):
    print(f"{phase:<8} {t[k]}")
assert [step.twin for step in t] == (
    ["conv2d"] * 20 + ["conv2d_input_grad"] * 16 + ["conv2d_weight_grad"] * 16 + ["conv2d_bias_grad"] * 4
)
assert (t.final["gx"] == x.grad.numpy()).all()
assert (t.final["gw"] == w.grad.numpy()).all()

# %%
t

# %% [markdown]
# ## 输入的梯度是一个卷积
#
# 上面的循环在**散发**（scatter）：每个输出把一些东西抛回它窗口下的四个输入。换一边，站在一个输入的位置上问：
# 它会**收集**（gather）到什么？像素 $h$ 在窗口 $i = h - u$ 里遇到权重 $u$（步幅 1，无填充），所以
#
# $$ \frac{\partial L}{\partial x_{h,q}} = \sum_u \sum_v w_{u,v} \cdot g_{h-u,\,q-v} $$
#
# 其中 $g$ 在界外算作 0。负号表示倒着走过 $g$，或者说，倒着走过卷积核：令 $u' = KH - 1 - u$，$v' = KW - 1 - v$，
# 它又成了一个窗口上的求和：
#
# $$ \frac{\partial L}{\partial x_{h,q}} = \sum_{u'} \sum_{v'} w_{KH-1-u',\,KW-1-v'} \cdot
# g_{h+u'-(KH-1),\,q+v'-(KW-1)} $$
#
# 这是对 $g$ 做的一个卷积，填充为 $KH - 1$ 和 $KW - 1$（称为 **full**：卷积核与 $g$ 只要碰得上，那个位置就算），
# 卷积核转了半圈。有多个通道时，进去的是 $g$ 的 $O$ 个通道，出来的是 $x$ 的 $C$ 个通道，
# 所以卷积核的头两个轴要对调。这正是第 01 课里那个要翻转的、真正的卷积：前向是互相关，反向就是卷积。

# %%
x = tinymed.randn(2, 3, 6, 5, dtype="float64").requires_grad_()
w = tinymed.randn(4, 3, 3, 2, dtype="float64").requires_grad_()
y = F.conv2d(x, w)
g = tinymed.randn(*y.shape, dtype="float64")
y.backward(g)

turned = tinymed.tensor(w.detach().numpy()[:, :, ::-1, ::-1].swapaxes(0, 1).copy())  # (C,O,KH,KW)
gx = F.conv2d(g, turned, padding=(3 - 1, 2 - 1))
print(f"largest difference {abs(gx.numpy() - x.grad.numpy()).max():.0e}")
assert np.allclose(gx.numpy(), x.grad.numpy())

# %% [markdown]
# ## 权重的梯度也是
#
# $w_{o,c,u,v}$ 在每个窗口里遇到的是 $x_{n,c,i+u,j+v}$：
#
# $$ \frac{\partial L}{\partial w_{o,c,u,v}} = \sum_n \sum_i \sum_j g_{n,o,i,j} \cdot x_{n,c,i+u,j+v} $$
#
# 把 $g$ 看成一个很大的卷积核，在 $x$ 上滑动：它有 KH x KW 个位置可以停。现在求和走的是 $n$，
# 所以这一批图像扮演了原来通道的角色。这一次不翻转。

# %%
gw = F.conv2d(x.detach().transpose(0, 1), g.transpose(0, 1)).transpose(0, 1)  # x (C,N,H,W), g (O,N,OH,OW)
print(f"{tuple(gw.shape)}, largest difference {abs(gw.numpy() - w.grad.numpy()).max():.0e}")
assert np.allclose(gw.numpy(), w.grad.numpy())

# %% [markdown]
# ## 步幅在中间塞进零
#
# 步幅为 $s$ 时，相邻的窗口相距 $s$ 个像素。设想步幅为 1 的全部窗口都在，给那些被跳过的窗口 $g = 0$：
# $L$ 与它们毫无关系。所以，在 $g$ 的数与数之间放 $s - 1$ 个零，然后照旧去做。填充要裁掉：那里的梯度属于图像之外的零，
# 没有人要。步幅除不尽时，最后几行可能不在任何窗口里，它们得到 0。（打印的最后一句说：有 2 行不在任何窗口里，
# 一行是图像的最后一行，一行是填充。）

# %%
stride, padding, size = 3, 1, 9
x = tinymed.randn(1, 1, size, size, dtype="float64").requires_grad_()
w = tinymed.randn(1, 1, 3, 3, dtype="float64").requires_grad_()
y = F.conv2d(x, w, stride=stride, padding=padding)
g = tinymed.arange(1, y.numel() + 1, dtype="float64").reshape(y.shape)
y.backward(g)

apart = np.zeros((1, 1, (y.shape[2] - 1) * stride + 1, (y.shape[3] - 1) * stride + 1))
apart[:, :, ::stride, ::stride] = g.numpy()
print("g with zeros between\n", apart[0, 0].astype(int))
full = F.conv2d(tinymed.tensor(apart), tinymed.tensor(w.detach().numpy()[..., ::-1, ::-1].copy()), padding=2).numpy()
missing = size + 2 * padding - full.shape[2]  # rows that no window reached
full = np.pad(full, ((0, 0), (0, 0), (0, missing), (0, missing)))
gx = full[:, :, padding : padding + size, padding : padding + size]
print(f"{missing} rows in no window, the image's last and one of padding")
assert np.allclose(gx, x.grad.numpy())
assert missing == 2
assert (gx[0, 0, -1] == 0).all()

# %% [markdown]
# 求 $\partial L / \partial w$ 时，同样的零出现在 $g$ 里，而 $g$ 就是那个滑动的卷积核。
# 数与数之间夹着零的卷积核有个名字：**膨胀**（dilated）的卷积核。所以，前向的步幅，就是求权重梯度时的膨胀率。
# （打印的是：它有 5x5 个位置可以停，其中前 3x3 个是卷积核的。）

# %%
gw = F.conv2d(x.detach().transpose(0, 1), g.transpose(0, 1), padding=padding, dilation=stride).transpose(0, 1)
print("places for it:", tuple(gw.shape[2:]), "of which the kernel's are the first", tuple(w.shape[2:]))
assert np.allclose(gw.numpy()[:, :, :3, :3], w.grad.numpy())

# %% [markdown]
# ## 偏置为什么要对整批图像和所有位置求和
#
# 前向时，一个数 $b_o$ 被复制到 N·OH·OW 个输出。前向时复制了什么，反向时就对什么求和，因为每一份副本对 $L$
# 都有自己的影响，而影响是相加的。卷积核也是如此：它被复制到每一幅图像的每一个窗口。如果 $L$ 是一批样本的**平均**，
# $1/N$ 就已经在 $g$ 里了；再除一次，步子就只剩该走的 $1/N$。

# %%
y = tinymed.randn(8, 5, 4, 4, dtype="float64")
b = tinymed.zeros(5, dtype="float64").requires_grad_()
F.mse_loss(y + b[:, None, None], tinymed.zeros(8, 5, 4, 4, dtype="float64")).backward()
g = 2 * y.numpy() / y.numel()  # of the mean square: the 1/N is here
print(f"largest difference {abs(b.grad.numpy() - g.sum(axis=(0, 2, 3))).max():.0e}")
assert np.allclose(b.grad.numpy(), g.sum(axis=(0, 2, 3)))

# %% [markdown]
# ## 梯度检验
#
# 梯度是可以测量的：把一个数上下挪动一点点 $\varepsilon$，看 $L$ 变成多少，
#
# $$ \frac{\partial L}{\partial w} \approx \frac{L(w + \varepsilon) - L(w - \varepsilon)}{2\varepsilon} $$
#
# `tinymed.gradcheck` 对每个输入的每个数都这样做一遍（不超过 256 个数时；再多，就沿随机的方向做），用 float64，
# 并给各个输出配上随机的权重。它真能发现什么吗？下面这个卷积，反向时把权重的梯度翻转了。（打印的意思是：
# `Flipped` 的梯度错了，错在哪个输入的哪个下标；
# numeric 是测量的，analytic 是反向传播算的，ratio 是后者与前者之比。）


# %%
class Flipped(Conv2d):
    def backward(ctx, g):
        gx, gw, gb = Conv2d.backward(ctx, g)
        return gx, gw[..., ::-1, ::-1].copy(), gb


def broken_conv2d(x, w):
    shape = conv_shape(x.shape, w.shape, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1)
    return Flipped.apply(x, w, None, shape)


x = tinymed.randn(2, 2, 5, 5, dtype="float64").requires_grad_()
w = tinymed.randn(4, 2, 3, 3, dtype="float64").requires_grad_()
for how in ({}, {"stride": 2}, {"padding": 1}, {"stride": 2, "padding": 1, "dilation": 2}):
    assert tinymed.gradcheck(lambda x, w, how=how: F.conv2d(x, w, **how), (x, w))
assert tinymed.gradcheck(lambda x, w: F.conv2d(x, w, groups=2), (x, w[:, :1].detach().requires_grad_()))
try:
    tinymed.gradcheck(broken_conv2d, (x, w))
except GradcheckError as error:
    print(error)
else:
    raise AssertionError("a broken gradient went unnoticed")

# %% [markdown]
# ## 转置卷积就是输入的梯度
#
# 解码器要勾画病灶的掩膜，就得把特征图重新放大。它用的层叫**转置卷积**（transposed convolution），
# 也就是 `conv2d_input_grad` 的那几重循环，只是把小图放在 $g$ 的位置上。名字来自矩阵：把卷积写成一个矩阵 $A$，
# 它就是 $y = A x$，而对输入的梯度是 $A^T g$。它不是逆运算：还原的是形状（在能知道的范围内），从来不是数。

# %%
x = tinymed.randn(1, 2, 7, 7, dtype="float64").requires_grad_()
w = tinymed.randn(3, 2, 3, 3, dtype="float64")
y = F.conv2d(x, w, stride=2, padding=1)
g = tinymed.randn(*y.shape, dtype="float64")
y.backward(g)
enlarged = F.conv_transpose2d(g, w, stride=2, padding=1)
print(tuple(g.shape), "->", tuple(enlarged.shape))
assert np.allclose(enlarged.numpy(), x.grad.numpy())

columns = [F.conv2d(cell.reshape(x.shape), w, stride=2, padding=1).flatten() for cell in tinymed.eye(98).double()]
A = np.stack([column.numpy() for column in columns], axis=1)  # y = A·x, all at once
print("the convolution as a matrix", A.shape, f"of which {np.mean(A != 0):.0%} is not 0")
assert np.allclose(A @ x.detach().numpy().ravel(), y.detach().numpy().ravel())
assert np.allclose(A.T @ g.numpy().ravel(), x.grad.numpy().ravel())

# %% [markdown]
# ## 哪些输入得到多少
#
# 让每个权重和每个 $g$ 都等于 1，$\partial L / \partial x$ 就数出了每个像素落在几个窗口里。边界上要少一些。步幅为 2、
# 卷积核为 3x3 时，计数大小相间：转置卷积印在生成图片上的棋盘格，就是这么来的（Odena、Dumoulin 和 Olah 2016）。
# （图题依次写着卷积核、步幅和填充；格子里的数是含有这个像素的窗口数。）


# %%
def counts(size, k, stride, padding):
    x = tinymed.zeros(1, 1, size, size).requires_grad_()
    F.conv2d(x, tinymed.ones(1, 1, k, k), stride=stride, padding=padding).sum().backward()
    return x.grad[0, 0].numpy()


fig, axes = plt.subplots(1, 4, figsize=(12, 3.4), layout="constrained")
for ax, (k, stride, padding) in zip(axes, [(3, 1, 0), (3, 1, 1), (3, 2, 0), (2, 3, 0)]):
    number = counts(8, k, stride, padding)
    shown = ax.imshow(number, cmap="viridis", vmin=0, vmax=9)
    for (row, column), value in np.ndenumerate(number):
        ax.text(column, row, f"{value:g}", ha="center", va="center", color="white" if value < 6 else "black")
    ax.set_title(f"kernel {k}x{k}, stride {stride}, padding {padding}", fontsize=11)
    ax.set_xticks(range(0, 8, 2))
    ax.set_yticks(range(0, 8, 2))
    ax.set_xlabel("column")
axes[0].set_ylabel("row")
fig.colorbar(shown, ax=axes, label="windows that hold the pixel", shrink=0.85)
plt.show()
assert counts(8, 3, 1, 0).sum() == 9 * 6 * 6  # every product once
assert (counts(8, 3, 2, 0)[-1] == 0).all()  # the stride does not divide: a row that nobody sees

# %% [markdown]
# ## 一个输出看得见什么
#
# 把 $n$ 个 3x3 的卷积叠起来，问最后一张特征图正中间的那个数取决于什么：这就是它的**感受野**（receptive field）。
# 在纸上算，它宽 $2n + 1$ 个像素。反向传播能把它量出来：只在那一个数上放 $g = 1$，看哪些像素收到了东西，收到多少。
#
# > 运行之前想一想：感受野里的像素，分量都一样吗？
#
# （左边两幅图是 3 层和 12 层，虚线框是纸上算出的感受野。右图是宽度随层数的变化：蓝线是纸上算出的 $2n + 1$，
# 橙线是等权重时量得的，黑三角是随机权重时量得的；量得的宽度取四个标准差。）


# %%
def influence(depth, weights, channels=1, size=41):
    y = x = tinymed.zeros(1, 1, size, size, dtype="float64").requires_grad_()
    for _ in range(depth):
        y = F.conv2d(y, weights(channels, y.shape[1]), padding=1)
    y[0, 0, size // 2, size // 2].backward()
    return x.grad[0, 0].numpy()


def flat(O, C):
    return tinymed.full((O, C, 3, 3), 1 / 9, dtype="float64")


def drawn(O, C):
    return tinymed.randn(O, C, 3, 3, dtype="float64")


def width(share):
    """The standard deviation of the rows, each weighted by the share that it receives."""
    rows, along = np.arange(len(share)), share.sum(axis=1) / share.sum()
    return np.sqrt((along * (rows - rows @ along) ** 2).sum())


depths = range(1, 19)
uniform = [influence(n, flat) for n in depths]
random = {n: np.mean([influence(n, drawn, 4) ** 2 for _ in range(20)], axis=0) for n in (2, 6, 10, 14, 18)}
fields = [np.ptp(np.flatnonzero(share.sum(axis=1))) + 1 for share in uniform]

fig, axes = plt.subplots(1, 3, figsize=(12, 3.6), layout="constrained", width_ratios=[1, 1, 1.2])
fig.get_layout_engine().set(wspace=0.06)
for ax, depth in zip(axes, (3, 12)):
    share = uniform[depth - 1]
    shown = ax.imshow(share / share.max(), cmap="viridis", extent=(-20.5, 20.5, 20.5, -20.5))
    half = depth + 0.5
    ax.plot([-half, half, half, -half, -half], [-half, -half, half, half, -half], "w--", lw=1.2)
    ax.set_title(f"{depth} layers: field {2 * depth + 1} (dashed)", fontsize=11)
    ax.set_xlabel("pixels from the middle")
axes[0].set_ylabel("pixels from the middle")
fig.colorbar(shown, ax=axes[:2], label="influence, largest = 1", shrink=0.8)
axes[2].plot(depths, fields, "o-", color="#0072B2", ms=4, label="field on paper, 2n + 1")
axes[2].plot(depths, [4 * width(s) for s in uniform], "s-", color="#D55E00", ms=4, label="measured, equal weights")
axes[2].plot(list(random), [4 * width(s) for s in random.values()], "k^", ms=6, label="measured, random weights")
axes[2].set_xlabel("layers of 3x3")
axes[2].set_xticks(range(2, 19, 4))
axes[2].set_ylabel("width (pixels)")
axes[2].set_ylim(0, 56)
axes[2].set_title("width that matters: 4 standard deviations", fontsize=11)
axes[2].legend(loc="upper left")
axes[2].grid(alpha=0.3)
plt.show()

for n, share, field in zip(depths, uniform, fields):
    assert field == 2 * n + 1
    assert np.isclose(width(share), np.sqrt(2 * n / 3))
print(f"18 layers: the field is {fields[-1]} wide, its influence {4 * width(uniform[-1]):.1f}")
assert all(abs(width(s) / np.sqrt(2 * n / 3) - 1) < 0.25 for n, s in random.items())

# %% [markdown]
# 不一样：穿过各层到中间去的路有很多条，到每个角上的路只有一条。权重相等的一层，把传回来的东西摊开，就像随机游走的一步：
# 向左，不动，或者向右，权重各是 1/3。这一步的方差是 $(1 + 0 + 1)/3 = 2/3$。方差可以相加，所以 $n$ 层之后，
# 每个方向上的标准差是 $\sqrt{2n/3}$：感受野随 $n$ 增长，其中真正要紧的部分只随 $\sqrt n$ 增长。权重随机时，先平方，
# 再对抽出的 20 个四通道的网络求平均，情形也差不多。（Luo、Li、Urtasun 和 Zemel 2016 年的论文把它叫作**有效**感受野，
# effective receptive field。）
#
# 有了步幅，$2n + 1$ 就不够用了。先是 3x3 的卷积，再是 2x2、步幅 2 的池化，再是 3x3 的卷积，感受野依次是 1 → 3 → 4 → 8。
# 第一个 3x3 添 2 个像素，第二个添 4 个：池化之后，特征图上相邻的两个数，在图像里相隔两个像素。
# （打印的是量得的：一个输出看得见几行。）

# %%
x = tinymed.zeros(1, 1, 12, 12).requires_grad_()
ones = tinymed.ones(1, 1, 3, 3)
F.conv2d(F.avg_pool2d(F.conv2d(x, ones), 2), ones)[0, 0, 0, 0].backward()
print("rows that one output sees, measured:", np.count_nonzero(x.grad[0, 0, :, 0].numpy()))
assert np.flatnonzero(x.grad[0, 0, :, 0].numpy()).tolist() == list(range(8))

# %% [markdown]
# ## 文章的网络从来看不见什么
#
# 对文章代码（5.2）里的网络提同样的问题：28x28 的图片里，有哪些像素，不论输入什么，都收不到一点梯度？
# 梯度处处为零的像素，改变不了答案。（打印的第一行：没有梯度的是哪几行，列也一样；第二行：有多少个像素从来没有被看过。）

# %%
model = article_cnn()
pictures = tinymed.rand(32, 1, 28, 28).requires_grad_()
model(pictures).sum().backward()
blind = (pictures.grad.numpy() == 0).all(axis=(0, 1))
print(f"rows without gradient: {np.flatnonzero(blind.all(axis=1)).tolist()}, columns the same")
print(f"{blind.sum()} of {blind.size} pixels, {blind.mean():.1%}, are never looked at")
assert np.flatnonzero(blind.all(axis=1)).tolist() == np.flatnonzero(blind.all(axis=0)).tolist() == [26, 27]
assert blind.sum() == 28**2 - 26**2 == 108

painted = pictures.detach().numpy().copy()
painted[:, :, 26:] = painted[:, :, :, 26:] = 1000
with tinymed.no_grad():
    assert (model(tinymed.tensor(painted)).numpy() == model(pictures).numpy()).all()

# %% [markdown]
# 看尺寸就知道为什么：28 → 26 → 13 → 11 → 5，第二次池化只用了 11 行里的 10 行。第十一行丢掉了，
# 只有它看过的东西也跟着丢掉：图片的最后两行和最后两列。在那上面随便涂，答案连最后一位数字都不变。要是那里有个病灶，
# 不管网络学到了什么，都会漏掉。两个卷积都用填充 1（28 → 28 → 14 → 14 → 7），就什么也不会丢：

# %%
seeing = tinymed.nn.Sequential(
    tinymed.nn.Conv2d(1, 32, 3, padding=1),
    tinymed.nn.ReLU(),
    tinymed.nn.MaxPool2d(2),
    tinymed.nn.Conv2d(32, 64, 3, padding=1),
    tinymed.nn.ReLU(),
    tinymed.nn.MaxPool2d(2),
)
pictures = tinymed.rand(32, 1, 28, 28).requires_grad_()
maps = seeing(pictures)
maps.sum().backward()
print(tuple(maps.shape), "pixels without gradient:", (pictures.grad.numpy() == 0).all(axis=(0, 1)).sum())
assert (pictures.grad.numpy() != 0).any(axis=(0, 1)).all()

# %% [markdown]
# ## 快速内核有什么不同
#
# 散发的循环不能原样分给几个线程：两个重叠的窗口会加到同一个像素上，如果两个线程同时把它读出来、加上、写回去，
# 两次加法就会丢掉一次。同样的陷阱，NumPy 用一个线程就能演示：`a[places] += 1` 是先全部读出，再全部加上，再全部写回。
# （打印的 one addition is lost：丢了一次加法。）

# %%
a, places = np.zeros(3), [0, 1, 1, 2]
a[places] += 1
print("a[places] += 1      ", a, " one addition is lost")
assert a.tolist() == [1, 1, 1]
a[:] = 0
np.add.at(a, places, 1)
print("np.add.at(a, places)", a)
assert a.tolist() == [1, 2, 1]

# %% [markdown]
# 所以，快速内核把循环翻过来，直到每个结果都只有一个主人：
#
# - **输入**：收集。`kernels/numba_conv_grad.py` 把 $g$ 排成一行行，周围补上零，然后就在上面做前向的那个求和，
#   只是通道对调，各抽头（tap，即卷积核的一格）的偏移带上负号，这就是翻转。步幅塞进的零从不参与乘法：
#   行号除以步幅余数相同的像素，遇到的抽头也相同，每一个这样的**相位**（phase）自成一个小卷积。
#   每个任务独自负责若干幅完整的图像。
# - **权重**：每幅图像都要加到每个权重上，看不出谁是主人。于是每个任务把自己那几幅图像加到自己的一份 `gw` 里，
#   最后把这不多的几份加起来，次序永远不变。所以，只要线程数相同，得到的每一位数字就相同。
# - **偏置**：反正要读 $g$，顺路就把它的和求了。
#
# `kernels/numpy_backend.py` 的做法是一次矩阵乘法，然后让所有窗口同时把各自的第 $(u, v)$ 格加上去。对同一个 $(u, v)$，
# 没有两个窗口会碰到同一个像素，所以什么也不会丢，而且只剩下 KH·KW 次整张图的加法：

# %%
print(inspect.getsource(numpy_backend.conv2d_input_grad))

# %%
x, w = tinymed.randn(4, 3, 14, 14), tinymed.randn(8, 3, 3, 3)
shape = conv_shape(x.shape, w.shape, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1)
g = tinymed.randn(*shape.y).numpy()
answers = {}
for kernels in (reference, numpy_backend):
    start = time.perf_counter()
    answers[kernels] = kernels.conv2d_grad(g, x.numpy(), w.numpy(), shape)
    took = time.perf_counter() - start
    print(f"{kernels.__name__:<32} {1e3 * took:8.2f} ms for all three gradients")
for one, other in zip(*answers.values()):
    assert np.allclose(one, other, rtol=1e-4, atol=1e-4)

# %% [markdown]
# ## 练习
#
# > **练习 2.1.** 写 `my_bias_grad(g)`，求偏置的梯度。也就是由 $g$ (N,O,OH,OW) 求 $\partial L / \partial b$ (O)。
# > 一行就够了。


# %% tags=["exercise"]
def my_bias_grad(g):
    ### BEGIN SOLUTION
    return g.sum(axis=(0, 2, 3))
    ### END SOLUTION


# %% tags=["check"]
check("conv2d_bias_grad", my_bias_grad)

# %% [markdown]
# > **练习 2.2.** 写 `my_input_grad(g, w)`，用散发的循环求单通道时输入的梯度。也就是由 $g$ (OH,OW) 和 $w$ (KH,KW)
# > 求 $\partial L / \partial x$，步幅 1，无填充。$x$ 是什么形状？
#
# <details><summary>提示</summary>
#
# 把练习 1.2 的前向循环写下来，再改最里面那一行：三个数组里，现在该由哪一个来接收？
#
# </details>


# %% tags=["exercise"]
def my_input_grad(g, w):
    ### BEGIN SOLUTION
    (OH, OW), (KH, KW) = g.shape, w.shape
    gx = np.zeros((OH + KH - 1, OW + KW - 1))
    for i in range(OH):
        for j in range(OW):
            for u in range(KH):
                for v in range(KW):
                    gx[i + u, j + v] += w[u, v] * g[i, j]
    return gx
    ### END SOLUTION


# %% tags=["check"]
check("conv2d_single_input_grad", my_input_grad)

# %% [markdown]
# > **练习 2.3.** 写 `my_weight_grad(x, g)`，求卷积核的梯度。也就是由 $x$ (N,C,H,W) 和 $g$ (N,O,OH,OW)
# > 求 $\partial L / \partial w$ (O,C,KH,KW)，步幅 1，无填充。
# > 对 $u, v$ 的两重循环加上一个 `np.einsum` 就够了。求和走过的是哪些字母？


# %% tags=["exercise"]
def my_weight_grad(x, g):
    ### BEGIN SOLUTION
    (_, C, H, W), (_, O, OH, OW) = x.shape, g.shape
    gw = np.zeros((O, C, H - OH + 1, W - OW + 1))
    for u in range(gw.shape[2]):
        for v in range(gw.shape[3]):
            gw[:, :, u, v] = np.einsum("noij,ncij->oc", g, x[:, :, u : u + OH, v : v + OW])
    return gw
    ### END SOLUTION


# %% tags=["check"]
check("conv2d_weight_grad", my_weight_grad)

# %% [markdown]
# > **练习 2.4.** 写 `my_input_grad_full(g, w)`，只调用**一次**卷积，求输入的梯度。这回是收集：给你 $g$ (N,O,OH,OW)
# > 和 $w$ (O,C,KH,KW)，步幅 1，无填充。卷积可以是对张量用的 `F.conv2d`，也可以是你在练习 1.3 里写的那个。调用之前，
# > 要对 $g$ 和 $w$ 做三件事。


# %% tags=["exercise"]
def my_input_grad_full(g, w):
    ### BEGIN SOLUTION
    turned = w[:, :, ::-1, ::-1].swapaxes(0, 1)  # (C,O,KH,KW)
    border = (w.shape[2] - 1, w.shape[3] - 1)
    return F.conv2d(tinymed.tensor(g), tinymed.tensor(turned.copy()), padding=border)
    ### END SOLUTION


# %% tags=["check"]
check("conv2d_input_grad_full", my_input_grad_full)

# %% [markdown]
# > **练习 2.5.** 写 `my_input_grad_strided(g, w, size, stride, padding)`，步幅和填充任意时，求输入的梯度。
# > 图像是 `size` x `size`。要给出大小，是因为 $g$ 说不出来：卷积核为 3x3、步幅为 2 时，
# > 5 行的图像和 6 行的图像得到一样大的特征图。收集也好，散发也好，答案是同一个。
#
# <details><summary>提示</summary>
#
# 散发写起来短些：为填充后的图像建一个 $gx$，让窗口 $(i, j)$ 加到从 `i * stride` 开始的那几行上，最后裁边。
#
# </details>


# %% tags=["exercise"]
def my_input_grad_strided(g, w, size, stride, padding):
    ### BEGIN SOLUTION
    (N, _, OH, OW), (_, C, KH, KW) = g.shape, w.shape
    gx = np.zeros((N, C, size + 2 * padding, size + 2 * padding))
    for i in range(OH):
        for j in range(OW):
            window = gx[:, :, i * stride : i * stride + KH, j * stride : j * stride + KW]
            window += np.einsum("no,ocuv->ncuv", g[:, :, i, j], w)
    return gx[:, :, padding : padding + size, padding : padding + size]
    ### END SOLUTION


# %% tags=["check"]
check("conv2d_input_grad_strided", my_input_grad_strided)

# %% [markdown]
# > **练习 2.6.** 写 `receptive_field(kernels, strides)`，求各层依次用这些卷积核和步幅时，一个输出看得见图像的几行。
# > 池化也算一层。从一个只看见自己的像素开始，再问：一张特征图上相邻的两个数，在图像里相隔多远？


# %% tags=["exercise"]
def receptive_field(kernels, strides):
    ### BEGIN SOLUTION
    rows, step = 1, 1  # what one number sees; how far apart in the image two neighbours stand
    for k, s in zip(kernels, strides):
        rows += (k - 1) * step
        step *= s
    return rows
    ### END SOLUTION


# %% tags=["check"]
check("conv2d_receptive_field", receptive_field)

# %% [markdown]
# ## 要点
#
# - 一张乘积表就给出一切：$y$ 收集 $w \cdot x$，$\partial L / \partial x$ 收集 $w \cdot g$，$\partial L / \partial w$
#   收集 $x \cdot g$。
# - 前向时复制了什么，反向时就对什么求和：卷积核和偏置都要对整批图像和所有位置求和。
# - 输入的梯度，是用转了半圈的卷积核做一次 full 的互相关；步幅在中间塞进零，填充要裁掉。作为一层，它叫转置卷积。
# - 反向传播能量出网络在看什么。没有梯度的像素，网络没有看。
#
# **接下来打开** `tinymed/ops/conv_transpose.py`：它的前向就是这一课的反向，它的反向就是这一课的前向。
# 再打开 `kernels/numba_conv_grad.py`，看 `_backward`：在那里，把图像走一遍，三个梯度就都有了。
