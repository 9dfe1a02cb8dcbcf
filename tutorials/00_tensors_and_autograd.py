# %% [markdown]
# # 00 · Tensors and autograd
#
# *Article 1.4.2, 3.1.2 · 60 minutes · `tinymed/tensor.py`, `tinymed/autograd.py`*
#
# To learn is to change numbers so that an error shrinks. For that one must know, for every number, which way the error
# moves when the number does. That slope is its *gradient*. In this lesson you build a machine that finds all
# gradients of a computation in one walk, on one page, and then find the same machine in tinymed.

# %%
import inspect
import math

import matplotlib.pyplot as plt
import numpy as np

import tinymed
from tinymed.autograd import Function, unbroadcast
from tinymed.ops import activation, arithmetic
from tinymed.teach import check, trace
from tinymed.training import article_cnn

# %% [markdown]
# ## What the article says
#
# Section 1.4.2 says what a neural network (神经网络) does: 通过学习输入和输出之间的映射关系, it *learns* the map from
# inputs to outputs. Section 3.1.2 calls the numbers of a kernel 可训练的权重参数, trainable weights. How they are
# trained, the article leaves to the framework: each moves a little against its gradient, and one rule finds all
# gradients, the chain rule. For a number $x$ that flows into results $y_1, y_2, \dots$ on its way to the error $L$:
#
# $$ \frac{\partial L}{\partial x} = \sum_k \frac{\partial L}{\partial y_k} \cdot \frac{\partial y_k}{\partial x} $$
#
# $L$ is the *loss*, one number that is to become small. $\partial y_k / \partial x$ is the slope of one single
# operation, such as a product. The sum runs over every place where $x$ is used.

# %% [markdown]
# ## By hand
#
# Take $L = (a \cdot b + c) \cdot a$ with $a = 2,\ b = -3,\ c = 10$. Each step gets a name: $d = a b = -6$,
# $e = d + c = 4$, $L = e \cdot a = 8$.
#
# Before any calculus: put 1 more into $c$. How much more comes out of $L$? And for $b$?


# %%
def loss(a, b, c):
    return (a * b + c) * a


print("c + 1 moves L by", loss(2, -3, 11) - loss(2, -3, 10))
print("b + 1 moves L by", loss(2, -2, 10) - loss(2, -3, 10))
print("a + 1 moves L by", loss(3, -3, 10) - loss(2, -3, 10))
print(f"a + 0.001 moves L by {loss(2.001, -3, 10) - loss(2, -3, 10):.6f}")
assert loss(2, -3, 11) - loss(2, -3, 10) == 2
assert loss(2, -2, 10) - loss(2, -3, 10) == 4

# %% [markdown]
# In $c$ and $b$ the loss is a straight line, so a step of 1 shows the slope. In $a$ it is bent: only a small step
# does. Now by the chain rule, from the loss back to the inputs. Write $\bar{x}$ for $\partial L / \partial x$.
#
# | going back through | gives | in numbers |
# |---|---|---|
# | the loss itself | $\bar L = 1$ | 1 |
# | $L = e \cdot a$ | $\bar e = \bar L \cdot a$ | 2 |
# | | $\bar a = \bar L \cdot e$ | 4 |
# | $e = d + c$ | $\bar d = \bar e,\ \bar c = \bar e$ | 2, 2 |
# | $d = a \cdot b$ | $\bar a$ += $\bar d \cdot b$ | 4 − 6 = −2 |
# | | $\bar b = \bar d \cdot a$ | 4 |
#
# $a$ was used twice, so two parts arrive at $\bar a$, and they *add up*. Nothing else in this lesson is as often
# got wrong.

# %% [markdown]
# ## An engine on one page
#
# A `Value` remembers what it was made from, and the slope of that one operation towards each of its inputs. `backward`
# walks from the result to the inputs. That is all.


# %%
class Value:
    """A number that remembers how it was made."""

    def __init__(self, data, inputs=(), slopes=()):
        self.data, self.inputs, self.slopes = data, inputs, slopes
        self.grad = 0.0

    def __add__(self, other):
        return Value(self.data + other.data, (self, other), (1.0, 1.0))

    def __mul__(self, other):
        return Value(self.data * other.data, (self, other), (other.data, self.data))

    def tanh(self):
        y = math.tanh(self.data)
        return Value(y, (self,), (1 - y * y,))

    def backward(self):
        self.grad = 1.0
        for y in reversed(oldest_first(self)):
            for x, slope in zip(y.inputs, y.slopes):
                x.grad += y.grad * slope


