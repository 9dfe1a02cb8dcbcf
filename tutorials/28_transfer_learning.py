# %% [markdown]
# # 28 · Does another task's network help?
#
# *Article 1.4.2 · 60 minutes · `tinymed/training/transfer.py`, `tinymed/tasks/learn.py`*
#
# Section 1.4.2 defines 迁移学习, transfer learning: "利用预训练模型，在新的任务上进行微调，
# 从而提高模型的泛化能力和效率", to take a trained model and fine-tune it for a new task, "and so improve the model's
# generalisation and efficiency". [Lesson 15](15_what_next.py) shows the two ways on generated pictures. Here the second
# half of the sentence is put to the test, with pictures of patients where they are at hand: *does a network that has
# learnt chest X-rays learn breast ultrasound from fewer labels than one that has learnt nothing?*
#
# *Nothing here is a clinical device. No output of this lesson is a diagnosis.*

# %%
import dataclasses
import json
import sys
import tempfile
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import MaxNLocator

import tinymed
from tinymed import tasks
from tinymed.data import make_breast_phantoms
from tinymed.optim import Adam
from tinymed.tasks.pictures import small_resnet
from tinymed.teach import check
from tinymed.training import article_cnn, metrics
from tinymed.training.transfer import GradualUnfreezing, freeze, layerwise_groups, transfer

FULL = "--full" in sys.argv  # five seeds, three shares of the labels, trained to the end
SAVED = sys.argv[sys.argv.index("--json") + 1] if "--json" in sys.argv else None  # a file for the figures
MODEL = "article-cnn"
SEEDS = range(5 if FULL else 2)
EPOCHS = {0.05: 300, 0.2: 100, 1.0: 50} if FULL else {0.05: 60, 0.2: 20, 1.0: 5}  # by the share of the labels
BLUE, ORANGE, GREEN, BLACK = "#0072B2", "#D55E00", "#009E73", "#222222"

# %% [markdown]
# ## Two tasks, and a third that no patient is in
#
# **New**: is the mass in an ultrasound picture malignant ([lesson 20](20_breast_ultrasound.py))? 546 labelled pictures
# to learn from, of which we shall use 5 % (27 pictures, 7 of them malignant), 20 % and all. **Old**: does a child's
# chest X-ray show pneumonia? 4,708 labelled pictures. And a second old one: pictures of breasts that a formula draws
# (`make_breast_phantoms`), of which there are as many as one likes, with labels that cost nothing.

# %%
new, old = tasks.at_hand("breast-ultrasound"), tasks.at_hand("pneumonia")
real = not (new.startswith("generated") or old.startswith("generated"))
TARGET = {"task": "breast-ultrasound", "data": new, "model": MODEL}
XRAYS = {"task": "pneumonia", "data": old, "model": MODEL}


def parts_of(given, **keys):
    """What is learnt from and judged by; nothing is watched meanwhile, so that no other label is used."""
    config = tasks.settled(given | keys)
    return dataclasses.replace(tasks.task_called(config.task).parts(config), validation=None)


whole, xrays = parts_of(TARGET), parts_of(XRAYS)
drawn = dataclasses.replace(whole, train=tasks.Samples.of(make_breast_phantoms(546, seed=7)), source="generated")
kinds = {"the new task": whole, "old: X-rays": xrays, "old: drawn by a formula": drawn}
fig, axes = plt.subplots(3, 8, figsize=(9, 3.8), layout="constrained")
for row, (kind, parts) in zip(axes, kinds.items()):
    for column, ax in enumerate(row):
        label = int(column >= 4)
        k = np.flatnonzero(parts.train.y == label)[column % 4]
        ax.imshow(parts.train.x[k, 0], cmap="gray", vmin=0, vmax=1)
        ax.set(xticks=[], yticks=[])
        ax.set_title(parts.classes[label], fontsize=8)
    row[0].set_ylabel(kind.replace(": ", ":\n").replace(" by", "\nby"), fontsize=8)
fig.suptitle("What the networks are shown" if real else "What the networks are shown: GENERATED, no patients")
plt.show()
for kind, parts in kinds.items():
    print(f"{kind:24}{len(parts.train):6} to learn from; 0 is {parts.classes[0]!r}, 1 is {parts.classes[1]!r}")

# %% [markdown]
# What could there be to carry over? Edges, blobs, dark against light: hardly more. The X-rays show another part of the
# body, by another kind of ray, of another age. Guess before you measure: will it help? With how many labels?
#
# ## What is taken over
#
# A network is $f(x) = w^\top \varphi_\theta(x) + b$: features $\varphi_\theta$, all layers but the last, and a *head*
# $w, b$. `transfer` loads what fits by name and shape, and says what did not fit:

