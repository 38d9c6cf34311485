"""How Sphinx builds these pages: MyST in, furo out, every ``doctest`` block run by `make check`."""

from typing import Any

import fl_opt

project = "fl_opt"
author = "The fl_opt developers"
copyright = author
version = release = fl_opt.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.doctest",
    "sphinx-mathjax-offline",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
exclude_patterns = ["_build", "measured"]
html_theme = "furo"
html_title = "fl_opt"
html_static_path = ["_static"]

myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "none"
napoleon_google_docstring = False

# Docstrings are run by pytest --doctest-modules; here only what the pages themselves show.
doctest_test_doctest_blocks = ""
doctest_global_setup = "import numpy as np\nimport fl_opt"
copybutton_prompt_text = ">>> |\\.\\.\\. |\\$ "
copybutton_prompt_is_regexp = True


def end_sections(*event: Any) -> None:
    """Prose below the last entry of a section is no further entry: two blank lines end it."""
    lines: list[str] = event[-1]
    for i in range(len(lines) - 1, 0, -1):
        after = lines[i + 1] if i + 1 < len(lines) else ""
        starts = lines[i] and not lines[i].startswith(" ") and not lines[i - 1]
        if starts and not after.startswith((" ", "---")):
            lines.insert(i, "")


def setup(app: Any) -> None:
    """Look at docstrings before napoleon does, which has priority 500."""
    app.connect("autodoc-process-docstring", end_sections, priority=400)