def oldest_first(root):
    """Every value that root was made from: inputs always before what is made from them."""
    order, seen = [], set()

    def visit(value):
        if value not in seen:
            seen.add(value)
            for x in value.inputs:
                visit(x)
            order.append(value)

    visit(root)
    return order


# %%
a, b, c = Value(2.0), Value(-3.0), Value(10.0)
d = a * b
e = d + c
L = e * a
L.backward()
print("L", L.data, " gradients of a, b, c:", a.grad, b.grad, c.grad)
assert (L.data, a.grad, b.grad, c.grad) == (8, -2, 4, 2)

# %% [markdown]
# What was remembered is a *graph*: values, and arrows from each to what was made of it. On each arrow stands the slope
# of that one operation; in each node the value, and below it the gradient. Follow the arrows backwards from $L$ and
# multiply; where several arrows leave a node, add.

# %%
places = {"a": (0, 2), "b": (0, 1), "c": (0, 0), "d": (1, 1.3), "e": (2, 0.65), "L": (3, 1.3)}
values = {"a": a, "b": b, "c": c, "d": d, "e": e, "L": L}
names = {value: name for name, value in values.items()}
made_by = {"d": "d = a·b", "e": "e = d + c", "L": "L = e·a"}
fig, ax = plt.subplots(figsize=(8, 3.6), layout="constrained")
for name, value in values.items():
    for x, slope in zip(value.inputs, value.slopes):
        start, end = places[names[x]], places[name]
        style = {"arrowstyle": "-|>", "color": "0.4", "shrinkA": 29, "shrinkB": 29, "lw": 1.4}
        ax.annotate("", end, start, arrowprops=style)
        middle = [0.5 * (p + q) for p, q in zip(start, end)]
        ax.text(*middle, f"{slope:g}", ha="center", va="center", bbox={"fc": "white", "ec": "none", "pad": 1.5})
    ax.scatter(*places[name], s=2800, color="#cfe3f5" if value.inputs else "#fde5c4", edgecolors="0.3", zorder=2)
    label = f"{made_by.get(name, name)}\n{value.data:g}"
    ax.text(*places[name], label, ha="center", va="center", fontsize=9)
    x, y = places[name]
    ax.text(x, y - 0.41, f"gradient {value.grad:g}", ha="center", va="top", fontsize=9, color="#b03a00")
ax.set(
    xlim=(-0.4, 3.4), ylim=(-0.75, 2.45), title="The graph of L = (a·b + c)·a: slopes on the arrows, gradients below"
)
ax.axis("off")
plt.show()

# %% [markdown]
# ## Is it right
#
# Two witnesses: tinymed, and differences of the loss itself, $(L(x + h) - L(x - h)) / 2h$. Lesson 10 is about the
# second one.

# %%
at = [tinymed.tensor(v, requires_grad=True) for v in (2.0, -3.0, 10.0)]
loss(*at).backward()
for k, (name, page) in enumerate(zip("abc", (a, b, c))):
    up, down = [2.0, -3.0, 10.0], [2.0, -3.0, 10.0]
    up[k] += 1e-4
    down[k] -= 1e-4
    difference = (loss(*up) - loss(*down)) / 2e-4
    print(f"{name}: one page {page.grad:g}, tinymed {at[k].grad.item():g}, differences {difference:.6f}")
    assert page.grad == at[k].grad.item()
    assert abs(page.grad - difference) < 1e-6

# %% [markdown]
# ## It learns
#
# Is a page enough to train a network? Exclusive-or: the output shall be 1 where just one of two inputs is, else −1.
# Three hidden neurons with tanh, nine parameters into them and four out of them; after each backward, every parameter
# moves a little against its gradient. Beside it, tinymed does the same from the same numbers.

# %%
rng = np.random.default_rng(1)
start = rng.normal(size=(3, 3)), rng.normal(size=4)
table = [(-1.0, -1.0, -1.0), (-1.0, 1.0, 1.0), (1.0, -1.0, 1.0), (1.0, 1.0, -1.0)]
W = [[Value(float(w)) for w in row] for row in start[0]]
v = [Value(float(w)) for w in start[1]]
for step in range(60):
    total = Value(0.0)
    for x1, x2, target in table:
        hidden = [(w1 * Value(x1) + w2 * Value(x2) + bias).tanh() for w1, w2, bias in W]
        y = hidden[0] * v[0] + hidden[1] * v[1] + hidden[2] * v[2] + v[3]
        error = y + Value(-target)
        total = total + error * error
    total.backward()
    for p in [*W[0], *W[1], *W[2], *v]:
        p.data -= 0.05 * p.grad
        p.grad = 0.0
    if step % 20 == 0:
        print(f"step {step:>3}: loss {total.data:.4f}")
