# %% [markdown]
# # 13 · Fast on a CPU
#
# *Article 8.2 · 90 minutes · `kernels/numpy_backend.py`, `kernels/numba_tile.py`, `kernels/numba_conv.py`*
#
# Lesson 01's loops are right, and slow. Here the same convolution is made fast in two ways, by NumPy (steps 2, 3) and
# by loops of our own (4 to 6), and each step is timed on *your* machine: no figure of speed is printed in this text,
# all are measured as it runs. After this lesson you can say what a kernel costs before you write it, and which limit of
# the machine it will meet.

# %%
import inspect
import statistics
import time

import matplotlib.pyplot as plt
import numba
import numpy as np

import tinymed
import tinymed.nn.functional as F
from tinymed import nn
from tinymed.kernels import numba_tile, numpy_backend, reference, threads
from tinymed.kernels.shapes import conv_shape
from tinymed.teach import check, race, trace

CORES = threads.processors()
rng = np.random.default_rng(0)


def seconds(run, least=0.1):
    """The median time of a call, repeated for `least` seconds; the first call does not count."""
    run()
    times, end = [], time.perf_counter() + least
    while time.perf_counter() < end or len(times) < 3:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


# %% [markdown]
# ## What the article says
#
# Section 8.2 names speed as one of three challenges, 计算资源需求, *the need for computing resources*:
#
# > 深度学习模型通常需要大量的计算资源和存储空间，如何优化算法和模型，降低计算资源需求是未来发展的关键。
#
# Models need much computation and memory, and how to need less is the key to what comes next. It stops there. This
# lesson does it for one layer: the second convolution of the article's own network (5.2), 64 kernels of 3x3 on 32
# channels of 13x13.
#
# ## Count before you measure
#
# Every output is a sum of $C \cdot KH \cdot KW$ products. With one multiply-add for each,
#
# $$ \text{multiply-adds} = N \cdot O \cdot OH \cdot OW \cdot C \cdot KH \cdot KW, \qquad
#    \text{flops} = 2 \cdot \text{multiply-adds} $$
#
# No step below changes that number. What changes is everything around it.

# %%
N = 32  # pictures in a batch
x = rng.standard_normal((N, 32, 13, 13)).astype(np.float32)
w = rng.standard_normal((64, 32, 3, 3)).astype(np.float32)
s = conv_shape(x.shape, w.shape, (1, 1), (0, 0), (1, 1), 1)
per_picture = int(np.prod(s.y[1:]) * np.prod(w.shape[1:]))
print(f"{x.shape} * {w.shape} -> {s.y}: {per_picture:,} multiply-adds a picture, {N * per_picture:,} a batch")
assert per_picture == 64 * 11 * 11 * 32 * 3 * 3 == 2_230_272

# %% [markdown]
# ## Step 1: loops
#
# `reference.conv2d` is lesson 01's loops: Python looks up, multiplies and adds one number at a time. One picture is
# enough to time it; the rest of the batch is the same again. What counts is the time for one multiply-add, in
# nanoseconds (a clock at 3 GHz ticks every third of one).

# %%
one = conv_shape(x[:1].shape, w.shape, (1, 1), (0, 0), (1, 1), 1)
start = time.perf_counter()
want = reference.conv2d(x[:1], w, None, one)
took = {"1 loops": (time.perf_counter() - start) / per_picture}
print(f"loops: {took['1 loops'] * per_picture:.2f} s for one picture, {took['1 loops'] * 1e9:.0f} ns a multiply-add")


# %% [markdown]
# ## Step 2: a window at a time
#
# Python's cost is by the *operation*, whatever its size. So give each operation more to do: for output $(i, j)$, all
# pictures, channels and kernels are one product of matrices.


# %%
def windows_one_by_one(x, w):
    (N, _, H, W), (O, _, KH, KW) = x.shape, w.shape
    y = np.empty((N, O, H - KH + 1, W - KW + 1), x.dtype)
    rows = w.reshape(O, -1)  # (O, C·KH·KW)
    for i in range(y.shape[2]):
        for j in range(y.shape[3]):
            y[:, :, i, j] = x[:, :, i : i + KH, j : j + KW].reshape(N, -1) @ rows.T
    return y


