# %% [markdown]
# # 04 · The article's worked example
#
# *Article 4.1.3 · 45 minutes · `tinymed/teach/article.py`*
#
# You can compute a convolution and a pooling by hand now. So can whoever wrote the example in section 4.1.3, and yet
# neither of its results is what its formulas give. That happens in the best of papers. This lesson is about what
# to do then: compute, look for a reading that explains the print, say how sure you are, and report it kindly.

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
# ## What the article says
#
# Section 4.1.3: 假设输入图像为 3x3 的矩阵，卷积核为 2x2 的矩阵，窗口大小为 2，采用最大池化操作。 "Let the input
# image be a 3x3 matrix and the kernel a 2x2 matrix; the window's size is 2, and max pooling is used."
#
# $$ \text{输入图像} = \begin{bmatrix} 1 & 2 & 3 \\ 4 & 5 & 6 \\ 7 & 8 & 9 \end{bmatrix} \quad
# \text{卷积核} = \begin{bmatrix} 1 & 0 \\ 0 & 1 \end{bmatrix} \quad
# \text{卷积操作结果} = \begin{bmatrix} 5 & 6 \\ 8 & 9 \end{bmatrix} \quad
# \text{最大池化操作结果} = \begin{bmatrix} 5 \\ 9 \end{bmatrix} $$
#
# (the image, the kernel, the result of the convolution, the result of max pooling).
#
# > Take a pencil. What is the upper left number of the convolution? What shape has a 2x2 map, pooled with a window
# > of size 2?

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
# The step from 1 to 6 is one line: $1 \cdot 1 + 0 \cdot 2 + 0 \cdot 4 + 1 \cdot 5$. With this kernel
# there is no way to make it 5.

# %% [markdown]
# ## Printed against computed
#
# The engine keeps what the article prints as data, and computes the rest each time it is asked. These are the two
# results above and the formula before them; the other places come in the lessons on the RNN, the LSTM and the listing.

# %%
for finding in [f for f in findings() if f.where.startswith("4.1")]:
    print(f"{finding.where}  {finding.formula}")
    print(f"    printed   {finding.printed}")
    for name, numbers in finding.computed.items():
        print(f"    computed  {numbers}  {name}")
    print(f"    verdict   {'as printed' if finding.agrees else 'differs'}: {finding.verdict}\n")

# %% [markdown]
# ## Is it the flip?
#
# The first suspicion of everybody who knows lesson 01: the author meant the true convolution, which flips the kernel.
# An identity turned by half a circle is the same identity, so that cannot be it. But look at what else comes out:

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
# All four agree, although two of these kernels are not the identity at all. The image 1…9 is a *ramp*, rising by 1 to
# the right and by 3 downwards; on a ramp, $x_{i,j} + x_{i+1,j+1} = x_{i,j+1} + x_{i+1,j}$. An example that cannot tell
# two kernels apart is a poor test of either. Keep that in mind for the tests that you write.

# %% [markdown]
# ## What are 5, 6, 8, 9?
#
# A wrong number is seldom a random one. Let a program try what a person may have done instead. First say what counts
# as a reading, before you search: *one operation of the article, with any window, stride, padding up to 1 and dilation
# up to 2*. Here: a convolution with the identity, then pooling of the image, by the largest, the smallest, the
# average (of the whole window, or of its cells inside the image).

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
# None of the convolutions with the identity gives it. What does is **max pooling of the image itself**. The text names
# max pooling and a window of size 2, so this is near at hand: the example seems to pool the input and to leave the
# convolution out.
#
# How sure is that? That it was max pooling, fairly: it needs nothing that the text does not name. Which stride, not
# at all. Stride 1 gives the print, and so does stride 2, the usual one, if a last incomplete window is kept
# (`ceil_mode=True` here, `padding="same"` in Keras). The rest of the list are settings that nobody would write
# without saying so; two of them are even a *min* and an *average* pooling whose windows hold one cell each.

# %% [markdown]
# ## Which kernels would give it?
#
# Another suspicion: the kernel is misprinted, not the result. Each output is one equation in the four weights,
# $\sum_{u,v} w_{u,v}\, x_{i+u,j+v} = y_{i,j}$, so there are four equations for four unknowns. One row for each window.
# `lstsq` finds weights that fit best and, where several fit equally, the *shortest*: the smallest sum of squares. The
# *rank* says how many of the equations are independent.

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
# The rank is 2, not 4: on a ramp every window is the first one plus a number, here 1, 3 and 4. Two directions are
# free, so a whole plane of kernels gives the printed map. The plainest is `[[0, 0], [0, 1]]`, which copies the lower
# right cell of each window. On this ramp that cell is the largest, so copying and max pooling give the same numbers,
# and the print cannot tell which it was. With an image that is no ramp it could:

# %%
shuffled = np.array([[3.0, 1, 8], [9, 4, 2], [5, 7, 6]])
system = np.lib.stride_tricks.sliding_window_view(shuffled, (2, 2)).reshape(4, 4)
copied, largest = system[:, 3], system.max(axis=1)
print(f"rank {np.linalg.matrix_rank(system)}; lower right cells {copied.tolist()}, largest {largest.tolist()}")
assert np.linalg.matrix_rank(system) == 4
assert not np.array_equal(copied, largest)

