"""Sphinx extension: pages that any device and any reader can use, and what can be taken from them.

- The first cell of a row is its header, header cells say of what, landmarks have names.
- The search page has the text of every section, written when the book is built, since a page that
  is opened from a file may fetch nothing; it shows excerpts, chapters first.
- The download button of a chapter gives its teaching notebook with its data, that of a run a
  notebook which says how to get the package and runs in any folder. Where `repository.url` is set,
  text links lead to the teaching notebook on Colab and Binder.
- Builders that would drop figures, or overwrite the book, stop with a sentence.
"""

from __future__ import annotations

import json
import re
import textwrap
from functools import cache
from pathlib import Path
from string import Template
from typing import Any

import pydata_sphinx_theme
from docutils import nodes
from nbformat import v4
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.errors import SphinxError

from analysis.base.files import write_text
from analysis.base.quoting import in_html, tag
from analysis.base.roots import ROOT
from companion.engine import course, project
from companion.engine.policy import of_book
from companion.engine.sphinx.offline import when_written
from companion.engine.style import ROLE

#: Where the teaching notebooks with their data are, below the book's folder.
OFFERED = "_downloads/teach"

# What the theme's templates have, and what is there instead.
LANDMARKS = (
    ('<footer class="prev-next-footer d-print-none">', "</footer>",
     '<nav class="prev-next-footer d-print-none" aria-label="Previous and next page">', "</nav>"),
    ('<footer class="bd-footer-content">', "</footer>",
     '<div class="bd-footer-content">', "</div>"),
    ('<footer class="bd-footer">', "</footer>", "<div>", "</div>"),
    ('<div role="list" class="citation-list">', "", '<div class="citation-list">', ""),  # no items
)  # fmt: skip

#: Where a teaching notebook runs in the browser: by repository and branch on GitHub, and its name.
LAUNCHERS = {
    "Colab": "https://colab.research.google.com/github/{}/blob/{}/{}.ipynb",
    "Binder": "https://mybinder.org/v2/gh/{}/{}?urlpath=lab/tree/{}.ipynb",
}

#: Boxes whose time is not counted: exercises have one of their own, and some boxes are folded.
UNTIMED = {"exercise", "solution", "hint", "instructor", "dropdown"}
#: What a page shows to the letter, and tags; where a line could break before a percent sign.
VERBATIM = re.compile(
    r"(<(?:pre|code|script|style|svg)\b.*?</(?:pre|code|script|style|svg)>|<[^>]*>)", re.DOTALL
)
PERCENT = re.compile(r"(\d|^) %")
#: A badge in a page, up to where its title would stand.
BADGE = re.compile(r'<span class="evidence evidence-(?P<kind>\w+)"(?=>)')
#: What formulas lose in excerpts, where no MathJax runs: fonts, sizes, spaces, marks of commands.
TEX = re.compile(r"\\(?:math\w+|operatorname|[lr](?=Vert)|[bB]ig[lr]?|,)|[{}\\]")
#: A script within a template.
INLINE = r"<script(?: data-cfasync=\"false\")?>(.*?)</script>"
TO_FILE = r'<a href="(?!https?:|mailto:|#)[^"]*">(.*?)</a>'

SET_UP = 'import os\nimport sys\n\nsys.path[:0] = filter(None, [os.environ.get("COMPANION_ROOT")])'


def refuse_builders(app: Sphinx) -> None:
    """Stop before LaTeX, which would leave figures out, and before pages that replace the book's.

    Jupyter Book's `pdfhtml` writes one page into the folder of the HTML book.
    """
    over_html = app.builder.name == "singlehtml" and Path(app.outdir).name == "html"
    if app.builder.name == "latex" or over_html:
        raise SphinxError(
            "as LaTeX the book would lose its figures, and pdfhtml would overwrite its pages: "
            "`make pdf` makes a PDF of it."
        )


def head_rows(app: Sphinx, doctree: nodes.document) -> None:
    """Make the first cell of each row a header in tables that have a header line."""
    for group in doctree.findall(nodes.tgroup):
        if any(isinstance(child, nodes.thead) for child in group):
            next(group.findall(nodes.colspec))["stub"] = 1


def scope_headers(app: Sphinx, name: str, template: str, context: dict[str, Any], _: Any) -> None:
    """Say of header cells whether they are of a row or of a column."""
    if "body" in context:
        body = context["body"].replace('<th class="head', '<th scope="col" class="head')
        context["body"] = body.replace('<th class="stub', '<th scope="row" class="stub')


