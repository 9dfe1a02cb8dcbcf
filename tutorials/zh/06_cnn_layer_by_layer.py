# %% [markdown]
# # 06 · 逐层看 CNN
#
# *文章 1.4.3、3.1.2、5.2.2 · 75 分钟 · `tinymed/nn/article.py`、`tinymed/training/models.py`*
#
# 第 01 到 05 课把零件一个个讲完了，这一课把它们装起来：先用小到能在纸上算的数，再用模块，最后是文章自己的网络。
# 学完这一课，对 CNN 的任何一层，你都能说出：进去的是什么，出来的是什么，要学多少参数，要花多少计算，
# 又看得见图片的哪一部分。

# %%
import inspect
import time

import matplotlib.pyplot as plt
import numpy as np

import tinymed
import tinymed.nn.functional as F
from tinymed import nn, optim
from tinymed.data import make_breast_phantoms
from tinymed.kernels import reference
from tinymed.nn.article import ConvReLU6Pool
from tinymed.teach import check, trace
from tinymed.training import article_cnn

_ = tinymed.use_backend("numpy")  # small arrays: nothing here is worth the wait of compiling

# %% [markdown]
# ## 文章怎么说
#
# 3.1.2 节列了五个步骤。每一步旁边写着它在这里是什么，以及细讲它的是哪一课：
#
# | 3.1.2 的步骤 | 文章原文 | 这里 | 课 |
# |---|---|---|---|
# | 1 输入层 | 接收原始图像数据 | `x` (N,C,H,W) | |
# | 2 卷积层 | 对图像进行卷积操作，提取图像特征 | `nn.Conv2d` | 01、02 |
# | 2 激活函数 | 常用的激活函数有 ReLU、ReLU6 等 | `nn.ReLU6` | 05 |
# | 3 池化层 | 减小特征图的尺寸 | `nn.MaxPool2d` | 03 |
# | 4 全连接层（FC） | 形成一个高维特征向量 | `nn.Flatten`、`nn.Linear` | 本课 |
# | 5 输出层 | 通过分类器（如 Softmax 函数）对图像进行分类 | `nn.Softmax` | 05 |
#
# 1.4.3 节还给其中几步合起来的组合起了名字：ReLU6-Conv（`nn.ConvReLU6`）和 ReLU6-Conv-Pool（`nn.ConvReLU6Pool`）。
# 留意名字里的次序：ReLU6 其实在卷积**之后**。
#
# 第 4 步要多说两句。“高维特征向量”是展平得来的；在文章自己的网络（5.2.2）里，全连接层反而把它变**短**，
# 从 1600 个数变成 128 个。再说第 5 步：softmax 本身并不分类。分类靠的是得分，softmax 只把得分变成份额。

# %% [markdown]
# ## 手算
#
# 一幅 5x5 的图片，亮的组织里有一个暗的肿块（超声图像就是这样；文章用的乳腺 X 线影像里，肿块是亮的）；一个 2x2
# 的卷积核，找的是“左亮右暗”；两个类别。运行单元格之前，先在纸上一步步做完（全连接层的权重和偏置项在单元格的头几行）。
# ReLU6 在哪里截断？

# %%
picture = np.array(
    [
        [4, 4, 0, 0, 4],
        [4, 4, 0, 0, 4],
        [4, 4, 0, 1, 4],
        [4, 4, 4, 4, 4],
        [4, 4, 4, 4, 4],
    ],
    float,
)
x = tinymed.tensor(picture)[None, None]  # (N,C,H,W) = (1,1,5,5)
w = tinymed.tensor([[1.0, -1.0], [1.0, -1.0]], dtype="float64")[None, None]  # (O,C,KH,KW) = (1,1,2,2)
v = tinymed.tensor([[1.0, 0.0, -1.0, 0.0], [0.0, 1.0, 1.0, 1.0]], dtype="float64")  # the FC layer's weights (2,4)
c = tinymed.tensor([0.0, -1.0], dtype="float64")  # and its bias

convolved = F.conv2d(x, w)  # (1,1,4,4)
activated = F.relu6(convolved)  # (1,1,4,4)
pooled = F.max_pool2d(activated, 2)  # (1,1,2,2)
vector = pooled.flatten(1)  # (1,4)
scores = F.linear(vector, v, c)  # (1,2)
shares = F.softmax(scores, 1)  # (1,2)

