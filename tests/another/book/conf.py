"""The settings of a small book, for Sphinx alone: `sphinx-build book book/_build/html`."""

project = html_title = "Four data sets, one line"
author = "The companion's contributors"
copyright = "2026"
extensions = [
    *("myst_nb", "sphinx_external_toc", "sphinx_book_theme", "sphinx_design"),
    *("results.sphinx.runs", "results.sphinx.result", "results.sphinx.cite"),
    *("results.sphinx.contents", "results.sphinx.offline", "results.sphinx.pages"),
]
external_toc_path = "_toc.yml"
nb_execution_mode = "off"  # the notebooks are executed before
nb_merge_streams = True
nb_render_markdown_format = "myst"
myst_enable_extensions = ["attrs_inline", "colon_fence", "dollarmath"]
myst_disable_syntax = ["html_block", "html_inline"]
numfig = True
numfig_secnum_depth = 1
html_theme = "sphinx_book_theme"
html_theme_options = {"navbar_persistent": []}  # the sidebar has the search
html_context = {"default_mode": "auto"}
html_show_sphinx = False
mathjax_path = "vendor/mathjax/tex-svg-full.js"
companion_ledger = "claim"