# %% [markdown]
# ## Step 3: all windows at once (im2col)
#
# Lay *every* window as a row of one matrix, *im2col*, and the whole convolution is one product, which NumPy hands to
# BLAS, a library that people have been tuning for decades. `sliding_window_view` shows the windows without copying a
# number; the copy comes when `tensordot` makes a matrix of them.


# %%
def windows_at_once(x, w):
    windows = np.lib.stride_tricks.sliding_window_view(x, w.shape[2:], axis=(2, 3))  # (N,C,OH,OW,KH,KW)
    return np.tensordot(windows, w, ((1, 4, 5), (1, 2, 3))).transpose(0, 3, 1, 2)


windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(2, 3))
assert np.shares_memory(windows, x)
columns = windows.size * 4
print(f"x: {x.nbytes:,} bytes; its windows laid out: {columns:,} bytes, {columns / x.nbytes:.1f} times as many")
assert columns == 4 * N * 11 * 11 * 32 * 9
assert round(columns / x.nbytes, 1) == 6.4

# %% [markdown]
# That is the price: a 3x3 kernel sees every pixel up to 9 times (6.4 here, for the border is seen less often), and
# im2col writes it down each time. The memory must be there, and somebody must carry it.
#
# The engine's NumPy backend does the same in its own words:

# %%
print(inspect.getsource(numpy_backend._columns))
print(inspect.getsource(numpy_backend.conv2d))

# %% [markdown]
# ## Step 4: compile the loops
#
# Numba translates a Python function into machine code when it is first called with new types. The loops stay, Python's
# look-ups go. The first call includes the compiler; the second shows what it was for.


# %%
@numba.njit
def compiled_loops(x, w, y):
    for n in range(y.shape[0]):
        for o in range(y.shape[1]):
            for i in range(y.shape[2]):
                for j in range(y.shape[3]):
                    total = np.float32(0)
                    for c in range(x.shape[1]):
                        for u in range(w.shape[2]):
                            for v in range(w.shape[3]):
                                total += w[o, c, u, v] * x[n, c, i + u, j + v]
                    y[n, o, i, j] = total
    return y


y = np.empty(s.y, np.float32)
first = {}
start = time.perf_counter()
compiled_loops(x, w, y)
first["compiled loops"] = time.perf_counter() - start
print(
    f"first call {first['compiled loops']:.2f} s, with compiling; then {seconds(lambda: compiled_loops(x, w, y)):.4f} s"
)
assert np.allclose(y[:1], want, atol=1e-3)

# %% [markdown]
# ## Step 5: turn the loops round
#
# Same products, same compiler, another order. In step 4 the innermost loop is over 3 taps, and every addition waits for
# the one before it: the compiler may not change the order of a floating sum. Now the innermost loop runs along a row of
# $y$: neighbours in memory, and sums that do not wait for each other, so one instruction can work on 4, 8 or 16 of them
# (SIMD). And each $(n, o)$ is a *task* of its own: `prange` hands tasks to threads.


# %%
@numba.njit(parallel=True)
def row_by_row(x, w, y):
    for t in numba.prange(y.shape[0] * y.shape[1]):  # a thread owns the whole of y[n, o]
        n, o = t // y.shape[1], t % y.shape[1]
        for i in range(y.shape[2]):
            row = y[n, o, i]
            row[:] = 0
            for c in range(x.shape[1]):
                for u in range(w.shape[2]):
                    for v in range(w.shape[3]):
                        k, source = w[o, c, u, v], x[n, c, i + u, v:]
                        for j in range(row.size):
                            row[j] += k * source[j]
    return y


numba.set_num_threads(1)
start = time.perf_counter()
row_by_row(x, w, y)
first["row by row"] = time.perf_counter() - start
assert np.allclose(y[:1], want, atol=1e-3)
print(f"first call {first['row by row']:.2f} s, with compiling; then {seconds(lambda: row_by_row(x, w, y)):.4f} s")

