# %% [markdown]
# # 15 · What next
#
# *Article 1.4.2, 7, 8, 10 · 90 minutes · `tinymed/ops/attention.py`, `tinymed/ops/norm.py`, `tinymed/autograd.py`*
#
# You can now compute a CNN and an LSTM by hand, forwards and backwards, and say what makes them fast. This lesson shows
# where to go from there: to PyTorch, to the parts that newer networks are made of, to an op of your own, to the
# literature, and to the question that comes before all others in medicine: may I believe this number?

# %%
import inspect
import math
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import tinymed
import tinymed.nn.functional as F
from tinymed import nn, optim
from tinymed.data import list_datasets, make_breast_phantoms
from tinymed.gradcheck import GradcheckError
from tinymed.ops.norm import Standardize
from tinymed.teach import check, trace
from tinymed.training import article_cnn, fit, load_weights, metrics, predict, save_weights

_ = tinymed.manual_seed(0)

# %% [markdown]
# ## To PyTorch: the same names
#
# The article recommends TensorFlow and PyTorch (7.2.3). tinymed's names are PyTorch's, so what you wrote here runs
# there with another import.
#
# | what you learnt | tinymed | PyTorch |
# |---|---|---|
# | an array with a gradient (00) | `tinymed.tensor(x, requires_grad=True)` | `torch.tensor(x, requires_grad=True)` |
# | convolution, pooling (01–03) | `F.conv2d`, `F.max_pool2d`, `nn.Conv2d`, `nn.MaxPool2d` | the same |
# | recurrent layers (07–09) | `nn.RNN`, `nn.LSTM`, `nn.GRU` | the same |
# | the backward sweep (00) | `loss.backward()`, `x.grad`, `tinymed.no_grad()` | the same, `torch.no_grad()` |
# | an op of your own | `tinymed.Function`, methods of `ctx` | `torch.autograd.Function`, static methods |
# | is my gradient right? (10) | `tinymed.gradcheck` | `torch.autograd.gradcheck` |
# | a step of Adam (11) | `optim.Adam(model.parameters()).step()` | the same |
# | weights by name | `model.state_dict()`, `load_state_dict` | the same, the same names and shapes |
# | weights in a file | `save_weights`, `load_weights` (safetensors) | the package `safetensors` |
# | data | `Dataset`, `DataLoader`, `random_split` | the same, in `torch.utils.data` |
# | the training loop (12) | `tinymed.training.fit` | you write it, or a library does |
#
# What differs stands on one page, `docs/pytorch-differences.md`. Weights move without a line of conversion:

# %%
model = article_cnn()
with tempfile.TemporaryDirectory() as folder:
    save_weights(model, Path(folder) / "cnn.safetensors", {"task": "an example"})
    state = load_weights(Path(folder) / "cnn.safetensors")
for name in model.state_dict():
    print(f"{name:<10} {state[name].shape}")
again = article_cnn()
again.load_state_dict(state)
pictures = make_breast_phantoms(4, seed=3).images
assert (again(pictures).detach().numpy() == model(pictures).detach().numpy()).all()

try:
    import torch
except ImportError:
    print("PyTorch is not installed here; the same state_dict would fit this network there")
else:
    layers = [torch.nn.Conv2d(1, 32, 3), torch.nn.ReLU(), torch.nn.MaxPool2d(2), torch.nn.Conv2d(32, 64, 3)]
    layers += [torch.nn.ReLU(), torch.nn.MaxPool2d(2), torch.nn.Flatten(), torch.nn.Linear(1600, 128)]
    theirs = torch.nn.Sequential(*layers, torch.nn.ReLU(), torch.nn.Linear(128, 1))
    theirs.load_state_dict({name: torch.from_numpy(array) for name, array in state.items()})
    with torch.no_grad():
        difference = abs(theirs(torch.from_numpy(pictures.numpy())).numpy() - model(pictures).detach().numpy()).max()
    model.load_state_dict({name: tensor.numpy() for name, tensor in theirs.state_dict().items()})  # and back
    print(f"PyTorch with these weights: the largest difference of four answers is {difference:.0e}")
    assert difference < 1e-4

