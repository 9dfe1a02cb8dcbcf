# %% [markdown]
# # 03 · 池化
#
# *文章 3.1.1、4.1.2 · 60 分钟 · `kernels/reference.py`、`tinymed/ops/pool.py`*
#
# 池化看上去简单得不会出错：几个数里取最大的，或者取平均。可是论个头，哪一层藏的陷阱都没有它多：边界、并列、重叠，
# 还有一个它只兑现了一部分的承诺：图像平移了也没关系。学完这一课，你能把两种池化的前向和反向都算出来，
# 也能说出它们对一幅图片做了什么。

# %%
import inspect

import matplotlib.pyplot as plt
import numpy as np

import tinymed
import tinymed.nn.functional as F
from tinymed import nn
from tinymed.data import make_breast_phantoms
from tinymed.gradcheck import GradcheckError
from tinymed.kernels import reference
from tinymed.kernels.shapes import DEAD, conv_shape, pool_shape
from tinymed.teach import check, trace

tinymed.use_backend("numpy")  # arrays of a few numbers: nothing here is worth compiling
_ = tinymed.manual_seed(0)

# %% [markdown]
# ## 文章怎么说
#
# 4.1.2 节说：“池化操作用于减小特征图的尺寸，提高模型的泛化能力。”接着是两个公式，最大池化和平均池化：
#
# $$ \text{最大池化} = \max_{i=1}^{k} f(x_i) \qquad \text{平均池化} = \frac{1}{k} \sum_{i=1}^{k} f(x_i) $$
#
# “其中，$f(x_i)$ 为输入特征，$k$ 为窗口大小。”可见 $k$ 数的是格子。（可在 4.1.3 的例子里，“窗口大小为 2”说的却是边长：
# 窗口是 2x2，$k = 4$。）文章没有说的是：窗口怎样移动，到了边界怎么办，两个格子一样大怎么办，梯度怎样传回来。
# 每个通道各自池化。用第 01 课的字母写完整，就是
#
# $$ y_{n,c,i,j} = \max_{u,v}\; x_{n,\,c,\;i s + u - p,\;j s + v - p} \qquad
# y_{n,c,i,j} = \frac{1}{k} \sum_u \sum_v x_{n,\,c,\;i s + u - p,\;j s + v - p} $$
#
# 这里没有权重：池化什么也不学。

# %% [markdown]
# ## 同样的字母，写成代码
#
# `windows` 给出每个输出的那些格子，只算图像之内的；随后就是那两个公式。

# %%
for function in (reference.windows, reference.max_pool2d, reference.avg_pool2d):
    print(inspect.getsource(function))

# %% [markdown]
# ## 手算
#
# 还是图像 1…9，窗口 2x2，步幅 1。第一个窗口里是 1、2、4、5：最大的是 5，平均是 $(1 + 2 + 4 + 5)/4 = 3$。

# %%
image = np.arange(1.0, 10.0).reshape(3, 3)
x = tinymed.tensor(image)[None, None]
largest, average = F.max_pool2d(x, 2, stride=1), F.avg_pool2d(x, 2, stride=1)
print("max    ", largest[0, 0].tolist())
print("average", average[0, 0].tolist())
assert largest[0, 0].tolist() == [[5, 6], [8, 9]]
assert average[0, 0].tolist() == [[3, 4], [6, 7]]

# %% [markdown]
# 记住 5、6、8、9：第 04 课会在文章里遇到它们，只是换了个名字。

# %% [markdown]
# ## 一步一步看
#
# 这幅图像正中间最高；`g` 是 1、2、3、4，也就是说，损失为 $y_{0,0} + 2 y_{0,1} + 3 y_{1,0} + 4 y_{1,1}$。
# 每个 `if` 都在问：这个格子比目前最大的还大吗？`where` 记下的是胜者在窗口里的编号。（问句末尾有 `or np.isnan(…)`：NaN，
# not a number，“不是数”，例如 0/0 的结果；它算作最大，这样前面出的错就藏不住。）反向时，看看谁赢了。（打印的 winner
# in each window：各个窗口的胜者。）