def define_terms(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Give each link to the glossary the term's definition as its title."""
    links = [link for link in doctree.findall(nodes.reference) if "#term-" in _target(link)]
    if links and app.config.companion_glossary in app.env.found_docs:
        definitions = {
            anchor: _without_numbers(item[-1]).split("\n\n")[0]
            for item in app.env.get_doctree(app.config.companion_glossary).findall(
                nodes.definition_list_item
            )
            for term in item.findall(nodes.term)
            for anchor in term["ids"]
        }
        for link in links:
            link["reftitle"] = definitions.get(_target(link).rpartition("#")[2], "")


def explain_badges(app: Sphinx, name: str, _: str, context: dict[str, Any], __: Any) -> None:
    """Give each badge of evidence what the glossary says of its kind as its title."""
    glossary = app.config.companion_glossary
    if glossary not in app.env.found_docs or not BADGE.search(context.get("body", "")):
        return
    texts = vars(app).setdefault("companion_kinds", {})
    for item in () if texts else app.env.get_doctree(glossary).findall(nodes.definition_list_item):
        if "term-evidence" in item[0]["ids"]:
            texts |= dict(re.findall(r"(\w+): ([^.]+\.)", item[-1].astext()))

    def explained(badge: re.Match[str]) -> str:
        text = texts.get(badge["kind"].capitalize(), "")
        return f'{badge[0]} title="{in_html(text[0].upper() + text[1:])}"' if text else badge[0]

    context["body"] = BADGE.sub(explained, context["body"])


def _without_numbers(definition: nodes.Element) -> str:
    """A definition's text without the numbers of equations, which only a page can show."""
    text: str = definition.astext()
    for number in definition.findall(addnodes.pending_xref):
        if number["reftype"] == "eq":
            text = text.replace(f" {number.astext()}", "", 1)
    return text


def _target(link: nodes.reference) -> str:
    return str(link.get("refuri") or f"#{link.get('refid', '')}")


def time_reading(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Say how long a page takes: 200 words a minute, half a minute a figure; no `UNTIMED` box."""
    boxes = [box for box in doctree.findall(nodes.admonition) if {*box["classes"]} & UNTIMED]
    boxes += doctree.findall(lambda node: node.tagname == "dropdown_main")
    texts, apart = _words(doctree, nested=True), [text for box in boxes for text in _words(box)]
    words = len(" ".join(texts).split()) - len(" ".join(apart).split())
    minutes = round(words / 200 + sum(1 for _ in doctree.findall(nodes.figure)) / 2)
    for place in [node for node in doctree.findall(nodes.inline) if "minutes" in node["classes"]]:
        place[:] = [nodes.Text(f"{minutes} minutes")]


# Search


def keep_text(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Note the text of each section of a page that is written, without code and drawings."""
    vars(app).setdefault("companion_texts", {})[docname] = [
        ("" if number == 0 else section["ids"][0], text)
        for number, section in enumerate(doctree.findall(nodes.section))
        if (text := " ".join(_words(section)))
    ]


def write_texts(app: Sphinx) -> None:
    """Write what the search page shows excerpts of; pages not written now keep their texts."""
    place, texts = Path(app.outdir) / "searchtexts.js", vars(app).get("companion_texts", {})
    if place.is_file():
        before = place.read_text(encoding="utf-8")
        texts = json.loads(before[before.index("{") : before.rindex(";")]) | texts
    kept = {name: texts[name] for name in sorted(app.env.found_docs) if name in texts}
    write_text(place, f"window.companionTexts = {json.dumps(kept, ensure_ascii=False)};\n")


def keep_percent(app: Sphinx, name: str, template: str, context: dict[str, Any], _: Any) -> None:
    """Break no line between a number and its percent sign, in texts and captions."""
    if "body" in context:
        parts = VERBATIM.split(context["body"])
        parts[::2] = [PERCENT.sub("\\1\u00a0%", part) for part in parts[::2]]
        context["body"] = "".join(parts)


def add_excerpts(app: Sphinx, name: str, *_: Any) -> None:
    """Give the search page the texts and the script that shows them.

    It is made after all others; the texts are there before Sphinx adds their checksum to it.
    """
    if name == "search":
        write_texts(app)
        app.add_js_file("../searchtexts.js", defer="defer")
        app.add_js_file("excerpts.js", defer="defer")


def _words(section: nodes.Element, nested: bool = False) -> list[str]:
    """The texts of a section's own paragraphs; those of its sections if they are ``nested``."""
    texts = []
    for child in section.children:
        if isinstance(child, nodes.title | nodes.raw | nodes.literal_block):
            continue
        if isinstance(child, nodes.section) and not nested:
            continue
        if isinstance(child, nodes.paragraph | nodes.caption):
            pieces = child.findall(nodes.Text)
            parts = (TEX.sub("", p) if isinstance(p.parent, nodes.math) else p for p in pieces)
            texts.append(" ".join("".join(parts).split()))
        elif isinstance(child, nodes.Element) and not isinstance(child, nodes.math_block):
            texts += _words(child, nested)
    return [text for text in texts if text]


# Downloads


def leave_out_files(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """On the single page, which is printed, say of files what they are and link to none."""
    if app.builder.name != "singlehtml":
        return
    for link in list(doctree.findall(nodes.reference)):  # downloads have neither of both
        to_file = link.get("refuri", "#" if "refid" in link else "")
        if not to_file.startswith(("#", "http:", "https:", "mailto:")):
            link.replace_self(link.children)
    for raw in list(doctree.findall(nodes.raw)):
        if {"companion-menu", "thumbnail"} & {*raw["classes"]}:
            raw.parent.remove(raw)
        else:  # links that the explorer's address needs as they are
            raw[:] = [nodes.Text(re.sub(TO_FILE, r"\1", raw.astext(), flags=re.S))]


def offer_downloads(app: Sphinx, name: str, template: str, context: dict[str, Any], _: Any) -> None:
    """Put a chapter's teaching notebook behind the download button, in place of its source."""
    groups = {group.get("label"): group for group in context.get("header_buttons", [])}
    buttons = groups.get("download-buttons", {}).get("buttons", [])
    if str(context.get("sourcename", "")).endswith(".md"):
        buttons[:] = [each for each in buttons if each.get("label") != "download-source-button"]
    for teaching in (each for each in course.names() if course.chapter_of(each) == name):
        place = f"{context['pathto'](OFFERED, 1)}/{teaching}"
        offers = [
            ("notebook + data", f"{place}.zip", "Solved, with blanks, and with its data", "box"),
            ("notebook", f"{place}_blanks.ipynb", "The notebook alone, with blanks", "code"),
        ]
        for where, url in LAUNCHERS.items() if (repository := github(app)) else ():
            address = url.format(repository, course.BRANCH, f"{teaching}_blanks")
            offers.append((where, address, f"Open on {where}", "rocket"))
        buttons[:0] = [
            {"type": "link", "text": text, "url": url, "tooltip": tooltip, "icon": f"fas fa-{icon}"}
            for text, url, tooltip, icon in offers
        ]


def github(app: Sphinx) -> str:
    """`ORGANISATION/NAME` of `repository.url` in the book's settings; "" if it is not on GitHub."""
    url = str(app.config.html_theme_options.get("repository_url", ""))
    match = re.fullmatch(r"https://github\.com/([\w.-]+/[\w.-]+?)(?:\.git)?/?", url)
    return match[1] if match else ""


def complete_notebooks(app: Sphinx) -> None:
    """Make the notebooks of runs that are offered say what they need, where the project knows."""
    if project.current().elsewhere is None:
        return
    for path in sorted((Path(app.outdir) / "_sources/runs").glob("*/*.ipynb")):
        notebook = json.loads(path.read_text(encoding="utf-8"))
        if notebook["cells"][0]["id"] != "get":
            url = str(app.config.html_theme_options.get("repository_url", ""))
            write_text(path, json.dumps(to_take_along(url, notebook), indent=1) + "\n")


def to_take_along(url: str, notebook: dict[str, Any]) -> dict[str, Any]:
    """A run's notebook with two cells in front, that say what it needs to run anywhere.

    ``url``: of the repository, if the book knows it. References to other pages become plain words.
    """
    ours, about = project.current(), notebook["metadata"]["companion"]
    assert ours.elsewhere is not None, "the project does not say what to do"
    text = Template(ours.elsewhere.read_text(encoding="utf-8").strip()).substitute(
        clone=f"clone {url}" if url else "get a copy of the companion's repository",
        command=ours.command.format(**about),
    )
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = ROLE.sub(r"\1", cell["source"])
    first, set_up = v4.new_markdown_cell(text, id="get"), v4.new_code_cell(SET_UP, id="set-up")
    return notebook | {"cells": [first, set_up, *notebook["cells"]]}


def name_landmarks(app: Sphinx) -> None:
    """Give the theme's landmarks names, and make no landmark of what is none."""
    for page in Path(app.outdir).rglob("*.html"):
        old = text = page.read_text(encoding="utf-8")
        for start, end, new_start, new_end in LANDMARKS:
            first, *rest = text.split(start)
            text = first + "".join(new_start + part.replace(end, new_end, 1) for part in rest)
        if text != old:
            write_text(page, text)


def set_policy(app: Sphinx, name: str, _: str, context: dict[str, Any], __: Any) -> None:
    """Have the browser run no script on a page but the book's files and the theme's own lines."""
    bodies = [getattr(file, "attributes", {}).get("body") for file in context["script_files"]]
    scripts = [*filter(None, bodies), *_inline_scripts(context["default_mode"])]
    policy = of_book(name, scripts, ["window.print()"])
    context["metatags"] = f"{policy}\n{context.get('metatags', '')}"


@cache
def _inline_scripts(mode: str) -> list[str]:
    """The scripts within the theme's templates."""
    folder = Path(pydata_sphinx_theme.__file__).parent / "theme" / "pydata_sphinx_theme"
    texts = [(folder / name).read_text(encoding="utf-8") for name in ("layout.html", "search.html")]
    scripts = [script for text in texts for script in re.findall(INLINE, text, flags=re.S)]
    scripts = [script.replace("{{ default_mode }}", mode) for script in scripts if script]
    if unknown := [script for script in scripts if "{{" in script]:
        raise SphinxError(f"the theme has a script of another kind, {unknown[0]!r}: see set_policy")
    return scripts


def configure(app: Sphinx, config: Config) -> None:
    """Find the book's own script that orders results of a search; give pages ``{{ version }}``.

    That is the version of `CITATION.cff`, where there is one.
    """
    if config.html_search_scorer:
        config.html_search_scorer = str(Path(app.confdir or app.srcdir, config.html_search_scorer))
    texts, citation = {"minutes": "[some minutes]{.minutes}"}, ROOT / "CITATION.cff"
    if citation.is_file():
        text = citation.read_text(encoding="utf-8")
        (texts["version"],) = re.findall(r"^version: (\S+)$", text, re.MULTILINE)
    config.myst_substitutions = config.myst_substitutions | texts


def describe(app: Sphinx, name: str, _: str, context: dict[str, Any], doctree: Any) -> None:
    """Give a page what is shown of a link to it: its title, a description, the book's picture.

    The front page's title is the book's, once. A picture is found by others if the settings have
    the book's address, `html.baseurl`.
    """
    tags, up = context.get("metatags", ""), app.config.html_baseurl or "../" * name.count("/")
    if name == app.config.root_doc:
        context["docstitle"] = ""
    elif doctree is not None:
        text = " ".join(text for part in doctree.findall(nodes.section) for text in _words(part))
        text = textwrap.shorten(text, 160, placeholder=" …")
        tags += tag("meta", name="description", content=text) + "\n"
        tags += tag("meta", property="og:title", content=app.env.titles[name].astext()) + "\n"
    if picture := app.config.companion_preview:
        tags += tag("meta", property="og:image", content=up + picture) + "\n"
    context["metatags"] = tags


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    app.add_config_value("companion_glossary", "", "env", str)  # the page that defines terms
    app.add_config_value("companion_preview", "", "html", str)  # the book's picture, below it
    app.connect("config-inited", configure)
    app.connect("builder-inited", refuse_builders)
    app.connect("doctree-read", head_rows)
    app.connect("doctree-resolved", time_reading)
    app.connect("doctree-resolved", keep_text)
    app.connect("doctree-resolved", define_terms)
    app.connect("doctree-resolved", leave_out_files)
    app.connect("html-page-context", scope_headers)
    app.connect("html-page-context", keep_percent)
    app.connect("html-page-context", explain_badges)
    app.connect("html-page-context", add_excerpts)
    app.connect("html-page-context", describe)
    app.connect("html-page-context", set_policy, priority=999)  # after all scripts are named
    app.connect("html-page-context", offer_downloads, priority=900)  # after the theme's buttons
    when_written(app, complete_notebooks)
    when_written(app, name_landmarks, also="singlehtml")
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
