# %% [markdown]
# # 12 · The project: from pictures to a confusion matrix
#
# *Article 5 · 90 minutes · `tutorials/article_listing.py`, `tinymed/keras`, `tinymed/training`*
#
# Section 5 of the article trains a network on breast pictures and ends with one line, `Test accuracy: ...`. Here the
# listing is made to run, and then the question is asked that the line leaves open: would you trust it? After this
# lesson you can take a data set to a number that says something, and tell such a number from one that does not.
#
# *Nothing here is a clinical device. No output of this lesson is a diagnosis.*

# %%
import csv
import json
import tempfile
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import tinymed
from tinymed import keras, optim
from tinymed.data import (
    DataLoader,
    DataNotFoundError,
    TensorDataset,
    load_breastmnist,
    load_csv,
    make_breast_phantoms,
)
from tinymed.keras import layers
from tinymed.teach import check, trace
from tinymed.training import article_cnn, evaluate, fit, load_metadata, load_weights, metrics, predict, save_weights

EPOCHS, SEEDS = 10, 3  # the article's 10 epochs; more seeds tell more
LOSS = "binary_cross_entropy_with_logits"

# %% [markdown]
# ## The article's listing, line by line
#
# | in 5.1 and 5.2 | what is wrong with it | here |
# |---|---|---|
# | `pip install python==3.8` | pip installs packages for a Python, not Python | install Python first |
# | MammoDB, 著名的乳腺影像数据库 | named, but no address is given | BreastMNIST, or generated |
# | `pd.read_csv('train.csv')` | nobody takes the labels out of the table | `load_csv(label=...)` |
# | `drop(['id'], axis=1)` | right, and more important than it looks: see below | `load_csv` drops it |
# | `train_data normalization` | no Python at all | a formula, with the numbers of the training set |
# | `layers.Input(shape=(28, 28, 1))` | a table has rows of 784 numbers | reshaped |
# | `model.fit(train_data, epochs=10, ...)` | no labels | `fit(train_data, train_labels, ...)` |
# | `validation_data=(test_data, test_labels)` | `test_labels` is never defined; the test set is used up | a third set |
# | `print('Test accuracy:', ...)` | one number, beside nothing | this lesson |
# | `np.random.rand(1, 28, 28, 1)` | noise gets a diagnosis | see the end |
#
# The network itself, its loss and its optimiser are right as printed. The repaired listing, nothing more, is
# [article_listing.py](article_listing.py). Here is what the broken lines really do:

# %%
model = keras.Sequential(
    [
        layers.Input(shape=(28, 28, 1)),
        layers.Conv2D(32, (3, 3), activation="relu"),
        layers.MaxPooling2D((2, 2)),
        layers.Conv2D(64, (3, 3), activation="relu"),
        layers.MaxPooling2D((2, 2)),
        layers.Flatten(),
        layers.Dense(128, activation="relu"),
        layers.Dense(1, activation="sigmoid"),
    ]
)
model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])


def what_it_does(line, run):
    try:
        run()
    except Exception as error:
        print(f"{line}\n    {type(error).__name__}: {error}\n")
        return type(error)


table, pictures = np.zeros((8, 784)), np.zeros((8, 28, 28, 1))
happened = [
    what_it_does("train_data normalization", lambda: compile("train_data normalization", "listing", "exec")),
    what_it_does("model.fit(a table, labels)", lambda: model.fit(table, np.zeros(8))),
    what_it_does("model.fit(pictures)", lambda: model.fit(pictures)),
    what_it_does("(test_data, test_labels)", lambda: test_labels),  # noqa: F821
]
assert happened == [SyntaxError, ValueError, TypeError, NameError]

# %% [markdown]
# ## The data
#
# BreastMNIST: ultrasound pictures of 28x28 (Yang et al. 2023, from Al-Dhabyani et al. 2020), 546 for training, 78 for
# validation, 156 for the test. If they are not on this machine, pictures are *generated* in their manner. Then
# everything below is about a formula that draws ellipses, and nothing is about medicine.

# %%
try:
    train, val, test = (load_breastmnist(split, download=False) for split in ("train", "val", "test"))
    real = True