# %% [markdown]
# ## Step 6: keep the sums in registers
#
# A *register* is one of the few places inside a core that it computes with; the *caches* are small memories between it
# and the main one, the first the nearest. Step 5 still loads $x$, loads $y$ and stores $y$ for each multiply-add. A
# core can do about as many multiply-adds as loads in one cycle, so the loads and stores are what it waits for. The cure
# is the idea behind every fast matrix product, on CPUs and GPUs alike: hold a *tile* of sums in registers, $R$ rows by
# $V$ vectors, and in each step of $k$ load $R$ weights and $V$ vectors of $x$ for $R \cdot V$ multiply-adds:
#
# $$ \frac{\text{loads}}{\text{multiply-adds}} = \frac{R + V}{R \cdot V},
#    \qquad R \cdot V + V + 1 \le \text{registers} $$
#
# The sums take $R \cdot V$ registers, a row of $x$ takes $V$, a weight 1. Why not a bigger tile, then? Because a sum
# that finds no register is stored and loaded again, and the gain is lost.

# %%
for registers in (16, 32):
    fits = {(R, V): (R + V) / (R * V) for R in range(1, 31) for V in range(1, 31) if registers >= R * V + V + 1}
    best = sorted(fits, key=fits.get)[:3]
    said = ", ".join(f"{R}x{V}: {fits[R, V]:.3f}" for R, V in best)
    print(f"{registers} registers: of {len(fits)} tiles the fewest loads a multiply-add are {said}")
    mine = (4, 3) if registers == 16 else (8, 3)
    print(f"    tinymed takes {mine[0]}x{mine[1]}: {fits[mine]:.3f}, with {mine[0] * 3 + 3 + 1} registers in use")
width = numba_tile.lanes(np.float32)
print(f"on this machine: {numba_tile.ROWS} rows x {numba_tile.VECTORS} vectors of {width} numbers")

# %% [markdown]
# Anything well below 1 will do: then the multiply-adds are what takes time, and there is no more to gain. 8 rows also
# divide the usual numbers of channels, where 5 would leave some over. There is a second reason for a tile: a
# multiply-add takes about 4 cycles, and a core starts up to two in each. So at least 8 sums that do not wait for each
# other must be under way; 4x3 has 12.
#
# `numba_tile.py` writes this as LLVM code, since no loop in Python can say "keep it in a register". This is its inner
# step, `splat` being one number in all lanes of a register and `fma` a multiply-add of registers:

# %%
lines = inspect.getsource(numba_tile._make_tile).splitlines()
start, end = (next(k for k, line in enumerate(lines) if text in line) for text in ("def step(k", "return new"))
print("\n".join(line[12:] for line in lines[start : end + 1]))

# %% [markdown]
# ## By hand: the convolution without its matrix
#
# In that step, row $k$ of the second factor begins at `offsets[k]`, *anywhere*. That small freedom makes the product a
# convolution without im2col. The tile as loops, `sums` being what the registers hold:


# %%
def tile(w, x, offsets, cols):
    sums = np.zeros((w.shape[0], cols))
    for k in range(w.shape[1]):
        for r in range(w.shape[0]):
            for j in range(cols):
                sums[r, j] += w[r, k] * x[offsets[k] + j]
    return sums


# %% [markdown]
# Take the article's example (4.1.3), 1…9 and the 2x2 identity, and let the image be flat. The four taps begin 0, 1, 3
# and 4 places on:
#
# $$ y_p = \sum_k w_k \cdot x_{\text{offset}_k + p}
#        = 1 \cdot x_p + 0 \cdot x_{p+1} + 0 \cdot x_{p+3} + 1 \cdot x_{p+4} $$
#
# Write down $y_0 \dots y_4$ before you run the cell. What is $y_2$?

# %%
image, kernel, offsets = np.arange(1.0, 10), np.array([1.0, 0, 0, 1]), (0, 1, 3, 4)
flat = tile(kernel[None], image, offsets, 5)[0]
print(flat)
assert flat.tolist() == [6, 8, 10, 12, 14]

# %% [markdown]
# 6, 8, 12, 14 are the convolution. The 10 is $x_2 + x_6 = 3 + 7$: a window that begins at the end of a row and goes on
# in the next. It is computed and thrown away: $KW - 1$ numbers for each row but the last, against a matrix that is
# never built. To step through, with two kernels:

