"""Sphinx extension: show the labelled results of runs, on their own pages and on the book's.

A notebook publishes figures, tables and texts under labels (`companion.engine.style`). The
directive and the role `result` take `EXPERIMENT/SUBJECT#LABEL` and show that result as it is
in the executed notebook; a run's own page goes through the same directive. A page is read again
when one of the runs that it shows has changed, or the code that shows them. Of a run without
evidence, which has no page, the directive says once that nothing is measured, and a reference leads
to the page of what is not.

A run may lack a result that its notebook publishes under other circumstances, as where a recorded
measurement is broken. There the directive and the role say "not measured in this build", and a
figure or a table has a number all the same. A label that is not in the notebook is an error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.docutils import SphinxDirective, SphinxRole

from analysis.base.code import hash_of
from analysis.base.files import fingerprint
from analysis.base.quoting import in_a_row, tag
from companion.engine import experiments, project, runpage, style
from companion.engine.captions import CAPTIONS_FOLDER, definitions, read_captions
from companion.engine.downloads import shown_in
from companion.engine.labels import line_in_source
from companion.engine.run import NOTEBOOKS
from companion.engine.run import OUTPUTS as RUNS
from companion.engine.sphinx.cite import menu
from companion.engine.style import unusable
from companion.engine.svg import explorable, explorer, inline_svg

#: A result on a page, and whether it is shown again; and a reference to one by its number.
SHOWN = r"^```+\{result\} (\S+)\n(:again:)?"
NUMBERED = r"\{numref\}`(?:[^`]*<)?([\w.-]+)>?`"
LACKING = "not measured in this build"
ABSENT = {"caption": "Not measured in this build."}


class ResultError(Exception):
    """A reference that leads to no result."""


class NotMeasuredError(ResultError):
    """A reference to a run that the book has no page of, because there is nothing to show."""


class NotPublishedError(NotMeasuredError):
    """A reference to a result that a run's notebook names and that this build has not.

    Its arguments: whether it has a caption, and what is wrong with files that it may need.
    """


class Result(NamedTuple):
    """A result in a run's executed notebook: its note on itself, and its forms.

    ``about`` is what the notebook notes of the run, ``not_so`` what the book says of the result and
    does not hold of these numbers (`style.holds`), ``closing`` what the project says of the run.
    """

    note: dict[str, Any]
    data: dict[str, Any]
    about: dict[str, Any]
    not_so: list[str]
    closing: str


def find_result(reference: str) -> Result:
    """The result of that reference, `EXPERIMENT/SUBJECT#LABEL`."""
    match = re.fullmatch(r"(\w+/[\w.-]+)#([\w-]+)", reference.strip())
    if not match:
        raise ResultError(f"{reference!r} is not of the form EXPERIMENT/SUBJECT#LABEL")
    run, label = match.groups()
    path = RUNS / f"{run}.ipynb"
    if not path.exists():
        wanted = NotMeasuredError if page_instead(f"runs/{run}") else ResultError
        raise wanted(f"there is no run {run}")
    results = results_of(run)
    if label not in results:
        experiment = run.split("/")[0]
        source = (NOTEBOOKS / f"{experiment}.py").read_text(encoding="utf-8")
        notebook = json.loads(path.read_text(encoding="utf-8"))
        lacks = notebook["metadata"]["companion"].get("lacks", [])
        if lacks or line_in_source(source, label):
            raise NotPublishedError(label in read_captions(experiment), lacks)
        raise ResultError(f"run {run} has no result {label!r}; it has {[*results]}")
    return results[label]


def results_of(run: str) -> dict[str, Result]:
    """Label → result, of all that a run published."""
    path = RUNS / f"{run}.ipynb"
    return _results(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=8)  # a page's results come from few runs, one after the other
def _results(path: Path, changed: int) -> dict[str, Result]:
    notebook, results = json.loads(path.read_text(encoding="utf-8")), {}
    last = notebook["cells"][-1]  # no notebook of a book ends with words of its own
    closing = last["source"] if last["cell_type"] == "markdown" else ""
    for cell in notebook["cells"]:
        outputs = [(o, o.get("metadata", {}).get("companion")) for o in cell.get("outputs", [])]
        guards = [note for _, note in outputs if note and note["kind"] == "not-so"]
        for output, note in outputs:
            if note and note not in guards:
                label = note["label"]
                not_so = [n["says"] for n in guards if n.get("of", label) == label]
                about = notebook["metadata"]["companion"]
                results[label] = Result(note, output["data"], about, not_so, closing)
    return results


def depend_on(env: BuildEnvironment, run: str) -> None:
    """Have a page read again when a run changes, or comes: then the list of what is absent does."""
    path = RUNS / f"{run}.ipynb"
    env.note_dependency(str(path if path.is_file() else RUNS / "not_measured.md"))


def name_of(reference: str) -> str:
    """The name by which pages refer to a result where it is shown first."""
    return reference.replace("/", "-").replace("#", "-")


def find_places(app: Sphinx, env: BuildEnvironment, *_: Any) -> Iterable[str]:
    """Note which page shows a result first, and what pages refer to by its number.

    Where that is not as in the last build, every page is read again.
    """
    first: dict[str, str] = {}
    numbered: set[str] = set()
    for page in app.config.external_site_map:  # in the book's order
        path = Path(env.doc2path(page))
        text = path.read_text(encoding="utf-8") if path.suffix == ".md" else ""
        for reference, again in re.findall(SHOWN, text, re.MULTILINE):
            first |= {} if again else {reference: first.get(reference, page)}
        numbered |= {*re.findall(NUMBERED, text)}
    before = getattr(env, "companion_places", None)
    env.companion_places = first, numbered  # type: ignore[attr-defined]
    return [] if before == (first, numbered) else env.found_docs


def places_of(env: Any) -> tuple[dict[str, str], set[str]]:
    """Which page shows a result first, and what pages refer to by its number (`find_places`)."""
    places: tuple[dict[str, str], set[str]] = env.companion_places
    return places


def page_instead(name: str) -> str:
    """The page of what is not measured, instead of a run's; "" if no such run is possible."""
    kind, experiment, subject = (*name.split("/"), "", "")[:3]
    try:
        run = experiments.find_run(experiment, subject)
    except experiments.RunError:
        return ""
    absent = kind == "runs" and not experiments.has_evidence(run)
    return "runs/not_measured" if absent else ""


