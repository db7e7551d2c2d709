"""Sphinx extension: what a page need not load.

The theme gives every page the drawings of two thousand icons, of which a book shows some fifteen,
and the index of its search, which only the page with the results reads; MathJax comes with pages
that have no formula. Together these are four times what the front page is without them.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

from base.files import write_text
from results.sphinx.offline import when_written

#: How a page has a formula, for MathJax to draw.
FORMULA = re.compile(r'class="[^"]*\bmath\b|\\\(|\\\[|\$\$')
#: What a search by typing would need, in each page's head.
SEARCH = re.compile(
    r'\s*<script src="[^"]*(?:searchtools|language_data|searchindex)\.js"></script>'
)
#: An icon in the theme's script: name, size, other names, code point, one path or two.
ICON = re.compile(
    r'"?(?P<name>[\w-]+)"?:\[\d+,\d+,\[(?P<others>[^\]]*)\],"[0-9a-f]*",(?:"[^"]*"|\[[^\]]*\])\],?'
)
ICONS = "scripts/fontawesome.js"


def spare_mathjax(app: Sphinx, name: str, _: str, context: dict[str, Any], __: Any) -> None:
    """Leave MathJax out of a page without a formula."""
    shown = (str(context.get(part, "")) for part in ("body", "title", "toc"))
    path = str(getattr(app.config, "mathjax_path", "")).rpartition("/")[2]
    if not path or app.builder.name != "html" or any(map(FORMULA.search, shown)):
        return
    context["script_files"] = [
        file
        for file in context["script_files"]
        if Path(str(getattr(file, "filename", None) or "")).name != path
        and not (getattr(file, "attributes", {}).get("body") or "").startswith("window.MathJax")
    ]


def spare_search(app: Sphinx) -> None:
    """Leave the index out of pages other than that of the search, where none is typed into."""
    if app.config.html_theme_options.get("search_as_you_type"):
        return
    for page in Path(app.outdir).rglob("*.html"):
        if page.stem != "search":
            text = page.read_text(encoding="utf-8")
            if (less := SEARCH.sub("", text)) != text:
                write_text(page, less)


def spare_icons(app: Sphinx) -> None:
    """Keep the icons that pages, scripts or styles name."""
    static = Path(app.outdir) / "_static"
    whole = static / ICONS
    if not whole.is_file():
        return
    script = whole.read_text(encoding="utf-8")
    texts = (*Path(app.outdir).rglob("*.html"), *static.glob("*.js"), *static.glob("scripts/*.js"))
    named = {
        icon
        for path in texts
        if path != whole
        for icon in re.findall(r"\bfa-([a-z0-9-]+)", path.read_text(encoding="utf-8"))
    }
    less = only(script, named)
    if less != script:
        write_text(whole, less)


def only(script: str, named: set[str]) -> str:
    """The theme's script with the icons of these names alone.

    >>> only('{"a":[1,2,[],"f0","M0"],b:[1,2,["c"],"f1","M1"],d:[1,2,[],"f2",["M","N"]]}', {"c"})
    '{b:[1,2,["c"],"f1","M1"],}'
    """

    def kept(icon: re.Match[str]) -> str:
        names = {icon["name"], *re.findall(r'"([\w-]+)"', icon["others"])}
        return icon[0] if names & named else ""

    return ICON.sub(kept, script)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension; MathJax is left out before a page's policy names its scripts."""
    app.setup_extension("results.sphinx.offline")  # which knows the pages that were written
    app.connect("html-page-context", spare_mathjax, priority=998)
    when_written(app, spare_search, spare_icons)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
