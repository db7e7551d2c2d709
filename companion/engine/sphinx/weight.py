"""Sphinx extension: what a page need not load, or need not wait for.

The theme gives every page the drawings of two thousand icons, of which a book shows some fifteen,
and the index of its search, which only the page with the results reads; MathJax comes with pages
that have no formula. Together these are four times what the front page is without them.

A script in the head that is not deferred keeps a page blank until it is there. It also keeps back
the scripts behind it: with a policy in its head, a page asks for none before their turn. On a slow
line the first paint comes about a second earlier without.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

from analysis.base.files import write_text
from companion.engine.sphinx.offline import when_written

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
#: The same icons as letters of a font, in the theme's style.
LETTERS = re.compile(r"(?:(?<=\})|^)(?:\.fa-[\w-]+:before,?)+\{content:[^{}]*\}")
STYLE = "styles/pydata-sphinx-theme.css"
#: A script whose object lines within the page fill.
OPTIONS = "documentation_options.js"


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


def defer_scripts(app: Sphinx, name: str, _: str, context: dict[str, Any], __: Any) -> None:
    """Have scripts run, in their order, when the page is there.

    Lines within a page still run at once: they set what scripts read, and fill `OPTIONS`. The
    theme's own scripts on the page of a search need all others before them.
    """
    if app.builder.name == "html" and name != "search":
        context["script_files"] = [_deferred(file) for file in context["script_files"]]


def _deferred(file: Any) -> Any:
    """A script that is run later; one within the page, and `OPTIONS`, as they are."""
    place = Path(str(getattr(file, "filename", None) or "")).name
    attributes = getattr(file, "attributes", {})
    if place in ("", OPTIONS) or {"async", "defer"} & {*attributes}:
        return file
    return type(file)(file.filename, priority=file.priority, **attributes, defer="defer")


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
    """Keep the icons that pages or scripts name, as drawings and as letters."""
    static = Path(app.outdir) / "_static"
    whole, style = static / ICONS, static / STYLE
    if not (whole.is_file() and style.is_file()):
        return
    texts = (*Path(app.outdir).rglob("*.html"), *static.glob("*.js"), *static.glob("scripts/*.js"))
    named = {
        icon
        for path in texts
        if path != whole
        for icon in re.findall(r"\bfa-([a-z0-9-]+)", path.read_text(encoding="utf-8"))
    }
    for path, kept in ((whole, only), (style, only_letters)):
        text = path.read_text(encoding="utf-8")
        if (less := kept(text, named)) != text:
            write_text(path, less)


def only(script: str, named: set[str]) -> str:
    """The theme's script with the icons of these names alone.

    >>> only('{"a":[1,2,[],"f0","M0"],b:[1,2,["c"],"f1","M1"],d:[1,2,[],"f2",["M","N"]]}', {"c"})
    '{b:[1,2,["c"],"f1","M1"],}'
    """

    def kept(icon: re.Match[str]) -> str:
        names = {icon["name"], *re.findall(r'"([\w-]+)"', icon["others"])}
        return icon[0] if names & named else ""

    return ICON.sub(kept, script)


def only_letters(style: str, named: set[str]) -> str:
    """The theme's style with the letters of these icons alone.

    >>> only_letters('p{}.fa-a:before,.fa-b:before{content:"f"}.fa-c:before{content:"g"}', {"b"})
    'p{}.fa-a:before,.fa-b:before{content:"f"}'
    """

    def kept(rule: re.Match[str]) -> str:
        return rule[0] if named & {*re.findall(r"\.fa-([\w-]+):before", rule[0])} else ""

    return LETTERS.sub(kept, style)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension; MathJax is left out before a page's policy names its scripts."""
    app.setup_extension(
        "companion.engine.sphinx.offline"
    )  # which knows the pages that were written
    app.connect("html-page-context", spare_mathjax, priority=998)
    app.connect("html-page-context", defer_scripts, priority=998)
    when_written(app, spare_search, spare_icons)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
