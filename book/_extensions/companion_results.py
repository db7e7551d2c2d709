"""Sphinx extension: show the labelled results of runs, on their own pages and on the book's.

A notebook publishes figures, tables and texts under labels (`companion.publish.style`). The
directive and the role `result` take `EXPERIMENT/SUBJECT#LABEL` and show that result as it stands
in the executed notebook; a run's own page goes through the same directive. A page is read again
when one of the runs that it shows has changed. Of a run without evidence, which has no page, the
directive says once that nothing is measured, and a reference leads to its experiment's page of what
is not.

A run may lack a result that its notebook publishes under other circumstances, as where a recorded
measurement is broken. There the directive and the role say "not measured in this build", and a
figure or a table has a number all the same. A label that is not in the notebook is an error.
"""

from __future__ import annotations

import html
import json
import re
import sys
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.docutils import SphinxDirective, SphinxRole

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # this checkout's `analysis`, whichever one is installed
from companion_cite import menu  # noqa: E402

from companion.publish import runpage  # noqa: E402
from companion.publish.downloads import shown_in  # noqa: E402
from companion.publish.labels import kind_in_source  # noqa: E402
from companion.publish.svg import explorer, inline_svg  # noqa: E402
from companion.publish.words import unusable  # noqa: E402
from companion.runs import experiments, status  # noqa: E402
from companion.runs.experiments import OUTPUTS as RUNS  # noqa: E402

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

    Its arguments: the kind of the result, and what is wrong with files that it may need.
    """


def find_result(reference: str) -> tuple[Path, dict[str, Any], dict[str, Any]]:
    """The run's file, the output that carries the label, and the cell that made it."""
    match = re.fullmatch(r"(\w+)/([\w.-]+)#([\w-]+)", reference.strip())
    if not match:
        raise ResultError(f"{reference!r} is not of the form EXPERIMENT/SUBJECT#LABEL")
    experiment, subject, label = match.groups()
    path = RUNS / experiment / f"{subject}.ipynb"
    if not path.exists():
        wanted = NotMeasuredError if page_instead(f"runs/{experiment}/{subject}") else ResultError
        raise wanted(f"there is no run {experiment}/{subject}")
    results = _results(path, path.stat().st_mtime_ns)
    if label not in results:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        if kind := kind_in_source(notebook, label):
            why = notebook["metadata"]["companion"].get("lacks", [])
            raise NotPublishedError(kind, why)
        raise ResultError(
            f"run {experiment}/{subject} has no result {label!r}; it has {[*results]}"
        )
    return path, *results[label]


def not_so(cell: dict[str, Any], label: str) -> list[str]:
    """What the book says of a result and does not hold of these numbers (`style.holds`)."""
    notes = (output.get("metadata", {}).get("companion", {}) for output in cell["outputs"])
    return [
        n["says"] for n in notes if n.get("kind") == "not-so" and n["label"] in (label, "not-so")
    ]


def name_of(reference: str) -> str:
    """The name by which pages refer to a result where it stands first."""
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


def page_instead(name: str) -> str:
    """The page of what is not measured, instead of a run's; "" if no such run is possible."""
    kind, experiment, subject = (*name.split("/"), "", "")[:3]
    try:
        run = experiments.find_run(experiment, subject)
    except experiments.RunError:
        return ""
    absent = kind == "runs" and not experiments.has_evidence(run)
    return "runs/not_measured" if absent else ""


def kinds_of_results(run: str) -> dict[str, str]:
    """Label → kind, of all results of a run."""
    path = RUNS / f"{run}.ipynb"
    found = _results(path, path.stat().st_mtime_ns)
    return {label: output["metadata"]["companion"]["kind"] for label, (output, _) in found.items()}


