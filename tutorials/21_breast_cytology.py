# %% [markdown]
# # 21 · Breast cytology: a table
#
# *Article 6.1 · 60 minutes · `tinymed/tasks/breast_cytology.py`, `tinymed/data/prepare.py`, `tinymed/evaluation`*
#
# The listing of section 5.2 reads a table with the columns `id` and `diagnosis`. There is a real table of just that
# form. After this lesson you can judge a model by folds, say how sure the mean over folds is, read the weights of a
# logistic regression without being misled, and tell when a deep network is not needed.
#
# *Nothing here is a clinical device. No output of this lesson is a diagnosis.*

# %%
import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import LogisticRegression

import tinymed
from tinymed import tasks
from tinymed.data import TensorDataset, load_csv, write_wisconsin_csv
from tinymed.data.folds import stratified_folds
from tinymed.data.prepare import Standardize
from tinymed.evaluation import Evaluation, compare
from tinymed.optim import AdamW
from tinymed.tasks.dense import dense, logistic
from tinymed.teach import check
from tinymed.training import fit, metrics, predict

FULL = "--full" in sys.argv  # the recipe, five seeds, three times five folds; else fewer epochs, two seeds, one time
SEEDS, REPEATS = (5, 3) if FULL else (2, 1)
BLUE, ORANGE, GREEN, PINK, BLACK = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#222222"
LOSS = "binary_cross_entropy_with_logits"


def asked(model, **keys):
    """The keys of a run: the recipe of `tinymed train --task breast-cytology`."""
    return {"task": "breast-cytology", "model": model, **({} if FULL else {"epochs": 40}), **keys}


# %% [markdown]
# ## What the article says
#
# Section 6.1: 深度学习技术可以通过对乳腺影像数据的分析，实现乳腺癌的自动识别和分类，从而提高诊断的准确性和效率。
# ("By analysing breast imaging data, deep learning can recognise and classify breast cancer automatically, and so make
# diagnosis more accurate and more efficient.") Two claims are in it: that it can be done, and that *deep learning* does
# it. Here the second is put to a test: a network with hidden layers beside one without any.
#
# ## The data
#
# The Wisconsin data (Street, Wolberg and Mangasarian 1993; CC BY 4.0). A thin needle takes cells out of a mass in the
# breast; they are stained and photographed under a microscope. Somebody drew roughly around each nucleus on a screen;
# a program tightened the outline and measured ten things of it: radius, texture, perimeter and so on. Of each the
# table has the mean over the nuclei of a picture, its standard error, and the *worst*, which is the mean of the three
# largest: 30 columns. So much has been done by a person before any network begins.

# %%
tasks.at_hand("breast-cytology")
with tempfile.TemporaryDirectory() as folder:
    paths = write_wisconsin_csv(folder)
    lines = Path(paths[0]).read_text(encoding="utf-8").splitlines()
    head = load_csv(paths[0], normalize=False)
    tail = load_csv(paths[1], like=head)
print("train.csv, the first columns of the first rows:")
for line in lines[:4]:
    print("   ", ", ".join(line.split(",")[:6]), ", ...")
X = np.concatenate([head.inputs.array, tail.inputs.array])
truth = np.concatenate([head.labels.array, tail.labels.array])
columns, classes = head.layout.columns, head.classes
print(f"\n{X.shape[0]} rows, {X.shape[1]} measures; dropped: {head.layout.dropped}; classes {classes}")
print({label: int(n) for label, n in zip(classes, np.bincount(truth))}, "| missing values:", int(np.isnan(X).sum()))
assert X.shape == (569, 30)
assert np.bincount(truth).tolist() == [357, 212]
assert head.layout.dropped == ("id",)

# %% [markdown]
# The loader numbers classes in sorted order, so 1 is M, malignant. A stone always says "benign". Which single measure
# tells the two apart best? Its AUC (lesson 12) says so without any model:

# %%
stone = metrics.majority_share(truth)


def alone(x, y):
    """AUC of one column by itself: metrics.auc takes numbers in 0…1."""
    return metrics.auc((x - x.min()) / np.ptp(x), y)


aucs = np.array([alone(X[:, j], truth) for j in range(30)])
print(f"a stone's accuracy: {stone:.3f}\n")
for j in np.argsort(-aucs)[:5]:
    print(f"{columns[j]:<22} alone: AUC {aucs[j]:.3f}")