assert convolved[0, 0].tolist() == [[0, 8, 0, -8], [0, 8, -1, -7], [0, 4, -1, -3], [0, 0, 0, 0]]
assert activated[0, 0].tolist() == [[0, 6, 0, 0], [0, 6, 0, 0], [0, 4, 0, 0], [0, 0, 0, 0]]
assert pooled[0, 0].tolist() == [[6, 0], [4, 0]]
assert vector.tolist() == [[6, 0, 4, 0]]
assert scores.tolist() == [[6 - 4, 0 + 4 + 0 - 1]]
print("scores", scores[0].tolist(), "-> shares", shares[0].numpy().round(4))
assert np.allclose(shares[0].numpy(), [0.2689, 0.7311], atol=1e-4)

# %%
maps = {"input": x, "convolution": convolved, "ReLU6": activated, "max pooling": pooled}
fig, axes = plt.subplots(1, 6, figsize=(13, 2.7), layout="constrained")
for ax, (name, values) in zip(axes, maps.items()):
    ax.set_title(f"{name}\n{tuple(values.shape)}")
    values = values[0, 0].numpy()
    ax.imshow(values, cmap="RdBu", vmin=-12, vmax=12)
    for i, j in np.ndindex(values.shape):
        ax.text(j, i, f"{values[i, j]:g}", ha="center", va="center")
for ax, name, column in zip(axes[4:], ("FC: scores", "softmax: shares"), (scores[0], shares[0])):
    ax.set_title(f"{name}\n(1, 2)")
    ax.imshow(column.numpy()[:, None], cmap="RdBu", vmin=-12, vmax=12)
    for i, value in enumerate(column.tolist()):
        ax.text(0, i, f"{value:.4g}", ha="center", va="center")
for ax in axes:
    ax.set_xticks([])
    ax.set_yticks([])
plt.show()

# %% [markdown]
# ## 反向：逐个运算
#
# 假设这幅图片属于类别 1。`trace.backward` 先把同一串运算走一遍，再走回来，用的是引擎自己的数。跟着梯度，
# 从损失一直走到卷积核 `w`。

# %%
w.requires_grad_()
v.requires_grad_()
scores = F.linear(F.max_pool2d(F.relu6(F.conv2d(x, w)), 2).flatten(1), v, c)
loss = F.cross_entropy(scores, tinymed.tensor([1]))
t = trace.backward(loss, x=x, w=w, v=v, c=c, scores=scores)
t.show()

# %%
t

# %% [markdown]
# 在得分处，说出的减去真实的，是 $(0.2689, -0.2689)$（第 05 课）。穿过全连接层的权重，到了池化后的四个数，就是
# $0.2689 \cdot (1, -1, -2, -1)$。问：这四个里有几个到得了卷积核？
#
# 一个。第一个窗口的胜者是 8，被截成了 6：它落在 ReLU6 的平坦处，斜率为 0。第二个和第四个窗口里没有大于 0 的数：
# 斜率又是 0（恰好在 0 这个折点上，斜率由引擎选定；见第 05 课）。只有第三个窗口，最大值是 4，把它的
# $-2 \cdot 0.2689$ 传了下去，传给这个 4 所来自的那一小块图片，$\begin{pmatrix} 4 & 0 \\ 4 & 4 \end{pmatrix}$：

# %%
wrong_by = shares[0, 0].item()
print("∂L/∂w =", w.grad[0, 0].numpy().round(3).tolist())
assert np.allclose(w.grad[0, 0].numpy(), -2 * wrong_by * np.array([[4, 0], [4, 4]]))
assert np.allclose(v.grad.numpy(), wrong_by * np.outer([1, -1], [6, 0, 4, 0]))

# %% [markdown]
# ## 全连接层
#
# 每个输出 $o$ 都是**全部**输入 $i$ 的加权和，再加上一个属于它自己的数：
#
# $$ y_{n,o} = b_o + \sum_i w_{o,i}\, x_{n,i} $$
#
# 每个乘积 $w_{o,i}\, x_{n,i}$ 都加进了某一个 $y_{n,o}$。所以，记 $g = \partial L / \partial y$，
# 一个因子在它参与的每个乘积里，都收到另一个因子乘以 $g$：
#
# $$ \frac{\partial L}{\partial x_{n,i}} = \sum_o g_{n,o}\, w_{o,i} \qquad
#    \frac{\partial L}{\partial w_{o,i}} = \sum_n g_{n,o}\, x_{n,i} \qquad
#    \frac{\partial L}{\partial b_o} = \sum_n g_{n,o} $$
#
# 对哪个字母求和？等号左边没有的那个。写成矩阵：$g W$，$g^T x$，以及把 $g$ 的各行加起来。

