# %% [markdown]
# # 04 · 文章里的算例
#
# *文章 4.1.3 · 45 分钟 · `tinymed/teach/article.py`*
#
# 现在你会手算卷积和池化了。写 4.1.3 节那个例子的人也会，可是那里的两个结果，没有一个是按公式算得出来的。
# 再好的论文里也有这样的事。这一课讲的是遇到它怎么办：动手算，找一种能解释印出来的数的读法，说清楚有多大把握，
# 再友善地报告。

# %%
from fractions import Fraction
from itertools import product

import matplotlib.pyplot as plt
import numpy as np

import tinymed
import tinymed.nn.functional as F
from tinymed.kernels import reference
from tinymed.kernels.shapes import pool_shape
from tinymed.teach import check, findings, trace

_ = tinymed.use_backend("numpy")  # arrays of a few numbers: nothing here is worth compiling

# %% [markdown]
# ## 文章怎么说
#
# 4.1.3 节：“假设输入图像为 3x3 的矩阵，卷积核为 2x2 的矩阵，窗口大小为 2，采用最大池化操作。”
#
# $$ \text{输入图像} = \begin{bmatrix} 1 & 2 & 3 \\ 4 & 5 & 6 \\ 7 & 8 & 9 \end{bmatrix} \quad
# \text{卷积核} = \begin{bmatrix} 1 & 0 \\ 0 & 1 \end{bmatrix} \quad
# \text{卷积操作结果} = \begin{bmatrix} 5 & 6 \\ 8 & 9 \end{bmatrix} \quad
# \text{最大池化操作结果} = \begin{bmatrix} 5 \\ 9 \end{bmatrix} $$
#
# > 拿支铅笔。卷积结果左上角的数是多少？2x2 的特征图，用大小为 2 的窗口池化，结果是什么形状？
#
# （打印的最后两行，printed 之前是算出来的，之后是文章印的。）

# %%
image = np.arange(1.0, 10.0).reshape(3, 3)
identity = np.eye(2)
printed_map = np.array([[5.0, 6.0], [8.0, 9.0]])
printed_pooled = np.array([[5.0], [9.0]])

t = trace.conv2d(image, identity)
t.show(4)
true_map = t.final["y"][0, 0]
true_pooled = F.max_pool2d(tinymed.tensor(true_map)[None, None], 2)[0, 0].numpy()
print("convolution", true_map.tolist(), " printed:", printed_map.tolist())
print("max pooling", true_pooled.tolist(), " printed:", printed_pooled.tolist())
assert true_map.tolist() == [[6, 8], [12, 14]]
assert true_pooled.tolist() == [[14]]

# %% [markdown]
# 从 1 到 6 的那一步，就是一行算式：$1 \cdot 1 + 0 \cdot 2 + 0 \cdot 4 + 1 \cdot 5$。用这个卷积核，
# 它无论如何也成不了 5。

# %% [markdown]
# ## 印的与算的
#
# 文章印了什么，引擎当作数据存着；其余的，每次问起都现算。下面是上述两个结果，以及它们前面的那个公式；其他各处，
# 到讲 RNN、LSTM 和代码的那几课再看。（printed 是文章印的，computed 是算出来的，后面写着是什么；verdict 是结论：
# as printed 是与印的一致，differs 是不一致，misprint 是印错了。）

# %%
for finding in [f for f in findings() if f.where.startswith("4.1")]:
    print(f"{finding.where}  {finding.formula}")
    print(f"    printed   {finding.printed}")
    for name, numbers in finding.computed.items():
        print(f"    computed  {numbers}  {name}")
    print(f"    verdict   {'as printed' if finding.agrees else 'differs'}: {finding.verdict}\n")

# %% [markdown]
# ## 是因为翻转吗
#
# 凡是上过第 01 课的人，首先怀疑的都是这个：作者指的是真正的卷积，卷积核要翻转。单位矩阵转半圈还是单位矩阵，
# 所以不会是这个原因。不过，看看还算出了什么（依次是：原样、行翻转、列翻转、行列都翻转）：

