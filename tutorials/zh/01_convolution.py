# %% [markdown]
# # 01 · 卷积
#
# *文章 3.1.1、4.1.1 · 60 分钟 · `kernels/reference.py`、`tinymed/ops/conv.py`*
#
# 放射科医生看片，找的是细小的东西：一条边缘、一个斑点、一段不光滑的边界。卷积用同一组权重，
# 在图像的每一个位置上找同一种细小的东西。学完这一课，你能手算卷积，能说出输出是什么形状，也能自己写出这几重循环。

# %%
import inspect

import matplotlib.pyplot as plt
import numpy as np

import tinymed
import tinymed.nn.functional as F
from tinymed.data import make_breast_phantoms
from tinymed.kernels import reference
from tinymed.teach import check, trace

_ = tinymed.manual_seed(0)

# %% [markdown]
# ## 文章怎么说
#
# 4.1.1 节把卷积写成一个窗口上的求和：
#
# $$ \text{卷积} = \sum_{i=1}^{m} w_i * f(x_i) $$
#
# 文章说，$w_i$ “为卷积核”，也就是卷积核里的数；$f(x_i)$ “为输入特征”，也就是它盖住的输入里的数。
# $f$ 做什么，文章没有解释；输入的数在相乘之前并没有变，所以把 $f(x_i)$ 读作 $x_i$ 就行。
# 这样得到的只是输出中的一个数。公式没有说窗口怎样移动，到了边界怎么办，有多个通道时又怎么办。写完整是
#
# $$ y_{n,o,i,j} = b_o + \sum_{c} \sum_{u} \sum_{v} w_{o,c,u,v} \cdot x_{n,\,c,\;i s + u d - p,\;j s + v d - p} $$
#
# | 字母 | 它数的是什么 |
# |---|---|
# | $n$ | 一**批**（batch，放在一起算的）$N$ 幅图像中的第几幅 |
# | $o$ | $O$ 个卷积核中的第几个，也就是输出的第几个通道 |
# | $i, j$ | 输出的行和列，共 $OH$ 行、$OW$ 列 |
# | $c$ | 输入的**通道**（channel）：同一处的 $C$ 张图之一，例如红、绿、蓝 |
# | $u, v$ | 卷积核的行和列，共 $KH$ 行、$KW$ 列 |
# | $s$ | **步幅**（stride）：从一个输出到下一个，窗口移动多远 |
# | $p$ | **填充**（padding）：图像四周补几圈零 |
# | $d$ | **膨胀率**（dilation）：卷积核的格子之间隔多远，多半是 1 |
#
# 图像有 $H$ 行、$W$ 列。形状也用这些大写字母来写：$x$ 是 (N,C,H,W)，$w$ 是 (O,C,KH,KW)，$y$ 是 (N,O,OH,OW)。
# 下标落到图像之外时，$x$ 算作 0：所谓填充，不过如此。

# %% [markdown]
# ## 同样的字母，写成代码
#
# `kernels/reference.py` 里，全部内容就是下面这些：`products` 走遍每一组 $(n, o, i, j, c, u, v)$，
# 给出彼此对应的三个位置，依次在 $y$、$w$、$x$ 里；其中 `h, q` 是图像的行和列。
#
# > **一个字母，两个意思。** 公式里的 $s$ 是步幅。代码里的 `s` 是全部尺寸，步幅只是其中一项：竖直方向是 `s.SH`，
# > 水平方向是 `s.SW`。
#
# 同样，`s.PH, s.PW` 是填充 $p$，`s.DH, s.DW` 是膨胀率 $d$；`s.H`、`s.KH`、`s.OH` 等等就是上面那些大写字母。
# `s.G` 是分组数，多半是 1，它把通道分成几组。

# %%
print(inspect.getsource(reference.products))
print(inspect.getsource(reference.conv2d))