# %%
print(inspect.getsource(reference.linear))
print(inspect.getsource(reference.linear_grad))

# %%
t = trace.linear([6, 0, 4, 0], v, c, g=[1, -1])
t.show(10)
assert t.final["y"].tolist() == [[2, 3]]
assert t.final["gx"].tolist() == [[1, -1, -2, -1]]

# %%
t

# %% [markdown]
# ## 同样的事，写成模块
#
# **模块**（module）保管自己的权重，并说明自己算什么。把我们的数放进去，`ConvReLU6Pool`、`Linear` 和 `Softmax`
# 给出的就是手算的结果：

# %%
print(inspect.getsource(ConvReLU6Pool.forward))
model = nn.Sequential(
    nn.ConvReLU6Pool(1, 1, 2, bias=False),
    nn.Flatten(),
    nn.Linear(4, 2),
    nn.Softmax(dim=1),
).double()
model.load_state_dict({"0.conv.weight": w.detach(), "2.weight": v.detach(), "2.bias": c})
print(model(x).detach().numpy().round(4))
assert tinymed.allclose(model(x), shares)

# %% [markdown]
# 训练时，把 softmax 去掉：`F.cross_entropy` 要的是得分，softmax 已经在它里面（第 05 课）。
#
# ## 文章的网络：形状与参数
#
# 5.2.2 节，图片是 28x28。盖住表的右半边，自己填一遍。3x3 的卷积去掉两行，2x2 的池化减半并向下取整；
# 卷积核对它所读的每个通道的每一格有一个权重，另有一个偏置项。
#
# | 层 | 输出 | 参数 | 乘加次数 |
# |---|---|---|---|
# | 输入 | 1 x 28 x 28 | | |
# | 卷积 3x3，32 个卷积核 | 32 x 26 x 26 | 32 · (1·3·3 + 1) = 320 | 32·26·26 · 1·3·3 = 194,688 |
# | ReLU，最大池化 2x2 | 32 x 13 x 13 | | |
# | 卷积 3x3，64 个卷积核 | 64 x 11 x 11 | 64 · (32·3·3 + 1) = 18,496 | 64·11·11 · 32·3·3 = 2,230,272 |
# | ReLU，最大池化 2x2 | 64 x 5 x 5 | | |
# | 展平 | 1600 | | |
# | 全连接 | 128 | 128 · (1600 + 1) = 204,928 | 128 · 1600 = 204,800 |
# | 全连接 | 1 | 1 · (128 + 1) = 129 | 128 |
#
# 问：11 行池化后得到 5 行。第十一行和第十一列到哪里去了？（没有谁看它们。）

# %%
tinymed.manual_seed(0)
network = article_cnn()
summary = nn.summary(network, (1, 1, 28, 28))
print(summary)
by_hand = {"0": (320, 194_688), "3": (18_496, 2_230_272), "7": (204_928, 204_800), "9": (129, 128)}
assert {row.path: (row.params, row.macs) for row in summary.rows if row.params} == by_hand
assert summary.rows[5].output_shape == (1, 64, 5, 5)
assert (summary.total_params, summary.total_macs) == (223_873, 2_629_888)

# %% [markdown]
# 权重都在哪里，计算量又在哪里？先猜，再看。（图中每层两根柱子：
# 参数（parameters）和乘加次数（multiply-adds）各占总数的百分之几。）

# %%
layers = [row for row in summary.rows if row.params]
names = ["conv 1", "conv 2", "FC 1", "FC 2"]
shares_of = {
    "parameters": np.array([row.params for row in layers]) / summary.total_params,
    "multiply-adds": np.array([row.macs for row in layers]) / summary.total_macs,
}
fig, ax = plt.subplots(figsize=(6.4, 2.8), layout="constrained")
for k, ((name, part), colour, hatch) in enumerate(zip(shares_of.items(), ("#0072B2", "#E69F00"), ("", "//"))):
    bars = ax.bar(np.arange(4) + 0.4 * k - 0.2, 100 * part, 0.38, label=name, color=colour, hatch=hatch)
    ax.bar_label(bars, [f"{100 * p:.1f}" for p in part], padding=1, fontsize=8)
ax.set(title="The article's network", ylabel="share of the whole, %", ylim=(0, 105))
ax.set_xticks(range(4), names)
ax.legend(loc="upper right")
plt.show()
print(f"{shares_of['parameters'][2]:.1%} of the weights are in one FC layer")
print(f"{shares_of['multiply-adds'][1]:.1%} of the work is in the second convolution")
assert shares_of["parameters"][2] > 0.9
assert shares_of["multiply-adds"][1] > 0.8