# %%
tinymed.manual_seed(0)
two_classes = article_cnn()
three = small_resnet((1, 28, 28), 3)
print(transfer(three, small_resnet((1, 28, 28), 2).state_dict()))
try:
    transfer(three, two_classes.state_dict())
except ValueError as error:
    print("ValueError:", error)
else:
    raise AssertionError("nothing of a stranger fits")

# %% [markdown]
# A head for three classes has another shape than one for two, and stays fresh. But both of our tasks have two classes:
# *the head fits too, and is taken along*. It says "pneumonia" where it should say "benign": the meaning of 1 is
# another one. Here that is a start like any other; keep it in mind where you use a network without training it on.
#
# ## Frozen, by layer, all alike
#
# **Frozen**: $\theta$ stays, only the head learns, $\min_{w, b} L(w^\top \varphi_\theta(x) + b)$. That is logistic
# regression on features that another task has made, with 129 numbers to learn in place of 223,873.
#
# **By layer** (Howard and Ruder 2018): everything learns, the earlier the layer the slower. Layer $l$ of $1 \dots L$
# has the rate
#
# $$ \eta_l = \eta \, d^{\,L - l} $$
#
# with $d = 0.5$ here. **All alike** is $d = 1$: the old weights are only where one starts.

# %%
sizes = {}
for group in layerwise_groups(two_classes, lr=1e-3, decay=0.5):
    sizes[group["lr"]] = sum(p.numel() for p in group["params"])
    print(f"rate {group['lr']:.6f}: {sizes[group['lr']]:8,} numbers")
assert list(sizes.items()) == [(1e-3, 129), (5e-4, 204_928), (2.5e-4, 18_496), (1.25e-4, 320)]
freeze(two_classes, *[name for name, _ in two_classes.named_children()][:-1])
learns = sum(p.numel() for p in two_classes.parameters() if p.requires_grad)
print(f"frozen but for the last layer: {learns} numbers learn")
assert learns == 129

# %% [markdown]
# Frozen batch normalisation goes by its old mean and variance, which do not move: `fit` sees to that. And between
# frozen and not lies a third way, layers thawed one after another from the end (`GradualUnfreezing`, given to `fit` as
# a callback):

# %%
model = article_cnn()
thaw = GradualUnfreezing(model, Adam(model.parameters(), lr=1e-3), every=2)
for epoch in range(1, 8):
    print(f"epoch {epoch}: {thaw.thawed} of 4 layers learn")
    thaw.on_epoch_end(epoch, {})
assert thaw.thawed == 4

# %% [markdown]
# ## The experiment
#
# Six ways, shares of 5, 20 and 100 % of the labels, and seeds. A seed decides which pictures the 5 % are, where the
# weights begin, and the old networks (they too are trained anew): the six ways get the very same pictures of each seed,
# so that they can be compared in pairs. Nothing is stopped early or chosen, since with 27 labels there is nothing to
# choose by: the last epoch counts, after as many epochs as bring the training loss down. The frozen head may learn at
# 0.01 (lesson 15 shows it starved at 0.001), all else at 0.001.
#
# In the command's words (or with `--layer-decay 0.5` in place of the freezing):
#
# ```sh
# tinymed train --task pneumonia --out runs/xrays
# tinymed train --task breast-ultrasound --fraction 0.05 --start runs/xrays --freeze features --lr 0.01 --out runs/new
# ```

# %%
WAYS = {  # way: (what it starts from, keys)
    "from scratch": ("", {}),
    "X-rays, frozen": ("xrays", {"freeze": "features", "lr": 1e-2}),
    "X-rays, by layer": ("xrays", {"layer_decay": 0.5}),
    "X-rays, all alike": ("xrays", {}),
    "drawn, frozen": ("drawn", {"freeze": "features", "lr": 1e-2}),
    "drawn, by layer": ("drawn", {"layer_decay": 0.5}),
}
if not FULL:
    WAYS = {way: how for way, how in WAYS.items() if "alike" not in way and way != "drawn, frozen"}
COLOURS = {"from scratch": BLACK, "frozen": BLUE, "by layer": ORANGE, "all alike": GREEN}
DRAWN_AS = {
    way: {"color": COLOURS[way.partition(", ")[2] or way], "ls": "--" if "drawn" in way else "-"} for way in WAYS
}