# %%
turns = {
    "as it stands": identity,
    "rows flipped": identity[::-1],
    "columns flipped": identity[:, ::-1],
    "both flipped": identity[::-1, ::-1],
}
for name, kernel in turns.items():
    y = trace.conv2d(image, kernel.copy()).final["y"][0, 0]
    print(f"{name:<16} {y.tolist()}")
    assert (y == true_map).all()

# %% [markdown]
# 四个结果全都一样，虽然其中两个卷积核根本不是单位矩阵。图像 1…9 是一个**斜坡**，往右每格加 1，往下每格加 3；在斜坡上，
# $x_{i,j} + x_{i+1,j+1} = x_{i,j+1} + x_{i+1,j}$。一个例子如果分不清两个卷积核，拿来检验哪一个都不好。
# 自己写测试的时候，要记住这一点。

# %% [markdown]
# ## 5、6、8、9 是什么
#
# 错的数很少是随便来的。让程序把人可能做过的事试一遍。搜索之前，先说好什么算一种读法：**文章里的一个操作，
# 窗口和步幅任意，填充不超过 1，膨胀率不超过 2**。在这里就是：用单位矩阵做卷积；然后是对图像做池化，取最大、取最小、
# 取平均（除以整个窗口的格数，或者只除以图像之内的格数）。（打印的第一行说：试过的读法里，有几种给出印的结果，
# 其中几种是最大池化；接着列出的，是窗口与正文所说的相同、没有填充也没有膨胀的那几种；not by max pooling
# 之后是最大池化以外的。）

# %%
readings, tried = [], 0
for stride, padding, dilation in product((1, 2, 3), (0, 1), (1, 2)):
    try:
        y = F.conv2d(
            tinymed.tensor(image)[None, None], tinymed.tensor(identity)[None, None], None, stride, padding, dilation
        )
    except ValueError:  # larger than the image
        continue
    tried += 1
    if np.array_equal(y[0, 0].numpy(), printed_map):
        readings.append(f"convolution, stride {stride}, padding {padding}, dilation {dilation}")


def poolings(x):
    """(what it is, the result) for each way to pool x that the sizes allow."""
    H, W = x.shape
    axes = (range(1, H + 1), range(1, W + 1)) * 2 + ((0, 1), (0, 1), (1, 2), (1, 2), (False, True))
    for KH, KW, SH, SW, PH, PW, DH, DW, up in product(*axes):
        try:
            s = pool_shape("pooling", (1, 1, H, W), (KH, KW), (SH, SW), (PH, PW), (DH, DW), up)
        except ValueError:  # larger than the image, or more padding than half the window
            continue
        how = f"windows {KH}x{KW}, stride {SH}x{SW}, padding {PH}x{PW}, dilation {DH}x{DW}, rounded up: {up}"
        yield f"max pooling, {how}", reference.max_pool2d(x[None, None], s)[0][0, 0]
        yield f"min pooling, {how}", -reference.max_pool2d(-x[None, None], s)[0][0, 0]
        yield f"average pooling, {how}", reference.avg_pool2d(x[None, None], np.full((1, 1), KH * KW), s)[0, 0]
        inside = np.reshape([len(cells) for _, cells in reference.windows(s)], (s.OH, s.OW))
        if inside.min() < KH * KW:
            yield f"average pooling inside, {how}", reference.avg_pool2d(x[None, None], inside, s)[0, 0]


for how, y in poolings(image):
    tried += 1
    if np.array_equal(y, printed_map):
        readings.append(how)
plain = [r for r in readings if "windows 2x2" in r and "padding 0x0, dilation 1x1" in r]
print(f"{len(readings)} of {tried} readings give the printed map, {sum('max' in r for r in readings)} by max pooling")
print("with the window that the text names, without padding or dilation:")
print("\n".join(plain))
assert not any("convolution" in r for r in readings)
others = [r for r in readings if "max" not in r]
print("not by max pooling:", *others, sep="\n")
assert [r.split()[0] for r in others] == ["min", "average"]
lonely = pool_shape("pooling", (1, 1, 3, 3), (2, 2), (3, 3), (1, 1), (2, 2), True)
assert all("windows 2x2, stride 3x3, padding 1x1, dilation 2x2, rounded up: True" in r for r in others)
assert all(len(cells) == 1 for _, cells in reference.windows(lonely))
assert {r.partition(",")[0] for r in plain} == {"max pooling"}
assert any("stride 1x1" in r and "False" in r for r in plain)
assert any("stride 2x2" in r and "True" in r for r in plain)
assert not any("stride 2x2" in r and "False" in r for r in plain)