# %% [markdown]
# 卷积在每个位置上都用同样的权重：权重少，计算多。全连接层的每个权重只用一次：权重多，计算少。所以，
# 当图片只有一张或几张时，限制前者的是算力，限制后者的是内存。
#
# ## 一个单元能看见什么
#
# 特征图里的一个数，就是一个**单元**。它的**感受野**（receptive field），是图片中能改变它的那一部分。第 02
# 课对卷积测过它；有了步幅，就带着两个数从前往后走过各层：$r$ 是感受野有多少像素宽，$j$
# 是相邻两个单元的视野相隔多少像素。核大小为 $k$、步幅为 $s$ 的一层，做的是
#
# $$ r \leftarrow r + (k - 1)\, j, \qquad j \leftarrow j \cdot s $$
#
# 因为它的窗口盖住前一层的 $k$ 个单元，而这些单元相隔 $j$ 个像素。从 $r = j = 1$ 开始。（每行打印：感受野的大小，
# 以及相邻单元的间隔。）

# %%
r = j = 1
for name, k, s in [("conv 1", 3, 1), ("pool 1", 2, 2), ("conv 2", 3, 1), ("pool 2", 2, 2)]:
    r, j = r + (k - 1) * j, j * s
    print(f"{name}: field {r}x{r}, neighbours {j} apart")
assert (r, j) == (10, 4)

# %% [markdown]
# 真是这样吗？哪里的 $\partial\, \text{单元} / \partial\, \text{像素}$ 不是 0，单元就看得见哪里的像素。一幅图片不够，
# 因为最大池化只听胜者的，ReLU 又会拦路；所以对许多幅随机图片取平均。图中的方框由公式得出，颜色是测出来的。

# %%
noise = np.random.default_rng(0).standard_normal((256, 1, 28, 28)).astype(np.float32)
noise = tinymed.tensor(noise, requires_grad=True)
network[:6](noise)[:, :, 2, 2].sum().backward()  # up to the second pooling: (256,64,5,5)
seen = abs(noise.grad.numpy()).mean((0, 1))
fig, ax = plt.subplots(figsize=(4.2, 3.4), layout="constrained")
shown = ax.imshow(seen, cmap="cividis")
ax.add_patch(plt.Rectangle((2 * j - 0.5, 2 * j - 0.5), r, r, fill=False, ec="#D55E00", lw=2))
ax.set(title="What one unit of pool 2 sees", xlabel="column of the picture", ylabel="row")
fig.colorbar(shown, ax=ax, label="mean size of the gradient")
plt.show()
rows, columns = np.nonzero(seen.any(1))[0], np.nonzero(seen.any(0))[0]
print(f"unit (2, 2) sees rows {rows[0]} to {rows[-1]} and columns {columns[0]} to {columns[-1]}")
assert (rows[0], rows[-1], columns[0], columns[-1]) == (2 * j, 2 * j + r - 1, 2 * j, 2 * j + r - 1)

# %% [markdown]
# 所以，在全连接层之前，任何一个单元在 28x28 个像素里最多只看得见 10x10；比这更大的肿块，要到全连接层才拼得起来。
#
# ## 训练一个
#
# 用文章的组件搭一个小网络，小到可以把它全部画出来。图片是生成的（`make_breast_phantoms`），不是任何病人的。
# 训练循环逐行写出：前向、损失、反向、更新。把所有图片用过一遍，叫一个**轮次**（epoch）；Adam（第 11
# 课）是权重跟着梯度走的规则。（最后打印三行：损失从多少降到多少；在新图片上的准确率，以及总是回答多数类，
# 也就是样本较多的那一类，能得多少；恶性图片中找出了多大比例。随后的两张图是训练损失和新图片上的准确率，
# 虚线是总是回答多数类。）

