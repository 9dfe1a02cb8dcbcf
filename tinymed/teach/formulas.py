"""What each line of a twin computes, in LaTeX: {twin: {the line, as it stands in the source: the formula}}.

Only these lines are steps of a trace. A test holds every line here against the sources, and every line of a twin
that fills a cell against this table.
"""

from __future__ import annotations

Formulas = dict[str, dict[str, str]]

CONV2D: Formulas = {
    "conv2d": {
        "y[at_y] += w[at_w] * x[at_x]": r"y_{n,o,i,j} = \sum_{c,u,v} w_{o,c,u,v} \cdot x_{n,c,\,is+ud-p,\,js+vd-p}",
        "y[n, o, i, j] += b[o]": r"y_{n,o,i,j} = b_o + \sum_{c,u,v} w_{o,c,u,v} \cdot x_{n,c,\,is+ud-p,\,js+vd-p}",
    },
    "conv2d_input_grad": {
        "gx[at_x] += w[at_w] * g[at_y]": (
            r"\frac{\partial L}{\partial x_{n,c,h,q}} = \sum_{y \ni x} w_{o,c,u,v} \cdot g_{n,o,i,j}"
        ),
    },
    "conv2d_weight_grad": {
        "gw[at_w] += x[at_x] * g[at_y]": (
            r"\frac{\partial L}{\partial w_{o,c,u,v}} = "
            r"\sum_{n,i,j} x_{n,c,\,is+ud-p,\,js+vd-p} \cdot g_{n,o,i,j}"
        ),
    },
    "conv2d_bias_grad": {
        "gb[o] += g[n, o, i, j]": r"\frac{\partial L}{\partial b_o} = \sum_{n,i,j} g_{n,o,i,j}",
    },
}  # fmt: skip

MAX_POOL2D: Formulas = {
    "max_pool2d": {
        "if x[cell] > x[best] or np.isnan(x[cell])": r"\max_{u,v} x_{n,c,\,is+u,\,js+v}",
        "y[at] = x[best]": r"y_{n,c,i,j} = \max_{u,v} x_{n,c,\,is+u,\,js+v}",
    },
    "max_pool2d_grad": {
        "gx[dict(cells)[int(where[at])]] += g[at]": (
            r"\frac{\partial L}{\partial x_{\arg\max}} \mathrel{+}= g_{n,c,i,j}"
        ),
    },
}

AVG_POOL2D: Formulas = {
    "avg_pool2d": {
        "y[at] += x[cell]": r"\sum_{u,v} x_{n,c,\,is+u,\,js+v}",
        "y[at] /= count[at[2:]]": r"y_{n,c,i,j} = \frac{1}{k} \sum_{u,v} x_{n,c,\,is+u,\,js+v}",
    },
    "avg_pool2d_grad": {
        "gx[cell] += g[at] / count[at[2:]]": (
            r"\frac{\partial L}{\partial x_{n,c,h,q}} = \sum_{y \ni x} \frac{1}{k} \cdot g_{n,c,i,j}"
        ),
    },
}  # fmt: skip

LINEAR: Formulas = {
    "linear": {
        "y[n, o] += w[o, i] * x[n, i]": r"y_{n,o} = \sum_i w_{o,i} \cdot x_{n,i}",
        "y[n, o] += b[o]": r"y_{n,o} = b_o + \sum_i w_{o,i} \cdot x_{n,i}",
    },
    "linear_grad": {
        "gx[n, i] += g[n, o] * w[o, i]": r"\frac{\partial L}{\partial x_{n,i}} = \sum_o g_{n,o} \cdot w_{o,i}",
        "gw[o, i] += g[n, o] * x[n, i]": r"\frac{\partial L}{\partial w_{o,i}} = \sum_n g_{n,o} \cdot x_{n,i}",
        "gb[o] += g[n, o]": r"\frac{\partial L}{\partial b_o} = \sum_n g_{n,o}",
    },
}

MATMUL: Formulas = {
    "matmul": {
        "y[(*at, i, j)] += a[(*at, i, k)] * b[(*at, k, j)]": r"y_{i,j} = \sum_k a_{i,k} \cdot b_{k,j}",
    },
}
MATMUL_GRAD_A: Formulas = {"matmul": dict.fromkeys(MATMUL["matmul"], r"\frac{\partial L}{\partial A} = G \cdot B^T")}
MATMUL_GRAD_B: Formulas = {"matmul": dict.fromkeys(MATMUL["matmul"], r"\frac{\partial L}{\partial B} = A^T \cdot G")}