# %%
two = np.array([[1.0, 0, 0, 1], [0, 1, 1, 0]])  # two rows of the tile
t = trace.function(tile, two, image, offsets, 5)
t.show(3)
assert t.final["sums"][0].tolist() == [6, 8, 10, 12, 14]

# %%
t

# %% [markdown]
# ## Backwards, by the same tile
#
# Every $w_k \cdot x_{\text{offset}_k + p}$ was added to $y_p$. So $x_q$ collects from all $p$ that are
# $q - \text{offset}_k$ for one of the taps:
#
# $$ \frac{\partial L}{\partial x_q} = \sum_k w_k \cdot g_{q - \text{offset}_k} $$
#
# which is the same sum, with the offsets' signs turned. Where $g$ has no number, in the column that was thrown away and
# beyond the ends, it must be 0. With $g = 1$ for the four outputs:

# %%
g = np.zeros(4 + 9)  # 4 zeros in front, since offsets go back 4 places
g[4:9] = [1, 1, 0, 1, 1]
gx = tile(kernel[None], g, tuple(4 - o for o in offsets), 9)[0]
print(gx.reshape(3, 3))
leaf = tinymed.tensor(image.reshape(1, 1, 3, 3), requires_grad=True)
with tinymed.use_backend("numpy"):
    F.conv2d(leaf, tinymed.tensor(kernel.reshape(1, 1, 2, 2))).sum().backward()
assert (leaf.grad.numpy().reshape(-1) == gx).all()

# %% [markdown]
# The gradient into $w$ sums along a row of $x$ and a row of $g$ at once (`dot`, in the same file). So two small kernels
# carry the layer, both ways. That all backends have the same gradients, `gradcheck` and the tests say.

# %% [markdown]
# ## The table
#
# All of them, first on one thread. BLAS is held to one as well, or the comparison would be between numbers of threads.


# %%
def engine_conv(backend):
    X, K = tinymed.tensor(x), tinymed.tensor(w)
    with tinymed.use_backend(backend), tinymed.no_grad():
        return seconds(lambda: F.conv2d(X, K)), F.conv2d(X, K).numpy()


def timed():
    for name, function in (("2 window by window", windows_one_by_one), ("3 im2col", windows_at_once)):
        with tinymed.use_backend("numpy"):  # gives BLAS the threads
            yield name, seconds(lambda f=function: f(x, w)), function(x, w)
    yield "4 compiled loops", seconds(lambda: compiled_loops(x, w, y)), y.copy()
    yield "5 row by row", seconds(lambda: row_by_row(x, w, y)), y.copy()
    yield "6 tile in registers", *engine_conv("numba")


tinymed.set_num_threads(1)
numba.set_num_threads(1)
for name, each, numbers in timed():
    took[name] = each / (N * per_picture)
    assert np.allclose(numbers[:1], want, atol=1e-3), f"{name}: right numbers come first"

print(f"{'one thread':<22} ns a multiply-add   GFLOP/s   times as fast as the loops")
for name, each in took.items():
    print(f"{name:<22} {each * 1e9:17.4f} {2e-9 / each:9.2f} {took['1 loops'] / each:14,.0f}")
assert took["6 tile in registers"] < took["4 compiled loops"] < took["1 loops"]
assert took["3 im2col"] < took["4 compiled loops"]

# %%
fig, ax = plt.subplots(figsize=(7.5, 3.2), layout="constrained")
names = list(took)[::-1]
bars = ax.barh(names, [took[name] * 1e9 for name in names], color="#0072B2")
ax.bar_label(bars, [f"{took[name] * 1e9:.3g}" for name in names], padding=4)
ax.set(xscale="log", xlabel="ns for a multiply-add (log scale, shorter is faster)")
ax.set_title("One convolution, one thread: the same sums, six ways")
ax.margins(x=0.15)
plt.show()

