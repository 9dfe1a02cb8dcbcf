"""LaTeX as a line of text, for the terminal, and as MathML, for a page that needs no library."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from latex2mathml.converter import convert
from pylatexenc.latex2text import LatexNodes2Text, MacroTextSpec, get_default_latex_context_db

ADDS = r"<mo><mrow><mo>([^<]*)</mo></mrow></mo><mo>&#x0003D;</mo>"  # \mathrel{+}=, which belongs together


@lru_cache(1024)
def mathml(latex: str) -> str:
    """A formula as MathML, or "" where there is none."""
    if not latex:
        return ""
    text = latex.replace(r"\arg\max", r"\operatorname{arg\,max}")
    return re.sub(ADDS, r"<mo>\1=</mo>", convert(text, display="block"))


@lru_cache(1024)
def plain(latex: str) -> str:
    """A formula as one line of text: ∂L/∂b_o = ∑_{n,i,j} g_{n,o,i,j}"""
    text = _converter().latex_to_text(re.sub(r"\\[dt]frac(?![a-zA-Z])", r"\\frac", latex))
    text = re.sub(r" +(?=[_^),}\]])", "", re.sub(r"\s+", " ", text))
    return re.sub(r"([_^])\{(\w)\}", r"\1\2", text).strip()


def _fraction(node: Any, l2tobj: LatexNodes2Text) -> str:
    r"""a/b, with brackets around what would read otherwise without them. In \frac12 neither part is a group."""
    parts = [l2tobj.nodelist_to_text(getattr(part, "nodelist", None) or [part]).strip() for part in node.nodeargs]
    bare = [re.sub(r"[_^]\{.*?\}", "", part) for part in parts]
    return "/".join(f"({part})" if re.search(r"[-+/· ]", rest) else part for part, rest in zip(parts, bare))


@lru_cache(1)
def _converter() -> LatexNodes2Text:
    macros = [MacroTextSpec("frac", _fraction), MacroTextSpec(",", " ")]
    words = {"cdot": "· ", "circ": "∘ ", "ni": "∋ ", "sum": "∑ ", "arg": "arg ", "ell": "ℓ "}
    words |= {name: f"{name} " for name in ("ln", "tanh", "max", "min")}
    macros += [MacroTextSpec(name, text) for name, text in words.items()]
    context = get_default_latex_context_db()
    context.add_context_category("formulas", macros=macros, prepend=True)
    return LatexNodes2Text(latex_context=context, keep_braced_groups=True)