# %% [markdown]
# ## 手算
#
# 文章的例子（4.1.3）：图像是 1…9，卷积核是 2x2 的单位矩阵。左上角的窗口盖住 1、2、4、5：
#
# $$ y_{0,0} = 1 \cdot 1 + 0 \cdot 2 + 0 \cdot 4 + 1 \cdot 5 = 6 $$
#
# 文章在这里印的是 5，第 04 课专门讲这件事。运行下面的单元格之前，先把另外三个数算出来。
#
# `F.conv2d` 要的是成批的、带通道的图像。`[None, None]` 在前面添两个长度为 1 的轴：3x3 的图像变成 (1,1,3,3)，
# 即一幅图像、一个通道；卷积核变成 (1,1,2,2)。`[0, 0]` 再把这两个轴去掉。

# %%
image = np.arange(1.0, 10.0).reshape(3, 3)
kernel = np.eye(2)
by_hand = np.array(
    [
        [1 * 1 + 0 * 2 + 0 * 4 + 1 * 5, 1 * 2 + 0 * 3 + 0 * 5 + 1 * 6],
        [1 * 4 + 0 * 5 + 0 * 7 + 1 * 8, 1 * 5 + 0 * 6 + 0 * 8 + 1 * 9],
    ]
)
y = F.conv2d(tinymed.tensor(image)[None, None], tinymed.tensor(kernel)[None, None])
print(y[0, 0].numpy())
assert (y[0, 0].numpy() == by_hand).all()

# %% [markdown]
# ## 一步一步看
#
# 跟踪（trace）就是上面那几重循环：用你给的数跑一遍，逐行记下来。在终端里用 `t.play()` 或 `tinymed step conv`。在
# notebook 里，只写着 `t` 的那个单元格会把它显示出来，用方向键一步步走。

# %%
t = trace.conv2d(image, kernel)
t.show(5)
assert (t.final["y"] == y.numpy()).all()

# %%
t

# %% [markdown]
# 把卷积核、步幅、填充换一换，再看一遍。这里取填充 1、步幅 2。落在填充上的步骤根本不出现：加 0 等于没加。
# （最后打印的一行说：没有填充时有多少个乘积，步幅 2、填充 1 时又有多少个。）

# %%
strided = trace.conv2d(image, kernel, stride=2, padding=1)
print(strided.final["y"][0, 0])
print(f"{len(t)} products without padding, {len(strided)} with stride 2 and padding 1")

# %% [markdown]
# ## 输出是什么形状
#
# 窗口的第一行可以停在 $0, s, 2s, \dots$，只要它的最后一行还在填充后的图像之内：
#
# $$ OH = \left\lfloor \frac{H + 2p - d\,(KH - 1) - 1}{s} \right\rfloor + 1 $$

# %%
for n, k, stride, padding in [(28, 3, 1, 0), (28, 3, 1, 1), (28, 3, 2, 1), (28, 5, 2, 0)]:
    x = tinymed.zeros(1, 1, n, n)
    w = tinymed.zeros(1, 1, k, k)
    rows = F.conv2d(x, w, stride=stride, padding=padding).shape[2]
    assert rows == (n + 2 * padding - k) // stride + 1
    print(f"{n} rows, kernel {k}, stride {stride}, padding {padding} -> {rows} rows")

# %% [markdown]
# ## 这算卷积吗
#
# 数学里的卷积，是把卷积核倒着走一遍。深度学习不翻转：在网络里，PyTorch、TensorFlow 和 JAX 叫作卷积的，
# 其实是**互相关**（cross-correlation）。对要学习的卷积核来说，这没有区别：真要翻转，
# 它学到的无非是翻转过来的那组数。（下面打印的第一行是互相关，第二行是真正的卷积。）

# %%
lopsided = np.array([[1.0, 2.0], [3.0, 4.0]])
across = F.conv2d(tinymed.tensor(image)[None, None], tinymed.tensor(lopsided)[None, None])
flipped = F.conv2d(tinymed.tensor(image)[None, None], tinymed.tensor(lopsided[::-1, ::-1].copy())[None, None])
print("cross-correlation", across[0, 0].tolist())
print("true convolution ", flipped[0, 0].tolist())
assert (across.numpy() != flipped.numpy()).all()