best = int(aucs.argmax())
assert columns[best] == "worst perimeter"
assert 0.97 < aucs[best] < 0.98

# %%
fig, axes = plt.subplots(1, 3, figsize=(12, 3.5), layout="constrained")
for ax, j, unit in ((axes[0], best, "the program's units"), (axes[1], columns.index("mean texture"), "grey levels")):
    bins = np.linspace(X[:, j].min(), X[:, j].max(), 31)
    for label, colour, hatch in ((0, BLUE, ""), (1, ORANGE, "//")):
        ax.hist(X[truth == label, j], bins, color=colour, hatch=hatch, alpha=0.6, label=("benign", "malignant")[label])
    ax.set(title=f"{columns[j]}, alone AUC {aucs[j]:.2f}", xlabel=f"{columns[j]} ({unit})", ylabel="masses")
axes[0].legend(loc="upper right")
radius, perimeter = columns.index("mean radius"), columns.index("mean perimeter")
for label, colour, marker in ((0, BLUE, "o"), (1, ORANGE, "^")):
    axes[2].plot(X[truth == label, radius], X[truth == label, perimeter], marker, color=colour, ms=3, alpha=0.6)
together = np.corrcoef(X.T)
axes[2].set(
    title=f"Nearly one column: r = {together[radius, perimeter]:.3f}",
    xlabel="mean radius (the program's units)",
    ylabel="mean perimeter (the same units)",
)
plt.show()

# %% [markdown]
# The third picture is geometry: a perimeter is about $2\pi$ times a radius. How many of the 435 pairs of columns are so
# closely tied? Here are all of them, in the table's order.

# %%
pairs = together[np.tril_indices(30, -1)]
print(f"{(abs(pairs) > 0.9).sum()} of {len(pairs)} pairs have |r| > 0.9; the greatest is {pairs.max():.4f}")
assert len(pairs) == 435
assert (abs(pairs) > 0.9).sum() == 21
fig, ax = plt.subplots(figsize=(6.4, 5.4), layout="constrained")
image = ax.imshow(together, cmap="RdBu_r", vmin=-1, vmax=1)
fig.colorbar(image, label="correlation r")
for edge in (9.5, 19.5):
    ax.axhline(edge, color=BLACK, lw=0.8)
    ax.axvline(edge, color=BLACK, lw=0.8)
short = [n.replace("mean ", "").replace(" error", "").replace("worst ", "") for n in columns]
ax.set_yticks(range(30), short, fontsize=6)
ax.set_xticks([4.5, 14.5, 24.5], ["mean", "standard error", "worst"])
ax.set_title("30 measures, far fewer independent ones")
plt.show()

# %% [markdown]
# Remember the red blocks. They are why 30 measures are not 30 pieces of news, and why the weights below must be read
# with care.
#
# ## The split: five folds
#
# 569 rows are too few to give up a fifth for good: 114 test rows alone leave an interval of several points. With five
# folds each row is judged once, by a model that has not seen it. *Stratified*: each fold has the same share of
# malignant ones. `tinymed train --fold 0` to `4` are the five; 5 to 9 are five others, cut anew.

# %%
folds = stratified_folds(truth, 5, seed=0)
for k, (train, test) in enumerate(folds):
    print(f"fold {k}: learn from {len(train)}, judge by {len(test)}, of which {truth[test].mean():.1%} malignant")
assert sorted(np.concatenate([test for _, test in folds])) == list(range(569))
assert all(abs(truth[test].mean() - truth.mean()) < 0.01 for _, test in folds)

# %% [markdown]
# ## The two models
#
# The measures are in very different units; the largest standard deviation of a column is more than 200,000 times the
# smallest. So each is first brought to mean 0 and deviation 1, by the numbers of the *training* rows:
#
# $$ x'_j = \frac{x_j - \mu_j}{s_j} $$
#
# **Logistic regression**, 30 weights and a bias, 31 parameters:
#
# $$ p = \sigma(w \cdot x' + b) $$
#
# **A dense network** (the article's FC, 3.1.2; [lesson 06](06_cnn_layer_by_layer.py)), 30 → 32 → 16 → 1, with dropout
# 0.2 after each hidden layer ([lesson 15](15_what_next.py)):
#
# $$ a_1 = \text{ReLU}(W_1 x' + b_1), \qquad a_2 = \text{ReLU}(W_2 a_1 + b_2), \qquad p = \sigma(w \cdot a_2 + b) $$
#
# Both learn by the same loss, the cross-entropy of [lesson 05](05_activations_softmax_losses.py), and by AdamW
# ([lesson 11](11_optimisers.py)). Logistic regression *is* the network without its hidden layers.