@lru_cache(maxsize=8)  # a page's results come from few runs, one after the other
def _results(path: Path, changed: int) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """Label → output and cell, of all results of a run; parsed once while it does not change."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return {
        output["metadata"]["companion"]["label"]: (output, cell)
        for cell in cells
        for output in cell.get("outputs", [])
        if output.get("metadata", {}).get("companion", {}).get("kind", "not-so") != "not-so"
    }


class ResultDirective(SphinxDirective):
    """`{result} EXPERIMENT/SUBJECT#LABEL`: a figure, a table or a block of text."""

    required_arguments = 1
    option_spec = {"again": directives.flag}  # noqa: RUF012 - docutils' interface

    def run(self) -> list[nodes.Node]:
        """Build the nodes of the result."""
        reference = self.arguments[0]
        try:
            path, output, cell = find_result(reference)
        except NotPublishedError as lack:
            return self.not_published(reference, *lack.args)
        except NotMeasuredError:
            return self.not_measured(reference.split("#")[0])
        except ResultError as error:
            raise self.error(f"result: {error}") from error
        self.env.note_dependency(str(path))
        note, data = output["metadata"]["companion"], output["data"]
        target = self.target(reference)
        if note["kind"] == "figure":
            shown = self.figure(data["image/svg+xml"], note, target)
        elif note["kind"] == "table":
            shown = self.table(data["text/markdown"], note, target)
        elif note["kind"] == "explorer":
            static = "../" * self.env.docname.count("/") + "_static"
            markup = explorer(data["application/json"], static)
            shown = [nodes.raw("", markup, format="html")]
        else:
            shown = self.parse_text_to_nodes(data["text/markdown"])
            self.name_card(shown, note["label"])
            if name_of(reference) in self.env.companion_places[1]:  # by a number, like a table
                shown += self.not_published(reference, "table", [])
        more = " ".join(note.get("more", "").split())
        below = self.parse_text_to_nodes(f"```{{div}} companion-more\n{more}\n```") if more else []
        if note["kind"] == "text":
            return shown
        below += [
            nodes.paragraph("", f"“{says}” does not hold of these numbers.", classes=["not-so"])
            for says in not_so(cell, note["label"])
        ]
        about = json.loads(path.read_text(encoding="utf-8"))["metadata"]["companion"]
        return [*shown, *below, menu(reference, about, output, self.config)]

    def not_measured(self, run: str) -> list[nodes.Node]:
        """What stands for the results of a run without evidence: once on a page, then nothing."""
        self.env.note_dependency(str(RUNS / f"{run}.ipynb"))
        said = self.env.temp_data.setdefault("companion-not-measured", set())
        if run in said:
            return []
        said.add(run)
        return self.parse_text_to_nodes(
            ":::{admonition} Not measured yet\n:class: not-measured\n"
            f"In this build there is nothing to show here: {{doc}}`/runs/{run}`.\n:::"
        )

    def not_published(self, reference: str, kind: str, why: list[str]) -> list[nodes.Node]:
        """What stands for a result that this build lacks: once on a page why, and a number."""
        run = reference.split("#")[0]
        self.env.note_dependency(str(RUNS / f"{run}.ipynb"))
        said = self.env.temp_data.setdefault("companion-not-published", set())
        shown = [] if run in said else self.parse_text_to_nodes(unusable(why))
        said.add(run)
        if kind == "text":
            told = shown or [nodes.paragraph("", ABSENT["caption"])]
            card = nodes.container("", *told, classes=["claim-card"])
            self.name_card([card], reference.split("#")[1])
            return [card]
        box = self.table(f"| result |\n|---|\n| {LACKING} |", ABSENT, self.target(reference))
        return [*shown, *box]

    def name_card(self, shown: list[nodes.Node], label: str) -> None:
        """Give a claim's card an anchor, on every page; its name leads to the one in the ledger."""
        for card in shown:
            if isinstance(card, nodes.Element) and "claim-card" in card["classes"]:
                if self.env.docname == "appendix/claims":
                    self.options["name"] = f"claim-{label}"
                    self.add_name(card)
                else:
                    card["ids"].append(f"claim-{label}".lower())

    def target(self, reference: str) -> str:
        """The name by which pages refer to a result: its own where it is shown first.

        That is in a chapter, if one shows it, else on the page of its run. Elsewhere it is "shown
        again", under the same number.
        """
        here, run = self.env.docname, f"runs/{reference.split('#')[0]}"
        away = here != self.env.companion_places[0].get(reference, run)
        return name_of(reference) + shown_in(here) * (away or "again" in self.options)

    def figure(self, svg: str, note: dict[str, str], target: str) -> list[nodes.Node]:
        """A numbered, captioned figure with the SVG inline."""
        figure = nodes.figure("", nodes.raw("", inline_svg(svg, note["alt"]), format="html"))
        figure["classes"].append("companion-figure")
        told, messages = self.parse_inline(_caption(note, target))
        figure += nodes.caption("", "", *told)
        self.options["name"] = target
        self.add_name(figure)
        self.set_source_info(figure)
        return [figure, *messages]

    def table(self, markdown: str, note: dict[str, Any], target: str) -> list[nodes.Node]:
        """A numbered, captioned table that sorts, in a container that scrolls.

        A long one has a box above it to search in, and a column's values to choose from; both are
        made by the page's script.
        """
        look = "sortable" + " searchable" * ("search" in note) + " cards" * ("choose" in note)
        fence = f"::::{{table}} {_caption(note, target)}\n:name: {target}\n:class: {look}\n"
        shown = self.parse_text_to_nodes(f"{fence}\n{markdown}\n\n::::")
        for cell in [cell for head in shown[0].findall(nodes.thead) for cell in head[0]]:
            if told := note.get("columns", {}).get(cell.astext()):
                cell[0][:] = [nodes.abbreviation("", "", *cell[0].children, explanation=told)]
        if note.get("search"):
            label, column = (html.escape(note.get(of, "")) for of in ("search", "choose"))
            told = f'data-label="{label}"' + f' data-choose="{column}"' * bool(column)
            place = f'<div class="companion-search" {told}></div>'
            shown.insert(0, nodes.raw("", place, format="html"))
        return shown

    def is_page(self, run: str) -> bool:
        """Whether the table of contents has the run as a page of its own."""
        return f"runs/{run}" in self.env.found_docs