# %% [markdown]
# ## 卷积核看到什么
#
# 每个卷积核在每个位置上回答同一个问题。下面的图片是生成的（`make_breast_phantoms`），不是任何病人的。图中从左到右：
# 生成的图片，以及四个卷积核的响应：竖直边缘、水平边缘、平均、斑点。蓝色为正，红色为负。这里不加填充：
# 亮的图片四周围上零，本身就成了一条边缘。

# %%
phantom, label = make_breast_phantoms(8, seed=1)[1]
kernels = {
    "vertical edges": [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]],
    "horizontal edges": [[-1, -2, -1], [0, 0, 0], [1, 2, 1]],
    "average": np.full((3, 3), 1 / 9),
    "spots": [[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]],
}
fig, axes = plt.subplots(1, 5, figsize=(12, 2.9), layout="constrained")
axes[0].imshow(phantom[0].numpy(), cmap="gray")
axes[0].set_title("generated picture")
for ax, (name, numbers) in zip(axes[1:], kernels.items()):
    w = tinymed.tensor(np.array(numbers, np.float32))[None, None]
    feature_map = F.conv2d(phantom[None], w)[0, 0].numpy()
    shown = ax.imshow(feature_map / abs(feature_map).max(), cmap="RdBu", vmin=-1, vmax=1)
    ax.set_title(name)
for ax in axes:
    ax.set_xticks([])
    ax.set_yticks([])
fig.colorbar(shown, ax=axes, label="response / its largest", shrink=0.8)
plt.show()

# %% [markdown]
# ## 多个通道，多个卷积核
#
# 输入有 $C$ 个通道时，一个卷积核就有 $C$ 片，求和也要跑遍这些片：一个卷积核仍然只得到一张特征图。有 $O$
# 个卷积核，就有 $O$ 张。

# %%
x, w = tinymed.randn(2, 3, 8, 8), tinymed.randn(5, 3, 3, 3)
print(tuple(x.shape), "*", tuple(w.shape), "->", tuple(F.conv2d(x, w).shape))
colour = trace.conv2d(np.ones((2, 3, 3)), np.ones((1, 2, 2, 2)))
print(f"one output of two channels and a 2x2 kernel is a sum of {2 * 2 * 2}: {colour.final['y'][0, 0, 0, 0]:g}")
assert colour.final["y"][0, 0, 0, 0] == 8

# %% [markdown]
# ## 反向：先看一眼
#
# 每个乘积 $w \cdot x$ 都加进了某一个 $y$。所以 $\partial L / \partial w$ 收集 $x \cdot g$，
# $\partial L / \partial x$ 收集 $w \cdot g$，用的正是同一批乘积，其中 $g = \partial L / \partial y$。
# 循环还是那几重循环，只是等号左边换了一个数组。第 02 课慢慢讲；这里先检验引擎算得对不对。

# %%
back = trace.conv2d(image, kernel, g=1)
print("dL/dx", back.final["gx"][0, 0].tolist())
print("dL/dw", back.final["gw"][0, 0].tolist())
x, w = tinymed.randn(1, 2, 4, 4, dtype="float64"), tinymed.randn(3, 2, 3, 3, dtype="float64")
assert tinymed.gradcheck(F.conv2d, (x.requires_grad_(), w.requires_grad_()))

# %% [markdown]
# ## 快速内核有什么不同
#
# 数一样，次序不一样。`kernels/numpy_backend.py` 把每个窗口摊平成矩阵的一列（im2col），然后只做一次矩阵乘法；
# `kernels/numba_conv.py` 让一小块输出一直留在处理器的寄存器里，从不构造那个矩阵。第 13 课会测量它们。
# 这里有的几种都必须与循环的结果一致（打印的是各个后端与循环最多相差多少）：