# %%
sizes = {}
for model in (logistic((30,), 2), dense((30,), 2, dropout=0.2)):
    print(model)
    sizes[len(model)] = sum(weights.numel() for weights in model.parameters())
print("parameters:", list(sizes.values()), f"| deviations differ by a factor of {X.std(0).max() / X.std(0).min():,.0f}")
assert list(sizes.values()) == [31, 1537]
assert X.std(0).max() / X.std(0).min() > 200_000

# %% [markdown]
# ## Training, by one call and by hand
#
# `tasks.train` is what the command `tinymed train --task breast-cytology` calls. Below it, the same spelt out: nothing
# is hidden in it, and the probabilities are the same to the last bit.


# %%
def by_hand(config, x_train, y_train, x_test):
    """The recipe of `tinymed train`, on tables that are prepared already: p of the test rows, and the model."""
    tinymed.manual_seed(config.seed)
    network = logistic((30,), 2) if config.model == "logistic" else dense((30,), 2, dropout=config.dropout)
    fit(
        network,
        TensorDataset(x_train, y_train),
        loss=LOSS,
        optimizer=AdamW(network.parameters(), lr=config.lr, weight_decay=config.weight_decay),
        epochs=config.epochs,
        batch_size=config.batch_size,
        seed=config.seed,
        verbose=False,
    )
    return predict(network, x_test, loss=LOSS)[:, 0], network


run, parts = tasks.train(asked("logistic", fold=0), verbose=False)
print({key: getattr(run.config, key) for key in ("model", "epochs", "lr", "weight_decay", "batch_size", "seed")})
train, test = folds[0]
assert np.array_equal(parts.test.x, X[test])  # the folds above are those of the task
inside = Standardize().fit(X[train])
p_hand, _ = by_hand(run.config, inside(X[train]), truth[train], inside(X[test]))
print("the same as tasks.train:", np.array_equal(p_hand, run.predict(parts.test.x)))
assert np.array_equal(p_hand, run.predict(parts.test.x))

# %% [markdown]
# ## Standardising inside the folds, and outside
#
# The rule: whatever is learnt from data, here 30 means and 30 deviations, is learnt from the training part of each
# fold. **The wrong way** is to standardise all 569 rows once, and then to cut folds. How much does the wrong way
# flatter here? Say a number before you look. The third line leaves the measures as they are.

# %%
whole = Standardize().fit(X)  # has seen every test row
found, flips, kept = {"inside": [], "outside": [], "not at all": []}, 0, []
for train, test in folds:
    inside = Standardize().fit(X[train])
    said = {}
    for way, prepared in (("inside", inside), ("outside", whole), ("not at all", lambda x: x.astype(np.float32))):
        p, network = by_hand(run.config, prepared(X[train]), truth[train], prepared(X[test]))
        if way == "inside":
            kept.append(network)  # its weights are read below
        found[way].append(metrics.accuracy(p, truth[test]))
        said[way] = p > 0.5
    flips += int((said["inside"] != said["outside"]).sum())
for way, values in found.items():
    print(f"standardised {way:<11} accuracy {np.mean(values):.3f}")
print(f"inside and outside differ in {flips} of 569 answers")
assert flips <= 3
assert np.mean(found["not at all"]) < np.mean(found["inside"])

# %% [markdown]
# Next to nothing, here: a mean of 455 rows and one of 569 are nearly alike, and no label is looked at. So be honest in
# both directions. This leak is small. The rule stays, for three reasons: it costs nothing; you do not know beforehand
# how large a leak is; and a *choice* made by labels, such as of columns or of medians by class, leaks enough to make
# noise look like a discovery (lesson 12) and 76 % look like 85 % ([lesson 22](22_diabetes.py)).
#
# ## Is the deep one better?
#
# Both models on the same folds, with several seeds. One *pass* is five folds with one seed: every row is judged once.