# %% [markdown]
# Compiling alone does not beat BLAS: look at 4 beside 3. Step 5's rows have only 11 numbers, fewer than one register of
# 16 holds; on an image of 66x66 the same code gains several times more (try it). Step 6 fills its registers whatever
# the width.
#
# ## Threads
#
# A loop may be shared out if **no two tasks write the same place**. In `row_by_row` a task owns $y_{n,o}$ whole. It
# would be wrong to share out $c$ instead: all tasks would add to the same sums. Adding is *read, add, write*, and
# another thread may write in between. Here two threads each add 1 a thousand times to one number, in turns that
# chance deals out:


# %%
def two_threads(turns):
    """Each thread reads, then adds and writes: a step a turn."""
    shared, held = 0, [None, None]
    for who in turns:
        if held[who] is None:
            held[who] = shared  # read
        else:
            shared, held[who] = held[who] + 1, None  # add and write what may be out of date
    return shared


fair = two_threads([0] * 2000 + [1] * 2000)
mixed = two_threads(np.random.default_rng(1).permutation([0] * 2000 + [1] * 2000))
print(f"one after the other: {fair}; in mixed turns: {mixed}; lost: {fair - mixed}")
assert fair == 2000
assert mixed < fair

# %% [markdown]
# No error, no warning, a wrong number, and another one next time. So the engine's gradient into $x$ is *gathered*: who
# owns an image collects what flows into it. In the gradient into $w$ every image has a share in every sum; there each
# task adds up some images in an array of its own, and at the end one thread adds those arrays in a fixed order. So runs
# can be repeated, while another number of threads may change the last digits.
#
# What do your cores bring? Seldom more than twice as much for twice the threads, and less where something is shared:
# the memory, a core that is two only in name (hyper-threads), another program.

# %%
counts = sorted({1, 2, CORES} & set(range(1, CORES + 1)))
scaling = {"row by row": [], "tile in registers": []}
for count in counts:
    tinymed.set_num_threads(count)
    numba.set_num_threads(min(count, numba.config.NUMBA_NUM_THREADS))
    scaling["row by row"].append(seconds(lambda: row_by_row(x, w, y)))
    scaling["tile in registers"].append(engine_conv("numba")[0])
for name, times in scaling.items():
    said = ", ".join(f"{n} thread(s) {t * 1e3:.2f} ms ({times[0] / t:.2f}x)" for n, t in zip(counts, times))
    print(f"{name}: {said}")

# %% [markdown]
# `tinymed.set_num_threads(n)` or the variable `TINYMED_NUM_THREADS` sets the number in one place, for the kernels and
# for BLAS. One pool must own the cores: of two that each believe they do, the threads wait for each other.
#
# ## Layout: what a cache line costs
#
# Memory comes in *lines*, 64 bytes on most machines: 16 float32. Whoever reads one number of a line pays for the line.
# The cell below walks through the same 64 MB each time and sums every number, every second, every fourth … How long
# should every sixteenth take, if only the numbers that are used would cost?

# %%
far = np.ones(1 << 24, np.float32)  # 64 MB: more than most caches hold
strides = [1, 2, 4, 8, 16, 32, 64]
walks = [seconds(lambda s=s: far[::s].sum(), 0.05) * 1e3 for s in strides]

fig, ax = plt.subplots(figsize=(6.5, 3.2), layout="constrained")
ax.plot(strides, walks, "o-", color="#0072B2", label="measured")
ax.plot(strides, [walks[0] / k for k in strides], "--", color="#777777", label="if only what is used would cost")
ax.set(xscale="log", xlabel="every k-th float32 of 64 MB is read", ylabel="ms")
ax.set_title("Fewer numbers, the same lines")
ax.set_xticks(strides, map(str, strides))
ax.minorticks_off()
ax.set_ylim(0, max(walks) * 1.35)
ax.legend(loc="upper right")
plt.show()
for k, walk in zip(strides, walks):
    print(f"stride {k:2}: {walk:5.2f} ms, {walk * 1e6 / (far.size / k):5.2f} ns a number read")
assert walks[strides.index(16)] > 2 * walks[0] / 16

