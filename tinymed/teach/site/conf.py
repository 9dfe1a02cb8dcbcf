"""Sphinx's settings. It reads the folder that `build` has filled, and runs nothing."""

import inspect
import re
import shutil
from importlib import metadata
from pathlib import Path

from docutils import nodes
from sphinx.util.osutil import relative_uri

import tinymed

HERE = Path(__file__).parent  # the filled folder: this file is copied there
MODULES = set((HERE / "modules.txt").read_text().split())  # those whose sources are pages

project, author, copyright = "tinymed", "tinymed", ""
version = release = tinymed.__version__
language = "en"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.viewcode", "sphinx.ext.mathjax", "sphinx_copybutton"]
exclude_patterns = ["_build"]

nb_execution_mode = "off"
nb_ipywidgets_js: dict = {}  # or a page with a widget asks the network for two scripts
nb_merge_streams = True
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3
mathjax_path = "mathjax.js"
mathjax3_config = {
    "options": {"enableMenu": False, "processHtmlClass": "tex2jax_process|mathjax_process|math|output_area"},
    "svg": {"fontCache": "local"},
}
myst_update_mathjax = False

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_class_signature = "mixed"
add_module_names = False
python_display_short_literal_types = True

html_theme = "furo"
pygments_dark_style = "github-dark"
html_title = "tinymed"
html_static_path = ["_files"]
html_css_files, html_js_files = ["site.css"], ["present.js"]
html_copy_source = False
html_show_sphinx = html_show_copyright = False
html_last_updated_fmt = None
copybutton_exclude = ".linenos, .gp, .go"
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#1f5f8b", "color-brand-content": "#1f5f8b"},
    "dark_css_variables": {"color-brand-primary": "#7cc0ee", "color-brand-content": "#7cc0ee"},
}


def verbatim(app, what, name, thing, options, lines):
    """Our docstrings are plain text with formulas: shown as they stand."""
    text = inspect.cleandoc("\n".join(lines)).strip("\n")
    lines[:] = [".. code-block:: text", "", *("   " + line for line in text.splitlines()), ""] if text else []


def public(app, what, name, thing, skip, options):
    """Members that libraries hand down, such as those of tuples, say nothing of ours."""
    ours = (getattr(thing, "__module__", "tinymed") or "tinymed").partition(".")[0] == "tinymed"
    return skip if ours and name != "extra_repr" else True


FILE = re.compile(r"(?:tinymed/)?(?:kernels|tinymed)/[\w/]+\.py(?:(?::|, )(\w+))?")


def link_sources(app, doctree, docname):
    """`kernels/reference.py:conv2d`, wherever it is written, leads to that source."""
    for said in list(doctree.findall(nodes.literal)):
        if isinstance(said.parent, nodes.reference) or not FILE.fullmatch(said.astext()):
            continue
        path, _, name = said.astext().partition(":")
        module = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        module = module if module.startswith("tinymed.") else f"tinymed.{module}"
        if module not in MODULES:
            continue
        page = relative_uri(app.builder.get_target_uri(docname), f"_modules/{module.replace('.', '/')}.html")
        place = f"#{name}" if name and not name.isdecimal() else ""
        said.replace_self(nodes.reference("", "", said.deepcopy(), refuri=page + place, internal=True))


def mend(app, pagename, templatename, context, doctree):
    """Pages of zh/ say that they are Chinese: the players then are, too. Sources go without their links to the API,
    which lead astray where two modules offer one function.
    """
    if pagename.startswith("zh/"):
        context["language"] = "zh-CN"
    if pagename.startswith("_modules/"):
        context["body"] = re.sub(r'<a class="viewcode-back".*?</a>', "", context["body"])


def bring_mathjax(app, error):
    """One file of MathJax 3, which needs no other: no page asks the network for it."""
    if error is None:
        package = metadata.distribution("sphinx-mathjax-offline")
        script = package.locate_file("sphinx-mathjax-offline/static/mathjax/tex-svg-full.js")
        shutil.copy(script, Path(app.outdir, "_static", "mathjax.js"))


def setup(app):
    app.connect("autodoc-process-docstring", verbatim)
    app.connect("autodoc-skip-member", public)
    app.connect("doctree-resolved", link_sources)
    app.connect("html-page-context", mend)
    app.connect("build-finished", bring_mathjax)