except DataNotFoundError:
    train, val, test = (make_breast_phantoms(n, seed) for seed, n in enumerate((546, 78, 156)))
    real = False
print("data:", "BreastMNIST" if real else "GENERATED pictures, no patients (make_breast_phantoms)")
for name, split in (("train", train), ("validation", val), ("test", test)):
    print(f"{name:<11}{len(split):>4}  {split.counts()}")
MALIGNANT = 0  # mind the labels: in BreastMNIST 0 is malignant, 1 is normal or benign
assert train.classes[MALIGNANT] == "malignant"

# %%
fig, axes = plt.subplots(2, 6, figsize=(9, 3.3), layout="constrained")
for row, label, name in zip(axes, (0, 1), ("malignant", "normal, benign")):
    for ax, k in zip(row, np.flatnonzero(train.labels.numpy() == label)):
        ax.imshow(train.images[k][0].numpy(), cmap="gray", vmin=0, vmax=1)
        ax.set_xticks([])
        ax.set_yticks([])
    row[0].set_ylabel(name)
fig.suptitle("BreastMNIST" if real else "Generated pictures")
plt.show()

# %% [markdown]
# **Three sets, three uses.** From the training set the weights are learnt. By the validation set you choose: when to
# stop, which threshold, which of two models. The test set is opened once, at the end. The listing hands the test set to
# `fit` as `validation_data`; whoever then stops at the best epoch has chosen by it.
#
# **Split by patient.** Two pictures of one patient are alike. If one is learnt from and the other judged by, the number
# is too good. The collection behind BreastMNIST has 780 pictures of 600 patients and does not say whose is whose, so
# its split cannot exclude that. Where you know, use `random_split(data, lengths, groups=patients)`.
#
# ## Normalise with the training set's numbers
#
# $$ x' = \frac{x - \mu_{\text{train}}}{s_{\text{train}}} $$
#
# with mean $\mu$ and standard deviation $s$ of the *training* pixels, for all three sets. (5.3.1 asks for the range
# 0 to 1; the loader has divided by 255 already. Both are fine. What matters is whose numbers are used.)

# %%
mean, std = float(train.images.numpy().mean()), float(train.images.numpy().std())


def normal(images):
    return (images.numpy() - mean) / std


train_x, val_x, test_x = normal(train.images), normal(val.images), normal(test.images)
train_y, val_y, test_y = train.labels.numpy(), val.labels.numpy(), test.labels.numpy()
print(f"mean {mean:.3f}, standard deviation {std:.3f} of the training pixels")
for name, x in (("train", train_x), ("validation", val_x), ("test", test_x)):
    print(f"{name:<11} mean {x.mean():+.3f}, standard deviation {x.std():.3f}")
assert abs(train_x.mean()) < 1e-3
assert abs(train_x.std() - 1) < 1e-3

# %% [markdown]
# Validation and test do not come out at exactly 0 and 1, and should not. **The wrong way**: let each set be normalised
# by its own numbers. Then what the network is shown of a patient depends on who else was examined that day:

# %%
patient = test.images.numpy()[0]
for day in (MALIGNANT, 1):
    others = test.images.numpy()[test_y == day]
    own = (patient - others.mean()) / others.std()
    print(f"the same picture, on a day of {test.classes[day]} ones: mean {own.mean():+.3f}")
print(f"by the training set's numbers, on any day:       mean {((patient - mean) / std).mean():+.3f}")

# %% [markdown]
# ## How large a leak can be
#
# One mean and one deviation are two numbers; little leaks through them. Through a *choice* much more does. Here is pure
# noise: 100
# "patients", 2000 "measures", labels by coin. Pick the 20 measures that tell the labels best, fit on one half, test on
# the other. Question: which accuracy do you expect if the 20 were picked on *all* patients?


# %%
def accuracy_on_noise(pick_on_all, rng):
    x, y = rng.standard_normal((100, 2000)), rng.permutation(np.arange(100) % 2)
    seen = slice(0, 100) if pick_on_all else slice(0, 50)
    gap = x[seen][y[seen] == 1].mean(0) - x[seen][y[seen] == 0].mean(0)
    best = np.argsort(-abs(gap))[:20]
    one, zero = (x[:50, best][y[:50] == k].mean(0) for k in (1, 0))
    says_one = (x[50:, best] - (one + zero) / 2) @ (one - zero) > 0  # the nearer mean
    return (says_one == y[50:]).mean()