class ResultDirective(SphinxDirective):
    """`{result} EXPERIMENT/SUBJECT#LABEL`: a figure, a table or a block of text."""

    required_arguments = 1
    option_spec = {"again": directives.flag}  # noqa: RUF012 - docutils' interface

    def run(self) -> list[nodes.Node]:
        """Build the nodes of the result."""
        reference = self.arguments[0]
        run, _, label = reference.partition("#")
        depend_on(self.env, run)
        try:
            result = find_result(reference)
        except NotPublishedError as lack:
            return self.not_published(reference, *lack.args)
        except NotMeasuredError:
            return self.not_measured(run)
        except ResultError as error:
            raise self.error(f"result: {error}") from error
        note, data = result.note, result.data
        if note["kind"] == "figure":
            built = self.figure(data, note, self.target(reference))
        elif note["kind"] == "table":
            built = self.table(data["text/markdown"], note, self.target(reference))
        elif note["kind"] == "explorer":
            markup = explorer(data["application/json"], self.static, note.get("script", "explorer"))
            built = [nodes.raw("", markup, format="html")]
        else:
            built = self.parse_text_to_nodes(data["text/markdown"])
            self.name_card(built, label)
            if name_of(reference) in places_of(self.env)[1]:  # by a number, like a table
                built += self.not_published(reference, True, [])
        if note["kind"] == "text":
            return built
        more, method = (" ".join(note.get(of, "").split()) for of in ("more", "method"))
        below = self.parse_text_to_nodes(f"```{{div}} companion-more\n{more}\n```") if more else []
        below += [
            nodes.paragraph("", f"“{says}” does not hold of these numbers.", classes=["not-so"])
            for says in result.not_so
        ]
        explained = self.parse_text_to_nodes(method) if method else []
        listed = menu(self.env, reference, result, explained)
        return [*built, *below, listed, *self.closing(run, result)]

    def not_measured(self, run: str) -> list[nodes.Node]:
        """The substitute for results of a run without evidence: once on a page, then nothing."""
        return self.once(
            run,
            style.not_measured(
                f"In this build there is nothing to show here: {{doc}}`/runs/{run}`."
            ),
        )

    def closing(self, run: str, result: Result) -> list[nodes.Node]:
        """What the project says of a run, once on a page that borrows from it."""
        borrowed = result.closing and self.env.docname != f"runs/{run}"
        return self.once(f"{run}, at its end", result.closing) if borrowed else []

    def once(self, run: str, text: str) -> list[nodes.Node]:
        """What a page says of a run that is lacking, or lacks something: the first time alone."""
        said = self.env.temp_data.setdefault("companion-said", set())
        first = run not in said
        said.add(run)
        return self.parse_text_to_nodes(text) if first else []

    def not_published(self, reference: str, captioned: bool, why: list[str]) -> list[nodes.Node]:
        """The substitute for a result that this build lacks: the reason, once, and a number."""
        run, _, label = reference.partition("#")
        built = self.once(run, unusable(why))
        if not captioned:
            sentence = built or [nodes.paragraph("", ABSENT["caption"])]
            card = nodes.container("", *sentence, classes=["claim-card"])
            self.name_card([card], label)
            return [card]
        box = self.table(f"| result |\n|---|\n| {LACKING} |", ABSENT, self.target(reference))
        return [*built, *box]

    def name_card(self, built: list[nodes.Node], label: str) -> None:
        """Give a claim's card an anchor, on every page; its name leads to the one in the ledger."""
        for card in built:
            if "claim-card" in getattr(card, "attributes", {}).get("classes", ()):
                if self.env.docname == self.env.config.companion_ledger:
                    self.options["name"] = f"claim-{label}"
                    self.add_name(card)
                else:
                    card["ids"].append(f"claim-{label}".lower())

    @property
    def static(self) -> str:
        """The way from this page to the book's scripts and styles."""
        return "../" * self.env.docname.count("/") + "_static"

    def target(self, reference: str) -> str:
        """The name by which pages refer to a result: its own where it is shown first.

        That is in a chapter, if one shows it, else on the page of its run. Elsewhere it is "shown
        again", under the same number.
        """
        here, run = self.env.docname, f"runs/{reference.split('#')[0]}"
        away = here != places_of(self.env)[0].get(reference, run)
        return name_of(reference) + shown_in(here) * (away or "again" in self.options)

    def caption(self, note: dict[str, str], target: str) -> str:
        """The caption with the kind of evidence behind it, on one line; and where it was before."""
        run, _, _ = self.arguments[0].partition("#")
        home = places_of(self.env)[0].get(self.arguments[0], f"runs/{run}")
        again = f"(Repeated from {{doc}}`/{home}`.) " if "-in-" in target else ""
        return f"{again}{' '.join(note['caption'].split())} {badges(note)}".rstrip()

    def figure(self, data: dict[str, str], note: dict[str, str], target: str) -> list[nodes.Node]:
        """A numbered, captioned figure with the SVG inline."""
        svg = inline_svg(data["image/svg+xml"], note["alt"])
        if note.get("script"):
            svg += explorable(data["application/json"], note["script"], self.static)
        figure = nodes.figure("", nodes.raw("", svg, format="html"))
        figure["classes"] += ["companion-figure", "explorable"][: 1 + bool(note.get("script"))]
        text, messages = self.parse_inline(self.caption(note, target))
        figure += nodes.caption("", "", *text)
        self.options["name"] = target
        self.add_name(figure)
        self.set_source_info(figure)
        return [figure, *messages]

    def table(self, markdown: str, note: dict[str, Any], target: str) -> list[nodes.Node]:
        """A numbered, captioned table that sorts, in a container that scrolls.

        A long one has a box above it to search in, and a column's values to choose from; both are
        made by the page's script. Below the table is a list of what columns mean, for paper and for
        screens without a pointer; elsewhere the script makes tooltips of it.
        """
        if (shared := CAPTIONS_FOLDER / "columns.yaml").is_file():
            self.env.note_dependency(str(shared))
        looks = {"searchable": "search" in note, "cards": "choose" in note}
        look = " ".join(["sortable", *(name for name, has in looks.items() if has)])
        fence = f"::::{{table}} {self.caption(note, target)}\n:name: {target}\n:class: {look}\n"
        built = self.parse_text_to_nodes(f"{fence}\n{markdown}\n\n::::")
        if meanings := definitions(note, markdown):
            pairs = [[text.replace("'", "’") for text in pair] for pair in meanings.items()]
            rows = [in_a_row(tag("dt", of), " ", tag("dd", text), " ") for of, text in pairs]
            listed = tag("dl", *rows, class_="companion-columns")
            built.append(nodes.raw("", listed, format="html"))
        if note.get("search"):
            label, by = (note.get(of, "") for of in ("search", "choose"))
            place = tag("div", class_="companion-search", data_label=label, data_choose=by)
            built.insert(0, nodes.raw("", place, format="html"))
        return built