# %%
accuracy, area, passes = {}, {}, {}
for model in ("logistic", "dense"):
    for repeat in range(REPEATS):
        cut = stratified_folds(truth, 5, seed=repeat)
        for seed in range(SEEDS):
            p = np.empty(569)
            for k, (_, test) in enumerate(cut):
                run, parts = tasks.train(asked(model, fold=5 * repeat + k, seed=seed), verbose=False)
                p[test] = run.predict(parts.test.x)
                accuracy[model, repeat, seed, k] = metrics.accuracy(p[test], truth[test])
                area[model, repeat, seed, k] = metrics.auc(p[test], truth[test])
            passes[model, repeat, seed] = p


def of(model, table):
    return np.array([value for key, value in table.items() if key[0] == model])


print(f"{'':<10} {'accuracy over folds':>22} {'AUC over folds':>20}   accuracy of each pass")
for model in ("logistic", "dense"):
    each = [metrics.accuracy(p, truth) for key, p in passes.items() if key[0] == model]
    a, u = of(model, accuracy), of(model, area)
    print(
        f"{model:<10} {a.mean():>13.4f} ± {a.std(ddof=1):.4f} {u.mean():>12.4f} ± {u.std(ddof=1):.4f}"
        f"   {', '.join(f'{v:.3f}' for v in each[:6])}{' ...' if len(each) > 6 else ''}"
    )
print(f"a stone    {stone:>13.4f}")
assert of("logistic", accuracy).mean() > 0.95
assert of("dense", accuracy).mean() > 0.95
assert abs(of("logistic", accuracy).mean() - of("dense", accuracy).mean()) < 0.015
if FULL:  # the figures below
    measured = {m: [t.mean().round(3), t.std(ddof=1).round(3), of(m, area).mean().round(3)]
                for m, t in ((m, of(m, accuracy)) for m in ("logistic", "dense"))}  # fmt: skip
    assert measured == {"logistic": [0.971, 0.019, 0.994], "dense": [0.975, 0.014, 0.993]}