# %%
hill = [[1, 2, 1], [2, 9, 2], [1, 2, 1]]
g = [[1, 2], [3, 4]]
t = trace.max_pool2d(hill, 2, stride=1, g=g)
t.show(4)
print("winner in each window ", t.final["where"][0, 0].astype(int).tolist())
print("dL/dx", t.final["gx"][0, 0].tolist())
assert t.final["gx"][0, 0].tolist() == [[0, 0, 0], [0, 1 + 2 + 3 + 4, 0], [0, 0, 0]]

# %%
t

# %%
average_trace = trace.avg_pool2d(hill, 2, stride=1, g=[[4, 8], [12, 16]])
average_trace.show(5)
print("dL/dx", average_trace.final["gx"][0, 0].tolist())
assert average_trace.final["gx"][0, 0].tolist() == [[1, 3, 2], [4, 10, 6], [3, 7, 4]]

# %% [markdown]
# ## 输出是什么形状
#
# 与同样大小的卷积核做卷积时一样，$OH = \lfloor (H + 2p - KH)/s \rfloor + 1$。有两个习惯不同：若不另外说明，
# 步幅就是窗口的大小，于是窗口一个挨着一个；还有 `ceil_mode=True`，它向上取整（打印的 rounded up），
# 把最后一个伸出边缘的窗口也留下，除非这个窗口要从图像之后才开始。