rng = np.random.default_rng(0)
leaky = np.mean([accuracy_on_noise(True, rng) for _ in range(40)])
honest = np.mean([accuracy_on_noise(False, rng) for _ in range(40)])
print(f"picked on all patients: {leaky:.0%} right on the test half; picked on the training half: {honest:.0%}")
assert leaky > 0.75
assert 0.45 < honest < 0.55

# %% [markdown]
# There is nothing in these data. *Everything* that is learnt from data, a mean, a choice of columns, a threshold, is
# training, and the data that judge must have no part in it (Ambroise and McLachlan 2002).
#
# ## In the article's dialect
#
# The listing, with the lines above mended. `tinymed.keras` has Keras's names, channels last and Keras's initial
# weights; inside are the layers of lesson 06.

# %%
tinymed.manual_seed(0)
model.build((28, 28, 1))  # the listing's weights, drawn anew
history = model.fit(
    train_x.transpose(0, 2, 3, 1),  # (N,1,28,28) → (N,28,28,1)
    train_y,
    epochs=EPOCHS,
    batch_size=32,
    validation_data=(val_x.transpose(0, 2, 3, 1), val_y),
    verbose=False,
)
print(history)
loss, accuracy = model.evaluate(val_x.transpose(0, 2, 3, 1), val_y)
print(f"accuracy on the validation set: {accuracy:.3f}")
assert history.history["loss"][-1] < history.history["loss"][0]

# %% [markdown]
# ## In PyTorch's dialect
#
# | Keras | PyTorch, and tinymed | |
# |---|---|---|
# | (N,H,W,C) | (N,C,H,W) | channels first |
# | `Dense(1, activation="sigmoid")` | `Linear(128, 1)` | the $\sigma$ moves into the loss (lesson 05) |
# | `loss="binary_crossentropy"` | `binary_cross_entropy_with_logits` | |
# | `compile(optimizer="adam")` | `optim.Adam(model.parameters())` | |
# | `batch_size=32` in `fit` | `DataLoader(..., batch_size=32, shuffle=True)` | |
# | `fit` | a loop of your own, as in lesson 06 | here: `tinymed.training.fit` |


# %%
def trained(seed):
    tinymed.manual_seed(seed)
    model = article_cnn()
    history = fit(
        model,
        DataLoader(TensorDataset(train_x, train_y), batch_size=32, shuffle=True),
        loss=LOSS,
        optimizer=optim.Adam(model.parameters()),
        epochs=EPOCHS,
        validation=(val_x, val_y),
        metrics=("accuracy", "auc"),
        seed=seed,
        verbose=False,
    )
    return model, history


start = time.perf_counter()
network, history = trained(seed=0)
print(f"{EPOCHS} epochs in {time.perf_counter() - start:.1f} s on this machine")
print(evaluate(network, (val_x, val_y), loss=LOSS))
assert sum(p.numel() for p in network.parameters()) == 223_873

# %%
history.plot()
plt.show()

# %% [markdown]
# Question: what would you see if the network learnt the training pictures by heart? (The training loss goes on falling,
# the validation loss turns and rises: overfitting.) Where would you stop, and by which curve?
#
# ## Accuracy alone misleads
#
# Before you read an accuracy, ask what a stone would get. A stone always says the more frequent class.

# %%
p_val = predict(network, (val_x, val_y), loss=LOSS)[:, 0]  # the probability of class 1: normal or benign
stone = np.ones(len(val_y))
for name, p in (("stone", stone), ("network", p_val)):
    right = metrics.accuracy(p, val_y)
    found = metrics.sensitivity(p, val_y, positive=MALIGNANT)
    print(f"{name:<8} accuracy {right:.1%}, malignant ones found {found:.1%}")