print(f"at the end: loss {total.data:.6f}")

x, target = tinymed.tensor(np.array(table)[:, :2]), tinymed.tensor(np.array(table)[:, 2])
W_, v_ = (tinymed.tensor(numbers, requires_grad=True) for numbers in start)
for _ in range(60):
    y = (x @ W_[:, :2].T + W_[:, 2]).tanh() @ v_[:3] + v_[3]
    error = ((y - target) ** 2).sum()
    error.backward()
    with tinymed.no_grad():
        for p in (W_, v_):
            p -= 0.05 * p.grad
            p.grad = None
print(f"tinymed:    loss {error.item():.6f}")
assert math.isclose(total.data, error.item(), rel_tol=1e-6)
assert total.data < 0.01

# %% [markdown]
# ## The same in tinymed
#
# A `Tensor` is an array with a memory. An operation is a `Function`: forward on arrays, and right below it backward,
# which takes $g = \partial L / \partial y$ and returns the gradient of each input, in order. `Mul.apply(a, b)` runs
# it on tensors, and `a * b` is just that. `ctx` is the Function itself, in which forward leaves what backward needs.
# `Value` kept slopes. For arrays these would be huge tables (*Jacobians*), mostly zeros; backward multiplies by them
# (a *vector-Jacobian product*) without ever writing them down.

# %%
print(inspect.getsource(arithmetic.Mul))
print(inspect.getsource(activation.Tanh))
L = loss(*at)
print("L was made by", L.grad_fn, "from", [x.grad_fn or "a leaf" for x in L.grad_fn.inputs])

# %% [markdown]
# A tensor that nobody computed is a *leaf*: here $a$, $b$, $c$. Only leaves with `requires_grad=True` keep a `.grad`.
#
# Step through it: the first lines compute, the others are the engine's own sweep back.

# %%
a, b, c = (tinymed.tensor(v, requires_grad=True) for v in (2.0, -3.0, 10.0))
d = a * b
e = d + c
t = trace.backward(e * a, a=a, b=b, c=c, d=d, e=e)
t.show()
assert [t.final[f"∂L/∂{name}"].item() for name in "abc"] == [-2, 4, 2]

# %%
t

# %% [markdown]
# ## In which order
#
# May one go back in any order, first come, first served? Take $u = x \cdot x$, $v = u \cdot u$, $L = u \cdot v$ at
# $x = 2$. Then $L = x^6$, and the slope is $6 x^5 = 192$. What does this sweep give?


# %%
def first_come(root):
    root.grad, queue, seen = 1.0, [root], {root}
    for y in queue:
        for x, slope in zip(y.inputs, y.slopes):
            x.grad += y.grad * slope
            if x not in seen:
                seen.add(x)
                queue.append(x)


found = {}
for name, sweep in {"first come": first_come, "after all its parts": Value.backward}.items():
    x = Value(2.0)
    u = x * x
    v = u * u
    sweep(u * v)
    found[name] = x.grad
    print(f"{name}: {x.grad:g}")
assert found == {"first come": 64, "after all its parts": 192}

# %% [markdown]
# $u$ passed its gradient on before the part that comes through $v$ had arrived. A value may pass on only when
# everything made from it has: a *topological order*. (Two ways that part and meet again are a *diamond*.)
#
# tinymed gets the order almost for nothing. An operation is always made after its inputs, so each Function takes a
# number when it is made, and the sweep always takes the newest that waits, from a heap (a list that keeps its
# smallest in front). It does not call itself.

# %%
d = a * b
e = d + c
L = e * a
numbers = {name: made.grad_fn.order for name, made in {"d": d, "e": e, "L": L}.items()}
print("numbers count downwards, so the newest is the smallest:", numbers)
assert numbers["d"] > numbers["e"] > numbers["L"]

# %% [markdown]
# What does it matter that it does not call itself? Try a long chain.

# %%
x = Value(1.0)
chain = x
for _ in range(10_000):
    chain = chain + Value(0.0)
try:
    chain.backward()
    raise AssertionError("the page should have failed")
except RecursionError as problem:
    print("one page, 10,000 operations:", type(problem).__name__)
x = tinymed.tensor(1.0, requires_grad=True)
y = x
for _ in range(10_000):
    y = y + 0.0