# %% [markdown]
# 用单位矩阵做的卷积，没有一个给得出它。给得出它的，是**对图像本身做最大池化**。正文提到了最大池化，也提到了窗口大小为
# 2，所以这个解释就在手边：例子似乎是对输入做了池化，把卷积漏掉了。
#
# 这有多大把握？说它是最大池化，把握不小：正文没有提到的东西，它一样也不需要。步幅是多少，就毫无把握了。
# 步幅 1 给得出印的结果；常用的步幅 2 也给得出，只要保留最后那个不完整的窗口（这里是 `ceil_mode=True`，
# 在 Keras 里是 `padding="same"`）。其余的那些设置，没有人会用了却不说；其中两种甚至是**最小**池化和**平均**池化，
# 每个窗口里只有一格。

# %% [markdown]
# ## 哪些卷积核给得出它
#
# 另一种怀疑：印错的是卷积核，不是结果。每个输出是关于四个权重的一个方程，$\sum_{u,v} w_{u,v}\, x_{i+u,j+v} = y_{i,j}$，
# 所以是四个方程、四个未知数。一个窗口一行。`lstsq` 求拟合得最好的权重；有几组同样好时，取**最短**的一组，
# 即平方和最小的。**秩**（rank）说的是，这些方程里有几个是独立的。

# %%
windows = np.lib.stride_tricks.sliding_window_view(image, (2, 2)).reshape(4, 4)
shortest, _, rank, _ = np.linalg.lstsq(windows, printed_map.ravel(), rcond=None)
print(windows.astype(int))
print(f"rank {rank}; the shortest solution is {shortest.reshape(2, 2).round(3).tolist()}")
assert rank == 2
assert np.allclose(windows @ shortest, printed_map.ravel())
small = [np.array(w).reshape(2, 2) for w in product((-1, 0, 1), repeat=4) if np.array_equal(windows @ w, [5, 6, 8, 9])]
print("with weights -1, 0, 1:", [w.tolist() for w in small])
assert [w.tolist() for w in small] == [[[-1, 1], [1, 0]], [[0, 0], [0, 1]]]

# %% [markdown]
# 秩是 2，不是 4：在斜坡上，每个窗口都是第一个窗口加上一个数，这里加的是 1、3 和 4。有两个方向是自由的，
# 所以给得出印的结果的卷积核有整整一个平面。最简单的是 `[[0, 0], [0, 1]]`，它把每个窗口右下角的那一格抄下来。
# 在这个斜坡上，那一格就是最大的，所以照抄与最大池化给出同样的数，单看印的结果分不清是哪一个。换一幅不是斜坡的图像，
# 就分得清：

# %%
shuffled = np.array([[3.0, 1, 8], [9, 4, 2], [5, 7, 6]])
system = np.lib.stride_tricks.sliding_window_view(shuffled, (2, 2)).reshape(4, 4)
copied, largest = system[:, 3], system.max(axis=1)
print(f"rank {np.linalg.matrix_rank(system)}; lower right cells {copied.tolist()}, largest {largest.tolist()}")
assert np.linalg.matrix_rank(system) == 4
assert not np.array_equal(copied, largest)

# %% [markdown]
# ## [5; 9] 是什么
#
# 第二个结果有两行一列。我们把机会都给它：对图像、对印的卷积结果（printed map）、对算出的卷积结果（true map）做池化，
# 竖着横着都行。

# %%
hits, tried = [], 0
for name, x in {"image": image, "printed map": printed_map, "true map": true_map}.items():
    for how, y in poolings(x):
        if how.startswith("max"):
            tried += 1
            if y.ravel().tolist() == [5, 9]:
                hits.append((name, how))