assert metrics.accuracy(stone, val_y) == metrics.majority_share(val_y)
assert metrics.sensitivity(stone, val_y, positive=MALIGNANT) == 0
assert round(metrics.majority_share(test_y), 2) == 0.73

# %% [markdown]
# About 73 % for finding nobody. That number is the share of the normal and benign pictures, nothing else. So count
# the four kinds of outcome apart, in a **confusion matrix**: rows are what is true, columns what was said.
#
# | | said malignant | said benign |
# |---|---|---|
# | **is malignant** | TP, found | FN, missed |
# | **is benign** | FP, false alarm | TN, rightly left alone |
#
# $$ \text{sensitivity} = \frac{TP}{TP + FN} \qquad \text{specificity} = \frac{TN}{TN + FP} $$
#
# Each is a share of one *row*: the first of the ill, the second of the others. Neither changes if the classes become
# more or less frequent, as long as the ill and the others look as before. Mind `positive=`: the class that is looked
# for is 0 here, and a library that takes 1 for granted gives you the two exchanged.

# %%
matrix = metrics.confusion_matrix(p_val, val_y, positive=MALIGNANT)
(tp, fn), (fp, tn) = matrix
print(matrix)
assert np.isclose(metrics.sensitivity(p_val, val_y, positive=MALIGNANT), tp / (tp + fn))
assert np.isclose(metrics.specificity(p_val, val_y, positive=MALIGNANT), tn / (tn + fp))
assert np.isclose(metrics.sensitivity(p_val, val_y), metrics.specificity(p_val, val_y, positive=MALIGNANT))

# %% [markdown]
# ## ROC and AUC
#
# The network gives a number; "malignant" begins at a threshold that *we* draw. Every threshold gives one sensitivity
# and one specificity. All of them together are the ROC curve, and the area under it is the AUC. It has a meaning
# without any curve:
#
# $$ \text{AUC} = P(\text{a malignant picture scores above a benign one}) $$
#
# where a tie counts one half. So it needs no threshold: compare every malignant with every benign one, and count. Here
# for two against three; the arguments are their scores.


# %%
def pairs_in_order(ill, well):
    total = 0.0
    for i in range(len(ill)):
        for j in range(len(well)):
            if ill[i] > well[j]:
                total += 1
            elif ill[i] == well[j]:
                total += 0.5
    return total / (len(ill) * len(well))


t = trace.function(pairs_in_order, [0.9, 0.4], [0.1, 0.4, 0.6])
t.show()
assert t[-1].result == 0.75

# %%
t

# %% [markdown]
# The same for all pairs of the validation set at once:

# %%
score_val = 1 - p_val.astype(float)  # the score for malignant
ill, well = score_val[val_y == MALIGNANT], score_val[val_y != MALIGNANT]
above = (ill[:, None] > well).mean() + 0.5 * (ill[:, None] == well).mean()
print(
    f"of {ill.size * well.size} pairs a share of {above:.4f} is in the right order; "
    f"metrics.auc says {metrics.auc(p_val, val_y):.4f}"
)
assert np.isclose(above, metrics.auc(p_val, val_y))

# %% [markdown]
# ## A threshold is chosen, on validation
#
# 0.5 is nobody's choice. Missing a cancer and a false alarm do not cost the same. Say that no malignant picture of the
# *validation* set may be missed: take the highest threshold that misses none, then open the test set.

# %%
false_alarms, found, thresholds = metrics.roc_curve(p_val, val_y, positive=MALIGNANT)
k = int(np.argmax(found >= 1))  # the highest threshold at which all are found
threshold = float(np.nextafter(thresholds[k], 0))  # metrics ask for "above", the curve for "at least"
p_test = predict(network, (test_x, test_y), loss=LOSS)[:, 0]
print(f"threshold {threshold:.3f}, at which {found[k]:.0%} are found on validation\n")
print("on the test set:   sensitivity  specificity  accuracy")
for name, at in (("at 0.5", 0.5), ("as chosen", threshold)):
    se, sp = (m(p_test, test_y, at, positive=MALIGNANT) for m in (metrics.sensitivity, metrics.specificity))
    matrix = metrics.confusion_matrix(p_test, test_y, at, positive=MALIGNANT)
    print(f"{name:<18} {se:>11.1%} {sp:>12.1%} {np.trace(matrix) / matrix.sum():>9.1%}")