y.backward()
print("tinymed, 10,000 operations: gradient", x.grad.item())
assert x.grad.item() == 1

# %% [markdown]
# `oldest_first` calls itself once for each link of the chain, and Python allows about a thousand calls within calls. A
# recurrent network over a long sequence is such a chain.
#
# The page has a second weakness. Call `backward` twice on one graph: what should `x.grad` be?

# %%
x = Value(3.0)
y = x * x
z = y * Value(1.0)
z.backward()
once = x.grad
z.backward()
print("one page:", once, "then", x.grad)
assert (once, x.grad) == (6, 18)
x = tinymed.tensor(3.0, requires_grad=True)
z = (x * x) * 1.0
z.backward(retain_graph=True)
once = x.grad.item()
z.backward()
print("tinymed: ", once, "then", x.grad.item())
assert (once, x.grad.item()) == (6, 12)

# %% [markdown]
# Gradients of leaves add up over calls, by intent: 6 + 6 = 12. On the page `y.grad` added up too, and then flowed on.
# tinymed keeps what arrives in the middle of the graph for one sweep only, in a dictionary. It also frees what
# forward kept, unless told `retain_graph=True`.

# %% [markdown]
# ## Gradients add up
#
# Within one sweep over all uses, and from sweep to sweep in `.grad`. So a training loop must forget them, with
# `optimizer.zero_grad()`, or each step follows the sum of all gradients so far. Adding up has its use: several small
# batches of one size give the gradient of one large one (divide each mean loss by their number).

# %%
x = tinymed.tensor([1.0, 2.0], requires_grad=True)
sum(x * k for k in range(1, 101)).sum().backward()
print("used 100 times:  ", x.grad.tolist())
x.sum().backward()
print("one sweep later: ", x.grad.tolist())
assert x.grad.tolist() == [5051, 5051]
x.grad = None
with tinymed.no_grad():
    y = (x * 2).sum()
print("inside no_grad the result requires grad:", y.requires_grad, "- and so it remembers nothing")
assert not y.requires_grad

# %% [markdown]
# ## Broadcasting undone
#
# A bias of 3 numbers is added to every row of a batch: NumPy repeats it without being asked. A number used four
# times collects four gradients, so going back the repeated axes are summed. The engine does it in one place.

# %%
print(inspect.getsource(unbroadcast))
rows = tinymed.zeros(4, 3, requires_grad=True)
bias = tinymed.zeros(3, requires_grad=True)
column = tinymed.zeros(4, 1, requires_grad=True)
g = tinymed.tensor(np.arange(12.0).reshape(4, 3))
((rows + bias + column) * g).sum().backward()
print("bias, summed down:  ", bias.grad.tolist())
print("column, summed over:", column.grad.flatten().tolist())
assert bias.grad.tolist() == [18, 22, 26]
assert column.grad.flatten().tolist() == [3, 12, 21, 30]

# %% [markdown]
# ## Written over
#
# `Mul` kept its inputs for backward. What if they are changed in between? The gradient would be wrong, without a
# sound. So each tensor counts the writes to it, each Function remembers the count, and backward compares. A leaf that
# requires grad may not be changed at all outside `no_grad`: what was remembered of it would no longer be true.

# %%
x = tinymed.tensor([1.0, 2.0], requires_grad=True)
data = tinymed.tensor([3.0, 4.0])
y = (x * data).sum()
data += 1
for attempt in (lambda: y.backward(), lambda: x.add_(1)):
    try:
        attempt()
        raise AssertionError("this must be refused")
    except ValueError as problem:
        print("refused:", problem, end="\n\n")

# %% [markdown]
# ## Why backwards
#
# A difference needs two runs of the whole network for *each* parameter. The sweep back visits each operation once,
# and gives all gradients. For a matrix product it takes two products, one towards each factor; so one run and one
# sweep cost about as much as three runs, however many parameters there are. The article's network has

# %%
parameters = sum(p.numel() for p in article_cnn().parameters())
print(f"{parameters:,} parameters: {2 * parameters:,} runs by differences, one run and one sweep by the chain rule")
assert parameters == 223_873

# %% [markdown]
# It works because there is one loss and many parameters. For one input and many outputs it is cheaper to go
# forwards, with the slopes beside the values (*forward mode*; ours is *reverse mode*). Networks are trained backwards
# because a loss is one number.

