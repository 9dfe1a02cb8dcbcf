# %% [markdown]
# # 14 · Fast on a GPU
#
# *Article 7.2.2, 8.2 · 90 minutes · `kernels/cuda/ladder_matmul.cu`, `kernels/cuda/ladder_conv.cu`*
#
# A GPU has thousands of small calculators and one wide road to memory. Making it fast is mostly about the road. This
# lesson needs **no GPU**: it runs a GPU's threads in Python, slowly, and *counts* what they fetch. A count is as true
# here as there. Speeds are another matter: what comes from a data sheet is called so, and the rest is *not measured*.

# %%
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np

import tinymed
import tinymed.nn.functional as F
from tinymed import kernels
from tinymed.bench import ladder
from tinymed.teach import check, trace
from tinymed.training import article_cnn

CUDA = Path(kernels.__file__).parent / "cuda"


def source(name, step):
    """A step of a ladder as it stands in its file: the comment that explains it, and the kernel."""
    text = (CUDA / f"ladder_{name}.cu").read_text(encoding="utf-8")
    body = text[text.index(f"// Step {step}:") :]
    return body[: body.index("\n}\n") + 2]


# %% [markdown]
# ## What the article says
#
# Section 8.2: 计算资源需求, the need for computing resources, is one of three challenges; 8.1 hopes for 实时诊断,
# diagnosis in real time, "随着计算能力的提升", as computing power grows. Section 7.2.2 names NVIDIA Nsight, the tool
# that shows what a GPU spends its time on. It does not say what a GPU does differently. That is this lesson.
#
# ## Threads, warps, blocks
#
# A *kernel* is a function that a GPU runs many times at once, once for each *thread*. Each thread is told who it is,
# and works out from that which number is its own.
#
# | word | what it is | what it shares |
# |---|---|---|
# | thread | one run of the kernel | nothing: its numbers are in *registers* |
# | warp | 32 threads in step: as a rule one instruction for all 32 | one access to memory |
# | block | up to 1024 threads on one multiprocessor | *shared memory*, and barriers to wait for each other |
# | grid | all blocks of a launch, in no known order | the card's memory |
#
# `blockIdx` says which block, `threadIdx` which thread of it, `blockDim` how many threads a block has, each with an
# `x` and a `y`. `x` runs fastest: threads 0…31 of a block, by `x` and then `y`, are its first warp.
#
# $$ \text{col} = \text{blockIdx.x} \cdot \text{blockDim.x} + \text{threadIdx.x}, \qquad
#    \text{row} = \text{blockIdx.y} \cdot \text{blockDim.y} + \text{threadIdx.y} $$
#
# Note the swap that trips everybody once: `x` is the *column*, `y` the *row*. Blocks of 4x2 threads over 4 rows and 8
# columns: which thread has row 3, column 5? Block (1, 1), thread (1, 1):


# %%
def place(block, thread, dim):
    """Of a thread along one axis: from the x's its column, from the y's its row."""
    return block * dim + thread