# %% [markdown]
# Up to a stride of 16 no line is left out: most of what is fetched is thrown away. It is not quite flat, for the
# additions cost too. Beyond 16 lines are left out; where the time falls more slowly than their number, the processor
# has also fetched neighbours that nobody asked for. That is why the last loop of `row_by_row` runs over $j$, the axis
# whose neighbours are neighbours in memory. In N,C,H,W that is the column; channels-last, N,H,W,C, is better where a
# core needs all channels of a pixel at once, as GPUs do (lesson 14).
#
# ## Fusion: bytes that never move
#
# The article's ReLU6-Conv-Pool (1.4.3) as three ops writes its feature map, reads it, writes it again, reads it again.
# As one op, the map of some rows is bounded and pooled while it is still in the core's first cache, and never reaches
# memory. Count the traffic of $y$ for the network's first layer, in bytes:

# %%
batch = 64
layer, pictures = nn.ConvReLU6Pool(1, 32, 3), tinymed.randn(batch, 1, 28, 28)
feature_map, pooled = 4 * batch * 32 * 26 * 26, 4 * batch * 32 * 13 * 13
apart = feature_map + 2 * feature_map + feature_map + pooled  # conv writes; ReLU6 reads, writes; pooling reads, writes
together = pooled
print(f"three ops move {apart / 1e6:.1f} MB of maps, one op {together / 1e6:.1f} MB: {apart / together:.0f} to 1")
assert apart / together == 17

with tinymed.no_grad():
    fused = seconds(lambda: layer(pictures))
    got = layer(pictures).numpy()
    with tinymed.no_fusion():
        unfused = seconds(lambda: layer(pictures))
        assert np.allclose(layer(pictures).numpy(), got, atol=1e-5)
print(f"three ops {unfused * 1e3:.2f} ms, one op {fused * 1e3:.2f} ms: {unfused / fused:.1f} times as fast")

# %% [markdown]
# (The cells that won are noted too, a byte each, in both ways; they are left out of the count.) The times are closer
# than 17 to 1, since the convolution's arithmetic is in both. A Sequential of `Conv2d`, `ReLU6`, `MaxPool2d` is fused
# by itself; `tinymed.no_fusion()` shows the ops one by one.
#
# ## The roofline
#
# What is the limit, then? Two roofs hang over every kernel: the multiply-adds that the cores can do, and the bytes that
# memory can bring. Which one is lower depends on how much is done with each byte, the *arithmetic intensity*:
#
# $$ I = \frac{\text{flops}}{\text{bytes that must move}}, \qquad
#    \text{attainable} = \min(\text{peak},\; I \cdot \text{bandwidth}) $$
#
# Both roofs can be measured from Python: a copy of a large array for the one, a large product for the other, the better
# of BLAS's and the engine's. On one thread, to compare like with like:

# %%
tinymed.set_num_threads(1)
numba.set_num_threads(1)
into = np.empty_like(far)
bandwidth = 2 * far.nbytes / seconds(lambda: np.copyto(into, far), 0.2)
a, b = (rng.standard_normal((768, 768)).astype(np.float32) for _ in range(2))
products = {}
for name in ("numpy", "numba"):  # BLAS's and the engine's
    with tinymed.use_backend(name):
        products[name] = 2 * 768**3 / seconds(lambda: tinymed.tensor(a) @ tinymed.tensor(b))
peak = max(products.values())
print(
    f"copy {bandwidth / 1e9:.1f} GB/s, product {peak / 1e9:.0f} GFLOP/s: level at {peak / bandwidth:.1f} flops a byte"
)


def at(run, flops, *arrays):
    """Where a kernel stands: its intensity, and the flops a second that it reaches."""
    return flops / (4 * sum(map(np.prod, arrays))), flops / seconds(run)


points = {}
with tinymed.no_grad():
    for name, i, k in [
        ("conv, 1 to 32 channels", (256, 1, 28, 28), (32, 1, 3, 3)),
        ("conv, 32 to 64 channels", (128, 32, 13, 13), (64, 32, 3, 3)),
    ]:
        X, K = tinymed.randn(*i), tinymed.randn(*k)
        shape = F.conv2d(X, K).shape
        points[name] = at(lambda: F.conv2d(X, K), 2 * np.prod(shape) * np.prod(k[1:]), i, k, shape)  # noqa: B023
    X = tinymed.randn(64, 32, 64, 64)
    points["max pooling 2x2"] = at(lambda: F.max_pool2d(X, 2), 3 / 4 * X.numel(), X.shape, (64, 32, 32, 32))
    points["ReLU6"] = at(lambda: F.relu6(X), 2 * X.numel(), X.shape, X.shape)
