"""Sphinx extension: results to cite, and to take along.

Below each figure and table that a run published stands a menu: its data, the drawing, how to cite
it, its code, the command that makes it again; and what in the paper it bears on
(`data/counterparts.yaml`). The files are written into the built book, under `results/`. Figures and
tables of chapters are numbered within their chapter, those of a run's page within its family (R4.2
is the second of the fourth family), and what is shown again keeps its number.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from companion_offline import when_written
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.environment import BuildEnvironment
from sphinx_external_toc.collectors import TocTreeCollectorWithStyles

from analysis.families.registry import load_families
from companion.claims.counterparts import borne_on, load_counterparts
from companion.publish import downloads
from companion.publish.labels import line_in_source
from companion.runs.experiments import NOTEBOOKS, OUTPUTS
from companion.runs.fingerprints import code_version

FOLDER = "results"
counterparts = cache(load_counterparts)  # read once a build, not for every result


class result_menu(nodes.General, nodes.Element):  # noqa: N801 - docutils' way to name nodes
    """The menu below a result: `reference` and what `menu` found out about it."""


def menu(
    reference: str, note: Mapping[str, Any], data: Mapping[str, Any], code: str, config: Config
) -> Any:
    """The node below a result, of which a run of some version of the code notes what it is."""
    items, claims = borne_on(counterparts(), reference)
    return result_menu(
        reference=reference,
        items=[(item.id, item.place) for item in items],
        claims=claims,
        endings=[end for kind, end in downloads.ENDINGS.items() if kind in data],
        rows=data.get("text/csv", "").count("\n") - 1,
        bibtex=downloads.bibtex(reference, note, code, _book(config)),
        code=code,
    )


def _book(config: Config) -> downloads.Book:
    return downloads.Book(config.author, config.html_title, config.copyright.split(",")[0])


def write_menu(writer: Any, node: result_menu) -> None:
    """The menu as HTML, with links to the files; nothing in books of another form."""
    builder = writer.builder
    if builder.name != "html":
        raise nodes.SkipNode
    up = builder.get_relative_uri(builder.current_docname, "index").removesuffix("index.html")
    run, _, label = node["reference"].partition("#")
    experiment, subject = run.split("/")
    at = f"{up}{FOLDER}/{run}/{label}"
    links = {end: f'<a href="{at}.{end}">{end.upper()}</a>' for end in node["endings"]}
    drawing, data = (
        " · ".join(links[end] for end in ends if end in links)
        for ends in (("svg", "png"), ("csv", "json"))
    )
    rows = f", {node['rows']} row{'s' * (node['rows'] > 1)}" * (node["rows"] > 0)
    source = f'<a href="{up}{code_place(node["reference"])}">notebooks/{experiment}.py</a>'
    page = f"runs/{run}"
    if page in builder.env.found_docs and page != builder.current_docname:
        uri = builder.get_relative_uri(builder.current_docname, page)
        source += f' · <a href="{uri}">its page</a>'
    entries = {
        "Data": data and data + rows,
        "Figure": drawing,
        "Cite": f'<code>{node["reference"]}</code> · <a href="{at}.bib">BibTeX</a>'
        f"<pre>{html.escape(node['bibtex'])}</pre>",
        "Code": f"{source}, version <code>{node['code']}</code>",
        "Run": f"<code>companion run {experiment} {subject}</code>",
    }
    listed = "".join(f"<dt>{k}</dt><dd>{v}</dd>" for k, v in entries.items() if v)
    told = ", ".join(name.lower() for name, entry in entries.items() if entry)
    writer.body.append(
        f'<div class="companion-menu"><details><summary>{told.capitalize()}'
        f'<span class="visually-hidden"> of {node["reference"]}</span></summary>'
        f"<dl>{listed}</dl></details>{_borne_on(builder, node)}</div>\n"
    )
    raise nodes.SkipNode


def _borne_on(builder: Any, node: result_menu) -> str:
    """Links to what a result stands beside in the paper, and to the claims that it bears on."""
    items = [("paper", f"paper-{name}", html.escape(place)) for name, place in node["items"]]
    claims = [("claims", f"claim-{name.lower()}", name) for name in node["claims"]]
    links = [
        f'<a href="{builder.get_relative_uri(builder.current_docname, page)}#{anchor}">{text}</a>'
        for page, anchor, text in [(f"appendix/{name}", *link) for name, *link in items + claims]
        if page in builder.env.found_docs
    ]
    return f"<p>In the paper: {', '.join(links)}</p>" if links else ""


@cache
def code_place(reference: str) -> str:
    """Where the code of a result is in the built book, up to the line."""
    experiment, _, label = re.split("[/#]", reference)
    source = (NOTEBOOKS / f"{experiment}.py").read_text(encoding="utf-8")
    return f"{FOLDER}/{experiment}.html#L{line_in_source(source, label)}"


def pages_of_code(app: Sphinx) -> Iterable[tuple[str, dict[str, str], str]]:
    """A page for each notebook's source, to link to its lines."""
    for source in sorted(NOTEBOOKS.glob("*.py")):
        lines = app.builder.highlighter.highlight_block(  # type: ignore[attr-defined]
            source.read_text(encoding="utf-8"), "python"
        ).split("<pre>", 1)[1]
        numbered = (f'<span id="L{n}"></span>{line}' for n, line in enumerate(lines.split("\n"), 1))
        title = f"notebooks/{source.name}"
        body = f'<h1>{title}</h1><div class="highlight"><pre>{chr(10).join(numbered)}'
        yield f"{FOLDER}/{source.stem}", {"title": title, "body": body}, "page.html"