assert metrics.sensitivity(p_val, val_y, threshold, positive=MALIGNANT) == 1
assert not real or np.trace(matrix) / matrix.sum() < metrics.majority_share(test_y)

# %% [markdown]
# If the accuracy falls (on the real pictures below the stone's): is it the worse test? Only if missing a cancer and a
# false alarm cost the same. And all 21 were found on validation, but of the 42 others? 21 of 21 leaves room (Wilson's
# interval, below, begins at 85 %), and a threshold fitted to these 21 flatters itself besides. **The wrong way** is to
# choose it on the test set: that always keeps its promise, and promises what no new patient will get.

# %%
fig, axes = plt.subplots(1, 3, figsize=(12, 3.4), layout="constrained")
bins = np.linspace(0, 1, 21)
for label, colour, hatch in ((1, "#56B4E9", ""), (0, "#D55E00", "//")):
    drawn = 1 - p_test[test_y == label]
    axes[0].hist(drawn, bins, color=colour, hatch=hatch, alpha=0.6, label=test.classes[label])
axes[0].axvline(threshold, color="k", ls="--", label="threshold")
axes[0].set(title="Scores on the test set", xlabel="score for malignant", ylabel="pictures")
axes[0].legend()
for name, p, y, colour, style in (
    ("validation", p_val, val_y, "#0072B2", "--"),
    ("test", p_test, test_y, "#D55E00", "-"),
):
    x, y_, _ = metrics.roc_curve(p, y, positive=MALIGNANT)
    axes[1].plot(x, y_, style, color=colour, label=f"{name}, AUC {metrics.auc(p, y):.2f}")
axes[1].plot(1 - sp, se, "ko", label="test, as chosen")
axes[1].plot([0, 1], [0, 1], color="0.7", lw=0.8)
axes[1].set(title="ROC", xlabel="1 − specificity", ylabel="sensitivity", aspect="equal")
axes[1].legend(loc="lower right", fontsize=8)
axes[2].imshow(matrix / matrix.sum(1, keepdims=True), cmap="Blues", vmin=0, vmax=1.4)
for i, j in np.ndindex(2, 2):
    axes[2].text(j, i, matrix[i, j], ha="center", va="center", fontsize=14)
axes[2].set(title="Test set, as chosen", xlabel="said", ylabel="true")
axes[2].set_xticks([0, 1], ["malignant", "benign"])
axes[2].set_yticks([0, 1], ["malignant", "benign"], rotation=90, va="center")
plt.show()

# %% [markdown]
# ## How sure is such a number?
#
# The test set has 42 malignant pictures. A share of 42 has an error of its own; Wilson's interval for $k$ of $n$, with
# $z = 1.96$ for 95 %:
#
# $$ \frac{k + z^2/2}{n + z^2} \pm \frac{z}{n + z^2} \sqrt{\frac{k\,(n - k)}{n} + \frac{z^2}{4}} $$


# %%
def wilson(k, n, z=1.96):
    centre, half = (k + z * z / 2) / (n + z * z), z / (n + z * z) * np.sqrt(k * (n - k) / n + z * z / 4)
    return centre - half, centre + half


(tp, fn), (fp, tn) = matrix
low, high = wilson(tp, tp + fn)
print(f"sensitivity {tp}/{tp + fn} = {tp / (tp + fn):.1%}, 95 % interval {low:.1%} to {high:.1%}")
print("if it were 38/42 = 90.5 %: {:.1%} to {:.1%}".format(*wilson(38, 42)))
assert tp + fn == 42
assert round(wilson(21, 21)[0], 2) == 0.85
assert np.allclose(wilson(38, 42), (0.779, 0.962), atol=1e-3)

# %% [markdown]
# And there is a second spread: another seed, so other first weights and another order of the batches, gives another
# network. One run is an anecdote.