ACTIVATIONS: dict[str, tuple[str, str]] = {  # y, and how g passes back
    "relu": (
        r"y = \max(0, x)",
        r"\frac{\partial L}{\partial x} = g \cdot [x > 0]",
    ),
    "relu6": (
        r"y = \min(\max(0, x), 6)",
        r"\frac{\partial L}{\partial x} = g \cdot [0 < x < 6]",
    ),
    "sigmoid": (
        r"y = \sigma(x) = \frac{1}{1 + e^{-x}}",
        r"\frac{\partial L}{\partial x} = g \cdot \sigma(x) (1 - \sigma(x))",
    ),
}

SOFTMAX: Formulas = {
    "softmax": {
        "top = max(x[n, :, i])": r"t = \max_k x_k",
        "total += np.exp(x[n, c, i] - top)": r"\sum_k e^{x_k - t}",
        "y[n, c, i] = x[n, c, i] - top - np.log(total) if log else np.exp(x[n, c, i] - top) / total": (
            r"y_c = \frac{e^{x_c - t}}{\sum_k e^{x_k - t}}"
        ),
    },
    "softmax_grad": {
        "gx[n, c, i] = y[n, c, i] * (g[n, c, i] - sum(g[n, :, i] * y[n, :, i]))": (
            r"\frac{\partial L}{\partial x_c} = y_c \, (g_c - \sum_k g_k y_k)"
        ),
        "gx[n, c, i] = g[n, c, i] - np.exp(y[n, c, i]) * sum(g[n, :, i])": (
            r"\frac{\partial L}{\partial x_c} = g_c - e^{y_c} \sum_k g_k"
        ),
    },
}

CROSS_ENTROPY: Formulas = {
    "softmax": {
        line: r"\ln p_c = x_c - t - \ln \sum_k e^{x_k - t}" if line.startswith("y[") else formula
        for line, formula in SOFTMAX["softmax"].items()
    },
    "cross_entropy": {
        "loss[n, i] = -w[n, i] * log_p[n, t[n, i], i]": r"\ell = -w \cdot \ln p_t",
    },
    "cross_entropy_grad": {
        "gx[n, c, i] = g[n, i] * w[n, i] * (p[n, c, i] - (c == t[n, i]))": (
            r"\frac{\partial \ell}{\partial x_c} = g \cdot w \, (p_c - [c = t])"
        ),
    },
}

_BACK_THROUGH_WEIGHTS = {  # a = W·v
    "gw[j, k] += da[j] * v[k]": (
        r"\frac{\partial L}{\partial W_{j,k}} = \sum_t \frac{\partial L}{\partial a_{t,j}} \cdot v_{t,k}"
    ),
    "gv[k] += da[j] * w[j, k]": (
        r"\frac{\partial L}{\partial v_k} = \sum_j W_{j,k} \cdot \frac{\partial L}{\partial a_j}"
    ),
}

ARTICLE_RNN: Formulas = {
    "article_rnn": {
        "h[t, j] = activation(dot(W_h[j], h_x) + b_h[j])": r"h_t = \sigma(W_h \cdot [h_{t-1}, x_t] + b_h)",
        "y[t, j] = activation(dot(W_y[j], h_before) + b_y[j])": r"y_t = \sigma(W_y \cdot h_t + b_y)",
    },
}

RNN: Formulas = {
    "rnn": {
        "a = dot(w_ih[j], x[t, n]) + b_ih[j] + dot(w_hh[j], h) + b_hh[j]": (
            r"a_t = W_{ih} \cdot x_t + b_{ih} + W_{hh} \cdot h_{t-1} + b_{hh}"
        ),
        'hs[t, n, j] = math.tanh(a) if nonlinearity == "tanh" else max(a, 0.0)': r"h_t = \varphi(a_t)",
    },
    "rnn_grad": {
        "da[j] = (g[t, n, j] + dh[j]) * slope": (
            r"\frac{\partial L}{\partial a_t} = \left(g_t + \frac{\partial L}{\partial h_t}\right) \cdot \varphi'(a_t)"
        ),
        "gb[j] += da[j]": r"\frac{\partial L}{\partial b} = \sum_t \frac{\partial L}{\partial a_t}",
        "gh0[n] = dh": r"\frac{\partial L}{\partial h_0}",
    },
    "dot_grad": _BACK_THROUGH_WEIGHTS,
}