# %% [markdown]
# ## Attention in a page
#
# The article's networks for sequences pass one state from step to step (4.2, 4.3); what was long ago must survive all
# steps between. *Attention* (Vaswani et al. 2017) looks at all steps at once. Each place asks a *query* $q$; each place
# has a *key* $k$, to be compared with, and a *value* $v$, to be fetched:
#
# $$ y_l = \sum_s a_{l,s}\, v_s, \qquad
#    a_{l,s} = \frac{e^{z_{l,s}}}{\sum_{s'} e^{z_{l,s'}}}, \qquad
#    z_{l,s} = \frac{1}{\sqrt{E}} \sum_e q_{l,e}\, k_{s,e} $$
#
# in short $\text{softmax}(QK^\top / \sqrt{E})\,V$. $l$ counts queries, $s$ keys, $e$ the $E$ numbers of a query. It
# is a weighted mean of values, and the weights are computed from the data.
#
# By hand: one query $q = (2, 0, 0, 0)$, keys $(0, 0, 0, 0)$ and $(\ln 3, 0, 0, 0)$, values $(4, 0)$ and $(0, 4)$. Then
# $z = (0,\; 2 \ln 3 / \sqrt{4}) = (0, \ln 3)$, $e^z = (1, 3)$. What are the weights, and what comes out?

# %%
q = np.array([[2.0, 0, 0, 0]])
k = np.array([[0.0, 0, 0, 0], [math.log(3), 0, 0, 0]])
v = np.array([[4.0, 0], [0, 4]])
y = F.scaled_dot_product_attention(*map(tinymed.tensor, (q, k, v)))
print(y.numpy())
assert np.allclose(y.numpy(), [[1 / 4 * 4, 3 / 4 * 4]])

# %% [markdown]
# Why $\sqrt{E}$? A sum of $E$ products of independent numbers of mean 0 and variance 1 has variance $E$. Without the
# root, softmax sees numbers as far apart as $\pm\sqrt{E}$, gives nearly all weight to one key, and hardly any gradient
# passes.

# %%
print(inspect.getsource(F.scaled_dot_product_attention))
for E in (4, 64, 1024):
    z = tinymed.randn(200, E) @ tinymed.randn(E, 16)
    largest = [tinymed.softmax(z * scale, dim=-1).amax(-1).mean().item() for scale in (1, E**-0.5)]
    print(f"E = {E:4}: the largest of 16 weights is {largest[0]:.2f} on average; divided by the root {largest[1]:.2f}")
assert largest[0] > 0.9 > 0.5 > largest[1]

# %% [markdown]
# ## Step through it
#
# The same as loops, one query after another:


# %%
def attention(q, k, v):
    z = np.zeros((q.shape[0], k.shape[0]))
    y = np.zeros((q.shape[0], v.shape[1]))
    for l in range(q.shape[0]):
        for s in range(k.shape[0]):
            for e in range(q.shape[1]):
                z[l, s] += q[l, e] * k[s, e] / np.sqrt(q.shape[1])
        a = np.exp(z[l])
        a = a / a.sum()
        for s in range(k.shape[0]):
            for j in range(v.shape[1]):
                y[l, j] += a[s] * v[s, j]
    return y


t = trace.function(attention, q[:, ::2], k[:, ::2] / math.sqrt(2), v)  # √E is √2 now, so the key shrinks by √2
t.show(4)
assert np.allclose(t.final["y"], [[1, 3]])

# %%
t

# %% [markdown]
# ## And backwards
#
# With $g = \partial L / \partial y$, three products and softmax's own rule (lesson 05):
#
# $$ \frac{\partial L}{\partial v_s} = \sum_l a_{l,s}\, g_l, \qquad
#    \frac{\partial L}{\partial a_{l,s}} = g_l \cdot v_s, \qquad
#    \frac{\partial L}{\partial z_{l,s}} = a_{l,s} \Bigl( \frac{\partial L}{\partial a_{l,s}}
#      - \sum_{s'} a_{l,s'} \frac{\partial L}{\partial a_{l,s'}} \Bigr) $$
#
# and from $z$ on as for any product:
# $\partial L/\partial q_l = \frac{1}{\sqrt{E}} \sum_s \partial L/\partial z_{l,s}\, k_s$. The engine needs none of it:
# attention is made of ops that know their gradients. But the two must agree:

# %%
Q, K, V = (tinymed.tensor(array, requires_grad=True) for array in (q, k, v))
g = np.array([[1.0, 2.0]])
F.scaled_dot_product_attention(Q, K, V).backward(tinymed.tensor(g))
a = np.array([[1 / 4, 3 / 4]])
ga = g @ v.T
gz = a * (ga - (a * ga).sum(1, keepdims=True))
assert np.allclose(V.grad.numpy(), a.T @ g)
assert np.allclose(Q.grad.numpy(), gz @ k / 2)
assert np.allclose(K.grad.numpy(), gz.T @ q / 2)
print("dL/dz by hand", gz.tolist(), "; dL/dq", Q.grad.numpy().round(4).tolist())
drawn = [tinymed.randn(*shape, dtype="float64", requires_grad=True) for shape in ((3, 4), (5, 4), (5, 2))]
assert tinymed.gradcheck(F.scaled_dot_product_attention, drawn)

# %% [markdown]
# Two things to know before using it. Attention does not see *order*: exchange keys together with their values, and
# nothing changes. Whoever needs order must add it to the input. And each of $L$ queries meets each of $S$ keys:
# $L \cdot S$ weights, where an LSTM needs $S$ steps. `nn.MultiheadAttention` runs several in parallel, each with
# learnt projections of its own.

# %%
order = [3, 0, 4, 2, 1]
before = F.scaled_dot_product_attention(*drawn)
shuffled = F.scaled_dot_product_attention(drawn[0], drawn[1][order], drawn[2][order])
assert np.allclose(before.detach().numpy(), shuffled.detach().numpy())
heads = nn.MultiheadAttention(embed_dim=16, num_heads=4, batch_first=True)
series = tinymed.randn(2, 10, 16)
output, weights = heads(series, series, series)
print(f"{tuple(series.shape)} -> {tuple(output.shape)}, weights {tuple(weights.shape)}, a row sums to "
      f"{weights[0, 0].sum().item():.3f}, {sum(p.numel() for p in heads.parameters())} parameters")  # fmt: skip

# %% [markdown]
# ## Batch normalisation
#
# Layers learn faster if their inputs keep one scale (why it helps is still argued: Santurkar et al., NeurIPS 2018).
# Batch normalisation (Ioffe and Szegedy 2015) gives each channel mean 0 and variance 1 over the batch and all places,
# and then a scale $\gamma$ and shift $\beta$ that are learnt:
#
# $$ y = \gamma\, \frac{x - \mu}{\sqrt{\sigma^2 + \varepsilon}} + \beta, \qquad
#    \mu = \frac{1}{n} \sum x, \quad \sigma^2 = \frac{1}{n} \sum (x - \mu)^2 $$
#
# Mind three things. The variance is divided by $n$ here; the *running* variance, kept for later, by $n - 1$. In
# evaluation the running figures are used, so an answer does not depend on who else is in the batch: `model.eval()` is
# not a formality. And $\mu$ and $\sigma$ depend on every $x$, so each gradient has three terms:

# %%
print(inspect.getsource(Standardize))
norm = nn.BatchNorm1d(1)
x = tinymed.tensor([[1.0], [2.0], [3.0], [6.0]])
print("training  ", norm(x).detach().numpy().round(3).ravel(), " mean 3, variance 14/4")
print("running   ", norm.running_mean.numpy(), norm.running_var.numpy(), " a tenth of the way to 3 and 14/3")
assert np.allclose(norm.running_mean.numpy(), 0.1 * 3)
assert np.allclose(norm.running_var.numpy(), 0.9 * 1 + 0.1 * 14 / 3)
norm.eval()
print("evaluation", norm(x).detach().numpy().round(3).ravel())

# %% [markdown]
# ## Dropout
#
# In training each number is set to 0 with probability $p$, so that no unit can rely on another one. The rest is
# divided by $1 - p$: then the mean stays, and in evaluation there is nothing to do.

# %%
ones = tinymed.ones(100_000)
thinned = F.dropout(ones, p=0.25)
print(f"zeros: {(thinned == 0).float().mean().item():.3f}, the others {thinned.amax().item():.4f}")
print(f"mean: {thinned.mean().item():.3f}; in evaluation: {F.dropout(ones, 0.25, training=False).mean().item():.3f}")
assert abs(thinned.mean().item() - 1) < 0.02

# %% [markdown]
# ## Residual connections
#
# Lesson 08 saw gradients vanish in a long chain of steps. A deep stack of layers has the same trouble, and the cure is
# akin to the LSTM's, whose cell is multiplied by a forget gate near 1 only: here a way through on which nothing is
# multiplied at all. $y = x + f(x)$ (He et al. 2016) has the gradient $\partial L/\partial x = g + g \cdot f'(x)$, and
# the first term reaches the first layer whole. Thirty small layers, with and without:

