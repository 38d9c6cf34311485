"""How Sphinx builds these pages: MyST in, furo out, every ``doctest`` block run by `make check`."""

import fl_opt

project = "fl_opt"
author = "The fl_opt developers"
version = release = fl_opt.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.doctest",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
exclude_patterns = ["_build"]
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