# %%
x, w = tinymed.randn(2, 3, 8, 8), tinymed.randn(4, 3, 3, 3)
answers = {}
for backend in dict.fromkeys(("reference", "numpy", tinymed.get_backend())):
    with tinymed.use_backend(backend):
        answers[backend] = F.conv2d(x, w).numpy()
    print(f"{backend:<9} differs from the loops by at most {abs(answers[backend] - answers['reference']).max():.0e}")
    assert np.allclose(answers[backend], answers["reference"], atol=1e-5)

# %% [markdown]
# ## 练习
#
# 怎样做练习（这一课和以后各课都一样）：写好函数，运行它所在的单元格，再运行下面带 `check` 的那一格。如果用的是文件，
# 就运行这个文件（`python course/01_convolution.py`），它停在第一个没有写或者写错了的练习上。检查会指出第一个错的数；
# 错误若是它认得的，也会说出来。想一步一步看自己的循环，就用 `trace.function(my_conv2d_single, image, kernel)`。
#
# > **练习 1.1.** 写 `output_size(n, k, stride, padding)`，由输入的 `n` 行求输出有几行。
#
# <details><summary>提示</summary>
#
# 数一数窗口可以从哪些位置开始。从第一个到最后一个，中间容得下几个 `stride`？
#
# </details>


# %% tags=["exercise"]
def output_size(n, k, stride, padding):
    ### BEGIN SOLUTION
    return (n + 2 * padding - k) // stride + 1
    ### END SOLUTION


# %% tags=["check"]
check("conv2d_output_size", output_size)

# %% [markdown]
# > **练习 1.2.** 写 `my_conv2d_single(x, w)`，用循环求一幅图像 (H,W) 与一个卷积核 (KH,KW) 的卷积。步幅 1，无填充。


# %% tags=["exercise"]
def my_conv2d_single(x, w):
    ### BEGIN SOLUTION
    (H, W), (KH, KW) = x.shape, w.shape
    y = np.zeros((H - KH + 1, W - KW + 1))
    for i in range(y.shape[0]):
        for j in range(y.shape[1]):
            for u in range(KH):
                for v in range(KW):
                    y[i, j] += w[u, v] * x[i + u, j + v]
    return y
    ### END SOLUTION


# %% tags=["check"]
check("conv2d_single", my_conv2d_single)

# %% [markdown]
# > **练习 1.3.** 写 `my_conv2d(x, w, stride, padding)`，求一批图像 (N,C,H,W) 与多个卷积核 (O,C,KH,KW) 的卷积。
# > 步幅和填充任意。`np.pad` 或许用得上。可以只对 $i, j$ 写循环，其余交给 NumPy。
#
# `np.einsum` 是 NumPy 的求和号：`np.einsum("ij,jk->ik", a, b)` 就是 $\sum_j a_{i,j} \cdot b_{j,k}$，
# 即两个矩阵的乘积。字母是各轴的名字；箭头后面没有的字母，就对它求和。


# %% tags=["exercise"]
def my_conv2d(x, w, stride, padding):
    ### BEGIN SOLUTION
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    (N, _, H, W), (O, _, KH, KW) = x.shape, w.shape
    y = np.zeros((N, O, (H - KH) // stride + 1, (W - KW) // stride + 1))
    for i in range(y.shape[2]):
        for j in range(y.shape[3]):
            window = x[:, :, i * stride : i * stride + KH, j * stride : j * stride + KW]
            y[:, :, i, j] = np.einsum("ncuv,ocuv->no", window, w)
    return y
    ### END SOLUTION


# %% tags=["check"]
check("conv2d", my_conv2d)

# %% [markdown]
# ## 要点
#
# - 卷积就是一个加权和，用同一组权重在每个位置上重复。
# - 膨胀率为 1 时，输出的大小是 $\lfloor (H + 2p - KH)/s \rfloor + 1$。
# - 深度学习算的是互相关，却叫它卷积。
#
# **接下来打开** `kernels/reference.py`，看 `products`；再打开 `tinymed/ops/conv.py`，看 `Conv2d`：引擎的卷积，
# 前向加反向，不到二十行。PyTorch 的 `F.conv2d` 名字相同、参数相同，算出的数也相同。