print(f"block (1, 1) of 4x2 threads, thread (1, 1): row {place(1, 1, 2)}, column {place(1, 1, 4)}")
assert (place(1, 1, 2), place(1, 1, 4)) == (3, 5)
fig, ax = plt.subplots(figsize=(7, 3.4), layout="constrained")
rows, cols = np.mgrid[0:4, 0:8]
ax.imshow((rows // 2 + cols // 4) % 2, cmap="Blues", vmin=-0.6, vmax=3)
for row, col in np.ndindex(4, 8):
    said = f"thread\n({col % 4},{row % 2})"
    mine = (row, col) == (3, 5)
    ax.text(col, row, said, ha="center", va="center", fontsize=8, weight="bold" if mine else "normal")
ax.add_patch(plt.Rectangle((4.5, 2.5), 1, 1, fill=False, color="#D55E00", linewidth=2.5))
ax.set(xlabel="column", ylabel="row", title="A grid of 2x2 blocks, each of 4x2 threads (x,y)")
ax.set_xticks(range(8))
ax.set_yticks(range(4))
plt.show()

# %% [markdown]
# ## Step 1: a thread for each number
#
# The ladder climbs from here to tensor cores with one product of matrices, $C_{m,n} = \sum_k A_{m,k} B_{k,n}$, since a
# convolution is one too (lesson 13). Each step is a kernel of its own in `ladder_matmul.cu`, and tells its reason.
#
# CUDA is NVIDIA's C++ for kernels. `__global__` marks a kernel, `float*` an array in the card's memory, `__shared__`
# one in the block's shared memory, `c ? a : b` is Python's `a if c else b`; a matrix is flat, so $A_{m,k}$ is
# `A[m * K + k]`. ⌈x⌉ rounds up. (cuBLAS and cuDNN, below, are NVIDIA's own libraries for products and convolutions.)

# %%
print(source("matmul", 1))


# %% [markdown]
# ## A GPU in Python
#
# To see what that kernel fetches, run it. A thread is a Python generator that says `yield` where CUDA says
# `__syncthreads()`: wait until all threads of the block are here. `Memory` counts what is read.


# %%
class Index(NamedTuple):
    x: int
    y: int


class Memory:
    """An array that counts its loads."""

    def __init__(self, array):
        self.array, self.loads = array, 0

    def __getitem__(self, at):
        self.loads += 1
        return self.array[at]

    def __setitem__(self, at, value):
        self.array[at] = value


def launch(kernel, grid, block, *args):
    """Block after block, all its threads up to the next barrier, then on. Returns the loads from shared memory."""
    shared_loads = 0
    for block_y, block_x in np.ndindex(grid.y, grid.x):
        shared = {}
        threads = [kernel(Index(block_x, block_y), Index(x, y), shared, *args) for y, x in np.ndindex(block.y, block.x)]
        while threads:
            threads = [thread for thread in threads if next(thread, "at the end") != "at the end"]
        shared_loads += sum(memory.loads for memory in shared.values())
    return shared_loads


def naive(blockIdx, threadIdx, shared, A, B, C, T):
    n, m = blockIdx.x * T + threadIdx.x, blockIdx.y * T + threadIdx.y
    total = 0
    for k in range(C.array.shape[0]):
        total += A[m, k] * B[k, n]
    C[m, n] = total
    yield


rng = np.random.default_rng(0)
size, T = 16, 4
left, right = rng.integers(-4, 5, (2, size, size)).astype(float)
madds = size**3


def simulated(kernel, grid, block, *rest):
    """What comes out, and the loads from memory and from shared memory."""
    A, B, C = Memory(left), Memory(right), Memory(np.zeros((size, size)))
    shared = launch(kernel, grid, block, A, B, C, *rest)
    return C.array, A.loads + B.loads, shared


c, loads, shared = simulated(naive, Index(4, 4), Index(4, 4), T)
assert (c == left @ right).all()
print(f"naive: {loads} loads from memory for {madds} multiply-adds: {loads / madds:g} each")
assert (loads, shared) == (2 * madds, 0)

# %% [markdown]
# Two loads for each multiply-add. The matrices hold 512 numbers; 8192 were fetched. Every number of $A$ is needed by
# all 16 columns, and each of them fetches it for itself.
#
# ## Step 2: fetch together

# %%
print(source("matmul", 2))

# %% [markdown]
# By hand first: 4x4 integers, tiles of 2. The upper left tile of $C$ takes two pairs of tiles. Work out what it holds
# after the first.

# %%
a4 = np.array([[1, 2, 0, 1], [3, 0, 1, 0], [0, 1, 2, 2], [1, 1, 0, 3]])
b4 = np.array([[1, 0, 2, 1], [2, 1, 0, 0], [0, 3, 1, 1], [1, 0, 0, 2]])
first, second = a4[:2, :2] @ b4[:2, :2], a4[:2, 2:] @ b4[2:, :2]
print("after one pair", first.tolist(), "and after both", (first + second).tolist())
assert first.tolist() == [[5, 2], [3, 0]]
assert ((first + second) == (a4 @ b4)[:2, :2]).all()


# %% [markdown]
# The same as loops, to step through. Watch `c`: no number of it is ready before the second pair of tiles has come.


# %%
def matmul_by_tiles(a, b, c, T):
    for m0 in range(0, c.shape[0], T):
        for n0 in range(0, c.shape[1], T):
            for k0 in range(0, a.shape[1], T):
                for m in range(m0, m0 + T):
                    for n in range(n0, n0 + T):
                        for k in range(k0, k0 + T):
                            c[m, n] += a[m, k] * b[k, n]
    return c


t = trace.function(matmul_by_tiles, a4, b4, np.zeros((4, 4)), 2)
t.show(4)
assert (t.final["c"] == a4 @ b4).all()

# %%
t


# %% [markdown]
# Now with threads that share. The tiles begin as NaN, as what nobody has written is anything at all.


# %%
def tiled(blockIdx, threadIdx, shared, A, B, C, T, barriers=True):
    a, b = (shared.setdefault(name, Memory(np.full((T, T), np.nan))) for name in "ab")
    x, y = threadIdx
    n, m = blockIdx.x * T + x, blockIdx.y * T + y
    total = 0
    for k0 in range(0, C.array.shape[0], T):
        a[y, x] = A[m, k0 + x]  # one number each
        b[y, x] = B[k0 + y, n]
        if barriers:
            yield  # __syncthreads(): the tiles are whole
        for k in range(T):
            total += a[y, k] * b[k, x]
        if barriers:
            yield  # __syncthreads(): nobody reads them any more
    C[m, n] = total
    yield


c, loads, shared = simulated(tiled, Index(4, 4), Index(4, 4), T)
assert (c == left @ right).all()
print(f"tiled: {loads} loads from memory ({loads / madds:g} a multiply-add), {shared} from shared memory")
assert (loads, shared) == (2 * madds // T, 2 * madds)

broken, _, _ = simulated(tiled, Index(4, 4), Index(4, 4), T, False)
print(f"without barriers: {np.isnan(broken).sum()} of {broken.size} numbers are NaN: read before they were written")
assert np.isnan(broken).any()

# %% [markdown]
# $T$ times fewer loads from memory with tiles of $T \times T$; the kernel's are 32. A missing barrier is the classic
# fault of GPU programs, and a mean one: on a real card the tiles hold *old* numbers, not NaN, and often the right ones.
# The engine's tests run these very `.cu` files on a CPU, in several orders of threads, with NaN in shared memory.
#
# ## Step 3: registers
#
# Shared memory is near, but each multiply-add still takes two loads from it. Lesson 13's cure: a tile of sums in
# registers, here $R \times R$ for each thread.

# %%
print(source("matmul", 3))


# %%
def registers(blockIdx, threadIdx, shared, A, B, C, T, R):
    """TxT threads, each with RxR sums: a block computes (T·R)x(T·R), in tiles T deep."""
    a = shared.setdefault("a", Memory(np.full((T * R, T), np.nan)))
    b = shared.setdefault("b", Memory(np.full((T, T * R), np.nan)))
    x, y = threadIdx
    m0, n0 = blockIdx.y * T * R, blockIdx.x * T * R
    sums = np.zeros((R, R))
    for k0 in range(0, C.array.shape[0], T):
        for i in range(R):
            a[y + T * i, x] = A[m0 + y + T * i, k0 + x]
            b[y, x + T * i] = B[k0 + y, n0 + x + T * i]
        yield
        for k in range(T):
            down = [a[y + T * i, k] for i in range(R)]  # R loads, into registers
            across = [b[k, x + T * j] for j in range(R)]  # and R
            sums += np.outer(down, across)  # R·R multiply-adds
        yield
    for i, j in np.ndindex(R, R):
        C[m0 + y + T * i, n0 + x + T * j] = sums[i, j]
    yield


R = 2
c, loads, shared = simulated(registers, Index(2, 2), Index(4, 4), T, R)
assert (c == left @ right).all()
print(f"registers: {loads} loads from memory ({loads / madds:g}), {shared} from shared memory ({shared / madds:g})")
assert loads == 2 * madds // (T * R)
assert shared == 2 * madds // R

# %% [markdown]
# ## Steps 4 and 5: wider loads, tensor cores
#
# Step 4 moves four numbers with each instruction, and gives each thread 8x8 sums. Step 5 leaves the multiplying to
# *tensor cores*: one instruction of a warp multiplies 16x8 by 8x8 numbers. In between the factors lose digits: TF32
# keeps 10 bits of fraction where float32 has 23.

# %%
text = source("matmul", 5)
start = text.index("        for (int k = q;")
print(text[: text.index("extern")])
print(text[start : text.index("__syncthreads", start)].rstrip())

# %% [markdown]
# ## The ladder, counted
#
# Loads for one multiply-add, from the sizes in the sources. Steps 1 to 3 follow the formulas that the simulator just
# confirmed: $2/T_\text{block}$ from memory, $2/R$ from shared memory. In step 4 a load brings 4 numbers. In step 5 a
# lane does $16 \cdot 8 \cdot 8 / 32 = 32$ multiply-adds an instruction, and loads 4 numbers once and 2 for each of 4
# instructions.

# %%
per_lane = 16 * 8 * 8 // 32
steps = {  # side of a block's tile; numbers a thread loads from shared memory, for how many multiply-adds; a load
    "1 naive": (1, 0, 1, 1),
    "2 tiled": (32, 2, 1, 1),
    "3 registers": (64, 4 + 4, 4 * 4, 1),
    "4 vectors": (128, 8 + 8, 8 * 8, 4),
    "5 tensor cores": (64, 4 + 4 * 2, 4 * per_lane, 1),
}
assert [rung.label for rung in ladder.rungs("matmul")][:5] == list(steps)
print("for a multiply-add   numbers from memory   loads from shared memory")
for name, (side, numbers, served, each) in steps.items():
    print(f"{name:<20} {2 / side:19.4f} {numbers / served / each:26.4f}")
assert steps["5 tensor cores"][1] / steps["5 tensor cores"][2] == 3 / 32
assert all(f"⌈N/{side}⌉" in source("matmul", step) for step, side in {2: 32, 3: 64, 4: 128, 5: 64}.items())
assert all(f"float sum[{R}][{R}]" in source("matmul", step) for step, R in {3: 4, 4: 8}.items())

# %% [markdown]
# The steps above them, 6 and 7, are the engine's own kernels. They fetch no less: they fetch *while* they multiply, so
# that memory's delay is hidden. In the engine's words:

# %%
for rung in ladder.rungs("matmul")[5:]:
    print(f"{rung.label}: {rung.title}.\n    {rung.why}")

# %% [markdown]
# ## Coalescing: 32 bytes at least
#
# Memory comes in *sectors* of 32 bytes, and a warp's 32 loads are one access. What it costs is the number of different
# sectors that the 32 addresses touch.


# %%
def sectors(addresses):
    return len({address // 32 for address in addresses})


lanes = np.arange(32)
N = 1024  # columns of a float32 matrix
cases = {
    "along a row": 4 * lanes,
    "along a row, one number off": 4 * (lanes + 1),
    "every second number": 4 * 2 * lanes,
    "down a column": 4 * N * lanes,
    "all the same number": 0 * lanes,
}
for name, addresses in cases.items():
    count, used = sectors(addresses), 4 * len(set(addresses.tolist()))
    print(f"{name:<28} {count:2} sectors: {used:3} bytes of {32 * count:4} are used, {used / (32 * count):4.0%}")
assert [sectors(a) for a in cases.values()] == [4, 5, 8, 32, 1]

# %% [markdown]
# So it matters which threads are neighbours. In step 1 a warp has one $m$ and 32 neighbouring $n$: $A_{m,k}$ is the
# same number for all (1 sector), $B_{k,n}$ a piece of a row (4). Had `x` been the row, $A_{m,k}$ would be a column:
# 32 sectors, and the writes of $C$ as well. Same arithmetic, same loads, and several times the traffic.
#
# It is also why the engine keeps images channels-last on a GPU: the threads of a warp take neighbouring channels, and
# im2col's columns are pieces of memory, whatever the kernel's size.
#
# ## Banks: the same question for shared memory
#
# Shared memory is 32 *banks*; word $i$ (a word is 4 bytes, one float32) lives in bank $i \bmod 32$, and each bank
# serves one word at a time. If a warp asks one bank for two different words, it takes two turns. (The same word for
# many lanes is one.)


# %%
def turns(words):
    """How many turns a warp's 32 loads take: the most different words that one bank is asked for."""
    different = set(np.asarray(words).tolist())
    return max(sum(word % 32 == bank for word in different) for bank in range(32))


g, q = lanes // 4, lanes % 4  # as a tensor core's fragments are dealt to the lanes
accesses = {
    "conv step 3,   b[x][k], 16 rows": (16, 17, lambda pitch: pitch * (lanes % 16)),
    "matmul step 5, a[g][q]": (16, 20, lambda pitch: pitch * g + q),
    "matmul step 5, b[q][g]": (64, 72, lambda pitch: pitch * q + g),
}
for name, (plain, padded, words) in accesses.items():
    print(f"{name:<32} {plain} numbers a row: {turns(words(plain))} turns; {padded}: {turns(words(padded))}")
assert [turns(words(p)) for _, p, words in accesses.values()] == [1, 1, 1]
assert [turns(words(p)) for p, _, words in accesses.values()] == [8, 4, 4]
assert "b[64][17]" in source("conv", 3)
assert "a[64][16 + 4], b[16][64 + 8]" in source("matmul", 5)

# %% [markdown]
# That is what the odd `[64][17]`, `16 + 4` and `64 + 8` in the sources are for: a few numbers that nobody uses move
# each row to other banks.

# %%
fig, (one, two) = plt.subplots(1, 2, figsize=(9.5, 3.3), layout="constrained")
strides = np.arange(1, 33)
one.plot(strides, [sectors(4 * k * lanes) for k in strides], "o-", color="#0072B2", markersize=4)
one.set(xlabel="stride of the warp's loads, in float32", ylabel="sectors of 32 bytes", ylim=(0, 35))
one.set_title("Memory: sectors a warp touches")
pitches = np.arange(16, 49)
two.plot(pitches, [turns(k * lanes) for k in pitches], "o-", color="#D55E00", markersize=4)
two.set(xlabel="numbers in a row of the tile", ylabel="turns", ylim=(0, 35))
two.set_xticks([16, 24, 32, 40, 48])
two.set_title("Shared memory: turns to read a column")
plt.show()
assert turns(32 * lanes) == 32
assert turns(33 * lanes) == 1

# %% [markdown]
# ## Levels of memory, and the roof
#
# From here on numbers of a real card are needed. These are NVIDIA's, **from the data sheet of the H100 SXM, not
# measured**: what the card can do at best. (The sheet prints TF32 as 989 "with sparsity", which is for weights of which
# half are zeros; dense is half of it.)

# %%
fp32, tf32, bandwidth = 67e12, 989e12 / 2, 3.35e12  # flops a second, twice, and bytes a second
multiprocessors, register_file, most_shared = 132, 256, 228  # KB on each
print(f"registers {multiprocessors * register_file / 1024:.0f} MB in all, shared memory up to "
      f"{multiprocessors * most_shared / 1024:.0f} MB, second cache 50 MB, memory 80 GB at 3.35 TB/s")  # fmt: skip
print(f"flops for each byte, to keep busy: float32 {fp32 / bandwidth:.0f}, TF32 {tf32 / bandwidth:.0f}")
assert (round(fp32 / bandwidth), round(tf32 / bandwidth)) == (20, 148)

# %% [markdown]
# Lesson 13's roofline, for this card:
#
# $$ \text{attainable} = \min(\text{peak},\; \text{bandwidth} \cdot I), \qquad I = \frac{\text{flops}}{\text{bytes}} $$
#
# First the operations, each number moved once. Then the steps of the ladder, with the bytes that *they* fetch if no
# cache helps: a step with tiles of side $T$ does 2 flops for $2/T$ numbers of 4 bytes, so $I = T/4$.


# %%
def intensity(flops, *shapes):
    return flops / (4 * sum(np.prod(shape) for shape in shapes))


x, w, y = (32, 64, 56, 56), (64, 64, 3, 3), (32, 64, 56, 56)
square = (4096, 4096)
operations = {
    "ReLU6": intensity(2 * np.prod(x), x, x),
    "max pooling 2x2": intensity(3 / 4 * np.prod(x), x, (32, 64, 28, 28)),
    "conv 64 of 64, 3x3": intensity(2 * np.prod(y) * 64 * 9, x, w, y),
    "product of 4096": intensity(2 * 4096**3, square, square, square),
}
fig, (one, two) = plt.subplots(1, 2, figsize=(10.5, 3.9), layout="constrained", sharey=True)
over = np.geomspace(0.1, 3000, 300)
colours = ("#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
for ax, points, title in (
    (one, operations, "Operations, each number moved once"),
    (two, {name: side / 4 for name, (side, *_) in steps.items()}, "The ladder, if no cache helped"),
):
    ax.plot(over, np.minimum(tf32, over * bandwidth) / 1e12, color="#999999", linestyle="--", label="TF32 roof")
    ax.plot(over, np.minimum(fp32, over * bandwidth) / 1e12, color="#333333", label="float32 roof")
    for (name, at), colour, marker in zip(points.items(), colours, "osD^v"):
        roof = min(tf32 if "tensor" in name else fp32, at * bandwidth)
        look = {"markersize": 14, "fillstyle": "none"} if "tensor" in name else {"markersize": 9}  # step 3 is there too
        ax.plot(at, roof / 1e12, marker, color=colour, label=name, **look)
        print(f"{name:<20} {at:8.2f} flops a byte: at most {roof / 1e12:7.2f} TFLOP/s")
    ax.set(xscale="log", yscale="log", xlabel="flops a byte", title=title)
    ax.legend(fontsize=8, loc="lower right")
one.set_ylabel("TFLOP/s at most")
fig.suptitle("H100 SXM from its data sheet: a bound, nothing measured")
plt.show()
assert operations["max pooling 2x2"] < 1 < fp32 / bandwidth < operations["conv 64 of 64, 3x3"]
assert 64 / 4 < fp32 / bandwidth < 128 / 4
assert round(1 - 64 / 4 * bandwidth / tf32, 1) == 0.9
assert [round(I * bandwidth / fp32, 2) for I in list(operations.values())[:2]] == [0.01, 0.01]

# %% [markdown]
# Read the right side: tiles of 64 do not reach the float32 roof from memory alone, tiles of 128 do. And tensor cores
# with tiles of 64 would wait nine tenths of the time. In truth the second-level cache serves much of it; but this is
# why fast kernels have tiles of 128 and more, and fetch them with copies that run beside the arithmetic. On the left,
# pooling and ReLU6 reach about a hundredth of the card's flops, whoever writes them: they are to be fused, not
# tuned.
#
# *Occupancy* in a line: a multiprocessor holds as many blocks as its 65,536 registers, its shared memory and 2,048
# threads allow. It hides memory's delay by turning to another warp while one waits:

# %%
threads, per_thread = 256, 128
blocks = min(65536 // (threads * per_thread), 2048 // threads)
share = blocks * threads / 2048
print(f"blocks of {threads} threads with {per_thread} registers each: {blocks} fit, {share:.0%} of the threads")
assert blocks == 2

# %% [markdown]
# A quarter is not bad as such: 64 sums a thread are work that need not wait either. Occupancy is a means.
#
# ## The convolution's ladder
#
# The same steps, once more, with the article's convolution (4.1.1). The new idea is in step 3: the matrix of windows is
# never laid out in memory; each number's place is worked out while a tile is fetched. CPUs did that with a table of
# offsets in lesson 13.

# %%
for rung in ladder.rungs("conv"):
    print(f"{rung.label}: {rung.title}.")
print()
print(source("conv", 3)[: source("conv", 3).index("for (int k = 0; k < 16")].rstrip())

# %% [markdown]
# All steps compute what the CPU computes, in another order; step 4 with TF32's digits. Rounding shows what those cost.
# float32 cut to 10 bits of fraction:


# %%
def to_tf32(x):
    """The nearest number with 10 bits of fraction (ties away from zero), as the tensor cores' rounding does."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    return ((bits + np.uint32(1 << 12)) & np.uint32(0xFFFFE000)).view(np.float32)


images, weights = (rng.standard_normal(shape).astype(np.float32) for shape in ((2, 16, 12, 12), (8, 16, 3, 3)))
with tinymed.use_backend("numpy"):
    exact = F.conv2d(tinymed.tensor(images.astype(float)), tinymed.tensor(weights.astype(float))).numpy()
    plain = F.conv2d(tinymed.tensor(images), tinymed.tensor(weights)).numpy()
    short = F.conv2d(tinymed.tensor(to_tf32(images)), tinymed.tensor(to_tf32(weights))).numpy()
errors = {
    name: np.linalg.norm(got - exact) / np.linalg.norm(exact) for name, got in (("float32", plain), ("TF32", short))
}
print("relative error of the convolution: " + ", ".join(f"{name} {error:.0e}" for name, error in errors.items()))
assert errors["float32"] < 1e-6 < 1e-4 < errors["TF32"] < 1e-3

# %% [markdown]
# Three parts in ten thousand are little to training, which adds noise of its own. They are much to a gradient check:
# that wants float64.
#
# ## When the GPU is slower
#
# To launch a kernel costs the CPU some microseconds, whether the kernel has work for a thousandth of that or not.
# How many launches has a training step of the article's network? At least one for each op forwards, one backwards:

# %%
model = article_cnn()
loss = F.binary_cross_entropy_with_logits(model(tinymed.rand(2, 1, 28, 28)), tinymed.ones(2, 1))
functions, waiting = set(), [loss.grad_fn]
while waiting:
    function = waiting.pop()
    functions.add(function)
    waiting += [x.grad_fn for x in function.inputs if tinymed.is_tensor(x) and x.grad_fn and x.grad_fn not in functions]
computing = sorted(repr(function) for function in functions if not function.is_view)  # a view moves nothing
launches = 2 * len(computing) + 1
print(", ".join(computing))
print(f"{len(computing)} ops that compute, so at least {launches} launches a step, one of them the optimiser's")

forward = 26 * 26 * 32 * 9 + 11 * 11 * 64 * 288 + 1600 * 128 + 128  # multiply-adds for one picture
assert forward == 2_629_888

# %% [markdown]
# A model, then, not a measurement: suppose a launch costs 5 µs (an *assumption*; change it), and the arithmetic runs at
# the data sheet's float32 peak, which it never will. Backwards costs about twice what forwards does.

# %%
launch_cost = 5e-6
waits = launches * launch_cost
print("batch   arithmetic at best   launches   share of the launches")
for batch in (1, 32, 256, 4096):
    work = 3 * 2 * forward * batch / fp32
    print(f"{batch:5} {work * 1e6:15.1f} µs {waits * 1e6:9.0f} µs {waits / (waits + work):12.0%}")
assert 3 * 2 * forward * 256 / fp32 < waits < 3 * 2 * forward * 4096 / fp32

# %% [markdown]
# At batch 32 a GPU would mostly wait to be told what to do, and a CPU whose caches hold the network may win. Cures:
# larger batches; fewer, fused kernels; and *CUDA graphs*, which record a whole step and replay it with one launch
# (`tinymed.training.fit(..., capture=True)`, `tinymed.cuda.graph`, `torch.cuda.graph`). What is recorded must not
# change: no new memory, no look at a number, the same shapes.
#
# ## Measured? Not here
#
# This page ran without a GPU's help even where there is one. What can be measured is measured by `tinymed bench
# ladder`: every rung beside cuBLAS and cuDNN, checked against float64.

# %%
print(ladder.table("matmul", []))
print()
missing = tinymed.cuda.missing()
print(
    "On this machine: " + (f"no GPU can be used ({missing})" if missing else "a GPU is there; run tinymed bench ladder")
)

# %% [markdown]
# ## Exercises
#
# > **Exercise 14.1.** Which number of the matrix is a thread's? Return (row, column) from `blockIdx`, `blockDim` and
# > `threadIdx`, given as `block_x`, `block_y`, `dim_x`, `dim_y`, `thread_x`, `thread_y`.


# %% tags=["exercise"]
def my_place(block_x, block_y, dim_x, dim_y, thread_x, thread_y):
    ### BEGIN SOLUTION
    return block_y * dim_y + thread_y, block_x * dim_x + thread_x
    ### END SOLUTION


# %% tags=["check"]
check("cuda_thread_place", my_place)

# %% [markdown]
# > **Exercise 14.2.** A tiled product in NumPy: walk over the tiles of C (M,N), and for each over the tiles of K;
# > fetch a tile of `a` and one of `b`, multiply, add. Any sizes: the last tiles may be smaller. Return C and how many
# > numbers were fetched.
#
# <details><summary>A hint</summary>
#
# A slice that reaches beyond the end is cut by NumPy: `a[m : m + tile, k : k + tile]` is right at the edges too, and
# its `.size` is what was fetched.
#
# </details>


# %% tags=["exercise"]
def my_tiled_matmul(a, b, tile):
    ### BEGIN SOLUTION
    (M, K), N = a.shape, b.shape[1]
    c, loads = np.zeros((M, N)), 0
    for m in range(0, M, tile):
        for n in range(0, N, tile):
            for k in range(0, K, tile):
                left, right = a[m : m + tile, k : k + tile], b[k : k + tile, n : n + tile]
                c[m : m + tile, n : n + tile] += left @ right
                loads += left.size + right.size
    return c, loads
    ### END SOLUTION


# %% tags=["check"]
check("matmul_tiled", my_tiled_matmul)

# %% [markdown]
# > **Exercise 14.3.** A block of threads is `dim_x` wide (a divisor of 32). The 32 threads of its first warp each
# > read the float32 of a matrix at (`row` + `threadIdx.y`, `col` + `threadIdx.x`); the matrix has `columns` columns,
# > rows one after another in memory, and begins at address 0. How many sectors of 32 bytes do they touch?


# %% tags=["exercise"]
def my_warp_sectors(columns, dim_x, row, col):
    ### BEGIN SOLUTION
    thread_x, thread_y = np.arange(32) % dim_x, np.arange(32) // dim_x
    addresses = 4 * ((row + thread_y) * columns + col + thread_x)
    return len(np.unique(addresses // 32))
    ### END SOLUTION


# %% tags=["check"]
check("warp_sectors", my_warp_sectors)

# %% [markdown]
# > **Exercise 14.4.** A warp reads from a tile in shared memory: lane $l$ wants row $\lfloor l / \text{width} \rfloor$,
# > column $l \bmod \text{width}$. A row holds `columns` numbers. How many unused numbers must be added to each row, at
# > least, so that the banks serve all lanes in one turn?


# %% tags=["exercise"]
def my_padding(columns, width):
    ### BEGIN SOLUTION
    lanes = np.arange(32)
    for padding in range(32):
        words = (columns + padding) * (lanes // width) + lanes % width
        if len(np.unique(words % 32)) == 32:
            return padding
    ### END SOLUTION


# %% tags=["check"]
check("bank_padding", my_padding)

# %% [markdown]
# > **Exercise 14.5.** What can a product of matrices (M,K) · (K,N) in float32 reach at most, in flops a second, on a
# > card with that `peak` (flops a second) and `bandwidth` (bytes a second)? Each number is moved once. Then: for
# > which M = N = K does the H100 of the data sheet reach its float32 roof?
#
# <details><summary>An answer to the question</summary>
#
# $I = 2n^3 / (12n^2) = n/6$, and it takes $67/3.35 = 20$ flops a byte: from $n = 120$ on.
#
# </details>


# %% tags=["exercise"]
def my_attainable(peak, bandwidth, M, N, K):
    ### BEGIN SOLUTION
    flops = 2 * M * N * K
    moved = 4 * (M * K + K * N + M * N)
    return min(peak, bandwidth * flops / moved)
    ### END SOLUTION


# %% tags=["check"]
check("roofline_attainable", my_attainable)

# %% [markdown]
# > **To think about.** Step 3 of the convolution has `b[64][17]`, step 3 of the product just `a[64][16]`. Its warps are
# > two rows of 16 threads. Would a number more help there too? Count with `turns` before you read on: for the read
# > `a[y + 16 * i][k]`, and for the store `a[r][i % 16]`.

# %%
for pitch in (16, 17):
    read, store = turns(pitch * (lanes // 16)), turns(pitch * (lanes // 16) + lanes % 16)
    print(f"{pitch} numbers a row: {read} turn(s) to read, {store} to store")
assert "a[64][16]" in source("matmul", 3)
assert turns(16 * (lanes // 16) + lanes % 16) == 1 < turns(17 * (lanes // 16) + lanes % 16)

# %% [markdown]
# It would harm: a warp reads two words of one column, which lie in two banks either way, and the store would take a
# turn more. In the convolution's step 3, where 16 threads read 16 rows, it is needed. What it costs on a card is
# *not measured*. Count; a habit is no reason.
#
# ## What to take along
#
# - Threads are cheap, the road to memory is not: a kernel is judged by what it fetches for each multiply-add.
# - Share in a block, reuse in registers, load wide, let the next tile come while this one is multiplied.
# - Neighbouring threads must read neighbouring numbers.
# - The roofline says beforehand what is possible, and when to stop.
# - Small work does not fill a GPU: count the launches.
#
# **Now open** `kernels/cuda/ladder_matmul.cu` from top to bottom, then `kernels/cuda/gemm.cu`.
# `kernels/numba_cuda_matmul.py` is the tiled kernel in Python. In PyTorch the same choices are
# `torch.backends.cuda.matmul.allow_tf32`, `memory_format=torch.channels_last`, `torch.cuda.CUDAGraph` and
# `torch.compile`.