# %%
start = time.perf_counter()
spread = {"accuracy": [], "auc": [], "sensitivity at 0.5": []}
for seed in range(SEEDS):
    p = p_test if seed == 0 else predict(trained(seed)[0], (test_x, test_y), loss=LOSS)[:, 0]
    spread["accuracy"].append(metrics.accuracy(p, test_y))
    spread["auc"].append(metrics.auc(p, test_y))
    spread["sensitivity at 0.5"].append(metrics.sensitivity(p, test_y, positive=MALIGNANT))
for name, values in spread.items():
    shown = ", ".join(f"{v:.3f}" for v in values)
    print(f"{name:<19} {np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}   ({shown})")
print(f"{SEEDS - 1} more seeds in {time.perf_counter() - start:.1f} s")
assert np.mean(spread["auc"]) > 0.6
assert np.std(spread["sensitivity at 0.5"]) > np.std(spread["auc"])

# %%
fig, ax = plt.subplots(figsize=(6.4, 3), layout="constrained")
for k, values in enumerate(spread.values()):
    ax.plot(np.full(SEEDS, k) + np.linspace(-0.12, 0.12, SEEDS), values, "o", color="#0072B2", alpha=0.8)
    ax.plot([k - 0.25, k + 0.25], [np.mean(values)] * 2, color="k", lw=1.5)
ax.axhline(metrics.majority_share(test_y), color="#D55E00", ls="--", label="accuracy of a stone")
ax.set_xticks(range(3), spread)
ax.set(title=f"{SEEDS} seeds, everything else equal", ylabel="on the test set", xlim=(-0.5, 2.5), ylim=(0, 1))
ax.legend(loc="lower left")
plt.show()

# %% [markdown]
# Which of the three jumps most? The sensitivity at 0.5: if one network gives lower scores to all, many ill ones fall
# below the line together. The AUC asks for the order only, and is steadier. A method is better than another if it is so
# beyond this spread.
#
# ## From a clinic to a screening
#
# Question: a test finds 90 % of the ill and leaves 80 % of the others alone. A woman's test is positive. How likely is
# she ill? It depends on how many are: by Bayes' rule, with the prevalence $\pi$,
#
# $$ P(\text{ill} \mid \text{positive}) =
#    \frac{\text{sens} \cdot \pi}{\text{sens} \cdot \pi + (1 - \text{spec})\,(1 - \pi)} $$


# %%
def predictive_value(sens, spec, prevalence):
    return sens * prevalence / (sens * prevalence + (1 - spec) * (1 - prevalence))


for place, prevalence in (("in this data set", 0.27), ("among 200 women, one is ill", 0.005)):
    print(f"{place:<28} P(ill | positive) = {predictive_value(0.9, 0.8, prevalence):.1%}")
assert round(predictive_value(0.9, 0.8, 0.27), 2) == 0.62
assert round(predictive_value(0.9, 0.8, 0.005), 3) == 0.022

# %% [markdown]
# The same test: 62 % in one place, 2 % in the other. A data set in which every fourth picture is malignant cannot tell
# how a screening would go.
#
# ## The table's way: CSV, and the column `id`
#
# The listing reads `train.csv` and `test.csv`. Here are two such files, generated, with an `id`, a `diagnosis` and 784
# pixels, in a folder that is removed again.