class ResultRole(SphinxRole):
    """The role `result`: a published text inside a sentence."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Build the text."""
        depend_on(self.env, self.text.split("#")[0])
        try:
            result = find_result(self.text)
            if result.note["kind"] != "text":
                raise ResultError(f"{self.text} is no text; only a text fits in a sentence")
        except NotMeasuredError as lack:
            sentence = LACKING if isinstance(lack, NotPublishedError) else ABSENT["caption"]
            return [nodes.inline("", sentence)], []
        except ResultError as error:
            message = self.inliner.reporter.error(f"result: {error}", line=self.lineno)
            return [self.inliner.problematic(self.rawtext, self.rawtext, message)], [message]
        text = result.data["text/markdown"]
        built, messages = self.inliner.parse(text, self.lineno, None, self.inliner.parent)
        marks = [
            nodes.inline("", f" [“{says}” does not hold of these numbers]", classes=["not-so"])
            for says in result.not_so
        ]
        return [nodes.inline("", "", *built, *marks)], messages


class LeadToNotMeasured(SphinxPostTransform):
    """Let references to the page of a run without evidence lead to what is said instead."""

    default_priority = 5  # before references are resolved

    def run(self, **_: Any) -> None:
        """Give them the other page's name."""
        for node in self.document.findall(addnodes.pending_xref):
            name = str(node.get("reftarget", "")).lstrip("/")
            if name.startswith("runs/") and name not in self.env.found_docs:
                page = page_instead(name)
                if page in self.env.found_docs:
                    slash = "" if node["reftype"] == "myst" else "/"
                    node.update_all_atts({"reftarget": slash + page, "reftargetid": None})
                    node["refdomain"] = "doc" if node["reftype"] == "myst" else "std"