# %%
train, test = make_breast_phantoms(600, seed=0), make_breast_phantoms(200, seed=1)
tinymed.manual_seed(0)
small = nn.Sequential(
    nn.ConvReLU6Pool(1, 8, 5),  # (N,1,28,28) → (N,8,12,12)
    nn.ConvReLU6Pool(8, 16, 3),  # → (N,16,5,5)
    nn.Flatten(),  # → (N,400)
    nn.Linear(400, 2),  # → (N,2): a score for malignant, a score for normal or benign
)
untrained = {name: p.detach().numpy().copy() for name, p in small.named_parameters()}
optimizer = optim.Adam(small.parameters(), lr=3e-3)
order = np.random.default_rng(0)
losses, accuracies = [], []
for _ in range(20):
    total = 0.0
    for batch in order.permutation(600).reshape(12, 50):
        optimizer.zero_grad()
        loss = F.cross_entropy(small(train.images[batch]), train.labels[batch])
        loss.backward()
        optimizer.step()
        total += loss.item() / 12
    with tinymed.no_grad():
        accuracies.append(float((small(test.images).numpy().argmax(1) == test.labels.numpy()).mean()))
    losses.append(total)
majority = max(test.counts().values()) / 200
sick = test.labels.numpy() == 0
with tinymed.no_grad():
    share = (small(test.images).numpy().argmax(1) == 0)[sick].mean()
print(f"loss {losses[0]:.3f} -> {losses[-1]:.3f}; ln 2 = {np.log(2):.3f}")
print(f"accuracy on new pictures {accuracies[-1]:.3f}, always saying the more frequent class {majority:.3f}")
print(f"of the malignant ones it finds {share:.2f}")
assert losses[-1] < 0.6 * losses[0]
assert accuracies[-1] > majority

# %%
fig, axes = plt.subplots(1, 2, figsize=(8.4, 3), layout="constrained")
axes[0].plot(range(1, 21), losses, "o-", ms=4, color="#0072B2")
axes[0].set(title="Training loss", xlabel="epoch", ylabel="mean loss", ylim=(0, None))
axes[1].plot(range(1, 21), accuracies, "o-", ms=4, color="#0072B2", label="network")
axes[1].axhline(majority, color="#D55E00", ls="--", label="always the more frequent class")
axes[1].set(title="New generated pictures", xlabel="epoch", ylabel="accuracy", ylim=(0.5, 1))
axes[1].legend(loc="lower right")
for ax in axes:
    ax.set_xticks(range(1, 21, 3))
plt.show()

# %% [markdown]
# ## 卷积核变成了什么
#
# 八个 5x5 的卷积核，上排（before）是随机抽出时的样子，下排（after）是训练之后的样子。（打印的是：每个卷积核走了多远，
# 以及它们与起点的平均相关系数。）

# %%
fig, axes = plt.subplots(2, 8, figsize=(10, 2.9), layout="constrained")
after = small[0].conv.weight.detach().numpy()
for row, name, kernels in zip(axes, ("before", "after"), (untrained["0.conv.weight"], after)):
    for ax, kernel in zip(row, kernels):
        shown = ax.imshow(kernel[0], cmap="RdBu", vmin=-abs(after).max(), vmax=abs(after).max())
        ax.set_xticks([])
        ax.set_yticks([])
    row[0].set_ylabel(name)
fig.suptitle("Kernels of the first layer")
fig.colorbar(shown, ax=axes, label="weight")
plt.show()
before = untrained["0.conv.weight"]
change = np.sqrt(((after - before) ** 2).sum((1, 2, 3)))
alike = np.mean([np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(after, before)])
print("how far each kernel moved:", change.round(2), f" mean correlation with its start: {alike:.2f}")
assert alike > 0.7

# %% [markdown]
# 训练时间这样短，随机的起点还留下不少。问：一个只会模糊的卷积核，该长什么样？（所有的数同号。）
#
# ## 它们把图片变成了什么
#
# 第一个组件的**特征图**：经过 ReLU6 和池化之后，每个卷积核在哪里有响应。（打印的两行：每张特征图的最大响应；
# 在多大比例的图片里，它有过响应。）

# %%
example = int(np.flatnonzero(test.labels.numpy() == 0)[0])
picture = test.images[example : example + 1]
with tinymed.no_grad():
    answers = small[0](picture)[0].numpy()  # (8,12,12)
fig, axes = plt.subplots(1, 9, figsize=(13, 2.2), layout="constrained")
axes[0].imshow(picture[0, 0].numpy(), cmap="gray", vmin=0, vmax=1)
axes[0].set_title("generated\nmalignant")
for k, (ax, answer) in enumerate(zip(axes[1:], answers)):
    shown = ax.imshow(answer, cmap="cividis", vmin=0, vmax=answers.max())
    ax.set_title(f"map {k}")
for ax in axes:
    ax.set_xticks([])
    ax.set_yticks([])
