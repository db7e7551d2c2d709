"""Sphinx extension: the contents next to every page, made once.

The theme resolves all toctrees for each page, and again to see whether there are any: a fifth
of the time in which pages are written. Pages differ in how links lead from them and in which link
is marked, so one version, as a page at the root has it, is enough. A toggle says what it shows: the
pages below the link before it. Of the third level, such as the runs of a model family, a page has
what is around it alone: with all of it on every page, a book would grow with the square of its
pages.
"""

from __future__ import annotations

import re
from copy import copy
from typing import Any

from bs4 import BeautifulSoup
from sphinx.application import Sphinx
from sphinx.util.osutil import relative_uri

#: The theme's template that shows the contents.
MENU = "sbt-sidebar-nav.html"
#: A page's number, before its title in the contents.
NUMBER = r"^\w+\. "


def set_aside(app: Sphinx, name: str, _: str, context: dict[str, Any], __: Any) -> None:
    """Spare the theme to make the contents only to see that they are not empty."""
    sidebars = context.get("sidebars") or []
    if MENU in sidebars and app.builder.name == "html":
        place = sidebars.index(MENU)
        context["companion_before_contents"] = sidebars[:place]
        context["sidebars"] = [*sidebars[:place], *sidebars[place + 1 :]]


def share_contents(app: Sphinx, name: str, _: str, context: dict[str, Any], __: Any) -> None:
    """Have the template show the contents, made once for all pages, with this page marked."""
    generate = context.get("generate_toctree_html")
    if generate is None or app.builder.name != "html":
        return
    context["root_title"] = "Start"  # the front page's title is a sentence
    if (before := context.pop("companion_before_contents", None)) is not None:
        place = sum(each in before for each in context["sidebars"])
        context["sidebars"].insert(place, MENU)
    everywhere: dict[str, Any] = vars(app).setdefault("companion_contents", {})
    builder: Any = app.builder
    made = generate.__wrapped__  # without what it remembers of this page

    def of_nowhere(**options: Any) -> str:
        return str(builder._get_local_toctree("search", **options))

    def shared(*given: Any, **options: Any) -> Any:
        if (key := repr((given, options))) not in everywhere:
            of_page, context["toctree"] = context["toctree"], of_nowhere
            contents = BeautifulSoup(str(made(*given, **options)), "html.parser")
            context["toctree"] = of_page
            name_toggles(contents)
            fold(contents)
            everywhere[key] = contents, cut(contents)
        contents, taken = everywhere[key]
        return seen_from(contents, taken, builder.get_target_uri(name))

    context["generate_toctree_html"] = shared


def name_toggles(contents: Any) -> None:
    """Say of each toggle which pages it shows."""
    for toggle in contents.select("a.reference + details > summary"):
        link = toggle.parent.find_previous_sibling("a")
        toggle["aria-label"] = f"Pages below {re.sub(NUMBER, '', link.get_text())}"


def fold(contents: Any) -> None:
    """Fold each part below its caption, and leave numbers to the chapters of the first part."""
    for place, caption in enumerate(contents.select("p.caption")):
        part: Any = BeautifulSoup("<details><summary></summary></details>", "html.parser").details
        part["class"], pages = ["companion-part"], caption.find_next_sibling("ul")
        caption.insert_before(part)
        part.summary.append(caption.extract())
        part.append(pages.extract())
        for link in pages.select("a.internal") if place else ():
            link.string = re.sub(NUMBER, "", link.get_text())


def cut(contents: Any) -> dict[str, tuple[str, Any]]:
    """Take the third level out of the contents: by page, the link that it is below, and it."""
    taken: dict[str, tuple[str, Any]] = {}
    for below in contents.select("li.toctree-l2 > details"):
        link = below.find_previous_sibling("a")["href"]
        below.parent["class"].remove("has-children")
        below.extract()
        pages = [link, *(a["href"] for a in below.select("a.internal"))]
        taken |= {page: (link, below) for page in pages}
    return taken


def seen_from(contents: Any, taken: dict[str, tuple[str, Any]], page: str) -> Any:
    """The contents, whose links start at the root, as a page has them: its own link is marked.

    What was `cut` out around the page is there again.
    """
    seen = copy(contents)
    if page in taken:
        above, below = taken[page]
        for link in seen.select("li.toctree-l2 > a.internal"):
            if link["href"] == above:
                link.parent["class"].append("has-children")
                link.insert_after(copy(below))
    for link in seen.select("a.internal"):
        if here := link["href"] == page:
            link["class"].insert(0, "current")
        for part in link.parents if here else ():
            if part.name == "li":
                part["class"][1:1] = ["current", "active"]
            elif part.name == "ul":
                part["class"] = ["current", *part.get("class", [])]
            elif part.name == "details":
                part["open"] = "open"
        if here and (below := link.find_next_sibling("details")):
            below["open"] = "open"
        link["href"] = relative_uri(page, link["href"]) or "#"
    if (parts := seen.select("details.companion-part")) and not any(
        "open" in p.attrs for p in parts
    ):
        parts[0]["open"] = "open"
    return seen


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension, before and after the theme."""
    app.connect("html-page-context", set_aside, priority=400)
    app.connect("html-page-context", share_contents, priority=900)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