def show_results_in_runs(app: Sphinx, docname: str, source: list[str]) -> None:
    """Make a page of a run's notebook."""
    if docname.startswith("runs/") and source[0].startswith("{"):
        notebook = json.loads(source[0])
        edition = project.current().edition(notebook["metadata"]["companion"]["subject"])
        source[0] = json.dumps(runpage.of(notebook, edition))


def badges(note: dict[str, str]) -> str:
    """The kinds of evidence behind a result, as MyST."""
    kinds = filter(None, note.get("evidence", "").split(", "))
    return " ".join(f"[evidence: {kind}]{{.evidence .evidence-{kind}}}" for kind in kinds)


def code_of_pages(book: Path) -> str:
    """Fingerprint of what pages are made with: these and a book's extensions, what publishes."""
    rooms = Path(__file__).parent, Path(runpage.__file__).parent, book / "_extensions"
    paths = [path for room in rooms for path in sorted(room.glob("*.py"))]
    return fingerprint([hash_of(path.read_text(encoding="utf-8")) for path in paths])


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension; where its code has changed, all pages are read again."""
    app.add_config_value("companion_code", code_of_pages(Path(app.srcdir)), "env", str)
    app.add_config_value("companion_ledger", "", "env", str)  # where claims' cards have names
    app.add_directive("result", ResultDirective)
    app.add_role("result", ResultRole())
    app.add_post_transform(LeadToNotMeasured)
    app.connect("env-get-outdated", find_places)
    app.connect("source-read", show_results_in_runs)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
