"""Sphinx extension: results to cite, and to take along.

Below each figure and table that a run published is a menu: its data, the drawing, how to cite
it, its code, the command that makes it again; and what in the paper it bears on, as an extension
that knows the paper answers to the event `companion-bears-on`. The files are written into the built
book, under `results/`. Figures and tables of chapters are numbered within their chapter, those of a
run's page within its subject (R4.2 is the second of the fourth), and what is shown again keeps its
number.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import cache, partial
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.environment import BuildEnvironment
from sphinx_external_toc.collectors import TocTreeCollectorWithStyles

from analysis.base.quoting import Html, in_a_row, tag
from companion.engine import downloads, project
from companion.engine.fingerprints import code_version
from companion.engine.labels import line_in_source
from companion.engine.run import NOTEBOOKS, OUTPUTS
from companion.engine.sphinx.offline import when_written, write_if_changed

FOLDER = "results"


def menu(
    env: BuildEnvironment, reference: str, result: Any, method: list[nodes.Node]
) -> nodes.container:
    """The menu below a `result`: how it was computed, and links to its files."""
    up = "../" * env.docname.count("/")
    run, _, label = reference.partition("#")
    experiment, subject = run.split("/")
    at = f"{up}{FOLDER}/{run}/{label}"
    endings = {end for kind, end in downloads.ENDINGS.items() if kind in result.data}
    drawing, numbers = (
        Html(" · ".join(tag("a", e.upper(), href=f"{at}.{e}") for e in ends if e in endings))
        for ends in (("svg",), ("csv", "json"))
    )
    source = tag("a", f"notebooks/{experiment}.py", href=f"{up}{code_place(reference)}")
    page = f"runs/{run}"
    if page in env.found_docs and page != env.docname:
        source = in_a_row(source, " · ", tag("a", "its page", href=f"{up}{page}.html"))
    code = code_version(result.about["made_from"])
    bibtex = downloads.bibtex(reference, result.note, code, _book(env.config, subject))
    entries = {
        "Data": numbers,
        "Figure": drawing,
        "Cite": in_a_row(
            tag("code", reference), " · ", tag("a", "BibTeX", href=f"{at}.bib"), tag("pre", bibtex)
        ),
        "Code": in_a_row(source, ", version ", tag("code", code)),
    }
    if command := project.current().command:
        entries["Run"] = tag("code", command.format(experiment=experiment, subject=subject))
    entries = {name: entry for name, entry in entries.items() if entry}
    listed = in_a_row(
        *(in_a_row(tag("dt", name), tag("dd", text)) for name, text in entries.items())
    )
    names = ", ".join([*(["method"] if method else []), *entries]).capitalize()
    of_what = tag("span", f" of {reference}", class_="visually-hidden")
    opened = f"<details>{tag('summary', names, of_what)}<dl>"
    start = '<dt class="method">Method</dt><dd class="method">' if method else ""
    end = f"</dd>{listed}" if method else listed
    html_of = partial(nodes.raw, "", format="html")
    return nodes.container(
        "",
        html_of(f"{opened}{start}"),
        *method,
        html_of(f"{end}</dl></details>{_borne_on(env, up, reference)}"),
        classes=["companion-menu"],
    )


def _book(config: Config, subject: str) -> downloads.Book:
    """What is cited for a subject's results: the book, or its reader, who made it with the book."""
    title, year = config.html_title, config.copyright.split(",")[0]
    author = project.current().author(subject)
    return downloads.Book(author or config.author, title, year, title if author else "")


def _borne_on(env: BuildEnvironment, up: str, reference: str) -> str:
    """Links to what extensions say that a result bears on, on pages of this build."""
    answers = env.events.emit("companion-bears-on", reference)
    links = [
        tag("a", text, href=f"{up}{page}.html#{anchor}")
        for page, anchor, text in (place for answer in answers for place in answer)
        if page in env.found_docs
    ]
    return tag("p", "In the paper: ", Html(", ".join(links))) if links else ""


@cache
def code_place(reference: str) -> str:
    """Where the code of a result is in the built book, up to the line."""
    experiment, _, label = re.split("[/#]", reference)
    source = (NOTEBOOKS / f"{experiment}.py").read_text(encoding="utf-8")
    return f"{FOLDER}/{experiment}.html#L{line_in_source(source, label) or 1}"


def pages_of_code(app: Sphinx) -> Iterable[tuple[str, dict[str, str], str]]:
    """A page for each notebook's source, to link to its lines."""
    for source in sorted(NOTEBOOKS.glob("*.py")):
        lines = app.builder.highlighter.highlight_block(  # type: ignore[attr-defined]
            source.read_text(encoding="utf-8"), "python"
        ).split("<pre>", 1)[1]
        numbered = (tag("span", id=f"L{n}") + line for n, line in enumerate(lines.split("\n"), 1))
        title = f"notebooks/{source.name}"
        body = f'{tag("h1", title)}<div class="highlight"><pre>{chr(10).join(numbered)}'
        yield f"{FOLDER}/{source.stem}", {"title": title, "body": body}, "page.html"


def write_files(app: Sphinx) -> None:
    """Write the files of all results, where they have changed, and remove those of no result."""
    folder = Path(app.outdir) / FOLDER
    wanted: dict[Path, bytes] = {}
    for path in sorted(OUTPUTS.glob("*/*.ipynb")):
        run = path.relative_to(OUTPUTS).with_suffix("").as_posix()
        notebook = json.loads(path.read_text(encoding="utf-8"))
        code = code_version(notebook["metadata"]["companion"]["made_from"])
        book = _book(app.config, path.stem)
        files = downloads.files(notebook, run, code, book)
        wanted |= {folder / run / name: text for name, text in files}
    for path, content in wanted.items():
        write_if_changed(path, content)
    for path in folder.rglob("*.*"):
        if path.is_file() and path not in wanted and path.suffix != ".html":
            path.unlink()


def name_renumbered_pages_only() -> None:
    """Have the numbering of parts compare letters with letters.

    sphinx-external-toc compares the numbers of the last build, some of which it turned into
    letters, with numbers that it has yet to turn, and has every page of such a part written again.
    """
    collector: Any = TocTreeCollectorWithStyles
    number = collector.assign_section_numbers

    def renumber(self: Any, env: BuildEnvironment) -> list[str]:
        before = env.toc_secnumbers
        number(self, env)
        return [name for name, of in env.toc_secnumbers.items() if of != before.get(name)]

    collector.assign_section_numbers = renumber


def take_numbers_back(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Show Sphinx the numbers that it gave, so that it sees which change."""
    env.toc_fignumbers = getattr(env, "companion_numbers", env.toc_fignumbers)
    return []


def give_numbers(app: Sphinx, env: BuildEnvironment) -> Iterable[str]:
    """Number by chapter and subject, after Sphinx has numbered everything."""
    before = getattr(env, "companion_renumbered", None)
    numbers = downloads.renumber(env.toc_fignumbers, project.current().shelves())
    env.companion_numbers = env.toc_fignumbers  # type: ignore[attr-defined]
    env.companion_renumbered = numbers  # type: ignore[attr-defined]
    env.toc_fignumbers = {**numbers}  # of which Sphinx takes out a page that it reads again
    return [] if numbers == before else env.found_docs  # any page may refer to any number


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    name_renumbered_pages_only()
    app.add_event("companion-bears-on")  # given a reference; answers list (page, anchor, words)
    app.connect("env-get-updated", take_numbers_back, priority=100)
    app.connect("env-get-updated", give_numbers, priority=900)  # Sphinx numbers at 500
    app.connect("html-collect-pages", pages_of_code)
    when_written(app, write_files)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
