"""Formulas in LaTeX, as MathML and as a line of text."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

import tinymed
from tinymed.cli.walk import readable
from tinymed.teach import formulas, trace
from tinymed.teach.latex import mathml, plain


def _graph():
    x, w = (tinymed.tensor(v, requires_grad=True) for v in ([1.0, 2.0], [3.0, 4.0]))
    return trace.backward(((x * w).sum() - 1) ** 2, x=x, w=w)


def _formulas(table):
    for value in table.values() if isinstance(table, dict) else table:
        yield from [value] if isinstance(value, str) else _formulas(value)


def test_every_formula_becomes_mathml_and_text():
    written = {f for name, table in vars(formulas).items() if name.isupper() for f in _formulas(table)} - {""}
    assert len(written) > 60
    for latex in written | {step.formula for step in _graph() if step.formula}:
        tree = ET.fromstring(mathml(latex))
        said = "".join(tree.itertext())
        assert said.strip(), latex
        assert "\\" not in said, latex
        assert not tree.findall(".//{*}merror"), latex
        assert not tree.findall(".//{*}mo/{*}mrow"), latex
        assert not set(plain(latex)) & set("\\\n"), latex
        assert plain(latex).count("{") == plain(latex).count("}"), latex
    assert mathml("") == plain("") == ""


def test_formulas_as_text_keep_their_meaning():
    assert plain(formulas.ACTIVATIONS["sigmoid"][0]) == "y = σ(x) = 1/(1 + e^{-x})"
    assert plain(r"\frac{\partial L}{\partial x_{\arg\max}} \mathrel{+}= g") == "∂L/∂x_{arg max} += g"
    assert plain(r"\frac{a + b}{2} \ln p_t") == "(a + b)/2 ln p_t"


@pytest.mark.parametrize(
    ("latex", "text"),
    [
        (r"\frac12", "1/2"), (r"\frac1{n+1}", "1/(n+1)"), (r"\frac{a_{i}}2", "a_i/2"), (r"\frac\pi2", "π/2"),
        (r"\tfrac12 x", "1/2 x"), (r"\dfrac{a+b}{2}", "(a+b)/2"),
    ],
)  # fmt: skip
def test_fractions(latex, text):
    assert plain(latex) == text
    assert len(ET.fromstring(mathml(latex)).findall(".//{*}mfrac/*")) == 2
    assert readable(f"${latex}$") == f"`{text}`"  # in a lesson as in a trace
