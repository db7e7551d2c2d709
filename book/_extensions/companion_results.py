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
from functools import lru_cache
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.docutils import SphinxDirective, SphinxRole

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # this checkout's `analysis`, whichever one is installed
from companion_cite import menu  # noqa: E402

from analysis.families.registry import FAMILIES, load_family  # noqa: E402
from companion.publish.labels import kind_in_source  # noqa: E402
from companion.publish.svg import explorer, inline_svg  # noqa: E402
from companion.publish.words import unusable  # noqa: E402
from companion.runs import experiments, status  # noqa: E402
from companion.runs.experiments import OUTPUTS as RUNS  # noqa: E402

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


def page_instead(name: str) -> str:
    """The page of what is not measured, instead of a run's; "" if no such run is possible."""
    kind, experiment, subject = (*name.split("/"), "", "")[:3]
    try:
        run = experiments.find_run(experiment, subject)
    except experiments.RunError:
        return ""
    absent = kind == "runs" and not experiments.has_evidence(run)
    return "runs/not_measured" if absent else ""


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
    option_spec = {"code": directives.flag, "again": directives.flag}  # noqa: RUF012 - docutils' interface

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
        more = " ".join(note.get("more", "").split())
        below = self.parse_text_to_nodes(f"```{{div}} companion-more\n{more}\n```") if more else []
        code = self.code(cell, path) if "code" in self.options else []
        if note["kind"] == "text":
            return [*shown, *code]
        below += [
            nodes.paragraph("", f"“{says}” does not hold of these numbers.", classes=["not-so"])
            for says in not_so(cell, note["label"])
        ]
        about = json.loads(path.read_text(encoding="utf-8"))["metadata"]["companion"]
        return [*shown, *below, menu(reference, about, output, self.config), *code]

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
            return shown or [nodes.paragraph("", ABSENT["caption"])]
        again = f"-in-{self.env.docname.replace('/', '-')}" * ("again" in self.options)
        box = self.table(f"| result |\n|---|\n| {LACKING} |", ABSENT, name_of(reference) + again)
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
        """The name by which pages refer to a result: its own, on the run's own page if it has one.

        On another page a result of such a run gets another name, since a name stands for one place,
        and so does what is shown `again`.
        """
        name = name_of(reference)
        own, here = f"runs/{reference.split('#')[0]}", self.env.docname
        if "again" in self.options or (own in self.env.found_docs and here != own):
            return f"{name}-in-{here.replace('/', '-')}"
        return name

    def figure(self, svg: str, note: dict[str, str], target: str) -> list[nodes.Node]:
        """A numbered, captioned figure with the SVG inline."""
        figure = nodes.figure("", nodes.raw("", inline_svg(svg, note["alt"]), format="html"))
        figure["classes"].append("companion-figure")
        told, messages = self.parse_inline(_caption(note))
        figure += nodes.caption("", "", *told)
        self.options["name"] = target
        self.add_name(figure)
        self.set_source_info(figure)
        return [figure, *messages]

    def table(self, markdown: str, note: dict[str, str], target: str) -> list[nodes.Node]:
        """A numbered, captioned table that sorts, in a container that scrolls.

        A long one has a box above it to search in, and a column's values to choose from; both are
        made by the page's script.
        """
        look = "sortable" + " searchable" * ("search" in note) + " cards" * ("choose" in note)
        fence = f"::::{{table}} {_caption(note)}\n:name: {target}\n:class: {look}\n"
        shown = self.parse_text_to_nodes(f"{fence}\n{markdown}\n\n::::")
        if note.get("search"):
            label, column = (html.escape(note.get(of, "")) for of in ("search", "choose"))
            told = f'data-label="{label}"' + f' data-choose="{column}"' * bool(column)
            place = f'<div class="companion-search" {told}></div>'
            shown.insert(0, nodes.raw("", place, format="html"))
        return shown

    def is_page(self, run: str) -> bool:
        """Whether the table of contents has the run as a page of its own."""
        return f"runs/{run}" in self.env.found_docs

    def code(self, cell: dict[str, Any], path: Path) -> list[nodes.Node]:
        """The collapsed source of the cell that made the result."""
        run = path.relative_to(RUNS).with_suffix("").as_posix()
        summary = f"<summary>How this was computed: code of run <code>{run}</code></summary>"
        source = nodes.literal_block("", cell["source"], language="python")
        begin = nodes.raw("", f'<details class="companion-code">{summary}', format="html")
        return [begin, source, nodes.raw("", "</details>", format="html")]


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
            nodes.inline("", " [does not hold of these numbers]", title=says, classes=["not-so"])
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