print(f"{len(hits)} of {tried} readings give 5 and 9")
assert not hits

# %% [markdown]
# 搜索一无所获，只说明没有搜到。这里却有一个很短的证明，连没有试过的也管得到：
#
# 池化的窗口，是若干行与若干列的交叉处。上下排列的输出，用的是相同的那些列。在图像里，在印的卷积结果里也一样，
# 5 和 9 既不同行，也不同列；6 与 5 同行，与 9 同列。
#
# 1. 给出 9 的窗口含有 9，所以共用的列里有 9 的那一列。
# 2. 给出 5 的窗口含有 5，所以有 5 的那一行。再加上共用的列，它也就含有 6。
# 3. 6 比 5 大，所以它给不出 5。
#
# 如果 5 和 9 是左右排列，就把行与列对调，6 换成 8。算出的卷积结果里，这两个数都没有。所以，不论步幅、填充、
# 膨胀率怎么取，没有一种最大池化给得出 [5; 9]。
#
# 它**是**什么：印的卷积结果的对角线。这只是描述这两个数；它们是不是这样来的，除了作者，谁也不知道。（下面的图里，
# 蓝色是按公式算的，橙色是 4.1.3 节印的。从左到右：图像；图像的卷积，算的和印的；卷积的最大池化，算的和印的。）

# %%
assert np.diag(printed_map).tolist() == printed_pooled.ravel().tolist()
cells = [("image", image), ("convolution\nof the image", true_map), ("printed:\nconvolution", printed_map)]
cells += [("max pooling\nof the convolution", true_pooled), ("printed:\nmax pooling", printed_pooled)]
fig, axes = plt.subplots(1, 5, figsize=(11, 3.3), layout="constrained")
for ax, (title, numbers) in zip(axes, cells):
    wrong = title.startswith("printed")
    rows, columns = numbers.shape
    ax.set_xlim(-0.6, 2.6)
    ax.set_ylim(2.6, -0.6)
    for (i, j), value in np.ndenumerate(numbers):
        box = plt.Rectangle((j - 0.5, i - 0.5), 1, 1, facecolor="#FBE3D6" if wrong else "#DCEAF5", edgecolor="black")
        ax.add_patch(box)
        ax.text(j, i, f"{value:g}", ha="center", va="center", fontsize=14)
    ax.set_title(title, fontsize=11)
    ax.set_aspect("equal")
    ax.axis("off")
fig.supxlabel("blue: what the formulas give; orange: what section 4.1.3 prints", fontsize=11)
plt.show()

# %% [markdown]
# ## 搜索也会好得过头
#
# 搜得越宽，找到的就越多。在卷积之后再允许一步，比如 $a \cdot y + b$，其中 $a$ 和 $b$ 是不大的数，
# 印的结果就又得到了“解释”：

# %%
explained = [(a, b) for a in (0.25, 0.5, 1, 2) for b in range(-5, 6) if np.array_equal(a * true_map + b, printed_map)]
print("printed = a * convolution + b for (a, b) in", explained)
assert explained == [(0.5, 2)]

# %% [markdown]
# 卷积的一半再加 2：分毫不差，也一文不值。上升的比例相同的两个斜坡，总有这样的关系。有人试了一百个模型，
# 只报告成功的那一个，也是同一回事。所以，要在搜索**之前**说好什么算数，数清楚试了多少，
# 并且优先选那种只用到正文提过的东西的读法。

# %% [markdown]
# ## 用程序检验一句话
#
# 同样的习惯，用在别人的结果上也有效。拿论文里常见的一句话来说（这一句是编的）：“在验证集的 78 幅图像上，
# 准确率为 87.3 %。”准确率是 $k/78$，$k$ 是整数：

# %%
n = 78
for k in (67, 68, 69):
    print(f"{k}/{n} = {100 * k / n:.3f} %")
assert all(f"{100 * k / n:.1f}" != "87.3" for k in range(n + 1))
assert f"{100 * 68 / n:.1f}" == "87.2"