def write_files(app: Sphinx) -> None:
    """Write the files of all results, where they have changed, and remove those of no result."""
    folder = Path(app.outdir) / FOLDER
    wanted: dict[Path, bytes] = {}
    book = _book(app.config)
    for path in sorted(OUTPUTS.glob("*/*.ipynb")):
        run = path.relative_to(OUTPUTS).with_suffix("").as_posix()
        notebook = json.loads(path.read_text(encoding="utf-8"))
        code = code_version(notebook["metadata"]["companion"]["made_from"])
        found = downloads.files(notebook, run, code, book)
        wanted |= {folder / run / name: text for name, text in found}
    for path, content in wanted.items():
        if not path.is_file() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    for path in sorted(folder.rglob("*"), reverse=True):  # what a folder holds, before the folder
        if path.is_file() and path not in wanted and path.suffix != ".html":
            path.unlink()
        elif path.is_dir() and not any(path.iterdir()):
            path.rmdir()


def name_renumbered_pages_only() -> None:
    """Have the numbering of parts compare letters with letters.

    sphinx-external-toc compares the numbers of the last build, some of which it turned into
    letters, with numbers that it has yet to turn, and has every page of such a part written again.
    """
    number = TocTreeCollectorWithStyles.assign_section_numbers

    def renumber(self: TocTreeCollectorWithStyles, env: BuildEnvironment) -> list[str]:
        before = env.toc_secnumbers
        number(self, env)
        return [name for name, of in env.toc_secnumbers.items() if of != before.get(name)]

    TocTreeCollectorWithStyles.assign_section_numbers = renumber


def take_numbers_back(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Show Sphinx the numbers that it gave, so that it sees which change."""
    env.toc_fignumbers = getattr(env, "companion_numbers", env.toc_fignumbers)
    return []


def give_numbers(app: Sphinx, env: BuildEnvironment) -> Iterable[str]:
    """Number by chapter and family, after Sphinx has numbered everything."""
    before = getattr(env, "companion_renumbered", None)
    numbers = downloads.renumber(env.toc_fignumbers, load_families())
    env.companion_numbers = env.toc_fignumbers  # type: ignore[attr-defined]
    env.companion_renumbered = numbers  # type: ignore[attr-defined]
    env.toc_fignumbers = {**numbers}  # of which Sphinx takes out a page that it reads again
    return [] if numbers == before else env.found_docs  # any page may refer to any number


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    name_renumbered_pages_only()
    app.add_node(result_menu, html=(write_menu, None))
    app.connect("env-get-updated", take_numbers_back, priority=100)
    app.connect("env-get-updated", give_numbers, priority=900)  # Sphinx numbers at 500
    app.connect("html-collect-pages", pages_of_code)
    when_written(app, write_files)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