# %%
for n, size, stride, padding, up in [
    (28, 2, 2, 0, False),
    (11, 2, 2, 0, False),
    (11, 2, 2, 0, True),
    (4, 2, 3, 1, True),
    (9, 3, 2, 1, False),
]:
    rows = F.max_pool2d(tinymed.zeros(1, 1, n, n), size, stride, padding, ceil_mode=up).shape[2]
    room = n + 2 * padding - size
    expected = (-(-room // stride) if up else room // stride) + 1
    expected -= up and (expected - 1) * stride >= n + padding  # it would begin behind the image
    assert rows == expected
    print(f"{n} rows, window {size}, stride {stride}, padding {padding}{', rounded up' * up} -> {rows} rows")

# %% [markdown]
# ## 外面是什么
#
# > 一幅图像，每个数都是负的，做填充为 1 的最大池化。如果填充的是 0，左上角那个窗口里最大的是什么？
#
# 是 0，一个在图像里根本找不到的数。外面绝不能赢，所以对最大池化来说，填充算作 $-\infty$。在 ReLU 之后，
# 谁也看不出这个差别；换成得分、对数或归一化之后的数据，谁都看得出来。

# %%
negative = -np.arange(1.0, 17.0).reshape(1, 1, 4, 4)
right = F.max_pool2d(tinymed.tensor(negative), 2, padding=1)
zeros = np.pad(negative, ((0, 0), (0, 0), (1, 1), (1, 1)))
wrong = F.max_pool2d(tinymed.tensor(zeros), 2)
print("padded with -inf", right[0, 0].tolist())
print("padded with 0   ", wrong[0, 0].tolist())
assert right[0, 0].tolist() == [[-1, -2, -4], [-5, -6, -8], [-13, -14, -16]]
assert wrong[0, 0].tolist() == [[0, 0, 0], [0, -6, 0], [0, 0, 0]]

# %% [markdown]
# 平均池化没有这样的出路。要么把填充当作值为 0 的格子计入（`count_include_pad=True`，这里和 PyTorch 都默认如此），
# 于是边缘发暗；要么 $k$ 只数图像之内的格子，TensorFlow 就是这样。在一幅全是 1 的图像上：

# %%
ones = tinymed.ones(1, 1, 4, 4)
for count in (True, False):
    print(f"count_include_pad={count!s:<5}", F.avg_pool2d(ones, 2, padding=1, count_include_pad=count)[0, 0].tolist())
assert F.avg_pool2d(ones, 2, padding=1)[0, 0].tolist() == [[0.25, 0.5, 0.25], [0.5, 1, 0.5], [0.25, 0.5, 0.25]]
assert (F.avg_pool2d(ones, 2, padding=1, count_include_pad=False).numpy() == 1).all()

# %% [markdown]
# ## 反向
#
# **最大池化。** 设窗口里有一个格子 $x^*$ 比其他的都大。把任意一个格子挪动 $\varepsilon$，小到大小次序不变：
# $y$ 跟着 $x^*$ 走，对其他格子毫无反应。所以胜者的斜率是 1，其余的是 0；记 $g = \partial L / \partial y$，
#
# $$ \frac{\partial L}{\partial x^*} \mathrel{+}= g $$
#
# **平均池化。** 每个格子都有 $1/k$ 进了 $y$：对所有格子都有 $\partial L / \partial x \mathrel{+}= g / k$。
#
# 两处都写 $\mathrel{+}=$，因为窗口可能重叠，一个格子可能赢好几次：前面那座小山就赢了四次。最大池化只要记住谁赢了，
# 这就是 `where`。

# %%
print(inspect.getsource(reference.max_pool2d_grad))
print(inspect.getsource(reference.avg_pool2d_grad))

# %% [markdown]
# ## 并列
#
# > 一个窗口里，四个格子一样大。$g$ 该给谁？
#
# 这里没有斜率：把一个格子往上挪，$y$ 跟着走；往下挪，$y$ 不动。引擎取阅读次序中的第一个，PyTorch 也是。
# 让它们平分 $g$ 也行，`amax` 就是这样做的。**不行**的，偏偏是用 NumPy 写起来最自然的一行，
# `(window == window.max()) * g`：它给每个格子都付了一整份 $g$。
#
# 既然没有哪个是对的，凭什么说它错？因为有一个方向，就连在这里也有斜率：把**整幅图像**抬高 $\varepsilon$，
# 每个 $y$ 就都升高 $\varepsilon$。所以不管给谁，$\sum \partial L / \partial x$ 必须等于 $\sum g$。（打印的三行依次是：
# `max_pool2d` 给第一个；`amax` 平分；每个都给一整份，错了，因为四个格子一起动的斜率是 1。）

# %%
flat = tinymed.ones(1, 1, 2, 2, dtype="float64").requires_grad_()
F.max_pool2d(flat, 2).backward(tinymed.ones(1, 1, 1, 1, dtype="float64"))
first = flat.grad[0, 0].tolist()
flat.grad = None
flat.amax().backward()
shared = flat.grad[0, 0].tolist()
everyone = (np.ones((2, 2)) == 1) * 1.0
print("max_pool2d, the first", first, "sum", np.sum(first))
print("amax, shared         ", shared, "sum", np.sum(shared))
print("(x == max) * g       ", everyone.tolist(), "sum", everyone.sum(), " wrong: the slope along all four is 1")
assert first == [[1, 0], [0, 0]]
assert shared == [[0.25, 0.25], [0.25, 0.25]]
for up in (1e-3, -1e-3):
    moved = F.max_pool2d(flat.detach() + up, 2).item()
    assert np.isclose((moved - 1) / up, 1)

# %% [markdown]
# 真的会有并列吗？这里在 64 幅生成的图片（`make_breast_phantoms`，不是任何病人的）里，数一数 2x2 的窗口：
# 一是原样（as they are），二是像图像文件那样只有 256 级灰度（256 grey levels），三是 ReLU 之后的边缘图（edges after
# ReLU）。每行先打印并列的窗口占多少，再打印其中最大值不为 0 的占多少。

# %%
pictures = np.stack([picture.numpy() for picture, _ in make_breast_phantoms(64, seed=3, size=40)])
sobel = np.array([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]], np.float32)
edges = tinymed.tensor(np.stack([sobel, sobel.T, -sobel, -sobel.T])[:, None])


def edge_maps(pictures):
    return F.relu(F.conv2d(tinymed.tensor(pictures), edges, padding=1))


def ties(maps):
    """Which windows of 2x2 have several largest cells, and their largest."""
    cells = np.lib.stride_tricks.sliding_window_view(maps, (2, 2), (2, 3))[:, :, ::2, ::2]
    top = cells.max((-2, -1))
    return (cells == top[..., None, None]).sum((-2, -1)) > 1, top


for name, maps in {
    "as they are": pictures,
    "256 grey levels": np.round(pictures * 255),
    "edges after ReLU": edge_maps(pictures).numpy(),
}.items():
    tied, top = ties(maps)
    print(f"{name:<17} {tied.mean():6.1%} of the windows are ties, {(tied & (top != 0)).mean():.1%} above 0")
assert 0.2 < tied.mean() < 0.3
assert (tied & (top != 0)).mean() < 1e-3

# %% [markdown]
# ReLU 之后，大约四分之一的窗口是并列，而且几乎全是只有零的窗口。在那里，ReLU 自己的斜率就是 0，$g$ 给谁关系不大。
# 可是在图像文件那样的灰度级上，就有关系了。

# %% [markdown]
# ## 梯度检验
#
# 离开并列的地方，反向传播与差分一致，窗口重叠时也一样。在并列处，检验跟谁都不可能一致，它也照实说出来（打印的意思是：
# 此处不可导，一侧的斜率是 0，另一侧不是；请把输入从折点移开）。这不是引擎的错：那里本来就没有什么可找。

# %%
x = tinymed.randn(2, 2, 6, 6, dtype="float64").requires_grad_()
for size, stride, padding in [(2, 2, 0), (3, 1, 0), (3, 2, 1)]:
    assert tinymed.gradcheck(lambda x, how=(size, stride, padding): F.max_pool2d(x, *how), x)
    assert tinymed.gradcheck(lambda x, how=(size, stride, padding): F.avg_pool2d(x, *how), x)
try:
    tinymed.gradcheck(lambda x: F.max_pool2d(x, 2), flat.detach().requires_grad_())
except GradcheckError as error:
    print(error)
else:
    raise AssertionError("a kink went unnoticed")

# %% [markdown]
# ## 它对图片做了什么
#
# 窗口取 4x4，好看得清楚。最大池化让亮点变大，平均池化让图像模糊。下排画的是，每个输出都给梯度 1 时，梯度到了哪里：
# 每个窗口只给一个格子，还是平均给所有格子。右下角，窗口是 3x3，步幅 1，互相重叠：突出的格子最多赢九次，
# 大多数格子一次也不赢。（上排从左到右：输入、最大池化、平均池化；下排：最大池化的梯度、平均池化的梯度、
# 窗口重叠时最大池化的梯度。）

# %%
picture = tinymed.tensor(pictures[1:2, :, 4:36, 4:36].astype(float))


def gradient(pool):
    x = picture.detach().requires_grad_()
    pool(x).sum().backward()
    return x.grad[0, 0].numpy()


wins = gradient(lambda x: F.max_pool2d(x, 3, stride=1))
panels = [
    ("input, 32x32", picture[0, 0].numpy(), "gray"),
    ("max, windows 4x4", F.max_pool2d(picture, 4)[0, 0].numpy(), "gray"),
    ("average, windows 4x4", F.avg_pool2d(picture, 4)[0, 0].numpy(), "gray"),
    ("gradient of max, 4x4", gradient(lambda x: F.max_pool2d(x, 4)), "viridis"),
    ("gradient of average, 4x4", gradient(lambda x: F.avg_pool2d(x, 4)), "viridis"),
    ("gradient of max, 3x3, stride 1", wins, "viridis"),
]
fig, axes = plt.subplots(2, 3, figsize=(9, 6), layout="constrained")
for ax, (title, numbers, colours) in zip(axes.flat, panels):
    low = 0 if colours == "viridis" else picture.numpy().min()
    high = max(1, numbers.max()) if colours == "viridis" else picture.numpy().max()
    shown = ax.imshow(numbers, cmap=colours, vmin=low, vmax=high)
    ax.set_title(title, fontsize=11)
    ax.set_xticks([])
    ax.set_yticks([])
    fig.colorbar(shown, ax=ax, shrink=0.8, label="brightness" if colours == "gray" else "dL/dx")
plt.show()
print(f"3x3, stride 1: {(wins == 0).mean():.0%} of the cells win never, one wins {wins.max():g} times")
assert wins.sum() == 30 * 30  # as many wins as windows
assert (wins == 0).mean() > 0.5
assert wins.max() == 9

# %% [markdown]
# ## 平移图像，结果一样吗
#
# 文章说的“提高模型的泛化能力”，常常被讲成这样：病灶往右移一个像素，还是同一个病灶，而池化让网络也这样看。
# 这话有几分是真的？把图片平移几个像素，量一量边缘图改变了多少，以它本身的大小为单位：
#
# $$ \text{变化} = \frac{\lVert f(\text{平移后}) - f(\text{原图}) \rVert}{\lVert f(\text{原图}) \rVert} $$
#
# > 运行之前猜一猜：窗口 2x2，平移一个像素。变化是 0 %？50 %？还是更多？
#
# （图例和打印的各行依次是：不池化、每隔一格取一格、最大池化 2x2、平均池化 2x2、最大池化 4x4、最大池化 8x8、整幅取平均。
# 横轴是平移多少像素，纵轴是变化的百分比。）


# %%
def shifted(s):
    """The same 32x32 window onto the larger pictures, s pixels to the left: the content moves right."""
    return edge_maps(np.ascontiguousarray(pictures[:, :, 4:36, 4 - s : 36 - s]))


def change(f, s):
    before, after = f(shifted(0)).numpy(), f(shifted(s)).numpy()
    size = np.sqrt((before**2).sum((1, 2, 3)))
    return (np.sqrt(((after - before) ** 2).sum((1, 2, 3))) / size).mean()


ways = {
    "no pooling": lambda m: m,
    "every 2nd cell": lambda m: m[:, :, ::2, ::2],
    "max 2x2": lambda m: F.max_pool2d(m, 2),
    "average 2x2": lambda m: F.avg_pool2d(m, 2),
    "max 4x4": lambda m: F.max_pool2d(m, 4),
    "max 8x8": lambda m: F.max_pool2d(m, 8),
    "average of all": lambda m: F.adaptive_avg_pool2d(m, 1),
}
shifts = range(5)
curves = {name: [change(f, s) for s in shifts] for name, f in ways.items()}
fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
styles = ["o-", "x--", "s-", "D:", "^-", "v-", "P-"]
colours = ["#000000", "#777777", "#D55E00", "#E69F00", "#0072B2", "#009E73", "#CC79A7"]
for (name, curve), style, colour in zip(curves.items(), styles, colours):
    ax.plot(shifts, [100 * v for v in curve], style, color=colour, label=name, ms=5)
ax.set_xticks(shifts)
ax.set_xlabel("shift (pixels)")
ax.set_ylabel("change of the maps (%)")
ax.set_ylim(0)
ax.grid(alpha=0.3)
ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
plt.show()
for name, curve in curves.items():
    print(f"{name:<15}" + "".join(f"{v:7.1%}" for v in curve))
assert 0 < curves["max 8x8"][1] < curves["max 4x4"][1] < curves["max 2x2"][1] < curves["no pooling"][1]
assert curves["max 2x2"][1] > 0.5 * curves["no pooling"][1]
assert curves["average of all"][1] < 0.05

# %% [markdown]
# 这些数比较的是同一个位置上的特征图。可见，2x2 的池化让特征图对平移**没那么**敏感，而不是不敏感：变化还剩一半以上。
# 窗口越宽，帮助越大；整幅图的平均就变化很小了。严格成立的是另外一件事：平移的量等于步幅时，
# 池化后的特征图还是原来那一幅，只是移动了一格。
#
# $$ \text{池化}(\text{平移 } s \text{ 个像素}) = \text{平移 } 1 \text{ 格}\,(\text{池化}) $$

# %%
before, after = F.max_pool2d(shifted(0), 2).numpy(), F.max_pool2d(shifted(2), 2).numpy()
inside = slice(2, -2)  # away from the borders of the window onto the pictures
assert np.allclose(after[..., inside, 3:-1], before[..., inside, 2:-2])
print("shift 2, stride 2: the pooled map is the same, one cell further right")

# %% [markdown]
# 这是第二个问题：不问特征图是否不变，而问它是不是**同一幅图，只是移动了**。每个位置都放一个窗口（步幅 1），
# 不论平移多少都做得到。每隔一个窗口才取一个，就做不到：平移一个像素，窗口里装的就是别的格子了（**混叠**，aliasing）。
# （打印的是：平移 1 个像素，把特征图移到最吻合处，步幅 1 和步幅 2 各还差多少。）


# %%
def mismatch(stride):
    """How far the pooled map after a shift of one pixel is from the one before, moved by 0 or 1 cell."""
    one, other = (F.max_pool2d(shifted(s), 2, stride).numpy()[..., inside, :] for s in (0, 1))
    middle = one[..., inside]
    off = (np.linalg.norm(other[..., 2 + d : 2 + d + middle.shape[-1]] - middle) for d in (0, 1))
    return min(off) / np.linalg.norm(middle)


print(f"shift 1, the map moved to fit: stride 1 is off by {mismatch(1):.0%}, stride 2 by {mismatch(2):.0%}")
assert mismatch(1) < 1e-6
assert mismatch(2) > 0.2

# %% [markdown]
# 每隔一个窗口取一个之前先模糊，是一种补救（Zhang 2019，*Making Convolutional Networks Shift-Invariant Again*）；
# 更常用的办法，是拿平移过的图片来训练。

# %% [markdown]
# ## 不论大小，就要这么多窗口
#
# 告诉 `adaptive_avg_pool2d(x, n)` 要几个窗口，它自己去找窗口的位置：$n$ 个窗口中的第 $i$ 个，
# 从 $\lfloor i L / n \rfloor$ 开始，到 $\lceil (i+1) L / n \rceil$ 之前为止。$n = 1$ 时就是**全局平均池化**（global
# average pooling）：不论图片多大，每个通道都变成一个数。

# %%
x = tinymed.randn(2, 3, 7, 5)
assert np.allclose(F.adaptive_avg_pool2d(x, 1)[..., 0, 0].numpy(), x.mean((2, 3)).numpy(), atol=1e-6)
print("5 numbers in 3 windows:", [list(range(i * 5 // 3, -(-(i + 1) * 5 // 3))) for i in range(3)])

# %% [markdown]
# ## 快速内核有什么不同
#
# **它记得很少。** 胜者在窗口里的编号用一个字节就放得下，只要窗口不超过 256 格（`kernels/numba_pool.py`）。
# PyTorch 记的是它在整幅图像里的位置，要八个字节。拿文章网络的第一次池化来算，一批 64 幅：

# %%
s = pool_shape("max_pool2d", (64, 32, 26, 26), (2, 2), (2, 2), (0, 0))
windows = int(np.prod(s.y))
print(f"{windows:,} windows: {windows / 1e6:.2f} MB as uint8, {8 * windows / 1e6:.2f} MB as int64")
assert windows == 64 * 32 * 13 * 13

# %% [markdown]
# **它不等整幅图算完。** 文章的缩略词列表（1.4.3）把 ReLU6-Conv-Pool 列为一项，这里也就当作一件事来算：
# 趁几行数据还在处理器核心近旁，卷积、偏置、ReLU6、池化一气做完；完整的特征图从来不写出来。这要用一点代数。
# ReLU6 是 $\min(\max(0, x), 6)$，它从不把两个数中较大的放到较小的下面，所以可以先找最大的，再截断。窗口为 2x2 时，
# 四次 ReLU6 省下三次：
#
# $$ \max_i \,\text{ReLU6}(x_i) = \text{ReLU6}\left(\max_i x_i\right) $$
#
# 胜者若在 0 或 6 处被截断，就不传梯度。它在 `where` 里标作 DEAD；三层的反向传播要知道的，全在这一个字节里。对平均，
# 这个代数不成立：

# %%
x, w, b = tinymed.randn(2, 1, 9, 9) * 3, tinymed.randn(4, 1, 3, 3), tinymed.randn(4)
apart = F.max_pool2d(F.relu6(F.conv2d(x, w, b)), 2)
shape = conv_shape(x.shape, w.shape, (1, 1), (0, 0), (1, 1), 1)
fused, where = reference.conv2d_max_pool2d(x.numpy(), w.numpy(), b.numpy(), shape, (2, 2), 0, 6)
print(f"where: {where.dtype}; {np.mean(where == DEAD):.0%} of the windows are dead")
assert np.allclose(fused, apart.numpy(), atol=1e-5)
assert where.dtype == np.uint8
assert ((where == DEAD) == (fused <= 0) | (fused >= 6)).all()

average = F.avg_pool2d(F.relu6(F.conv2d(x, w, b)), 2), F.relu6(F.avg_pool2d(F.conv2d(x, w, b), 2))
print(f"average before or after ReLU6: they differ by up to {abs(average[0].numpy() - average[1].numpy()).max():.2f}")
assert not np.allclose(average[0].numpy(), average[1].numpy())

# %% [markdown]
# 作为一层，它给出的数和梯度，与三个部分一个一个做时相同：

# %%
layer = nn.ConvReLU6Pool(1, 4, 3)
together = layer(x)
one_by_one = F.max_pool2d(F.relu6(layer.conv(x)), 2)
gradients = []
for y in (together, one_by_one):
    layer.zero_grad()
    y.square().sum().backward()
    gradients.append(layer.conv.weight.grad.numpy().copy())
print(layer)
assert np.allclose(together.detach().numpy(), one_by_one.detach().numpy(), atol=1e-5)
assert np.allclose(*gradients, rtol=1e-4, atol=1e-3)

# %% [markdown]
# ## 练习
#
# > **练习 3.1.** 写 `my_max_pool2d(x, size, stride, padding)`，对 $x$ (N,C,H,W) 做最大池化。窗口 `size` x `size`，
# > 步幅和填充任意。只对 $i, j$ 写循环就够了。当心：填充该算作什么？


# %% tags=["exercise"]
def my_max_pool2d(x, size, stride, padding):
    ### BEGIN SOLUTION
    border = (padding, padding)
    x = np.pad(x, ((0, 0), (0, 0), border, border), constant_values=-np.inf)
    N, C, H, W = x.shape
    y = np.zeros((N, C, (H - size) // stride + 1, (W - size) // stride + 1))
    for i in range(y.shape[2]):
        for j in range(y.shape[3]):
            y[:, :, i, j] = x[:, :, i * stride : i * stride + size, j * stride : j * stride + size].max((2, 3))
    return y
    ### END SOLUTION


# %% tags=["check"]
check("max_pool2d", my_max_pool2d)

# %% [markdown]
# > **练习 3.2.** 写 `my_max_pool2d_grad(g, x, size, stride)`，求最大池化的梯度，无填充。也就是由 $g$ (N,C,OH,OW)
# > 和 $x$ 求 $\partial L / \partial x$。窗口可能重叠，格子可能并列。并列时照引擎的做法：取阅读次序中的第一个。
#
# <details><summary>提示</summary>
#
# 最大的有好几个时，`window.argmax()` 给出第一个，按行往下数；再用 `np.unravel_index` 或 `divmod` 得到它的行和列。
#
# </details>


# %% tags=["exercise"]
def my_max_pool2d_grad(g, x, size, stride):
    ### BEGIN SOLUTION
    gx = np.zeros_like(x)
    for n, c, i, j in np.ndindex(g.shape):
        top, left = i * stride, j * stride
        u, v = divmod(x[n, c, top : top + size, left : left + size].argmax(), size)
        gx[n, c, top + u, left + v] += g[n, c, i, j]
    return gx
    ### END SOLUTION


# %% tags=["check"]
check("max_pool2d_grad", my_max_pool2d_grad)

# %% [markdown]
# > **练习 3.3.** 写 `my_avg_pool2d(x, size, stride, padding, count_include_pad)`，做带填充的平均池化，两种数法都要。
# > `count_include_pad` 为 True 或 False。怎样不用一个 `if`，就数出图像之内的格子？
#
# <details><summary>提示</summary>
#
# 对一幅全是 1 的图像做池化。
#
# </details>


# %% tags=["exercise"]
def my_avg_pool2d(x, size, stride, padding, count_include_pad):
    ### BEGIN SOLUTION
    def sums(x):
        x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
        return np.lib.stride_tricks.sliding_window_view(x, (size, size), (2, 3))[:, :, ::stride, ::stride].sum((4, 5))

    return sums(x) / (size * size if count_include_pad else sums(np.ones_like(x)))
    ### END SOLUTION


# %% tags=["check"]
check("avg_pool2d", my_avg_pool2d)

# %% [markdown]
# > **练习 3.4.** 写 `my_avg_pool2d_grad(g, height, width, size, stride)`，求平均池化的梯度，无填充。
# > 也就是由 $g$ (N,C,OH,OW) 求 $\partial L / \partial x$ (N,C,height,width)。它为什么不需要 $x$？


# %% tags=["exercise"]
def my_avg_pool2d_grad(g, height, width, size, stride):
    ### BEGIN SOLUTION
    gx = np.zeros((*g.shape[:2], height, width))
    for i in range(g.shape[2]):
        for j in range(g.shape[3]):
            share = g[:, :, i, j, None, None] / (size * size)
            gx[:, :, i * stride : i * stride + size, j * stride : j * stride + size] += share
    return gx
    ### END SOLUTION


# %% tags=["check"]
check("avg_pool2d_grad", my_avg_pool2d_grad)

# %% [markdown]
# > **练习 3.5.** 写 `my_adaptive_avg_pool1d(x, n)`，求一行数的 $n$ 个平均，不论这行数有多长。


# %% tags=["exercise"]
def my_adaptive_avg_pool1d(x, n):
    ### BEGIN SOLUTION
    L = len(x)
    starts = [i * L // n for i in range(n)]
    ends = [-(-(i + 1) * L // n) for i in range(n)]  # rounded up
    return np.array([x[a:b].mean() for a, b in zip(starts, ends)])
    ### END SOLUTION


# %% tags=["check"]
check("adaptive_avg_pool1d", my_adaptive_avg_pool1d)

# %% [markdown]
# ## 要点
#
# - 最大池化把梯度传给胜者，平均池化给每个格子 $1/k$；窗口重叠处要相加。
# - 外面绝不能赢：取最大时，填充是 $-\infty$。取平均时，要说明填充算不算数。
# - 并列处没有斜率。给一个胜者，或者每个分一份；绝不能给每个都付一整份 $g$。
# - 池化让网络对小的平移没那么敏感，而不是不敏感。先测量，再许诺。
#
# **接下来打开** `tinymed/ops/pool.py`，看 `MaxPool2d`；再打开 `kernels/numba_pool.py`，看 `_larger`：
# 那里的循环不用分支就选出了大的，一次走遍一个通道的所有窗口，每个窗口取一格。