# %%
depth = 30


def gradient_by_depth(residual):
    tinymed.manual_seed(1)
    layers = [nn.Linear(32, 32) for _ in range(depth)]
    x = tinymed.randn(64, 32, requires_grad=True)
    hidden = [x]
    for layer in layers:
        change = tinymed.tanh(layer(hidden[-1]))
        hidden.append(hidden[-1] + change if residual else change)
    return [tinymed.norm(g).item() for g in tinymed.autograd.grad(hidden[-1].sum(), hidden[:-1])]


norms = {"y = f(x)": gradient_by_depth(False), "y = x + f(x)": gradient_by_depth(True)}
fig, ax = plt.subplots(figsize=(6.5, 3.3), layout="constrained")
for (name, values), style in zip(norms.items(), ("o-", "s--")):
    ax.plot(range(depth), values, style, markersize=4, label=name)
ax.set(yscale="log", xlabel="layer", ylabel="size of the gradient", title="How much of the loss's gradient arrives")
ax.legend()
plt.show()
for name, values in norms.items():
    print(f"{name:<13} at the last layer {values[-1]:8.2f}, at the first {values[0]:.2g}")
assert norms["y = f(x)"][0] < 1e-3 * norms["y = f(x)"][-1]
assert norms["y = x + f(x)"][0] > norms["y = x + f(x)"][-1] / 10

# %% [markdown]
# ## Transfer learning
#
# Section 1.4.2 defines it: 迁移学习, "利用预训练模型，在新的任务上进行微调", to take a trained model and fine-tune it
# for a new task. In medicine labels are dear, so this is what most people do. Two ways: *freeze* the old layers and
# train a new last one, or *fine-tune*, train on with all of them. What is frozen need be computed once only: run the
# pictures through the old layers, and train the new one on what comes out.
#
# All pictures here are **generated**, none is a patient's, and the figures say nothing about medicine. The old task:
# 600 phantoms. The new ones: 20 phantoms from "another scanner". The first is darker (each pixel to the power 1.8),
# the second shows negatives. Before you read on: for which of them is the old model of use, and which way is better?

# %%
LOSS = "binary_cross_entropy_with_logits"
scanners = {"darker": lambda x: x**1.8, "negative": lambda x: 1 - x}
test = make_breast_phantoms(300, seed=2)


def train(model, images, labels, epochs, lr):
    optimizer = optim.Adam(model.parameters(), lr=lr)
    fit(model, (images, labels), loss=LOSS, optimizer=optimizer, epochs=epochs, seed=0, verbose=False)


def auc(model, images):
    return metrics.auc(predict(model, (images, test.labels), loss=LOSS), test.labels)


tinymed.manual_seed(0)
old = article_cnn()
many = make_breast_phantoms(600, seed=0)
train(old, many.images, many.labels, 8, 1e-3)
print(f"old task: AUC {auc(old, test.images):.3f} on 300 new phantoms")


def features(images):
    """What the frozen layers, all but the last, make of pictures."""
    with tinymed.no_grad():
        return old[:9](images)


def new_model(way, seed):
    tinymed.manual_seed(seed)
    if way.startswith("frozen"):
        return nn.Sequential(nn.Linear(128, 1))  # reads features
    model = article_cnn()
    if way == "fine-tuned":
        model.load_state_dict(old.state_dict())
        model[9] = nn.Linear(128, 1)
    return model


ways = {  # epochs, learning rate
    "from scratch": (30, 1e-3),
    "frozen": (100, 1e-2),
    "frozen, small rate": (30, 1e-3),
    "fine-tuned": (30, 1e-3),
}
results = {}
for scanner, seen in scanners.items():
    for way, how in ways.items():
        first = features if way.startswith("frozen") else lambda images: images
        judged = first(seen(test.images))
        for seed in range(5):
            few, model = make_breast_phantoms(20, seed=10 + seed), new_model(way, seed)
            train(model, first(seen(few.images)), few.labels, *how)
            results.setdefault((scanner, way), []).append(auc(model, judged))
as_it_is = {scanner: auc(old, seen(test.images)) for scanner, seen in scanners.items()}
for scanner in scanners:
    print(f"{scanner}: the old model as it is {as_it_is[scanner]:.3f}")
    for way in ways:
        values = results[scanner, way]
        print(f"    {way:<18} {np.mean(values):.3f}   ({', '.join(f'{value:.3f}' for value in values)})")