def pretrained(seed, folder):
    """The old networks of a seed, in folders; and the AUC of each on the new task, untouched."""
    starts, untouched = {}, {}
    for kind, given, parts in (
        ("xrays", XRAYS | ({"epochs": 10} if FULL else {"epochs": 2, "fraction": 0.25}), None),
        ("drawn", TARGET | {"epochs": 10 if FULL else 3}, drawn),
    ):
        given |= {"seed": seed}
        run, _ = tasks.train(given, parts=parts or parts_of(given), verbose=False)
        starts[kind] = str(Path(folder, f"{kind}-{seed}"))
        Path(starts[kind]).mkdir()
        run.save(starts[kind])
        untouched[kind] = metrics.auc(run.predict(whole.test.x), whole.test.y)
    return starts, untouched


def measured():
    """A row of each way, share and seed; and the AUC of the old networks as they are."""
    rows, as_they_are = [], []
    with tempfile.TemporaryDirectory() as folder:
        for seed in SEEDS:
            starts, untouched = pretrained(seed, folder)
            as_they_are.append(untouched)
            for share, epochs in EPOCHS.items():
                few = parts_of(TARGET, fraction=share, seed=seed)
                for way, (start, keys) in WAYS.items():
                    given = TARGET | {"seed": seed, "epochs": epochs, "start": starts.get(start, ""), **keys}
                    began = time.perf_counter()
                    run, _ = tasks.train(given, parts=few, verbose=False)
                    p, y = run.predict(few.test.x), few.test.y
                    rows.append(
                        {"way": way, "share": share, "seed": seed, "labels": len(few.train)}
                        | {"auc": metrics.auc(p, y), "accuracy": metrics.accuracy(p, y)}
                        | {"seconds": time.perf_counter() - began, "loss": run.history["loss"]}
                    )
    return rows, as_they_are


began = time.perf_counter()
rows, as_they_are = measured()
print(f"{len(rows)} networks in {time.perf_counter() - began:.0f} s")
print("the old networks on the new task, untouched: AUC", [{k: round(v, 3) for k, v in u.items()} for u in as_they_are])


def values(way, share, key="auc"):
    """(seeds,)"""
    return np.array([row[key] for row in rows if row["way"] == way and row["share"] == share])


# %%
print(
    f"test AUC, mean ± standard deviation over {len(SEEDS)} seeds, and what is gained on from scratch, seed by seed\n"
)
print(f"{'':20}" + "".join(f"{share:>30.0%}" for share in EPOCHS))
for way in WAYS:
    cells = []
    for share in EPOCHS:
        auc = values(way, share)
        gap = auc - values("from scratch", share)
        gain = f" {gap.mean():+.3f} ± {gap.std(ddof=1) / np.sqrt(len(gap)):.3f}" if way != "from scratch" else " " * 15
        cells.append(f"{auc.mean():15.3f} ± {auc.std(ddof=1):.3f}{gain}"[-30:])
    print(f"{way:20}" + "".join(f"{cell:>30}" for cell in cells))
print("\naccuracy")
for way in WAYS:
    print(f"{way:20}" + "".join(f"{values(way, share, 'accuracy').mean():>30.3f}" for share in EPOCHS))
print(f"{'always benign':20}" + f"{metrics.majority_share(whole.test.y):>30.3f}" * len(EPOCHS))
scratch = [values("from scratch", share).mean() for share in EPOCHS]
assert len(rows) == len(WAYS) * len(EPOCHS) * len(SEEDS)
assert scratch[-1] > scratch[0]  # labels help: the one claim that needs no more seeds
if FULL and real:  # of the table below, the rows that no X-ray has touched
    assert np.allclose(scratch, [0.700, 0.759, 0.892], atol=0.01)
    drawn_by_layer = [values("drawn, by layer", share).mean() for share in EPOCHS]
    assert np.allclose(drawn_by_layer, [0.712, 0.772, 0.865], atol=0.01)
if SAVED:
    kept = [{key: value for key, value in row.items() if key != "loss"} for row in rows]
    about = {"data": [whole.source, xrays.source], "model": MODEL, "epochs": EPOCHS, "untouched": as_they_are}
    Path(SAVED).write_text(json.dumps(about | {"rows": kept}, indent=1) + "\n", encoding="utf-8")

# %%
fig, axes = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
at = np.arange(len(EPOCHS))
for k, way in enumerate(WAYS):
    shift = (k - (len(WAYS) - 1) / 2) * 0.12
    each = np.array([values(way, share) for share in EPOCHS])  # (shares, seeds)
    colour = DRAWN_AS[way]["color"]
    axes[0].plot(np.repeat(at + shift, len(SEEDS)), each.ravel(), ".", color=colour, alpha=0.6)
    axes[0].plot(at + shift, each.mean(1), marker="_", markersize=12, lw=0.9, label=way, **DRAWN_AS[way])
