# %% [markdown]
# # 06 · A CNN, layer by layer
#
# *Article 1.4.3, 3.1.2, 5.2.2 · 75 minutes · `tinymed/nn/article.py`, `tinymed/training/models.py`*
#
# Lessons 01 to 05 took the parts one by one. Here they are put together: first with numbers small enough for paper,
# then as modules, then as the article's own network. After this lesson you can say of any layer of a CNN what goes in,
# what comes out, what it has to learn, what it costs, and what of the picture it can see.

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
# ## What the article says
#
# Section 3.1.2 lists five steps. Beside each, what it is here, and the lesson that has the details:
#
# | step of 3.1.2 | in the article | here | lesson |
# |---|---|---|---|
# | 1 输入层 (input) | 接收原始图像数据 | `x` (N,C,H,W) | |
# | 2 卷积层 (convolution) | 对图像进行卷积操作，提取图像特征 | `nn.Conv2d` | 01, 02 |
# | 2 激活函数 (activation) | 常用的激活函数有 ReLU、ReLU6 等 | `nn.ReLU6` | 05 |
# | 3 池化层 (pooling) | 减小特征图的尺寸 | `nn.MaxPool2d` | 03 |
# | 4 全连接层 (fully connected, FC) | 形成一个高维特征向量 | `nn.Flatten`, `nn.Linear` | here |
# | 5 输出层 (output) | 通过分类器（如 Softmax 函数）对图像进行分类 | `nn.Softmax` | 05 |
#
# And 1.4.3 has names for groups of them: ReLU6-Conv (`nn.ConvReLU6`) and ReLU6-Conv-Pool (`nn.ConvReLU6Pool`). Mind
# the order of the name: the ReLU6 comes *after* the convolution.
#
# Two words on step 4. The high-dimensional vector (高维特征向量) is made by flattening; in the article's own network
# (5.2.2) the FC layer makes it *shorter*, from 1600 numbers to 128. And step 5: softmax classifies nothing by
# itself. The scores do, and softmax turns them into shares.

# %% [markdown]
# ## By hand
#
# A picture of 5x5 with a dark mass in bright tissue (as in ultrasound; in the article's mammograms a mass is bright),
# one kernel of 2x2 that looks for "bright left, dark right", two classes. Do it on paper, step by step, before you run
# the cell (the FC layer's weights and bias are in its first lines). Where does ReLU6 cut?

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
# ## Backwards, op by op
#
# Say the picture is of class 1. `trace.backward` walks over the same ops and then back, with the engine's own
# numbers. Follow the gradient from the loss to the kernel `w`.

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
# What was said minus what is true is $(0.2689, -0.2689)$ at the scores (lesson 05). Through the FC weights that is
# $0.2689 \cdot (1, -1, -2, -1)$ at the four pooled numbers. Question: how many of these four reach the kernel?
#
# One. The first window's winner is 8, cut to 6: on the flat part of ReLU6, slope 0. In the second and fourth windows
# nothing is above 0: slope 0 again (at 0 itself, the kink, by the engine's choice; lesson 05). Only the third, 4,
# passes its $-2 \cdot 0.2689$ on, to the patch of the picture that it came from,
# $\begin{pmatrix} 4 & 0 \\ 4 & 4 \end{pmatrix}$:

# %%
wrong_by = shares[0, 0].item()
print("∂L/∂w =", w.grad[0, 0].numpy().round(3).tolist())
assert np.allclose(w.grad[0, 0].numpy(), -2 * wrong_by * np.array([[4, 0], [4, 4]]))
assert np.allclose(v.grad.numpy(), wrong_by * np.outer([1, -1], [6, 0, 4, 0]))