learnt = sum(p.numel() for p in new_model("frozen", 0).parameters())
print(f"frozen: {learnt} of {sum(p.numel() for p in old.parameters())} parameters are learnt")
assert learnt == 129
assert as_it_is["negative"] < 0.5 < max(np.mean(results["darker", way]) for way in ways) < as_it_is["darker"]
assert np.mean(results["negative", "frozen"]) > np.mean(results["negative", "from scratch"])
assert np.mean(results["negative", "fine-tuned"]) < np.mean(results["negative", "from scratch"])
assert np.mean(results["negative", "frozen, small rate"]) < 0.5

# %%
fig, ax = plt.subplots(figsize=(7, 3.4), layout="constrained")
for index, (scanner, way) in enumerate(results):
    at = index + index // 4
    colour = ("#999999", "#0072B2", "#56B4E9", "#D55E00")[index % 4]
    ax.bar(at, np.mean(results[scanner, way]), color=colour, label=way if index < 4 else None)
    ax.plot([at] * 5, results[scanner, way], "k.", markersize=4)
for place, scanner in zip((1.5, 6.5), scanners):
    ax.plot(
        [place - 1.9, place + 1.9], [as_it_is[scanner]] * 2, "k--", label=None if place > 2 else "the old, as it is"
    )
ax.set_xticks([1.5, 6.5], [f"{scanner} scanner" for scanner in scanners])
ax.set(ylabel="AUC on 300 generated pictures", ylim=(0, 1.3), title="20 labels: is an old model worth having?")
ax.legend(ncols=3, loc="upper center", frameon=False, fontsize=8)
plt.show()

# %% [markdown]
# Points are single runs, bars their means. On the darker scanner the old model *as it is* does best: the task is the
# same, and 20 labels have little to add. Look at the negatives. The old model *as it is* is far below 0.5:
# confidently wrong, with no warning. That is what a change of scanner, hospital or decade may do. Yet its frozen
# features, read by 129 new numbers, do better than a network of 223,873 that 20 labels have to teach from nothing:
# what the features tell apart is still of use, only the last layer had read it the wrong way round.
#
# Each way has one rate and one length; this is no ranking of ways (lesson 11). The very same frozen features, with the
# rate and length of from scratch, stay below 0.5. Fine-tuning, from features that point the wrong way, comes last of
# the other three; does it with the frozen one's rate and length? (Put them into `ways`. When we did, it drew level with
# from scratch at the same.)
#
# The five runs differ in their 20 pictures and in chance alone. See how far: a claim about which way is better, from
# one run of each, would be worth little.
#
# ## An op of your own
#
# Anything that has a derivative can become an op. Say, *softsign*, $y = x / (1 + |x|)$, with
# $\partial y/\partial x = 1 / (1 + |x|)^2$. Forward and backward stand together; `ctx` keeps what backward needs:


# %%
class Softsign(tinymed.Function):
    """y = x / (1 + |x|);  ∂y/∂x = 1 / (1 + |x|)²"""

    def forward(ctx, x):
        ctx.below = 1 + np.abs(x)
        return x / ctx.below

    def backward(ctx, g):
        return g / ctx.below**2


def softsign(x):
    return Softsign.apply(x)


x = tinymed.tensor([-3.0, 0.0, 1.0], requires_grad=True)
y = softsign(x)
y.sum().backward()
print(y.detach().numpy(), x.grad.numpy())
assert y.tolist() == [-0.75, 0, 0.5]
assert x.grad.tolist() == [1 / 16, 1, 1 / 4]

# %% [markdown]
# Never believe a derivative that was not checked. `gradcheck` compares it with differences of your own forward. It must
# pass, and it must be able to fail: forget the square, and see.


# %%
class Forgetful(Softsign):
    def backward(ctx, g):
        return g / ctx.below


x = tinymed.randn(3, 4, dtype="float64", requires_grad=True)
assert tinymed.gradcheck(softsign, x)
try:
    tinymed.gradcheck(Forgetful.apply, x)
except GradcheckError as error:
    print("caught:", str(error).splitlines()[0])
else:
    raise AssertionError("a wrong gradient passed")