# %% [markdown]
# ## Exercises
#
# > **Exercise 0.1.** $y = a \cdot b + c$, number by number. Given $g = \partial L / \partial y$, return the gradients
# > of $a$, $b$ and $c$.


# %% tags=["exercise"]
def my_mul_add_grad(a, b, c, g):
    ### BEGIN SOLUTION
    return g * b, g * a, g
    ### END SOLUTION


# %% tags=["check"]
check("mul_add_grad", my_mul_add_grad)

# %% [markdown]
# > **Exercise 0.2.** Write `unbroadcast(g, shape)`: sum a gradient back to the shape that its input had before NumPy
# > broadcast it.
#
# <details><summary>A hint</summary>
#
# Broadcasting does two things: it puts new axes in front, and it stretches axes of size 1. Undo the first, then the
# second. `keepdims=True` helps.
#
# </details>


# %% tags=["exercise"]
def my_unbroadcast(g, shape):
    ### BEGIN SOLUTION
    while g.ndim > len(shape):
        g = g.sum(axis=0)
    for axis, size in enumerate(shape):
        if size == 1:
            g = g.sum(axis=axis, keepdims=True)
    return g
    ### END SOLUTION


# %% tags=["check"]
check("unbroadcast", my_unbroadcast)

# %% [markdown]
# > **Exercise 0.3.** A graph of `n` values, numbered in no order at all. An edge `(y, x, slope)` says that value `y`
# > was made from value `x`, with that slope. Return the gradients of all `n` values with respect to `root`'s: 1 for
# > itself, 0 for those that it was not made from. Mind diamonds, and a chain of 3,000.
#
# <details><summary>A hint</summary>
#
# A value is ready to pass on when every edge that leads from the root to it has been used. Count, for each value,
# the edges by which it will be reached; whoever has none left is next. Values that the root was not made from must
# not be counted.
#
# </details>


# %% tags=["exercise"]
def my_graph_gradients(n, edges, root):
    ### BEGIN SOLUTION
    inputs = [[] for _ in range(n)]
    for y, x, slope in edges:
        inputs[y].append((x, slope))
    missing, seen, stack = [0] * n, {root}, [root]
    while stack:  # how many parts will arrive at each
        for x, _ in inputs[stack.pop()]:
            missing[x] += 1
            if x not in seen:
                seen.add(x)
                stack.append(x)
    grad, ready = np.zeros(n), [root]
    grad[root] = 1
    while ready:
        y = ready.pop()
        for x, slope in inputs[y]:
            grad[x] += grad[y] * slope
            missing[x] -= 1
            if missing[x] == 0:
                ready.append(x)
    return grad
    ### END SOLUTION


# %% tags=["check"]
check("graph_gradients", my_graph_gradients)

# %% [markdown]
# > **Exercise 0.4.** An operation of your own. Lesson 01 finds vertical and horizontal edges; how strong an edge is,
# > whatever its direction, is $y = \sqrt{a^2 + b^2}$. Write it as a `Function` with forward and backward, and
# > `edge_strength(a, b)`, which applies it. Where both are 0 there is no slope: let the gradient be 0 there.
#
# <details><summary>A hint</summary>
#
# $\partial y / \partial a = a / y$. Keep in `ctx` what backward needs. Pictures are full of places where $y = 0$, and
# 0/0 is NaN, which spreads to every weight: divide by something else where $y = 0$.
#
# </details>


# %% tags=["exercise"]
def my_edge_strength(a, b):
    ### BEGIN SOLUTION
    class EdgeStrength(Function):
        def forward(ctx, a, b):
            ctx.a, ctx.b, ctx.y = a, b, np.sqrt(a * a + b * b)
            return ctx.y

        def backward(ctx, g):
            y = np.where(ctx.y == 0, 1, ctx.y)
            return g * ctx.a / y, g * ctx.b / y

    return EdgeStrength.apply(a, b)
    ### END SOLUTION


# %% tags=["check"]
check("edge_strength", my_edge_strength)

# %% [markdown]
# ## What to take along
#
# - A gradient is computed from the loss backwards, one operation at a time: what arrives, times the local slope.
# - Where a value was used several times, the parts add up; so does `.grad` from one backward to the next.
# - A value passes on only after all its parts have arrived: newest operation first.
# - What was repeated forwards is summed backwards.
#
# **Now open** `tinymed/autograd.py` at `Function` and `_sweep`: the page above, for arrays, with the heap. In PyTorch
# `requires_grad`, `backward`, `grad`, `no_grad` mean the same; its `autograd.Function` has `forward` and `backward`
# too, as static methods.