axes[0].set_xticks(at, [f"{share:.0%}\n{int(values('from scratch', share, 'labels')[0])}" for share in EPOCHS])
axes[0].set(title="Points are seeds, dashes their means", xlabel="share and number of labels", ylabel="test AUC")
share = list(EPOCHS)[1]
for way in WAYS:
    losses = np.array([row["loss"] for row in rows if row["way"] == way and row["share"] == share])
    axes[1].plot(np.arange(1, losses.shape[1] + 1), losses.mean(0), **DRAWN_AS[way])
axes[1].set(title=f"How fast: {share:.0%} of the labels", xlabel="epoch", ylabel="training loss, nats")
axes[1].set_ylim(0)
axes[1].xaxis.set_major_locator(MaxNLocator(6, integer=True))
fig.legend(loc="outside right center", fontsize=8, handlelength=3.5)
plt.show()

# %% [markdown]
# Two seeds and short training show how the experiment goes, not how it ends. Measured with `--full` on BreastMNIST and
# PneumoniaMNIST (90 networks, 7 minutes on two cores): test AUC, mean ± standard deviation over five seeds; after the
# comma, what is gained on from scratch, ± its standard error over the five differences.
#
# | way | 27 labels | 109 labels | 546 labels |
# |---|---|---|---|
# | from scratch | 0.700 ± 0.056 | 0.759 ± 0.020 | 0.892 ± 0.007 |
# | X-rays, frozen | 0.681, −0.019 ± 0.024 | 0.719, −0.040 ± 0.008 | 0.746, −0.146 ± 0.007 |
# | X-rays, by layer | 0.691, −0.009 ± 0.005 | 0.753, −0.006 ± 0.005 | 0.877, −0.015 ± 0.006 |
# | X-rays, all alike | 0.702, +0.001 ± 0.007 | 0.751, −0.008 ± 0.005 | 0.890, −0.002 ± 0.008 |
# | drawn, frozen | 0.689, −0.011 ± 0.021 | 0.726, −0.033 ± 0.009 | 0.741, −0.151 ± 0.010 |
# | drawn, by layer | 0.712, +0.012 ± 0.016 | 0.772, +0.013 ± 0.008 | 0.865, −0.027 ± 0.004 |
#
# - **Labels help.** From 27 to 546 of them the AUC rises by 0.19; no start gains more than 0.013. With 27, no way is
#   clearly above the stone's accuracy of 0.731 (they have 0.73 to 0.75).
# - **X-rays help nowhere.** Where everything learns, the gains are within two or three of their errors of 0, and mostly
#   below it. Chest X-rays have nothing to say here that ultrasound pictures do not say themselves.
# - **Frozen features lose**, and the more, the more labels there are: 129 numbers cannot mend what 223,744 do not see.
# - **The drawn pictures** may help where labels are few: +0.012 ± 0.016 and +0.013 ± 0.008. That is a hint and no
#   finding: with five seeds a gain has to be 2.8 of its errors to be one (Student's t, 4 degrees of freedom).
# - **By layer** with all labels has not finished: its training loss ends at 0.155, from scratch at 0.045. Part of what
#   it loses is slowness, so this is no ranking of ways (lesson 11).
#
# How far to trust such an error? The X-ray rows were measured a second time, the same in everything but that one
# processor core added up in another order than two. "All alike" with 546 labels then came to −0.019 ± 0.006, which one
# would have called a finding, and here it is −0.002 ± 0.008; a third time, with the X-rays in another order, −0.015 ±
# 0.008. Rounding grows over 900 steps until it is another network. Had only one of them been run, which sentence
# would stand here?
#
# **The untouched X-ray network** orders malignant and benign with an AUC of 0.67 to 0.72, and has not been shown a
# breast. Has it learnt medicine? Ask something that has learnt nothing: is the middle of the picture darker than the
# picture?

# %%
for kind, side in (("training", whole.train), ("test", whole.test)):
    middle = side.x[..., 8:20, 8:20].mean((1, 2, 3)) - side.x.mean((1, 2, 3))
    dark = metrics.auc((middle + 1) / 2, side.y)  # what is bright there is benign
    print(f"{kind:9} AUC of one subtraction: {dark:.3f}")
    assert not real or dark > 0.7

# %% [markdown]
# On BreastMNIST 0.73 and 0.75: a mass is dark, and whoever took the picture put it in the middle. That is as much as
# frozen features make of all 546 labels. A comparison with from scratch alone would not have shown it: keep a stone at
# hand that can subtract.
#
# ## Is it quicker?
#
# The article says "efficiency", too. Two things can be meant: fewer steps, and less work a step.

