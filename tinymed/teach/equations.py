"""The article's equations, and where each is in the engine: its loops, its trace, its test.

Of sections 3 and 4, and of 1.4.3, where activations are only named. Which lesson teaches one is not written here:
the line under a lesson's title names its sections.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tinymed.teach.lessons import Lesson, lessons


@dataclass(frozen=True)
class Equation:
    """A formula of the article.

    section  where it stands
    name     what it computes
    latex    the formula, as the article prints it, or as what it names is defined
    twin     file and function of the plain loops: "kernels/reference.py:conv2d"
    trace    the function of teach.trace that walks through them; it has their name
    test     the file that holds it against PyTorch or the article
    """

    section: str
    name: str
    latex: str
    twin: str
    test: str

    @property
    def trace(self) -> str:
        return self.twin.partition(":")[2]

    def lesson(self, where: Path | None = None) -> Lesson | None:
        """The lesson on its section; of several, the one that traces it."""
        among = lessons(where)
        steps_through = [lesson for lesson in among if self.section in lesson.sections and self.heading(lesson)]
        return steps_through[0] if steps_through else lesson_on(self.section, among)

    def heading(self, lesson: Lesson) -> str:
        """Under which heading a lesson traces it; "" if it does not."""
        before, call, _ = lesson.text.partition(f"trace.{self.trace}(")
        return before.rpartition("\n# ## ")[2].partition("\n")[0] if call and "\n# ## " in before else ""


def lesson_on(section: str, among: list[Lesson]) -> Lesson | None:
    """The lesson on a section of the article: the first that names it, else the first that names what it is in.

    The line under a lesson's title names its sections; "4.2" holds "4.2.1". None if no lesson does.
    """
    while section:
        for lesson in among:
            if section in lesson.sections:
                return lesson
        section = section.rpartition(".")[0]
    return None


_LOOPS, _ACTIVATION, _RECURRENT = (f"kernels/reference{part}.py" for part in ("", "_activation", "_recurrent"))
_OF_ACTIVATION, _OF_ARTICLE = "tests/test_ops_activation.py", "tests/test_article.py"
_RNN = f"{_RECURRENT}:article_rnn"
_HIDDEN, _OUTPUT = r"h_t = \sigma(W_h \cdot [h_{t-1}, x_t] + b_h)", r"y_t = \sigma(W_y \cdot h_t + b_y)"
_GATES = (
    r"\begin{aligned} i_t, f_t, o_t &= \sigma(\cdot), \; g_t = \tanh(\cdot) \\"
    r" c_t &= f_t \circ c_{t-1} + i_t \circ g_t \\ h_t &= o_t \circ \tanh(c_t) \end{aligned}"
)
_IMAGE = r"\begin{bmatrix} 1 & 2 & 3 \\ 4 & 5 & 6 \\ 7 & 8 & 9 \end{bmatrix}"
_THREE_H = r"h_1 = \sigma(W_h \cdot [h_0, x_1] + b_h), \quad h_2, h_3 \text{ likewise}"
_THREE_Y = r"y_1 = \sigma(W_y \cdot h_1 + b_y), \quad y_2, y_3 \text{ likewise}"

EQUATIONS = (
    Equation("1.4.3", "ReLU", r"y = \max(0, x)", f"{_ACTIVATION}:relu", _OF_ACTIVATION),
    Equation("1.4.3", "ReLU6", r"y = \min(\max(0, x), 6)", f"{_ACTIVATION}:relu6", _OF_ACTIVATION),
    Equation("1.4.3", "Softmax", r"y_c = \frac{e^{x_c}}{\sum_k e^{x_k}}", f"{_ACTIVATION}:softmax", _OF_ACTIVATION),
    Equation("3.1.2", "FC", r"y_o = \sum_i w_{o,i} \, x_i + b_o", f"{_LOOPS}:linear", "tests/test_traces.py"),
    Equation("3.2.2", "sigmoid", r"\sigma(x) = \frac{1}{1 + e^{-x}}", f"{_ACTIVATION}:sigmoid", _OF_ACTIVATION),
    Equation("3.3.2", "LSTM, with the gates it is named for", _GATES, f"{_RECURRENT}:lstm", "tests/test_recurrent.py"),
    Equation("4.1.1", "convolution", r"\sum_{i=1}^{m} w_i * f(x_i)", f"{_LOOPS}:conv2d", "tests/test_ops_conv.py"),
    Equation("4.1.2", "max pooling", r"\max_{i=1}^{k} f(x_i)", f"{_LOOPS}:max_pool2d", "tests/test_ops_pool.py"),
    Equation(
        "4.1.2",
        "average pooling",
        r"\frac{1}{k} \sum_{i=1}^{k} f(x_i)",
        f"{_LOOPS}:avg_pool2d",
        "tests/test_ops_pool.py",
    ),
    Equation(
        "4.1.3",
        "the example: convolution",
        _IMAGE + r" * \begin{bmatrix} 1 & 0 \\ 0 & 1 \end{bmatrix}",
        f"{_LOOPS}:conv2d",
        _OF_ARTICLE,
    ),
    Equation("4.1.3", "the example: max pooling", r"\max_{i=1}^{4} f(x_i)", f"{_LOOPS}:max_pool2d", _OF_ARTICLE),
    Equation("4.2.1", "RNN, hidden state", _HIDDEN, _RNN, _OF_ARTICLE),
    Equation("4.2.2", "RNN, output", _OUTPUT, _RNN, _OF_ARTICLE),
    Equation("4.2.3", "the example: hidden states", _THREE_H, _RNN, _OF_ARTICLE),
    Equation("4.2.3", "the example: outputs", _THREE_Y, _RNN, _OF_ARTICLE),
    Equation("4.3.1", "LSTM, hidden state, as printed: the RNN's", _HIDDEN, _RNN, _OF_ARTICLE),
    Equation("4.3.2", "LSTM, output", _OUTPUT, _RNN, _OF_ARTICLE),
    Equation("4.3.3", "the example again: hidden states", _THREE_H, _RNN, _OF_ARTICLE),
    Equation("4.3.3", "the example again: outputs", _THREE_Y, _RNN, _OF_ARTICLE),
)