LSTM: Formulas = {
    "lstm": {
        "a[q] = dot(w_ih[q], x[t, n]) + b_ih[q] + dot(w_hh[q], h) + b_hh[q]": (
            r"a = W_{ih} \cdot x_t + b_{ih} + W_{hh} \cdot h_{t-1} + b_{hh}"
        ),
        "i = sigmoid(a[j])": r"i_t = \sigma(a_i)",
        "f = sigmoid(a[H + j])": r"f_t = \sigma(a_f)",
        "g = math.tanh(a[2 * H + j])": r"g_t = \tanh(a_g)",
        "o = sigmoid(a[3 * H + j])": r"o_t = \sigma(a_o)",
        "cs[t, n, j] = f * c[j] + i * g": r"c_t = f_t \circ c_{t-1} + i_t \circ g_t",
        "hs[t, n, j] = o * math.tanh(cs[t, n, j])": r"h_t = o_t \circ \tanh(c_t)",
    },
    "lstm_grad": {
        "dh_j = gh[t, n, j] + dh[j]": (
            r"\frac{\partial L}{\partial h_t} = g_t + \sum_q W_{hh}^T \cdot \frac{\partial L}{\partial a_{t+1}}"
        ),
        "dc_j = dc[j] + dh_j * o * (1 - tanh_c * tanh_c) + (0 if gc is None else gc[t, n, j])": (
            r"\frac{\partial L}{\partial c_t} = f_{t+1} \frac{\partial L}{\partial c_{t+1}}"
            r" + \frac{\partial L}{\partial h_t} \, o_t \, (1 - \tanh^2 c_t)"
        ),
        "da[j] = dc_j * g * i * (1 - i)": (
            r"\frac{\partial L}{\partial a_i} = \frac{\partial L}{\partial c_t} \, g_t \, i_t (1 - i_t)"
        ),
        "da[H + j] = dc_j * c_before[j] * f * (1 - f)": (
            r"\frac{\partial L}{\partial a_f} = \frac{\partial L}{\partial c_t} \, c_{t-1} \, f_t (1 - f_t)"
        ),
        "da[2 * H + j] = dc_j * i * (1 - g * g)": (
            r"\frac{\partial L}{\partial a_g} = \frac{\partial L}{\partial c_t} \, i_t \, (1 - g_t^2)"
        ),
        "da[3 * H + j] = dh_j * tanh_c * o * (1 - o)": (
            r"\frac{\partial L}{\partial a_o} = \frac{\partial L}{\partial h_t} \, \tanh(c_t) \, o_t (1 - o_t)"
        ),
        "dc[j] = dc_j * f": r"\frac{\partial L}{\partial c_{t-1}} = f_t \cdot \frac{\partial L}{\partial c_t}",
        "gb[q] += da[q]": r"\frac{\partial L}{\partial b} = \sum_t \frac{\partial L}{\partial a_t}",
        "gh0[n], gc0[n] = dh, dc": (r"\frac{\partial L}{\partial h_0}, \; \frac{\partial L}{\partial c_0}"),
    },
    "dot_grad": _BACK_THROUGH_WEIGHTS,
}

SGD: Formulas = {
    "sgd_step": {
        "b[i] = d if first else momentum * b[i] + (1 - dampening) * d": r"b_t = \mu \, b_{t-1} + (1 - \tau) \, d",
        "p[i] = p[i] - lr * d": r"p_t = p_{t-1} - \eta \, b_t",
    },
}

ADAM: Formulas = {
    "adam_step": {
        "m[i] = beta1 * m[i] + (1 - beta1) * d": r"m_t = \beta_1 m_{t-1} + (1 - \beta_1) \, g_t",
        "v[i] = beta2 * v[i] + (1 - beta2) * d * d": r"v_t = \beta_2 v_{t-1} + (1 - \beta_2) \, g_t^2",
        "m_hat = m[i] / (1 - beta1**step)": r"\hat{m}_t = \frac{m_t}{1 - \beta_1^t}",
        "v_hat = v[i] / (1 - beta2**step)": r"\hat{v}_t = \frac{v_t}{1 - \beta_2^t}",
        "p[i] = p[i] - lr * m_hat / (math.sqrt(v_hat) + eps)": (
            r"p_t = p_{t-1} - \eta \, \frac{\hat{m}_t}{\sqrt{\hat{v}_t} + \varepsilon}"
        ),
    },
}