for name, (intensity, rate) in points.items():
    roof = min(peak, intensity * bandwidth)
    print(f"{name:<24} {intensity:6.2f} flops a byte, {rate / 1e9:7.2f} GFLOP/s, {rate / roof:4.0%} of the roof")

# %%
fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
intensities = np.geomspace(0.05, 300, 200)
ax.plot(intensities, np.minimum(peak, intensities * bandwidth) / 1e9, color="#333333")
ax.annotate("memory's roof", (0.6, 0.6 * bandwidth / 1e9), (-12, 12), textcoords="offset points", ha="right")
ax.annotate("the core's roof", (60, peak / 1e9), (0, 6), textcoords="offset points", ha="center")
for (name, (intensity, rate)), colour, marker in zip(
    points.items(), ("#D55E00", "#0072B2", "#009E73", "#CC79A7"), "osD^"
):
    ax.plot(intensity, rate / 1e9, marker, color=colour, markersize=9, label=name)
ax.set(xscale="log", yscale="log", xlabel="flops a byte that must move", ylabel="GFLOP/s")
ax.set_title("The roofline of one core of this machine, measured")
ax.legend(loc="lower right")
ax.set_ylim(top=peak / 1e9 * 3)
plt.show()
assert points["ReLU6"][0] < peak / bandwidth < points["conv, 32 to 64 channels"][0]

# %% [markdown]
# Read it from the left. Pooling and ReLU6 do a flop or less with 4 bytes: no cleverness with arithmetic will help
# them, only fewer bytes, and that is fusion. The second convolution stands far to the right, under the core's roof:
# tiles and threads help it. A point may lie above the slope, if its arrays were still in a cache when it was timed: the
# roof is memory's. (Comparisons are counted as flops here, 3 for a window of 4 and 2 for ReLU6.)
#
# Below its roof a kernel has something to gain. At its roof only another algorithm helps: for convolution Winograd's,
# which multiplies less.

# %%
tinymed.set_num_threads(CORES)
numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)

# %% [markdown]
# ## Exercises
#
# > **Exercise 13.1.** Count for a convolution (N,C,H,W) * (O,C,KH,KW) in float32, with stride 1 and no padding: return
# > the flops, and the bytes that must move at least (each number of x, w and y once).
#
# <details><summary>A hint</summary>
#
# A multiply-add is two flops. The output has $H - KH + 1$ rows.
#
# </details>


# %% tags=["exercise"]
def conv_cost(N, C, H, W, O, KH, KW):
    ### BEGIN SOLUTION
    OH, OW = H - KH + 1, W - KW + 1
    flops = 2 * N * O * OH * OW * C * KH * KW
    bytes_moved = 4 * (N * C * H * W + O * C * KH * KW + N * O * OH * OW)
    return flops, bytes_moved
    ### END SOLUTION


# %% tags=["check"]
check("conv2d_cost", conv_cost)

# %% [markdown]
# > **Exercise 13.2.** Write `im2col(x, KH, KW)`: the windows of x (N,C,H,W) as rows, (N·OH·OW, C·KH·KW), stride 1.
# > Rows run over $n$, $i$, $j$, the last fastest; within a row $c$, $u$, $v$.
#
# <details><summary>A hint</summary>
#
# `sliding_window_view` gives (N,C,OH,OW,KH,KW). Which axes must stand side by side before you `reshape`?
#
# </details>


# %% tags=["exercise"]
def im2col(x, KH, KW):
    ### BEGIN SOLUTION
    windows = np.lib.stride_tricks.sliding_window_view(x, (KH, KW), axis=(2, 3))  # (N,C,OH,OW,KH,KW)
    return windows.transpose(0, 2, 3, 1, 4, 5).reshape(-1, x.shape[1] * KH * KW)
    ### END SOLUTION


# %% tags=["check"]
check("im2col", im2col)