# %%
share = 1.0
for way in list(WAYS)[:3]:
    loss = np.array([row["loss"] for row in rows if row["way"] == way and row["share"] == share]).mean(0)
    seconds = values(way, share, "seconds").mean()
    print(f"{way:20} {seconds:6.2f} s, loss {loss[0]:.3f} after one epoch and {loss[-1]:.3f} at the end")

# %% [markdown]
# Frozen layers have no backward pass, so a step costs less: with `--full` 2.1 s in place of 7.3 s, for a worse network.
# Where all layers learn, a step costs as much as ever; old weights at the full rate brought the training loss down
# sooner (the right figure), at the layers' rates later. A training loss that falls sooner does not say that the network
# is a better one at the end. And whoever counts the work counts that of the old network too, unless somebody else has
# done it already.
#
# ## What may not be concluded
#
# - That transfer learning does not work. Here a small network has seen 4,708 small pictures of one kind. Those used in
#   practice are far larger and have seen a million pictures of a thousand kinds. Yet even of those Raghu et al. 2019
#   ("Transfusion: Understanding Transfer Learning for Medical Imaging") report little gain for medical pictures.
# - That one way is better than another, from a gain that is no more than twice its error; and of fifteen comparisons
#   one will look like something by chance alone.
# - That a source which is more like the target is always better: two sources are no rule.
#
# ## In one command
#
# ```sh
# tinymed train --task pneumonia --out runs/xrays
# tinymed train --task breast-ultrasound --start runs/xrays --layer-decay 0.5 --fraction 0.2 --out runs/tuned
# python tutorials/28_transfer_learning.py --full --json transfer.json
# ```

# %%
if not real:
    print("pictures were GENERATED. For the real ones, once:")
    print("    tinymed data fetch breastmnist")
    print("    tinymed data fetch pneumoniamnist")
if not FULL:
    print("fewer seeds, ways and epochs than in full: python tutorials/28_transfer_learning.py --full")

# %% [markdown]
# ## Exercises
#
# > **Exercise 28.1.** Write `my_layer_rates(lr, decay, layers)`: the rates $\eta_1 \dots \eta_L$ of the formula above,
# > as an array (L,), the first layer's first.


# %% tags=["exercise"]
def my_layer_rates(lr, decay, layers):
    ### BEGIN SOLUTION
    return lr * decay ** np.arange(layers - 1, -1, -1)
    ### END SOLUTION


# %% tags=["check"]
check("layer_rates", my_layer_rates)

# %% [markdown]
# > **Exercise 28.2.** Write `my_thawed(epoch, every, layers)`: after so many finished epochs, which layers learn, an
# > array (L,) of 0 and 1. At first it is the last one alone; after every `every` epochs one more, from the end.


# %% tags=["exercise"]
def my_thawed(epoch, every, layers):
    ### BEGIN SOLUTION
    learning = np.zeros(layers, int)
    learning[max(layers - 1 - epoch // every, 0) :] = 1
    return learning
    ### END SOLUTION


# %% tags=["check"]
check("thawed", my_thawed)

# %% [markdown]
# > **Exercise 28.3.** The same seeds were given to two ways. Write `my_paired(first, second)`: the mean over $n$ seeds
# > of second − first, and its standard error $s / \sqrt{n}$, where $s$ is the standard deviation of the *differences*.


# %% tags=["exercise"]
def my_paired(first, second):
    ### BEGIN SOLUTION
    gap = second - first
    return gap.mean(), gap.std(ddof=1) / np.sqrt(len(gap))
    ### END SOLUTION


# %% tags=["check"]
check("paired", my_paired)

# %% [markdown]
# > **Exercise 28.4.** To think about: somebody fine-tunes on 5 % of the training labels, and stops each network at the
# > epoch with the best AUC on the 78 validation pictures. How many labels were used?
#
# <details><summary>An answer</summary>
#
# 27 + 78: the validation labels have chosen a network, and there are three times as many of them as there are training
# labels. Whoever has 105 labels might train on most of them. That is why nothing is watched here.
#
# </details>
#
# ## What to take along
#
# - Transfer is a start, not a promise: measure it against from scratch, on the same labels, seed by seed.
# - Frozen features learn little and break little; they are only as good as the task that has made them.
# - A head that fits by shape may mean something else.
# - What a way gains is a difference with an error of its own.
#
# **Now open** `tinymed/training/transfer.py`. In PyTorch freezing is `p.requires_grad_(False)`, rates by layer are an
# optimiser's parameter groups, and a frozen batch normalisation has to be put into `eval()` by you.
#
# *Before: [27](27_data_mining.py), data mining. This is the last lesson.*