# %% [markdown]
# To make it part of the engine: the class into a file of `tinymed/ops/`, a row in its tests beside PyTorch's, a layer
# in `tinymed/nn/` if it has one. If its loops are hot, a plain-loop twin in `kernels/reference.py` and a fast one
# beside it.
#
# ## May I believe this number?
#
# Section 8.2 names two challenges besides speed: 数据隐私和安全, privacy and safety of data, and 算法透明性和可解释性,
# transparency and interpretability. It ends there. What they ask of you:
#
# - **Honest figures.** Split by *patient*, not by picture (`random_split(..., groups=)`). Look at the test set once.
#   Give an interval: an accuracy of 0.86 on BreastMNIST's 156 test pictures has a standard error of 0.028. Give
#   sensitivity and specificity, and what always saying the commoner class would get.
# - **Prevalence.** The same test means something else where fewer people are ill; see below.
# - **Shortcuts.** A network learns whatever tells the classes apart: in one study of pneumonia, the hospital (Zech et
#   al. 2018). Test on data from elsewhere.
# - **Whom does it fail?** Figures for each group: a mean hides the group that is harmed (Obermeyer et al. 2019).
# - **Privacy.** No name in the data is not enough: pictures and weights can give people away. Medical data need
#   consent or another legal ground, and stay where that says.
# - **Interpretability.** A saliency map shows where a score is sensitive, not why it is so, and some maps hardly
#   depend on what was learnt (Adebayo et al. 2018). Where a simple model does as well, take the simple one (Rudin
#   2019).
#
# Lesson 12's formula for the prevalence, drawn:


# %%
def predictive_value(sensitivity, specificity, prevalence):
    found, false_alarms = sensitivity * prevalence, (1 - specificity) * (1 - prevalence)
    return found / (found + false_alarms)


at_home, screening = (predictive_value(0.9, 0.8, share) for share in (0.27, 0.005))
print(f"a positive test is right in {at_home:.0%} where 27 % are ill, in {screening:.0%} where 5 of 1000 are")
assert (round(at_home, 2), round(screening, 3)) == (0.62, 0.022)
assert round(math.sqrt(0.86 * 0.14 / 156), 3) == 0.028

prevalence = np.geomspace(0.001, 0.5, 100)
fig, ax = plt.subplots(figsize=(9, 3.4), layout="constrained")
for specificity, style in ((0.8, ":"), (0.9, "--"), (0.99, "-")):
    right = predictive_value(0.9, specificity, prevalence)
    ax.plot(prevalence, right, style, color="#0072B2", label=f"specificity {specificity}")