OPS: dict[str, tuple[str, str]] = {  # ops of an autograd graph: y, and what the sweep hands to the inputs
    "Add": ("y = a + b", r"\bar a \mathrel{+}= \bar y, \quad \bar b \mathrel{+}= \bar y"),
    "Sub": ("y = a - b", r"\bar a \mathrel{+}= \bar y, \quad \bar b \mathrel{-}= \bar y"),
    "Mul": (r"y = a \cdot b", r"\bar a \mathrel{+}= \bar y \cdot b, \quad \bar b \mathrel{+}= \bar y \cdot a"),
    "Div": ("y = a / b", r"\bar a \mathrel{+}= \bar y / b, \quad \bar b \mathrel{-}= \bar y \cdot a / b^2"),
    "Neg": ("y = -x", r"\bar x \mathrel{-}= \bar y"),
    "Pow": ("y = a^b", r"\bar a \mathrel{+}= \bar y \cdot b \, a^{b-1}"),
    "Exp": ("y = e^x", r"\bar x \mathrel{+}= \bar y \cdot y"),
    "Log": (r"y = \ln x", r"\bar x \mathrel{+}= \bar y / x"),
    "Sqrt": (r"y = \sqrt{x}", r"\bar x \mathrel{+}= \bar y / 2y"),
    "Tanh": (r"y = \tanh x", r"\bar x \mathrel{+}= \bar y \, (1 - y^2)"),
    "Sigmoid": (r"y = \sigma(x)", r"\bar x \mathrel{+}= \bar y \cdot y \, (1 - y)"),
    "ReLU": (r"y = \max(0, x)", r"\bar x \mathrel{+}= \bar y \cdot [x > 0]"),
    "ReLU6": (r"y = \min(\max(0, x), 6)", r"\bar x \mathrel{+}= \bar y \cdot [0 < x < 6]"),
    "Sum": (r"y = \sum_i x_i", r"\bar x_i \mathrel{+}= \bar y"),
    "Mean": (r"y = \frac{1}{n} \sum_i x_i", r"\bar x_i \mathrel{+}= \bar y / n"),
    "Matmul": (r"Y = A \cdot B", r"\bar A \mathrel{+}= \bar Y B^T, \quad \bar B \mathrel{+}= A^T \bar Y"),
    "Linear": (
        r"y = x W^T + b",
        r"\bar x \mathrel{+}= \bar y W, \quad \bar W \mathrel{+}= \bar y^T x, \quad \bar b \mathrel{+}= \sum \bar y",
    ),
    "Softmax": (r"y_i = e^{x_i} / \sum_j e^{x_j}", r"\bar x_i \mathrel{+}= y_i (\bar y_i - \sum_j \bar y_j y_j)"),
    "Conv2d": (
        r"y = b + \sum w \cdot x",
        r"\bar x \mathrel{+}= \sum w \cdot \bar y, \quad \bar w \mathrel{+}= \sum x \cdot \bar y",
    ),
    "Conv2dMaxPool2d": (
        r"y = \max(\max(b + \sum w \cdot x), 0)",
        r"\bar x \mathrel{+}= \sum w \cdot \bar y, \quad \bar w \mathrel{+}= \sum x \cdot \bar y",
    ),
    "CrossEntropy": (
        r"\ell = -\ln \frac{e^{x_t}}{\sum_c e^{x_c}}",
        r"\bar x_c \mathrel{+}= \bar \ell \, (p_c - [c = t])",
    ),
    "MaxPool2d": (r"y = \max x", r"\bar x_{\arg\max} \mathrel{+}= \bar y"),
    "AvgPool2d": (r"y = \frac{1}{k} \sum x", r"\bar x \mathrel{+}= \bar y / k"),
    "Reshape": (r"y = x", r"\bar x \mathrel{+}= \bar y"),
}  # fmt: skip