def with_something_to_see(cells: list[dict[str, Any]], edition: str) -> list[dict[str, Any]]:
    """A notebook's cells without words for another edition, without those that published nothing
    but empty texts, and without the sections that show nothing.
    """
    others = {"paper", "pocket"} - {"pocket" if edition == "pocket" else "paper"}
    sections: list[list[dict[str, Any]]] = [[]]
    for cell in cells:
        tags = {*cell["metadata"].get("tags", [])}
        heading = cell["cell_type"] == "markdown" and cell["source"].startswith("## ")
        if heading or "remove-input" in tags:  # what ends a page belongs to no section
            sections.append([])
        if _shows(cell) is not False and not others & tags:
            sections[-1].append(cell)
    first, *rest = sections
    kept = [section for section in rest if any(_shows(cell) for cell in section)]
    return [*first, *(cell for section in kept for cell in section)]


def _shows(cell: dict[str, Any]) -> bool | None:
    """Whether a cell's outputs can be seen; None of a cell that has none."""
    outputs = cell.get("outputs", [])
    texts = [output.get("text") or output.get("data", {}).get("text/plain") for output in outputs]
    return any((text or "").strip() for text in texts) if outputs else None


def show_results_in_runs(app: Sphinx, docname: str, source: list[str]) -> None:
    """On a run's page, put the directive where the notebook holds a published result."""
    if not docname.startswith("runs/") or docname == "runs/not_measured":
        return
    notebook = json.loads(source[0])
    reference = "{experiment}/{subject}".format(**notebook["metadata"]["companion"])
    subject = notebook["metadata"]["companion"]["subject"]
    family = FAMILIES / f"{subject}.yaml"
    edition = load_family(subject).edition if family.is_file() else subject
    notebook["cells"] = with_something_to_see(notebook["cells"], edition)
    for cell in notebook["cells"]:
        tags = cell["metadata"].setdefault("tags", [])
        if cell["cell_type"] == "code":
            hidden = {"parameters", "injected-parameters"} & set(tags)
            tags.append("remove-input" if hidden else "hide-input")
        for output in cell.get("outputs", []):
            note = output.get("metadata", {}).get("companion")
            if note and note["kind"] != "not-so":
                directive = f"```{{result}} {reference}#{note['label']}\n```"
                output["data"] = {"text/markdown": directive}
                output["metadata"] = {}
    notebook["cells"].append(_rerun_cell(notebook))
    if lacks := notebook["metadata"]["companion"].get("lacks"):
        box = {"cell_type": "markdown", "id": "lacks", "metadata": {}, "source": unusable(lacks)}
        notebook["cells"].insert(1, box)
    source[0] = json.dumps(notebook)


def _rerun_cell(notebook: dict[str, Any]) -> dict[str, Any]:
    """A last cell that says how to run this notebook again, with its parameters."""
    about = notebook["metadata"]["companion"]
    parameters = next(
        (c["source"] for c in notebook["cells"] if "parameters" in c["metadata"]["tags"]),
        "",
    )
    text = (
        ":::{dropdown} Run this page yourself\n\n```sh\n"
        f"companion run {about['experiment']} {about['subject']}\n```\n\n"
        "Its parameters, their types and defaults; set one with `-p NAME VALUE`:\n\n"
        f"```python\n{parameters}\n```\n\n"
        f"The source is `notebooks/{about['experiment']}.py`.\n:::"
    )
    return {"cell_type": "markdown", "id": "rerun", "metadata": {}, "source": text}


def _caption(note: dict[str, str]) -> str:
    """The caption with the kind of evidence behind it, on one line."""
    return f"{' '.join(note['caption'].split())} {badges(note)}".rstrip()


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
        table = "\n".join(rows)
        caption = "Every run of this build: what it rests on, and with which code it was made."
        return self.parse_text_to_nodes(
            f"::::{{table}} {caption}\n:name: run-status\n:class: sortable\n\n{table}\n\n::::"
        )


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
    app.connect("source-read", show_results_in_runs)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