# %%
def write_csv(path, n, seed):
    data = make_breast_phantoms(n, seed)
    order = np.argsort(data.labels.numpy(), kind="stable")  # as a clinic may hand them over: class by class
    with open(path, "w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["id", "diagnosis", *(f"pixel{k}" for k in range(784))])
        for number, k in enumerate(order, 1):
            pixels = (255 * data.images[k].numpy()).round().astype(int).reshape(784)
            rows.writerow([number, "MB"[int(data.labels[k].item())], *pixels])


with tempfile.TemporaryDirectory() as folder:
    write_csv(Path(folder, "train.csv"), 120, 10)
    write_csv(Path(folder, "test.csv"), 60, 11)
    from_csv = load_csv(Path(folder, "train.csv"), label="diagnosis", image_shape=(28, 28))
    csv_test = load_csv(Path(folder, "test.csv"), like=from_csv)  # its columns, classes and ranges: nothing leaks
print(from_csv)
print("dropped:", from_csv.layout.dropped, "| classes:", from_csv.classes, "| scaled by", from_csv.layout.high)
assert from_csv.layout.dropped == ("id",)
assert from_csv.inputs.shape == (120, 1, 28, 28)
assert from_csv.classes == ("B", "M")

# %% [markdown]
# Mind the classes: they are numbered in sorted order, so here 1 is malignant. And why does the `id` have to go? Look
# what it is worth alone, in files that were filled class by class:

# %%
ids = np.arange(1, 121) / 120
print(f"AUC of the id alone: {metrics.auc(1 - ids, from_csv.labels):.3f}")
assert metrics.auc(1 - ids, from_csv.labels) == 1

# %%
tinymed.manual_seed(0)
by_csv = article_cnn()
fit(
    by_csv,
    from_csv,
    loss=LOSS,
    optimizer=optim.Adam(by_csv.parameters()),
    epochs=EPOCHS,
    class_weight="balanced",
    seed=0,
    verbose=False,
)
figures = evaluate(by_csv, csv_test, loss=LOSS, metrics=("accuracy", "auc"))
print({name: round(value, 3) for name, value in figures.items()}, "on the generated test.csv")

# %% [markdown]
# ## Keep it: weights, and what belongs to them
#
# Weights without the mean, the standard deviation, the order of the classes and the threshold are no model.
# The file keeps them together.

# %%
about = {"mean": mean, "std": std, "threshold": threshold, "positive": "malignant", "data": train.source}
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder, "breast.safetensors")
    save_weights(network, path, {"about": json.dumps(about)})
    restored = article_cnn()
    restored.load_state_dict(load_weights(path))
    kept = json.loads(load_metadata(path)["about"])
    print(f"{path.name}: {path.stat().st_size:,} bytes, {kept}")
assert kept == about
assert (predict(restored, test_x) == predict(network, test_x)).all()

# %% [markdown]
# ## A new picture
#
# One that the network has not seen, prepared by the numbers that were kept. And the listing's own "new data", which is
# noise; and a black picture.

# %%
new = {
    "a generated malignant one": next(x.numpy() for x, y in make_breast_phantoms(20, seed=99) if y.item() == 0),
    "the listing's random noise": np.random.default_rng(0).random((1, 28, 28)),
    "a black picture": np.zeros((1, 28, 28)),
}
answers = []
for name, picture in new.items():
    x = ((picture - kept["mean"]) / kept["std"]).astype(np.float32)[None]
    score = 1 - predict(restored, x, loss=LOSS)[0, 0]
    answers.append(score)
    print(
        f"{name:<27} score for malignant {score:.3f}  {'above' if score > kept['threshold'] else 'below'} the threshold"
    )
print("\nThis is NOT a clinical device, and these are no diagnoses.")
assert answers[1] < 0.05

# %% [markdown]
# It answers everything, and the noise without a doubt. Nothing in the network says "this is no breast": softmax and
# $\sigma$ share out 1 among the classes that there are. That a number between 0 and 1 comes out does not make it a
# probability of anything.
#
# ## In full
#
# The lesson above runs on whatever is there. With the real pictures:

# %%
if not real:
    print("the pictures were GENERATED. For BreastMNIST (0.6 MB, CC BY 4.0), once:")
    print("    tinymed data fetch breastmnist")
    print("or set TINYMED_DATA to the folder that holds breastmnist.npz, then:")
print("    python tutorials/12_project.py")
print("More epochs and seeds: EPOCHS and SEEDS, in the first cell.")

# %% [markdown]
# ## Exercises
#
# > **Exercise 12.1.** Write `my_confusion_matrix(true, predicted, C)`: the (C,C) counts, a row a true class, a column a
# > predicted one.


# %% tags=["exercise"]
def my_confusion_matrix(true, predicted, C):
    ### BEGIN SOLUTION
    matrix = np.zeros((C, C), int)
    for t, p in zip(true, predicted):
        matrix[t, p] += 1
    return matrix
    ### END SOLUTION


# %% tags=["check"]
check("confusion_matrix", my_confusion_matrix)

# %% [markdown]
# > **Exercise 12.2.** Write `my_rates(matrix, positive)`: sensitivity and specificity of a 2x2 matrix like that of
# > 12.1, when the class `positive` is looked for.