# %% [markdown]
# ## The fully connected layer
#
# Every output $o$ is a weighted sum of *all* inputs $i$, and of a number of its own:
#
# $$ y_{n,o} = b_o + \sum_i w_{o,i}\, x_{n,i} $$
#
# Each product $w_{o,i}\, x_{n,i}$ was added to one $y_{n,o}$. So, with $g = \partial L / \partial y$, each factor
# receives the other one times $g$, from every product that it was in:
#
# $$ \frac{\partial L}{\partial x_{n,i}} = \sum_o g_{n,o}\, w_{o,i} \qquad
#    \frac{\partial L}{\partial w_{o,i}} = \sum_n g_{n,o}\, x_{n,i} \qquad
#    \frac{\partial L}{\partial b_o} = \sum_n g_{n,o} $$
#
# Which letter is summed over? The one that the left side does not have. As matrices: $g W$, $g^T x$, and the rows of
# $g$ added up.

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
# ## The same as modules
#
# A *module* keeps its weights and says what it computes. With our numbers put in, `ConvReLU6Pool`, `Linear` and
# `Softmax` give what the hand gave:

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
# For training, leave the softmax away: `F.cross_entropy` wants scores and has it inside (lesson 05).
#
# ## The article's network: shapes and parameters
#
# Section 5.2.2, with pictures of 28x28. Cover the right half of the table and fill it in. A convolution of 3x3 takes
# two rows away, a pooling of 2x2 halves and rounds down; a kernel has one weight for each cell of each channel that it
# reads, and one bias.
#
# | layer | comes out | parameters | multiply-adds |
# |---|---|---|---|
# | input | 1 x 28 x 28 | | |
# | convolution 3x3, 32 kernels | 32 x 26 x 26 | 32 · (1·3·3 + 1) = 320 | 32·26·26 · 1·3·3 = 194,688 |
# | ReLU, max pooling 2x2 | 32 x 13 x 13 | | |
# | convolution 3x3, 64 kernels | 64 x 11 x 11 | 64 · (32·3·3 + 1) = 18,496 | 64·11·11 · 32·3·3 = 2,230,272 |
# | ReLU, max pooling 2x2 | 64 x 5 x 5 | | |
# | flatten | 1600 | | |
# | FC | 128 | 128 · (1600 + 1) = 204,928 | 128 · 1600 = 204,800 |
# | FC | 1 | 1 · (128 + 1) = 129 | 128 |
#
# Question: pooling 11 rows gives 5. What becomes of the eleventh row and column? (Nothing looks at them.)

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
# Where are the weights, and where is the work? Guess before you look.

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
# A convolution uses each weight at every place: few weights, much work. An FC layer uses each once: many weights,
# little work. That is why, for one picture or a few, the first is limited by arithmetic and the second by memory.
#
# ## What a unit can see
#
# A *unit* is one number of a map. Its *receptive field* is the part of the picture that can change it. Lesson 02
# measured this for convolutions; with strides, walk forwards through the layers with two numbers: $r$, how many pixels
# wide the field is, and $j$, how many pixels apart neighbouring units look. A layer with kernel $k$ and stride $s$ does
#
# $$ r \leftarrow r + (k - 1)\, j, \qquad j \leftarrow j \cdot s $$
#
# for its window covers $k$ units of the layer before, which are $j$ pixels apart. Start with $r = j = 1$.

# %%
r = j = 1
for name, k, s in [("conv 1", 3, 1), ("pool 1", 2, 2), ("conv 2", 3, 1), ("pool 2", 2, 2)]:
    r, j = r + (k - 1) * j, j * s
    print(f"{name}: field {r}x{r}, neighbours {j} apart")
assert (r, j) == (10, 4)

# %% [markdown]
# Is it true? Where $\partial\, \text{unit} / \partial\, \text{pixel}$ is not 0, the unit sees the pixel. One picture is
# not enough, since max pooling listens to winners only and ReLU blocks; so the average over many random pictures. The
# frame is the formula's.

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
# So no unit before the FC layers sees more than 10x10 of 28x28 pixels; a mass larger than that is put together only by
# them.
#
# ## Train one
#
# A small network of the article's blocks, so that all of it can be drawn. The pictures are generated
# (`make_breast_phantoms`), no patient's. The loop is written out: forward, loss, backward, step. Once through all
# pictures is an *epoch*; Adam (lesson 11) is the rule by which a weight follows its gradient.

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
# ## What the kernels became
#
# Eight kernels of 5x5, as they were drawn at random, and after training.

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
# After so short a training much of the random start is still there. Question: what would a kernel have to look like
# that only blurs? (All of one sign.)
#
# ## What they make of a picture
#
# The *feature maps* of the first block: where each kernel answered, after ReLU6 and pooling.

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
# If a map is all zeros here, that is no mistake in itself: its kernel found nothing in this picture. If its share is
# near 0 too, it finds hardly anything anywhere: it is dead, in the sense of lesson 05, and the network has one kernel
# less than it pays for.