fig.colorbar(shown, ax=axes, label="after ReLU6, pool", shrink=0.9)
plt.show()
with tinymed.no_grad():
    everywhere = small[0](test.images).numpy().max((2, 3)) > 0
print("largest answer of each map:          ", answers.max((1, 2)).round(2))
print("share of pictures in which it answers:", everywhere.mean(0).round(2))

# %% [markdown]
# 要是有一张特征图在这里全是零，本身不算错：它的卷积核在这幅图片里什么也没找到。如果它的那个比例也接近 0，
# 它在哪里都几乎找不到东西：它死了，就是第 05 课说的那种死；网络为它付了代价，却少一个卷积核可用。

# %% [markdown]
# ## 平移会怎样
#
# 把图片平移，**卷积**的特征图就平移同样多（这叫**等变**，equivariant）；经过池化，只有平移步幅的整数倍时才还是这样（第
# 03 课）；全连接层对每个位置各有一个权重，什么也不保持。图片平移之后，网络的回答还一样吗，也就是**不变**（invariant）
# 吗？常有人说，池化能做到这一点。测一测（左图：“恶性”的份额平均变了多少；右图：虚线是准确率，
# 实线是恶性图片中找出的比例；横轴都是向右平移的像素数）：

# %%
shifts = range(-8, 9)
accuracy, found, changed = [], [], []
padded = np.pad(test.images.numpy(), ((0, 0), (0, 0), (0, 0), (8, 8)), mode="edge")
with tinymed.no_grad():
    still = F.softmax(small(test.images), 1).numpy()[:, 0]
    for d in shifts:
        p = F.softmax(small(tinymed.tensor(padded[..., 8 - d : 36 - d].copy())), 1).numpy()[:, 0]
        accuracy.append(((p < 0.5) == test.labels.numpy()).mean())
        found.append((p[sick] >= 0.5).mean())
        changed.append(abs(p - still).mean())
fig, axes = plt.subplots(1, 2, figsize=(8.4, 2.9), layout="constrained")
axes[0].plot(shifts, changed, "o-", color="#0072B2")
axes[0].set(
    title="Change of the share of malignant", xlabel="shift to the right, pixels", ylabel="mean size of the change"
)
axes[1].plot(shifts, accuracy, "s--", color="#0072B2", label="accuracy")
axes[1].plot(shifts, found, "o-", color="#D55E00", label="malignant found")
axes[1].set(title="What accuracy hides", xlabel="shift to the right, pixels", ylabel="share of pictures", ylim=(0, 1))
axes[1].legend(loc="lower center")
for ax in axes:
    ax.set_xticks(range(-8, 9, 4))
plt.show()
print(f"a shift by 1 pixel changes the share by {changed[9]:.3f} on average, by 8 pixels {changed[16]:.3f}")
for d in (0, 4, 8):
    print(f"shifted by {d}: {found[8 + d]:.2f} of the malignant pictures found, accuracy {accuracy[8 + d]:.2f}")
assert changed[8] == 0 < changed[9] < changed[16]
assert found[16] < found[8] - 0.2
assert accuracy[8] - accuracy[16] < found[8] - found[16]

# %% [markdown]
# 并不。而且只看准确率就看不出来：大多数图片不是恶性的。（平移 8 个像素时，变化里有一部分不能怪网络：
# 有些肿块已经部分移出了图片，而训练时没有见过这样的。）想要更多，就得在训练时给它看平移过的图片，
# 或者在最后一层之前对所有位置取平均。
#
# ## 哪些像素起了作用
#
# 得分对**图片**的梯度：假如这个像素变亮一点，“恶性”的得分（与另一个得分相比）会变多少？这就是**显著图**（saliency，
# Simonyan 等，2014）。还是那一遍反向，只比训练所需的多走一步。（图中三行：生成的恶性图片；训练过的网络的显著图；
# 未训练的网络的显著图。越亮的像素，越能改变得分。）


# %%
def saliency(model, images):
    x = images.clone().requires_grad_()
    scores = model(x)
    (scores[:, 0] - scores[:, 1]).sum().backward()
    return abs(x.grad.numpy()[:, 0])