# %% [markdown]
# ## What is [5; 9]?
#
# The second result has two rows and one column. We give it every chance: pooling of the image, of the printed map, or
# of the true map, and standing or lying.

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
# A search that finds nothing shows that nothing was found. Here a proof is short, and covers what was not tried:
#
# A pooling window is a set of rows crossed with a set of columns. Outputs that stand one above the other share their
# columns. In the image, and in the printed map, 5 and 9 stand in different rows and in different columns; 6 is in
# the row of 5 and in the column of 9.
#
# 1. The window that gives 9 holds 9, so the shared columns have the column of 9.
# 2. The window that gives 5 holds 5, so it has the row of 5. With the shared columns it also holds 6.
# 3. 6 is larger than 5. So it does not give 5.
#
# For 5 and 9 side by side exchange rows and columns, and 6 becomes 8. The true map holds neither number. So no max
# pooling gives [5; 9], whatever its stride, padding or dilation.
#
# What it *is*: the diagonal of the printed map. That describes the numbers; whether it is how they came about, nobody
# can know but the author.

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
# ## A search can be too good
#
# The wider a search, the more it finds. Allow one more step after the convolution, say $a \cdot y + b$ with small
# numbers, and the printed map is "explained" again:

# %%
explained = [(a, b) for a in (0.25, 0.5, 1, 2) for b in range(-5, 6) if np.array_equal(a * true_map + b, printed_map)]
print("printed = a * convolution + b for (a, b) in", explained)
assert explained == [(0.5, 2)]

# %% [markdown]
# Half the convolution plus 2: exact, and worthless. Two ramps that rise in the same proportion are always related like
# that. The same happens when somebody tries a hundred models and reports the one that worked. So say *before* the
# search what counts, count what you tried, and prefer the reading that uses only what the text itself names.

# %% [markdown]
# ## A claim tested by program
#
# The same habit works on other people's results. Take a sentence as papers have it (this one is invented): "on the 78
# images of the validation set the accuracy was 87.3 %". Accuracy is $k/78$ with a whole number $k$:

# %%
n = 78
for k in (67, 68, 69):
    print(f"{k}/{n} = {100 * k / n:.3f} %")
assert all(f"{100 * k / n:.1f}" != "87.3" for k in range(n + 1))
assert f"{100 * 68 / n:.1f}" == "87.2"

# %% [markdown]
# No number of correct answers gives 87.3. It may be a slip of the pen, another number of images, an average over
# several runs: a question to ask, not yet an accusation. (Brown and Heathers 2017 named this the GRIM test, for means
# of whole numbers, and found impossible ones in about half of the papers that they could test.) It has teeth as long
# as $n$ is small (78 and 156: BreastMNIST's validation and test; 624: PneumoniaMNIST's test):

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
# With 78 images and one decimal, 8 of 100 percentages are possible. Numbers typed at random would be caught more than
# nine times out of ten.

# %% [markdown]
# ## How to report an erratum
#
# A good report lets the author see it in a minute, and costs nobody their face:
#
# 1. **Where**: section, formula, edition or date.
# 2. **Printed** and **computed**, side by side, with the one line of arithmetic that decides.
# 3. **How to repeat it**: a few lines of code, no library needed if possible.
# 4. **What it may have been**, marked as a guess.
# 5. **What follows**: which later numbers hang on it, and what does not change.
# 6. Thanks. The example was good enough to be computed.
#
# | step of 4.1.3 | printed | computed | verdict |
# |---|---|---|---|
# | convolution | [[5, 6], [8, 9]] | [[6, 8], [12, 14]] | misprint; max pooling of the image gives the print |
# | max pooling | [5; 9] | [[14]] | misprint; no max pooling gives it; the diagonal of the printed map |
#
# The formulas of 4.1.1 and 4.1.2 are right, and nothing later in the article is computed from these numbers.

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
# ## Exercises
#
# > **Exercise 4.1.** Write `my_article_example(x, w)`: both steps as they should be, for any image and kernel; return
# > the map and the pooled map (windows of 2x2 side by side).


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
# > **Exercise 4.2.** Write `my_count_readings(x, target)`: how many choices of (KH, KW, SH, SW), window and stride from
# > 1 to the image's size, no padding, turn `x` into `target` by max pooling? The check has an image of ones in it. Why
# > does that count so many?
#
# <details><summary>A hint</summary>
#
# `np.array_equal` compares shapes too; `==` does not.
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
# > **Exercise 4.3.** Write `my_kernel_from_map(x, y, KH, KW)`: the shortest kernel that turns $x$ into $y$, by least
# > squares, and the number of directions in which it could change without anybody noticing. When is the kernel the
# > only one?


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
# > **Exercise 4.4.** Write `my_possible_percentage(printed, n)`: how many whole numbers $k$ from 0 to $n$ give $k/n$ as
# > it is printed, in percent, with its decimals? `printed` is text, "87.3", because "90.0" says more than "90". Exactly
# > half a unit away counts on both sides. `Fraction("87.3")` is exact where 87.3 is not.


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
# ## What to take along
#
# - Compute the example before you trust the formula, and before you trust yourself.
# - Say what counts as a reading before you search; count what you tried; prove what you can.
# - A test image must be able to tell right from wrong: no ramps, no symmetric kernels.
# - Never bend a program to a misprint. Report it, with both numbers and thanks.
#
# **Now open** `tinymed/teach/article.py`: every worked number of the article, held against the engine. `tinymed demo`
# prints it as a table, and `tests/test_article.py` keeps it true.