# %% tags=["exercise"]
def my_rates(matrix, positive):
    ### BEGIN SOLUTION
    other = 1 - positive
    return matrix[positive, positive] / matrix[positive].sum(), matrix[other, other] / matrix[other].sum()
    ### END SOLUTION


# %% tags=["check"]
check("sensitivity_specificity", my_rates)

# %% [markdown]
# > **Exercise 12.3.** Above, the AUC took every pair, which is too many for a million patients. Write
# > `my_auc(scores, labels)` (1 is the class looked for) by *ranks*: sort all scores once, 1 for the smallest; tied
# > scores share the mean of their ranks. If $R$ is the sum of the ranks of the $P$ positives and there are $Q$ others,
#
# $$ \text{AUC} = \frac{R - P\,(P + 1)/2}{P\,Q} $$
#
# <details><summary>A hint</summary>
#
# `np.unique(scores, return_inverse=True, return_counts=True)` gives the groups of equal scores in order. The last rank
# of a group is the cumulated count, and its mean rank is half a group lower. Why the formula? Take away from $R$ the
# ranks that positives have among themselves: what is left counts the others below each.
#
# </details>


# %% tags=["exercise"]
def my_auc(scores, labels):
    ### BEGIN SOLUTION
    _, group, count = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(count) - (count - 1) / 2)[group]
    P, Q = (labels == 1).sum(), (labels != 1).sum()
    return (ranks[labels == 1].sum() - P * (P + 1) / 2) / (P * Q)
    ### END SOLUTION


# %% tags=["check"]
check("auc_by_ranks", my_auc)

# %% [markdown]
# > **Exercise 12.4.** Write `normalise(train, test)` for tables (N,F): both, each column by mean and standard deviation
# > (`ddof=0`), without a leak. A column of one value has standard deviation 0: divide it by 1.


# %% tags=["exercise"]
def normalise(train, test):
    ### BEGIN SOLUTION
    mean, std = train.mean(0), train.std(0)
    std = np.where(std == 0, 1, std)
    return (train - mean) / std, (test - mean) / std
    ### END SOLUTION


# %% tags=["check"]
check("normalise_without_leak", normalise)

# %% [markdown]
# > **Exercise 12.5.** Write `choose_threshold(scores, labels, wanted)`: the *largest* threshold $\tau$ at which, among
# > the samples of label 1, a share of at least `wanted` has a score $\ge \tau$.


# %% tags=["exercise"]
def choose_threshold(scores, labels, wanted):
    ### BEGIN SOLUTION
    ill = np.sort(scores[labels == 1])[::-1]
    for k, threshold in enumerate(ill, 1):
        if k >= wanted * len(ill):
            return threshold
    ### END SOLUTION


# %% tags=["check"]
check("choose_threshold", choose_threshold)

# %% [markdown]
# > **Exercise 12.6.** To think about: you try 30 architectures, and report the test accuracy of the best. You never
# > trained on the test set. What is wrong? Make it visible: let 30 stones guess at random with $p = 0.73$, on 156
# > labels.
#
# <details><summary>An answer</summary>
#
# The largest of 30 numbers is above their mean, though all stones are alike. Choosing is learning: choose on
# validation, and open the test set for the one you chose.
#
# ```python
# shares = ((rng.random((30, 156)) < 0.73) == (test_y == 1)).mean(1)
# print(f"mean {shares.mean():.3f}, largest {shares.max():.3f}")
# ```
#
# </details>
#
# ## What to take along
#
# - Three sets. Whatever is learnt from data is learnt from the training set; choose on validation; open the test once.
# - Beside every accuracy, what a stone gets. Then the matrix, sensitivity, specificity, AUC, and which class is
#   positive.
# - A threshold is a decision about costs. 0.5 is not one.
# - Give an interval and several seeds. 42 patients are few.
# - A network answers noise, too.
#
# **Now open** `tinymed/training/metrics.py`, where every rate of this lesson is a function of a few lines, and
# `tutorials/article_listing.py`. In PyTorch the loop is your own; the metrics are scikit-learn's or torchmetrics'.