some = np.flatnonzero(test.labels.numpy() == 0)[:4]
trained_maps = saliency(small, test.images[some])
fresh = nn.Sequential(nn.ConvReLU6Pool(1, 8, 5), nn.ConvReLU6Pool(8, 16, 3), nn.Flatten(), nn.Linear(400, 2))
fresh.load_state_dict(untrained)
fresh_maps = saliency(fresh, test.images[some])
fig, axes = plt.subplots(3, 4, figsize=(6.4, 5), layout="constrained")
for k, column in enumerate(axes.T):
    column[0].imshow(test.images[some[k]][0].numpy(), cmap="gray", vmin=0, vmax=1)
    column[1].imshow(trained_maps[k], cmap="cividis")
    column[2].imshow(fresh_maps[k], cmap="cividis")
    for ax in column:
        ax.set_xticks([])
        ax.set_yticks([])
for ax, name in zip(axes[:, 0], ("generated,\nmalignant", "saliency,\ntrained", "saliency,\nuntrained")):
    ax.set_ylabel(name)
fig.suptitle("Bright: pixels that would change the score most")
plt.show()
alike = np.mean([np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(trained_maps, fresh_maps)])
print(f"correlation of the maps with those of the untrained network: {alike:.2f}")
assert alike < 0.7

# %% [markdown]
# 这样的图必须通过一个检验，就是最下面一行（Adebayo 等，2018）：假如未训练的网络也给出同样的图，那么它显示的是图片，
# 而不是学到的东西。（打印的是这两种显著图的相关系数。）显著图说的是：在哪里，一个**小的变化**会有影响。
# 它不说为什么，也证明不了网络所看的就是放射科医生所看的。
#
# ## 整个网络的梯度检验
#
# 每个运算都对，往回走的那一遍也对，那么整个网络就对。尽管如此，还是检验一次：全部权重，用 float64。

# %%
tiny = nn.Sequential(nn.ConvReLU6Pool(1, 2, 3), nn.Flatten(), nn.Linear(8, 2)).double()
pictures = tinymed.randn(3, 1, 6, 6, dtype="float64")
parameters = dict(tiny.named_parameters())


def loss_of(*values):
    kernel, bias, weight, last = values
    scores = F.linear(F.max_pool2d(F.relu6(F.conv2d(pictures, kernel, bias)), 2).flatten(1), weight, last)
    return F.cross_entropy(scores, tinymed.tensor([0, 1, 1]))


assert tinymed.gradcheck(loss_of, tuple(parameters.values()))
loss = loss_of(*parameters.values())
assert tinymed.allclose(loss, F.cross_entropy(tiny(pictures), tinymed.tensor([0, 1, 1])))
print("all", sum(p.numel() for p in parameters.values()), "weights: the gradient is the slope")

# %% [markdown]
# ## 快速内核有什么不同
#
# 卷积、激活、池化一个接一个地做，那张大的特征图要写两遍、读两遍。而 ReLU6 的输入增大时，输出从不减小，
# 所以先截断再取最大，就等于先取最大再截断：
#
# $$ \max_{u,v} \min(\max(0, y_{u,v}), 6) = \min(\max(0, \max_{u,v} y_{u,v}), 6) $$
#
# 因此只需一遍：卷积出一个窗口里的各格，留下最大的，截断，写下一个数。这就是本引擎的 ReLU6-Conv-Pool；
# `nn.Sequential` 遇到接连排着的 `Conv2d`、`ReLU`、`MaxPool2d`，也照此办理。反向时，被截断的格子标作
# `DEAD`，什么也得不到。（打印的 one pass 是一遍做完，layer by layer 是逐层做。）

# %%
print(inspect.getsource(reference.conv2d_max_pool2d))
images = train.images[:64]
block = network[:3]
results = {}
with tinymed.use_backend("numba"):  # compiled once for this machine
    for name, mode in (("one pass", None), ("layer by layer", tinymed.no_fusion)):
        times = []
        for _ in range(7):
            start = time.perf_counter()
            if mode:
                with mode():
                    y = block(images)
                    y.sum().backward()
            else:
                y = block(images)
                y.sum().backward()
            times.append(time.perf_counter() - start)
        results[name] = y.detach().numpy()
        print(f"{name:<15} {1e3 * min(times):6.2f} ms for 64 pictures, there and back")
    print(f"by {tinymed.get_backend()}, on this machine; the numbers are the same")
assert np.allclose(results["one pass"], results["layer by layer"], atol=1e-5)

# %% [markdown]
# ## 练习
#
# > **练习 6.1.** 写 `stack_output_size(n, layers)`：输入 `n` 行，经过若干个卷积和池化，输出有几行。每一层以
# > `(kernel, stride, padding)` 给出。


# %% tags=["exercise"]
def stack_output_size(n, layers):
    ### BEGIN SOLUTION
    for kernel, stride, padding in layers:
        n = (n + 2 * padding - kernel) // stride + 1
    return n
    ### END SOLUTION