# %% [markdown]
# 不论答对多少幅，都得不到 87.3。可能是笔误，可能图像不是 78 幅，可能是几次运行的平均：该问一问，还谈不上指责。
# （Brown 和 Heathers 2017 年把它叫作 GRIM 检验，针对整数的平均值；在他们能够检验的论文里，
# 约有一半含有不可能的平均值。）只要 $n$ 不大，它就很管用（78 和 156 是 BreastMNIST 的验证集和测试集，624 是
# PneumoniaMNIST 的测试集）。（图中横轴是测试图像的幅数 $n$，
# 纵轴是可能出现的百分数占多少；虚线不带小数，实线带一位小数。）

# %%
sizes = np.arange(2, 1301, 2)
fig, ax = plt.subplots(figsize=(7, 3.8), layout="constrained")
for decimals, colour, style in ((0, "#0072B2", "--"), (1, "#D55E00", "-")):
    values = 100 * 10**decimals + 1
    possible = [len(np.unique(np.round(100 * np.arange(m + 1) / m, decimals))) / values for m in sizes]
    ax.plot(sizes, [100 * p for p in possible], style, color=colour, label=("0 decimals", "1 decimal")[decimals])
for m, name in ((78, "78"), (156, "156"), (624, "624")):
    ax.axvline(m, color="black", lw=0.8, ls=":")
    ax.text(m + 8, 28, f"n = {name}", rotation=90, va="bottom", fontsize=9)
ax.set_xlabel("images in the test, n")
ax.set_ylabel("percentages that are possible (%)")
ax.set_ylim(0, 105)
ax.legend(loc="center right")
ax.grid(alpha=0.3)
plt.show()
shown = {m: len({round(100 * k / m, 1) for k in range(m + 1)}) / 1001 for m in (78, 156, 624)}
print("possible with one decimal:", {m: f"{share:.0%}" for m, share in shown.items()})
assert shown[78] == 79 / 1001
assert round(100 * shown[78]) == 8

# %% [markdown]
# 有 78 幅图像，带一位小数，100 个百分数里只有 8 个是可能的。随手打出来的数，十次里有九次以上会被抓住。

# %% [markdown]
# ## 怎样报告勘误
#
# 好的报告，让作者一分钟就看明白，也不让谁丢脸：
#
# 1. **位置**：节、公式、版本或日期。
# 2. **印的**和**算的**，并排放着，附上起决定作用的那一行算式。
# 3. **怎样重复**：几行代码，最好不用任何库。
# 4. **可能是怎么回事**，并注明是猜测。
# 5. **有什么后果**：后面哪些数靠它，哪些不变。
# 6. 致谢。这个例子写得好，才值得去算。
#
# | 4.1.3 的步骤 | 印的 | 算的 | 结论 |
# |---|---|---|---|
# | 卷积 | [[5, 6], [8, 9]] | [[6, 8], [12, 14]] | 印错了；对图像做最大池化，得到印的结果 |
# | 最大池化 | [5; 9] | [[14]] | 印错了；没有一种最大池化给得出它；它是印的卷积结果的对角线 |
#
# 4.1.1 和 4.1.2 的公式是对的，文章后面也没有哪个数是由这些数算出来的。（下面打印的是一份英文报告，各行依次是：位置、
# 印的、算的、怎样重复、可能是怎么回事、有什么后果、致谢。）

# %%
report = f"""Section 4.1.3, result of the convolution.
Printed:  {printed_map.astype(int).tolist()}
Computed: {true_map.astype(int).tolist()}; upper left: 1*1 + 0*2 + 0*4 + 1*5 = 6
Repeat:   [[x[i][j] + x[i+1][j+1] for j in (0, 1)] for i in (0, 1)]
Perhaps:  max pooling of the input was printed here (window 2; stride 1, or 2 rounded up). A guess.
Follows:  max pooling of the result is [[14]] for a window of 2x2; printed is [5; 9].
Thank you for an example that is small enough to be checked."""
print(report)
x = image.tolist()
assert [[x[i][j] + x[i + 1][j + 1] for j in (0, 1)] for i in (0, 1)] == true_map.tolist()