# %%
fig, ax = plt.subplots(figsize=(7, 3.6), layout="constrained")
count = 5 * REPEATS
left, right = (
    [np.mean([accuracy[model, f // 5, seed, f % 5] for seed in range(SEEDS)]) for f in range(count)]
    for model in ("logistic", "dense")
)
for f in range(count):
    ax.plot([f, f], [left[f], right[f]], color="0.75", lw=1.5, zorder=1)
ax.plot(range(count), left, "o", color=BLUE, ms=9, label="logistic regression")
ax.plot(range(count), right, "s", color=ORANGE, ms=5, label="dense network")
ax.axhline(np.mean(left), color=BLUE, lw=1)
ax.axhline(np.mean(right), color=ORANGE, lw=1, ls="--")
ax.set(
    title=f"Each fold, mean of {SEEDS} seeds: the fold matters more than the model",
    xlabel="fold",
    ylabel="accuracy on the fold's 114 rows",
    xticks=range(count),
)
ax.set_ylim(min(left + right) - 0.012, 1.006)
fig.legend(loc="outside lower center", ncols=2)
plt.show()

# %% [markdown]
# With `--full` (five seeds, fifteen folds; measured on a CPU with two threads): logistic regression 0.971 ± 0.019 and
# AUC 0.994, the dense network 0.975 ± 0.014 and AUC 0.993. On fifteen *other* folds, cut by scikit-learn's
# `RepeatedStratifiedKFold(5, 3)`, the same two had 0.977 ± 0.015 and 0.976 ± 0.013 (PyTorch there: 0.977 and 0.975):
# the order was the other way round. So how much does the cut alone do? scikit-learn's logistic regression, the same
# 569 rows, cut eight times:


# %%
def one_pass(seed):
    shares = []
    for train, test in stratified_folds(truth, 5, seed=seed):
        inside = Standardize().fit(X[train])
        model = LogisticRegression(max_iter=1000).fit(inside(X[train]), truth[train])
        shares.append(model.score(inside(X[test]), truth[test]))
    return np.mean(shares)


cuts = [one_pass(seed) for seed in range(8)]
print("scikit-learn, eight cuts:", ", ".join(f"{v:.3f}" for v in cuts))
assert max(cuts) - min(cuts) > 0.008
assert min(cuts) > 0.96

# %% [markdown]
# One point lies between the luckiest and the unluckiest cut, which is more than lies between the two models.
#
# Two models that judged the same rows can be compared row by row. What is hard for both cancels:

# %%
one, two = (Evaluation(passes[model, 0, 0], truth, classes) for model in ("logistic", "dense"))
print("logistic:", one.figures["accuracy"], "| dense:", two.figures["accuracy"], "with 95 % intervals\n")
between = compare(one, two)
print("dense less logistic, accuracy:", between.differences["accuracy"])
print(f"only logistic right: {between.only_first}, only dense: {between.only_second}; p = {between.p:.2f} (McNemar)")
assert between.differences["accuracy"].low <= 0.01

# %% [markdown]
# A handful of rows decides. On this table the deep network, with fifty times the parameters, is as good as logistic
# regression, and not visibly better. That is no failure of deep learning. Whoever chose the ten measures has done the
# work that layers do elsewhere, and what was left is nearly a straight cut. **Always try the linear model first.** If
# the deep one is not better by more than the spread, take the one that can be read.
#
# ## How sure is a mean over folds?
#
# It is tempting to take 15 folds for 15 experiments, and the standard error for $\text{sd} / \sqrt{15}$. With 50
# repeats it would be tiny. But folds share their rows (the training parts of two of five folds have three quarters in
# common), and the repeats share *all* rows. Nothing new is learnt about the world by cutting the same 569 rows again.
#
# We cannot draw new patients. We can draw new *generated* tables, as many as we like, and see what the mean over folds
# really does: 200 little worlds of 60 rows, in each five folds, repeated; the model says the class of the nearer mean.


# %%
def little_world(rng, repeats, n=60):
    """Accuracies of 5·repeats folds on one generated table."""
    y = np.arange(n) % 2
    x = rng.standard_normal((n, 5)) + 0.4 * y[:, None]
    shares = []
    for _ in range(repeats):
        fold = rng.permutation(n) % 5
        for k in range(5):
            seen = fold != k
            one, zero = (x[seen & (y == c)].mean(0) for c in (1, 0))
            shares.append((((x[~seen] - (one + zero) / 2) @ (one - zero) > 0) == y[~seen]).mean())
    return np.array(shares)


rng = np.random.default_rng(0)
rows = []
print("folds   true spread of the mean   sd/√J says   corrected says   'true within ±1.96·(sd/√J)'   corrected")
for repeats in (1, 2, 4, 10):
    worlds = np.array([little_world(rng, repeats) for _ in range(200)])
    J, means, sd = worlds.shape[1], worlds.mean(1), worlds.std(1, ddof=1)
    naive, corrected = sd / np.sqrt(J), sd * np.sqrt(1 / J + 1 / 4)
    held = [(abs(means - means.mean()) < 1.96 * s).mean() for s in (naive, corrected)]
    rows.append((J, means.std(ddof=1), naive.mean(), corrected.mean()))
    print(f"{J:>5} {rows[-1][1]:>20.3f} {rows[-1][2]:>16.3f} {rows[-1][3]:>14.3f} {held[0]:>24.0%} {held[1]:>22.0%}")
assert rows[-1][1] > 2.5 * rows[-1][2]  # sd/√J promises far too much
assert held[0] < 0.6
assert held[1] > 0.88

# %%
fig, ax = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
J, true, naive, corrected = np.array(rows).T
ax.plot(J, true, "o-", color=BLACK, label="what it really is")
ax.plot(J, naive, "s--", color=ORANGE, label="sd / √J")
ax.plot(J, corrected, "^:", color=GREEN, label="sd · √(1/J + n_test/n_train)")
ax.set(title="Spread of a mean over J folds, 200 generated tables each", xlabel="folds J", ylabel="standard error")
ax.set_ylim(0)
fig.legend(loc="outside lower center", ncols=3, fontsize=8)
plt.show()

# %% [markdown]
# Ten repeats make the orange line small and the black one hardly smaller. Nadeau and Bengio (2003) correct it by the
# share of rows that training parts have in common:
#
# $$ \text{SE} = \sqrt{\left(\frac{1}{J} + \frac{n_{\text{test}}}{n_{\text{train}}}\right) s^2} $$
#
# with $s^2$ the variance over the $J$ folds. However many repeats, it does not fall below
# $s\,\sqrt{n_{\text{test}} / n_{\text{train}}}$, half of $s$ for five folds. For the figures above:

# %%
of_fold = {"logistic": np.array(left), "dense": np.array(right)}
for what, shares in {**of_fold, "dense less logistic": of_fold["dense"] - of_fold["logistic"]}.items():
    sd = shares.std(ddof=1)
    plain, corrected = sd / np.sqrt(count), sd * np.sqrt(1 / count + 1 / 4)
    print(f"{what:<20} {shares.mean():+.4f}, sd/√{count} {plain:.4f}, corrected {corrected:.4f}")
assert abs(shares.mean()) < 2 * corrected

# %% [markdown]
# And the seeds? They are a third thing. Another seed gives other first weights and another order of batches; it says
# how much the *making* of a model moves, not how much other patients would move it. Logistic regression's loss has
# one lowest point, so its seeds nearly agree.

# %%
for model in ("logistic", "dense"):
    by_seed = [[accuracy[model, f // 5, s, f % 5] for f in range(count)] for s in range(SEEDS)]
    between_seeds, between_folds = np.std(by_seed, axis=0, ddof=1).mean(), np.std(by_seed, axis=1, ddof=1).mean()
    print(f"{model:<9} sd between seeds {between_seeds:.4f}, between folds {between_folds:.4f}")
    assert between_seeds < between_folds

# %% [markdown]
# ## Reading the weights
#
# In a logistic regression, one deviation more of measure $j$ multiplies the *odds* $p / (1 - p)$ by $e^{w_j}$, **if all
# other measures stay as they are**. Mind the condition. Here are the weights of five folds.

# %%
weights = np.array([network[0].weight.detach().numpy()[0] for network in kept])
order = np.argsort(weights.mean(0))
turned = [j for j in range(30) if aucs[j] > 0.6 and (weights[:, j] < 0).all()]
fig, ax = plt.subplots(figsize=(7, 6), layout="constrained")
for place, j in enumerate(order):
    colour = PINK if j in turned else BLUE
    ax.plot(weights[:, j], np.full(5, place), "o", color=colour, ms=4, alpha=0.7)
ax.axvline(0, color=BLACK, lw=0.8)
ax.set_yticks(range(30), [f"{columns[j]}  ({aucs[j]:.2f})" for j in order], fontsize=7)
ax.set(title="Weights of five folds (and the AUC of each measure alone)", xlabel="weight w, per standard deviation")
plt.show()
for j in turned:
    print(f"{columns[j]:<20} weight {weights[:, j].mean():+.2f} in the model, but alone AUC {aucs[j]:.2f}")
assert turned

# %% [markdown]
# The pink ones have a negative weight in every fold, although *more* of each goes with malignant when it is looked at
# alone. Nobody should say "a compact nucleus protects". The weight answers: what does this measure add, once the
# other 29 are known? And since some measures are nearly the same, it is not even settled who of them gets the weight.
# Move a weight of 1 from the mean radius to the mean perimeter:

# %%
train, test = folds[-1]
w, b = weights[-1].copy(), kept[-1][0].bias.item()
inside = Standardize().fit(X[train])
z = inside(X[test])
before = 1 / (1 + np.exp(-(z @ w + b)))
w[radius] -= 1
w[perimeter] += 1
after = 1 / (1 + np.exp(-(z @ w + b)))
print(f"weights before: radius {weights[-1][radius]:+.2f}, perimeter {weights[-1][perimeter]:+.2f}")
print(f"weights after:  radius {w[radius]:+.2f}, perimeter {w[perimeter]:+.2f}")
print(f"answers that change: {((before > 0.5) != (after > 0.5)).sum()} of {len(test)}")
assert w[radius] < 0 < weights[-1][radius]
assert ((before > 0.5) != (after > 0.5)).sum() <= 2

# %% [markdown]
# A model in which a larger radius makes cancer *less* likely, and it answers the same. Weight decay is what chose
# between the two, not biology. Read a block of correlated measures together, or not at all.
#
# ## Calibration
#
# If the model says 0.8 of a hundred masses, are eighty of them malignant? The rows of one pass, in bins of equally
# many:

# %%
fig, axes = plt.subplots(1, 2, figsize=(9.6, 3.8), layout="constrained")
axes[0].plot([0, 1], [0, 1], color="0.7", lw=0.8)
for evaluation, label, colour, style in (
    (one, "logistic regression", BLUE, "o-"),
    (two, "dense network", ORANGE, "s--"),
):
    said, true, n = evaluation.calibration()
    axes[0].plot(said, true, style, color=colour, ms=4, label=label)
    print(f"{label:<20} calibration error {evaluation.figures['calibration_error']}")
axes[0].set(title="Calibration, one pass over 569 rows", xlabel="probability said", ylabel="share malignant")
axes[0].legend(loc="upper left")
for label, colour, hatch in ((0, BLUE, ""), (1, ORANGE, "//")):
    axes[1].hist(
        one.probabilities[truth == label, 1],
        np.linspace(0, 1, 21),
        color=colour,
        hatch=hatch,
        alpha=0.6,
        label=("benign", "malignant")[label],
    )
axes[1].set(title="What logistic regression says", xlabel="probability of malignant", ylabel="masses (log scale)")
axes[1].set_yscale("log")
axes[1].legend(loc="upper center")
plt.show()

# %% [markdown]
# Most answers are close to 0 or 1. A doubtful mass is rare here, and the bins in the middle hold few rows, so that part
# of the curve means little.
#
# ## A threshold, chosen on validation
#
# Missing a cancer costs more than a second look. Ask for a threshold that finds 95 % of the malignant ones: it is
# chosen on 15 % of the training part, kept back for that. The test rows have no say.

# %%
counted, at_half, chosen = np.zeros((2, 2), int), np.zeros((2, 2), int), []
for k in range(5):
    run, parts = tasks.train(asked("logistic", fold=k, threshold="sensitivity=0.95"), verbose=False)
    p = run.predict(parts.test.x)
    chosen.append(run.threshold)
    counted += metrics.confusion_matrix(p, parts.test.y, run.threshold)
    at_half += metrics.confusion_matrix(p, parts.test.y, 0.5)
print("chosen in the five folds:", ", ".join(f"{t:.2f}" for t in chosen), "on", run.counts["validation"], "rows each")
for at, ((tn, fp), (fn, tp)) in (("at 0.5", at_half), ("as chosen", counted)):
    print(f"{at:<10} missed {fn} of {tp + fn}, false alarms {fp} of {fp + tn}")
assert at_half.sum() == counted.sum() == 569
assert max(chosen) - min(chosen) > 0.05

# %% [markdown]
# See how the chosen thresholds differ: the validation part has some 25 malignant rows, and 95 % of 25 hangs on one or
# two of them. A promise of "95 %" made so is a hope. With classes so well apart, it costs little either way.
#
# ## The worst errors
#
# The rows that were most confidently wrong, as profiles: the ten *worst* measures, in standard deviations, over the
# middle half of either class.

# %%
z = Standardize().fit(X)(X)[:, 20:]
shown = one.errors()[:6]
fig, axes = plt.subplots(2, 3, figsize=(11, 5.6), layout="constrained", sharex=True, sharey=True)
for ax, row in zip(axes.flat, shown):
    for label, colour in ((0, BLUE), (1, ORANGE)):
        low, high = np.percentile(z[truth == label], [25, 75], axis=0)
        ax.fill_between(
            range(10), low, high, color=colour, alpha=0.3, lw=0, label=f"half of the {('benign', 'malignant')[label]}"
        )
    ax.plot(z[row], "o-", color=BLACK, ms=4, label="this mass")
    ax.set_title(f"row {row}: {('benign', 'malignant')[truth[row]]}, p = {one.probabilities[row, 1]:.3f}", fontsize=9)
    ax.set_xticks(range(10), short[20:], rotation=60, ha="right", fontsize=7)
for ax in axes[:, 0]:
    ax.set_ylabel("standard deviations")
handles, labels = axes[0, 0].get_legend_handles_labels()
fig.legend(handles, labels, loc="outside upper center", ncols=3)
plt.show()
missed = [row for row in one.errors() if truth[row] == 1]
print(f"{len(one.errors())} errors, {len(missed)} of them missed cancers")
assert len(one.errors()) < 35

# %% [markdown]
# Most are malignant masses whose nuclei lie in the blue band: by these measures they look benign, and no model of
# these measures can know better. Now and then a label may be wrong as well. An error is a question to a doctor before
# it is one to the programmer.
#
# ## What may not be concluded
#
# - **Not that a machine reads breast cancer at 97 %.** A person drew the outlines, on masses that had been found and
#   punctured already. At a screening nothing of this exists.
# - **Not how it would go elsewhere.** One hospital, before 1995, one microscope. 37 % malignant is a share of masses
#   that were thought worth a needle.
# - **Nothing about pictures.** The article speaks of 影像, images; these are numbers measured by hand on images.
#   [Lesson 20](20_breast_ultrasound.py) is about pictures, and there the figures are lower.
# - **Not that 97.5 is better than 97.1.** Another cut of the same rows moves a mean by more than that.
# - **Not what causes what**, from weights.
#
# ## In one command
#
# ```sh
# tinymed train --task breast-cytology --model logistic --repeats 15 --out runs/cytology
# tinymed evaluate runs/cytology/0        # a page with figures, curves and the worst errors
# tinymed train --task breast-cytology --data train.csv --test test.csv --label diagnosis --out runs/mine
# python tutorials/21_breast_cytology.py --full        # five seeds on fifteen folds
# ```
#
# ## Exercises
#
# > **Exercise 21.1.** Write `corrected_standard_error(shares, n_train, n_test)`: Nadeau and Bengio's standard error of
# > the mean of the accuracies `shares` (J,), one for each fold. By hand first: shares 0.9 and 1.0, 8 rows to learn
# > from and 2 to judge by.


# %% tags=["exercise"]
def corrected_standard_error(shares, n_train, n_test):
    ### BEGIN SOLUTION
    return np.sqrt((1 / len(shares) + n_test / n_train) * np.var(shares, ddof=1))
    ### END SOLUTION


# %% tags=["check"]
check("corrected_standard_error", corrected_standard_error)

# %% [markdown]
# > **Exercise 21.2.** Write `fold_numbers(labels, k)`: the fold 0…k−1 of each row, stratified, without chance. The rows
# > of each class are dealt out in turn, as they come: its first row to fold 0, its second to fold 1, and after fold k−1
# > comes fold 0 again. By hand: labels 0, 0, 1, 0, 1 and two folds give 0, 1, 0, 0, 1.


# %% tags=["exercise"]
def fold_numbers(labels, k):
    ### BEGIN SOLUTION
    fold = np.empty(len(labels), int)
    for c in np.unique(labels):
        rows = np.flatnonzero(labels == c)
        fold[rows] = np.arange(len(rows)) % k
    return fold
    ### END SOLUTION


# %% tags=["check"]
check("fold_numbers", fold_numbers)

# %% [markdown]
# > **Exercise 21.3.** The weights above belong to standardised measures. A colleague has a pocket calculator and raw
# > measures. Write `in_raw_units(w, b, mean, std)`: the weights (F,) and the bias of the same model for raw $x$, so
# > that both give the same $z$. (Put $x' = (x - \mu) / s$ into $w \cdot x' + b$, and sort the terms.)


# %% tags=["exercise"]
def in_raw_units(w, b, mean, std):
    ### BEGIN SOLUTION
    raw = w / std
    return raw, b - raw @ mean
    ### END SOLUTION


# %% tags=["check"]
check("in_raw_units", in_raw_units)

# %% [markdown]
# > **Exercise 21.4.** To think about: a paper reports 97.9 % for a new network on this table, "in 100 repeats of
# > tenfold cross-validation, against 97.5 %, p < 0.001". Would you believe that the network is better?
#
# <details><summary>An answer</summary>
#
# No. A test that takes 1000 folds for 1000 experiments finds any difference "significant": the p-value falls with the
# number of repeats, and no new patient was seen. 0.4 points are two rows of 569. Ask for the corrected error, for a
# comparison row by row, and for the other networks that were tried.
#
# </details>
#
# ## What to take along
#
# - The linear model first. A deep one must beat it by more than the folds' own spread.
# - What is fitted is fitted inside the fold, even where it hardly matters. Where it matters you may not notice.
# - Folds share their rows, so more repeats do not make a figure surer for ever.
# - A weight says what a measure adds to the others. Correlated measures share it by accident.
#
# **Now open** `tinymed/tasks/breast_cytology.py`, where the whole task stands.
#
# *Before: [20](20_breast_ultrasound.py), pictures of a mass. After: [22](22_diabetes.py), a table with gaps.*