class ResultRole(SphinxRole):
    """The role `result`: a published text inside a sentence."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Build the text."""
        try:
            path, output, cell = find_result(self.text)
            kind = output["metadata"]["companion"]["kind"]
            if kind != "text":
                raise ResultError(f"{self.text} is a {kind}; only a text fits in a sentence")
        except NotMeasuredError as lack:
            self.env.note_dependency(str(RUNS / f"{self.text.split('#')[0]}.ipynb"))
            told = LACKING if isinstance(lack, NotPublishedError) else ABSENT["caption"]
            return [nodes.inline("", told)], []
        except ResultError as error:
            message = self.inliner.reporter.error(f"result: {error}", line=self.lineno)
            return [self.inliner.problematic(self.rawtext, self.rawtext, message)], [message]
        self.env.note_dependency(str(path))
        text = output["data"]["text/markdown"]
        shown, messages = self.inliner.parse(text, self.lineno, None, self.inliner.parent)
        marks = [
            nodes.inline("", f" [“{says}” does not hold of these numbers]", classes=["not-so"])
            for says in not_so(cell, output["metadata"]["companion"]["label"])
        ]
        return [nodes.inline("", "", *shown, *marks)], messages


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
        source[0] = json.dumps(runpage.of(json.loads(source[0])))


def _caption(note: dict[str, str], target: str) -> str:
    """The caption with the kind of evidence behind it, on one line."""
    again = "(Shown again.) " * ("-in-" in target)
    return f"{again}{' '.join(note['caption'].split())} {badges(note)}".rstrip()


def badges(note: dict[str, str]) -> str:
    """The kinds of evidence behind a result, as MyST."""
    kinds = filter(None, note.get("evidence", "").split(", "))
    return " ".join(f"{{evidence}}`{kind}`" for kind in kinds)


class StatusDirective(ResultDirective):
    """`{run-status}`: a table of all runs with their evidence, code version, day and machine."""

    required_arguments = 0
    option_spec = {}  # noqa: RUF012 - docutils' interface

    def run(self) -> list[nodes.Node]:
        """Build the table."""
        self.env.note_reread()
        rows = ["| experiment | for | evidence | code | day of the evidence | machine |",
                "|---|---|---|---|---|---|"]  # fmt: skip
        for entry in status.entries():
            run = str(entry.run)
            experiment, subject = run.split("/")
            shown = f"{{doc}}`{subject} </runs/{run}>`" if self.is_page(run) else f"`{subject}`"
            kinds = ", ".join(entry.evidence) or "none"
            cells = [experiment.replace("_", " "), shown, kinds, f"`{entry.code}`",
                     ", ".join(entry.days), ", ".join(entry.machines)]  # fmt: skip
            rows.append(f"| {' | '.join(cells)} |")
        caption = "Every run of this build: what it rests on, and with which code it was made."
        return self.table("\n".join(rows), {"caption": caption}, "run-status")


class EvidenceRole(SphinxRole):
    """The role `evidence`: a small badge `published`, `recorded` or `live`."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Build the badge."""
        text = f"evidence: {self.text}"
        return [nodes.inline("", text, classes=["evidence", f"evidence-{self.text}"])], []


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    app.add_directive("result", ResultDirective)
    app.add_directive("run-status", StatusDirective)
    app.add_role("result", ResultRole())
    app.add_role("evidence", EvidenceRole())
    app.add_post_transform(LeadToNotMeasured)
    app.connect("env-get-outdated", find_places)
    app.connect("source-read", show_results_in_runs)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