# %% [markdown]
# ## What a shift does
#
# Shift the picture, and the map of a *convolution* is shifted by the same (it is *equivariant*); behind a pooling this
# holds for shifts by its stride only (lesson 03), and an FC layer, with a weight for each place, keeps nothing. Is the
# network's answer the same for a shifted picture (*invariant*), as is often said of pooling? Measure:

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
# It is not. And accuracy would hide it: most pictures are not malignant. (At 8 pixels a part of the change is not the
# network's fault: some masses are partly out of the picture, and training showed none there.) Whoever wants more must
# show shifted pictures in training, or average over all places before the last layer.
#
# ## Which pixels mattered
#
# The gradient of a score with respect to the *picture*: how much would the score for malignant (against the other)
# change if this pixel became brighter? That is *saliency* (Simonyan et al. 2014). The same backward sweep, one step
# further than training needs it.


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
# The lowest row is the test that such a picture must pass (Adebayo et al. 2018): if an untrained network gave the same
# map, the map would show the picture and not what was learnt. A saliency map says where a *small change* would
# matter. It does not say why, and it is no proof that the network looks at what a radiologist looks at.
#
# ## The gradient check of the whole
#
# If each op is right and the sweep is right, so is the network. Still, check it once: all weights, in float64.

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
# ## What the fast kernel does differently
#
# Convolution, activation and pooling, one after another, write the large map twice and read it twice. ReLU6 never falls
# as its input grows, so the largest of bounded numbers is the largest, bounded:
#
# $$ \max_{u,v} \min(\max(0, y_{u,v}), 6) = \min(\max(0, \max_{u,v} y_{u,v}), 6) $$
#
# Hence one pass: convolve the cells of a window, keep the largest, bound it, write one number. That is ReLU6-Conv-Pool
# in this engine, and `nn.Sequential` does the same with a `Conv2d`, `ReLU`, `MaxPool2d` that it finds in a row.
# Backwards, cells that were cut off are marked `DEAD` and get nothing.

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
# ## Exercises
#
# > **Exercise 6.1.** Write `stack_output_size(n, layers)`: how many rows come out of `n` rows after several
# > convolutions and poolings, each given as `(kernel, stride, padding)`.


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
# > **Exercise 6.2.** Write `count_parameters(layers)` for layers `("conv", in_channels, out_channels, kernel)`,
# > `("pool", kernel)` and `("linear", inputs, outputs)`, all with biases where they have weights.


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
# > **Exercise 6.3.** Write `my_linear_backward(g, x, w)`: from $g$ (N,O), $x$ (N,I) and $w$ (O,I) to
# > $\partial L/\partial x$, $\partial L/\partial w$ and $\partial L/\partial b$, without loops.
#
# <details><summary>A hint</summary>
#
# Write down the shapes. There is only one way in which (N,O), (N,I) and (O,I) multiply to each of them.
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
# > **Exercise 6.4.** Write `count_multiply_adds(side, layers)` for one picture of `side` x `side` pixels and layers as
# > in 6.2; convolutions have stride 1 and no padding, a pooling moves by its own size. The article's network needs
# > 2,629,888.


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
# > **Exercise 6.5.** Write `my_cnn(x, w, b, v, c)` with functions of `F`: ReLU6-Conv-Pool with kernels `w`, bias `b`
# > and windows of 2, then the FC layer `v`, `c`. It returns what `F.cross_entropy` wants. The check compares gradients
# > too.


# %% tags=["exercise"]
def my_cnn(x, w, b, v, c):
    ### BEGIN SOLUTION
    y = F.max_pool2d(F.relu6(F.conv2d(x, w, b)), 2)
    return F.linear(y.flatten(1), v, c)
    ### END SOLUTION


# %% tags=["check"]
check("small_cnn", my_cnn)

# %% [markdown]
# > **Exercise 6.6.** To think about: in the article's network, exchange `MaxPooling2D` and `activation='relu'`, so that
# > it pools first. What changes in the numbers? In the work?
#
# <details><summary>An answer</summary>
#
# Nothing changes in the numbers (see the fast kernel), and ReLU has about a quarter of the cells to do. With average
# pooling it would change the numbers: the average of bounded numbers is not the bounded average.
#
# </details>
#
# ## What to take along
#
# - Convolution, activation, pooling, again; then flatten, FC, softmax. The maps shrink, the channels grow.
# - Most weights sit in the FC layer, most work in the convolutions.
# - A unit sees $r \times r$ pixels, $r \leftarrow r + (k-1)j$; what matters to it is less than that (lesson 02).
# - Gradients pass only where a window was won and the activation was not flat.
# - That a network is a CNN does not make it invariant to shifts. Measure, and not by accuracy alone.
#
# **Now open** `tinymed/nn/article.py`, the article's blocks, and `tinymed/training/models.py`, its network. In PyTorch,
# `article_cnn` is the same `nn.Sequential` with the same names, and takes the same weights.