ax.plot(0.27, at_home, "o", color="#D55E00", label=f"0.27 malignant, as in BreastMNIST: {at_home:.0%}")
ax.plot(0.005, screening, "s", color="#D55E00", label=f"5 of 1000: {screening:.0%}")
ax.set(xscale="log", xlabel="share of the ill among the tested", ylabel="positive tests that are right", ylim=(0, 1.05))
ax.set_title("The same test among other people")
ax.legend(title="sensitivity 0.9", fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
plt.show()

# %% [markdown]
# **What tinymed is not.** It is no medical device, has seen no clinical study, and must not touch a decision about
# anyone. It teaches how such systems compute, so that you can ask the people who build them the right questions.
#
# ## What to read
#
# First the article's own list: its books and papers, checked; courses, sites and links we did not try. Sections 7 and
# 10 hold some of the best sources there are, and some that we could not find:
#
# - Goodfellow, Bengio, Courville, *Deep Learning*, MIT Press 2016: as given, and free at deeplearningbook.org.
# - Yosinski et al. 2014, *How transferable are features in deep neural networks?*, pp. 3320–3328: as given, NIPS 27.
# - "Zhou, Khoshgoftaar, Wang 2017, A survey of transfer learning, Journal of Big Data 4(1)": this is **Weiss**,
#   Khoshgoftaar, Wang **2016**, Journal of Big Data **3**:9.
# - "Raghunathan, Liu 2018, Deep learning for medical imaging: A survey, IEEE JBHI 22(1)": not found. The journal has
#   Ravì et al. 2017, *Deep Learning for Health Informatics*, 21(1), 4–21.
# - "Liang, Yang, Wu 2019, Deep learning in medical imaging: A survey, Medical Image Analysis 54": not found. The
#   standard survey in that journal is Litjens et al. 2017, vol. 42, 60–88.
# - 7.1.1: Chollet, *Deep Learning with Python*, is as given. 《深度学习在医疗诊断中的应用》 has "[作者]", *author*,
#   where its author should stand.
# - 7.2.2: TensorFlow's debugger, "TFDB" there, is `tfdbg`.
# - 7.3: titles without authors, year or journal: too little to find one surely.
#
# A habit for life: look a reference up before you pass it on.
#
# Texts to go on with:
#
# - Prince, *Understanding Deep Learning*, MIT Press 2023. Bishop and Bishop, *Deep Learning: Foundations and Concepts*,
#   Springer 2024. Zhang, Lipton, Li, Smola, *Dive into Deep Learning*, d2l.ai.
# - Layers: Hochreiter and Schmidhuber, *Long Short-Term Memory*, Neural Computation 9, 1997. Srivastava et al.,
#   *Dropout*, JMLR 15, 2014. Ioffe and Szegedy, *Batch Normalization*, ICML 2015. He et al., *Deep Residual Learning
#   for Image Recognition*, CVPR 2016. Vaswani et al., *Attention Is All You Need*, NIPS 2017.
# - Speed: Williams, Waterman, Patterson, *Roofline*, Communications of the ACM 52(4), 2009. Goto and van de Geijn,
#   *Anatomy of High-Performance Matrix Multiplication*, ACM TOMS 34(3), 2008.
# - Medicine: Litjens et al., *A survey on deep learning in medical image analysis*, Medical Image Analysis 42, 2017.
#   Yang et al., *MedMNIST v2*, Scientific Data 10:41, 2023. Gulshan et al., *Development and Validation of a Deep
#   Learning Algorithm for Detection of Diabetic Retinopathy*, JAMA 316, 2016. Raghu et al., *Transfusion:
#   Understanding Transfer Learning for Medical Imaging*, NeurIPS 2019.
# - Doubt: Zech et al., PLoS Medicine 15(11), 2018. Obermeyer et al., Science 366, 2019. Adebayo et al., *Sanity
#   Checks for Saliency Maps*, NeurIPS 2018. Rudin, *Stop explaining black box machine learning models for high stakes
#   decisions*, Nature Machine Intelligence 1, 2019. Collins et al., *TRIPOD+AI*, BMJ 385, 2024: what a report must
#   tell.
#
# ## Five projects
#
# The data that the package's loaders know, and whether they are here:

# %%
for entry in list_datasets():
    print(f"{entry['name']:<15} {entry['what']} ({entry['licence']}; {entry['state']})")

# %% [markdown]
# 1. **A threshold with costs.** `load_breastmnist`, a miss costing 20 false alarms: choose the cheapest threshold on
#    the validation split, and report what it costs on the test split, with an interval by bootstrap.
# 2. **Seldom classes.** `load_pneumoniamnist`: compare class weights, `WeightedRandomSampler` and doing nothing, by AUC
#    and by calibration. All are children; what would you need to know before using it for adults?
# 3. **How much network is needed?** `load_wisconsin`, 30 measures: logistic regression, the article's layers,
#    `MultiheadAttention` over the measures. Does anything beat the simplest, beyond the spread of seeds?
# 4. **What is an old model worth?** Train on phantoms or on PneumoniaMNIST, move to BreastMNIST with 20, 50, 100, all
#    labels, frozen and fine-tuned. Draw the curve with its spread.
# 5. **A kernel.** Write a convolution that multiplies less (Winograd's) or weighs less (8-bit weights), and race it.
#    Does the accuracy hold?
#
# Your own table: `load_csv`. Your own pictures: any arrays, in an `ImageDataset`.
#
# ## Exercises
#
# > **Exercise 15.1.** Attention in NumPy: `q` (L,E), `k` (S,E), `v` (S,V) → (L,V). If `causal`, query $l$ sees the keys
# > $0 \dots l$ only.
#
# <details><summary>A hint</summary>
#
# Softmax runs along the keys. A key that must not be seen has the score $-\infty$, *before* softmax.
#
# </details>


# %% tags=["exercise"]
def my_attention(q, k, v, causal):
    ### BEGIN SOLUTION
    z = q @ k.T / np.sqrt(q.shape[1])
    if causal:
        z = np.where(np.tri(*z.shape), z, -np.inf)
    a = np.exp(z - z.max(axis=1, keepdims=True))
    return a / a.sum(axis=1, keepdims=True) @ v
    ### END SOLUTION


# %% tags=["check"]
check("attention", my_attention)

# %% [markdown]
# > **Exercise 15.2.** *Swish* with a learnt slope: $y = x \cdot \sigma(\beta x)$, $x$ of any shape, $\beta$ one
# > number for all. Derive $\partial y/\partial x$ and $\partial y/\partial \beta$, write a `Function`, and return the
# > tensor. Both gradients are checked. (In tinymed forward and backward are plain methods, without `@staticmethod`.)
#
# <details><summary>A hint</summary>
#
# $\sigma' = \sigma (1 - \sigma)$. $\beta$ is broadcast over all of $x$: backward may return its gradient in x's
# shape, the sweep sums it.
#
# </details>


# %% tags=["exercise"]
def my_swish(x, beta):
    ### BEGIN SOLUTION
    class Swish(tinymed.Function):
        """y = x·σ(βx);  ∂y/∂x = σ + βx·σ(1−σ);  ∂y/∂β = x²·σ(1−σ)"""

        def forward(ctx, x, beta):
            ctx.x, ctx.beta, ctx.s = x, beta, 1 / (1 + np.exp(-beta * x))
            return x * ctx.s

        def backward(ctx, g):
            slope = ctx.s * (1 - ctx.s)
            return g * (ctx.s + ctx.beta * ctx.x * slope), g * ctx.x**2 * slope

    return Swish.apply(x, beta)
    ### END SOLUTION


# %% tags=["check"]
check("swish", my_swish)

# %% [markdown]
# > **Exercise 15.3.** Batch normalisation in training: x (N,C,H,W), `gamma` and `beta` (C), `running_mean` and
# > `running_var` (C). Return y and the two running figures after this batch, momentum 0.1.


# %% tags=["exercise"]
def my_batch_norm(x, gamma, beta, running_mean, running_var, eps):
    ### BEGIN SOLUTION
    axes, column = (0, 2, 3), (1, -1, 1, 1)
    mean, var = x.mean(axes), x.var(axes)
    y = (x - mean.reshape(column)) / np.sqrt(var.reshape(column) + eps)
    y = y * gamma.reshape(column) + beta.reshape(column)
    n = x.size // x.shape[1]
    running_mean = 0.9 * running_mean + 0.1 * mean
    running_var = 0.9 * running_var + 0.1 * var * n / (n - 1)
    return y, running_mean, running_var
    ### END SOLUTION


# %% tags=["check"]
check("batch_norm_training", my_batch_norm)

# %% [markdown]
# > **Exercise 15.4.** Dropout, with the dice thrown already: `drawn` holds a number from 0 to 1 for each of `x`, and
# > where it is below $p$ the number falls out. In evaluation (`training` False) nothing happens.


# %% tags=["exercise"]
def my_dropout(x, drawn, p, training):
    ### BEGIN SOLUTION
    return x * (drawn >= p) / (1 - p) if training else x
    ### END SOLUTION


# %% tags=["check"]
check("dropout_scaled", my_dropout)

# %% [markdown]
# > **Exercise 15.5.** (Think.) Turn the question round: which specificity does a test need, so that the share
# > `wanted` of its positive answers is right, given its sensitivity and the prevalence? For the screening above and
# > every second alarm right, how many false alarms is that among 1000 healthy women?
#
# <details><summary>An answer to the question</summary>
#
# $0.9 \cdot 5 = 4.5$ of 1000 are found, so there may be 4.5 false alarms among the 995 well: 4.5 of 1000 healthy women,
# a specificity of 0.9955.
#
# </details>


# %% tags=["exercise"]
def my_specificity(sensitivity, prevalence, wanted):
    ### BEGIN SOLUTION
    found = sensitivity * prevalence
    false_alarms = found * (1 - wanted) / wanted
    return 1 - false_alarms / (1 - prevalence)
    ### END SOLUTION


# %% tags=["check"]
check("specificity_needed", my_specificity)

# %% [markdown]
# ## What to take along
#
# - The names are PyTorch's, the weights move both ways, and what you understood here is true there.
# - Attention is a weighted mean whose weights are computed. Normalisation, dropout and a way around each layer are what
#   makes deep networks trainable.
# - An old model helps as far as the new data resemble its own; it does not say when they don't.
# - A derivative is right when it was checked, a figure when somebody tried to break it.
#
# **Now open** `tinymed/ops/attention.py` and `tinymed/ops/norm.py`; then any paper of the list above, and write its
# layer.