# %% [markdown]
# > **Exercise 13.3.** Now the convolution of x (N,C,H,W) with w (O,C,KH,KW), without a loop: windows as rows, one
# > product, and back to (N,O,OH,OW).


# %% tags=["exercise"]
def my_conv2d(x, w):
    ### BEGIN SOLUTION
    (N, C, H, W), (O, _, KH, KW) = x.shape, w.shape
    OH, OW = H - KH + 1, W - KW + 1
    windows = np.lib.stride_tricks.sliding_window_view(x, (KH, KW), axis=(2, 3))
    rows = windows.transpose(0, 2, 3, 1, 4, 5).reshape(-1, C * KH * KW)
    return (rows @ w.reshape(O, -1).T).reshape(N, OH, OW, O).transpose(0, 3, 1, 2)
    ### END SOLUTION


# %% tags=["check"]
check("conv2d_im2col", my_conv2d)

# %% [markdown]
# Right numbers may race: a small convolution, timed beside the engine's backends. Try `windows_one_by_one` too. Compare
# the distances with those in the table above: how much of the tile's lead is left at this size, and why?

# %%
ranking = race("conv2d", windows_at_once, seconds=0.1)  # put my_conv2d here
assert dict(ranking)["yours"] < dict(ranking)["reference"]
assert 2 * 4 * 14 * 14 * 3 * 3 * 3 == 42_336
print(f"42,336 multiply-adds: {42_336 * took['6 tile in registers'] * 1e6:.1f} µs by the table's tile")

# %% [markdown]
# <details><summary>An answer</summary>
#
# 2 pictures of 3 channels and 16x16 with 4 kernels are as little work as the last line above says. Then what counts is
# what a call costs before it computes: arguments checked, memory found, threads woken. Fast kernels are for large work.
#
# </details>
#
# > **Exercise 13.4.** Max pooling with 2x2 windows side by side, without a loop and without `sliding_window_view`: by
# > `reshape` and `max`. Odd rows and columns at the end are left out.


# %% tags=["exercise"]
def my_max_pool2d(x):
    ### BEGIN SOLUTION
    N, C, H, W = x.shape
    return x[:, :, : H // 2 * 2, : W // 2 * 2].reshape(N, C, H // 2, 2, W // 2, 2).max(axis=(3, 5))
    ### END SOLUTION


# %% tags=["check"]
check("max_pool2d_by_reshape", my_max_pool2d)

# %% [markdown]
# > **Exercise 13.5.** (Think.) The convolution without its matrix computes $y$ flat: from its first number to its
# > last, with those in between that are thrown away. For OH rows of OW numbers in an image W wide, return the share
# > of what is computed that is thrown away. When is it nothing, and when does it hurt?
#
# <details><summary>A hint</summary>
#
# By hand: the 3x3 image gave 5 numbers for 4. After the last row nothing is thrown away.
#
# </details>
#
# <details><summary>An answer to the question</summary>
#
# Nothing for $KW = 1$, or a single row; it hurts where rows are short against $KW - 1$.
#
# </details>


# %% tags=["exercise"]
def thrown_away(OH, OW, W):
    ### BEGIN SOLUTION
    computed = (OH - 1) * W + OW
    return 1 - OH * OW / computed
    ### END SOLUTION


# %% tags=["check"]
check("flat_convolution_waste", thrown_away)

# %% [markdown]
# ## What to take along
#
# - Count flops and bytes first. They tell which roof a kernel will meet, and so which cure can help.
# - Python's cost is by the operation, memory's by the line, a core's by the multiply-add: give each of them more to do.
# - A tile of sums in registers turns loads into multiply-adds. An offset for each row makes it a convolution.
# - Threads may share what is read. What is written belongs to one.
# - The fastest byte is the one that never moves.
#
# **Now open** `kernels/numba_tile.py` at `_make_tile`, then `kernels/numba_conv.py` at `block` and `_forward`. The
# figures of one machine, against PyTorch and JAX, are in `benchmarks/README.md`; `tinymed bench` measures yours.
# In PyTorch the same choices hide behind `torch.set_num_threads`, `channels_last` and `torch.compile`.