# %% tags=["check"]
check("stack_output_size", stack_output_size)

# %% [markdown]
# > **练习 6.2.** 写 `count_parameters(layers)`：层有 `("conv", in_channels, out_channels, kernel)`、
# > `("pool", kernel)` 和 `("linear", inputs, outputs)` 三种，凡有权重的都带偏置项。


# %% tags=["exercise"]
def count_parameters(layers):
    ### BEGIN SOLUTION
    total = 0
    for kind, *sizes in layers:
        if kind == "conv":
            channels, kernels, k = sizes
            total += kernels * (channels * k * k + 1)
        elif kind == "linear":
            inputs, outputs = sizes
            total += outputs * (inputs + 1)
    return total
    ### END SOLUTION


# %% tags=["check"]
check("count_parameters", count_parameters)

# %% [markdown]
# > **练习 6.3.** 写 `my_linear_backward(g, x, w)`：由 $g$ (N,O)、$x$ (N,I) 和 $w$ (O,I)，
# > 求 $\partial L/\partial x$、$\partial L/\partial w$ 和 $\partial L/\partial b$，不用循环。
#
# <details><summary>提示</summary>
#
# 把形状写下来。要由 (N,O)、(N,I)、(O,I) 乘出每一个结果，只有一种乘法。
#
# </details>


# %% tags=["exercise"]
def my_linear_backward(g, x, w):
    ### BEGIN SOLUTION
    return g @ w, g.T @ x, g.sum(0)
    ### END SOLUTION


# %% tags=["check"]
check("linear_backward", my_linear_backward)

# %% [markdown]
# > **练习 6.4.** 写 `count_multiply_adds(side, layers)`：一幅 `side` x `side` 像素的图片要多少次乘加，各层的写法与
# > 6.2 相同；卷积步幅为 1，没有填充；池化的步幅就是它自己的窗口大小。文章的网络要 2,629,888 次。


# %% tags=["exercise"]
def count_multiply_adds(side, layers):
    ### BEGIN SOLUTION
    total = 0
    for kind, *sizes in layers:
        if kind == "conv":
            channels, kernels, k = sizes
            side -= k - 1
            total += side * side * kernels * channels * k * k
        elif kind == "pool":
            side //= sizes[0]
        else:
            inputs, outputs = sizes
            total += inputs * outputs
    return total
    ### END SOLUTION


# %% tags=["check"]
check("count_multiply_adds", count_multiply_adds)

# %% [markdown]
# > **练习 6.5.** 用 `F` 的函数写 `my_cnn(x, w, b, v, c)`：ReLU6-Conv-Pool，卷积核 `w`，偏置项 `b`，窗口大小 2，
# > 然后是全连接层 `v`、`c`。返回 `F.cross_entropy` 所要的东西。检查时也比较梯度。


# %% tags=["exercise"]
def my_cnn(x, w, b, v, c):
    ### BEGIN SOLUTION
    y = F.max_pool2d(F.relu6(F.conv2d(x, w, b)), 2)
    return F.linear(y.flatten(1), v, c)
    ### END SOLUTION


# %% tags=["check"]
check("small_cnn", my_cnn)

# %% [markdown]
# > **练习 6.6.** 想一想：在文章的网络里，把 `MaxPooling2D` 和 `activation='relu'` 对调，先池化。数会怎样变？
# > 计算量呢？
#
# <details><summary>参考答案</summary>
#
# 数不变（见快速内核一节），而 ReLU 要处理的格子只剩四分之一左右。换成平均池化，数就会变：截断后的平均，
# 不等于平均后的截断。
#
# </details>
#
# ## 要点
#
# - 卷积、激活、池化，再来一遍；然后展平、全连接、softmax。特征图越来越小，通道越来越多。
# - 大多数权重在全连接层里，大多数计算在卷积里。
# - 一个单元看得见 $r \times r$ 个像素，$r \leftarrow r + (k-1)j$；对它真正起作用的比这少（第 02 课）。
# - 梯度只从这样的地方通过：在窗口里胜出，激活函数又不平坦。
# - 一个网络是 CNN，并不因此就对平移不变。要测，而且不能只看准确率。
#
# **接下来打开** `tinymed/nn/article.py`，那里是文章的组件；再打开 `tinymed/training/models.py`，那里是文章的网络。
# 在 PyTorch 里，`article_cnn` 就是同样的 `nn.Sequential`，名字相同，装得进同样的权重。