# %% [markdown]
# ## 练习
#
# > **练习 4.1.** 写 `my_article_example(x, w)`：对任意图像和卷积核，把两步都算对；返回卷积结果和池化结果（窗口 2x2，
# > 一个挨着一个）。


# %% tags=["exercise"]
def my_article_example(x, w):
    ### BEGIN SOLUTION
    y = np.einsum("ijuv,uv->ij", np.lib.stride_tricks.sliding_window_view(x, w.shape), w)
    pooled = np.lib.stride_tricks.sliding_window_view(y, (2, 2))[::2, ::2].max(axis=(2, 3))
    return y, pooled
    ### END SOLUTION


# %% tags=["check"]
check("article_cnn_example", my_article_example)

# %% [markdown]
# > **练习 4.2.** 写 `my_count_readings(x, target)`：窗口 KH、KW 和步幅 SH、SW 都从 1 取到图像的大小，无填充，
# > 有多少组 (KH, KW, SH, SW) 能通过最大池化把 `x` 变成 `target`？检查时有一幅全是 1 的图像。为什么它数出来有那么多？
#
# <details><summary>提示</summary>
#
# `np.array_equal` 连形状也比较；`==` 不比较。
#
# </details>


# %% tags=["exercise"]
def my_count_readings(x, target):
    ### BEGIN SOLUTION
    (H, W), count = x.shape, 0
    for KH, KW, SH, SW in product(range(1, H + 1), range(1, W + 1), range(1, H + 1), range(1, W + 1)):
        windows = np.lib.stride_tricks.sliding_window_view(x, (KH, KW))[::SH, ::SW]
        count += np.array_equal(windows.max(axis=(2, 3)), target)
    return count
    ### END SOLUTION


# %% tags=["check"]
check("max_pool_readings", my_count_readings)

# %% [markdown]
# > **练习 4.3.** 写 `my_kernel_from_map(x, y, KH, KW)`：用最小二乘法，求把 $x$ 变成 $y$ 的最短（范数最小）的卷积核，
# > 以及它可以在几个方向上改变而没有人看得出来。什么时候卷积核只有这一个？


# %% tags=["exercise"]
def my_kernel_from_map(x, y, KH, KW):
    ### BEGIN SOLUTION
    system = np.lib.stride_tricks.sliding_window_view(x, (KH, KW)).reshape(-1, KH * KW)
    w, _, rank, _ = np.linalg.lstsq(system, y.ravel(), rcond=None)
    return w.reshape(KH, KW), KH * KW - rank
    ### END SOLUTION


# %% tags=["check"]
check("kernel_from_map", my_kernel_from_map)

# %% [markdown]
# > **练习 4.4.** 写 `my_possible_percentage(printed, n)`：从 0 到 $n$ 的整数 $k$ 里，有几个使 $k/n$ 写成百分数、
# > 取同样多的小数位，就是印的那样？`printed` 是文本，如 `"87.3"`，因为 `"90.0"` 比 `"90"` 说得多。恰好差半个单位时，
# > 两边都算。`Fraction("87.3")` 是精确的，87.3 不是。


# %% tags=["exercise"]
def my_possible_percentage(printed, n):
    ### BEGIN SOLUTION
    decimals = len(printed.partition(".")[2])
    half = Fraction(1, 2 * 10**decimals)
    return sum(abs(Fraction(100 * k, n) - Fraction(printed)) <= half for k in range(n + 1))
    ### END SOLUTION


# %% tags=["check"]
check("possible_percentage", my_possible_percentage)

# %% [markdown]
# ## 要点
#
# - 相信公式之前，先把例子算一遍；相信自己之前，也是。
# - 搜索之前说好什么算一种读法；数清楚试了多少；能证明的就证明。
# - 检验用的图像必须分得出对错：不要斜坡，不要对称的卷积核。
# - 绝不为了迁就印错的数去改程序。报告它，附上两个数，还有谢意。
#
# **接下来打开** `tinymed/teach/article.py`：文章里每一个算出来的数，都在那里与引擎对照。
# `tinymed demo` 把它打印成一张表，`tests/test_article.py` 让它一直是真的。
