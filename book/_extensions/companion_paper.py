"""Sphinx extension: the paper, figure by figure, and the results behind each claim.

The directive `counterparts` takes an item of `data/counterparts.yaml` and shows next to it what
this book has: a thumbnail, a link to the result itself, its evidence, how close it is, and the
verdicts of the claims that rest on it, with the reason. The role `bearing` names the results that
bear on a claim; below a result are links back. What is not in this build is named and not linked.
The ledger's directive `cards` stands for the card of every claim, chapter by chapter; all claims
are plain data in the site's `claims.json`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxRole

from analysis.base.quoting import as_markdown, tag
from analysis.families.registry import FAMILIES, load_family
from companion.claims.counterparts import (
    COUNTERPARTS,
    Item,
    bearing,
    borne_on,
    load_counterparts,
)
from companion.claims.ledger import CLAIMS, Claim, load_claims
from companion.engine import project
from companion.engine.downloads import ENDINGS
from companion.engine.jobs import remembered
from companion.engine.sphinx.cite import code_place
from companion.engine.sphinx.offline import write_if_changed
from companion.engine.sphinx.result import (
    LACKING,
    NotMeasuredError,
    ResultDirective,
    ResultError,
    badges,
    depend_on,
    find_result,
    name_of,
    places_of,
    results_of,
)

counterparts = cache(load_counterparts)  # read once a build, not for every result
CARDS = "```{cards}\n```"
MODELS = "{doc}`/appendix/models` lists its models; {doc}`/runs/not_measured` says what they lack."


class CounterpartsDirective(ResultDirective):
    """`{counterparts} ITEM`: an item of the paper with its counterparts in this book."""

    option_spec = {}  # noqa: RUF012 - docutils' interface

    def run(self) -> list[nodes.Node]:
        """Build the nodes: what the item shows, the claims that rest on it, the counterparts."""
        items = counterparts()
        self.env.note_dependency(str(COUNTERPARTS))
        if self.arguments[0] not in items:
            raise self.error(f"counterparts: {COUNTERPARTS.name} has no {self.arguments[0]!r}.")
        item = items[self.arguments[0]]
        anchor = nodes.container(ids=[f"paper-{item.id}"], classes=["paper-item"])
        versions = " and ".join(name.removeprefix("v") for name in item.version)
        text = f"*Version {versions}.* {item.shows}\n\n{self.claims(item)}"
        anchor += self.parse_text_to_nodes(text)
        for ours in item.counterparts:
            anchor += self.beside(ours.result, f"{ours.closeness[0].upper()}{ours.closeness[1:]}.")
        return [anchor]

    def claims(self, item: Item) -> str:
        """The claims that rest on an item, each with its verdict and its reason, as MyST."""
        verdicts = []
        for name in item.claims:
            depend_on(self.env, "claims/paper")
            try:
                verdict = find_result(f"claims/paper#{name}-badge").data["text/markdown"]
            except NotMeasuredError:
                verdict = LACKING
            verdicts.append(f"{{ref}}`{name} <claim-{name}>` {verdict}")
        return f"Claims: {'; '.join(verdicts)}." if verdicts else ""

    def beside(self, reference: str, below: str) -> list[nodes.Node]:
        """One counterpart: its picture, its number as a link, its evidence, and what is said."""
        note = noted(self.env, reference)
        text = f"`{reference}`: not in this build."
        if note is not None:
            title = " ".join(note.get("caption", "").split()).split(". ")[0].rstrip(".")
            text = f"{{numref}}`{name_of(reference)}` {title} {badges(note)}"
        text += f"\n\n:::{{div}} closeness\n{below}\n:::"
        (box,) = self.parse_text_to_nodes(f"::::{{div}} counterpart\n{text}\n::::")
        up = "../" * self.env.docname.count("/")
        if note and note["kind"] == "figure":
            picture = thumbnail(reference, up, places_of(self.env)[0])
            box.insert(0, nodes.raw("", picture, format="html", classes=["thumbnail"]))
        if note:
            data = find_result(reference).data
            end = next(end for kind, end in ENDINGS.items() if kind in data)
            files = f"results/{reference.replace('#', '/')}.{end}", code_place(reference)
            named = zip(("data", "code"), files, strict=True)
            links = (nodes.reference("", text, refuri=up + at) for text, at in named)
            box += nodes.paragraph("", "", *links, classes=["files"])
        return [box]


class GlanceDirective(CounterpartsDirective):
    """`{glance} FAMILY`: the pages named, each with the first figure or table of its run."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Build a box for each page, in the order of the table of contents."""
        self.env.note_dependency(str(FAMILIES / f"{self.arguments[0]}.yaml"))
        family = load_family(self.arguments[0])
        links = MODELS if "appendix/models" in self.env.found_docs else ""
        boxes = self.parse_text_to_nodes(f"{as_markdown(family.backbone)}\n\n{links}")
        for page in self.content:
            run, link = page.removeprefix("runs/"), f"{{doc}}`/{page}`"
            depend_on(self.env, run)
            kinds = {label: result.note["kind"] for label, result in results_of(run).items()}
            shown = (label for label in kinds if kinds[label] not in ("text", "slide"))
            first = min(shown, key=kinds.__getitem__, default="")
            box = self.beside(f"{run}#{first}", link) if first else self.parse_text_to_nodes(link)
            boxes += box
        return boxes


class BearingRole(SphinxRole):
    """The role `bearing`: the figures and tables of this build that bear on a claim."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Build the links, the best counterpart first."""
        self.env.note_dependency(str(COUNTERPARTS))
        links = [
            f"{{numref}}`{name_of(reference)}`"
            for reference in bearing(counterparts(), self.text)
            if noted(self.env, reference) is not None
        ]
        text = ", ".join(links) or "no figure or table of this build"
        return self.inliner.parse(text, self.lineno, None, self.inliner.parent)  # type: ignore[no-any-return]


def noted(env: Any, reference: str) -> dict[str, str] | None:
    """What a figure or table notes of itself; None if this build has it not."""
    depend_on(env, reference.split("#")[0])
    try:
        note = find_result(reference).note
    except ResultError:
        return None
    return None if note["kind"] == "text" else note


def thumbnail(reference: str, up: str, places: Mapping[str, str]) -> str:
    """A small picture of a figure, HTML, which leads to the figure."""
    page = places.get(reference, f"runs/{reference.split('#')[0]}")
    uri = f"{up}{page}.html#{nodes.make_id(name_of(reference))}"
    small = f"{up}results/{reference.replace('#', '/')}.svg"
    picture = tag("img", src=small, alt="the figure, small")
    return tag("a", picture, class_="thumbnail", href=uri, tabindex="-1", aria_hidden="true")


def bears_on(app: Sphinx, reference: str) -> list[tuple[str, str, str]]:
    """A result's counterparts in the paper and the claims that it bears on: page, anchor, words."""
    items, claims = borne_on(counterparts(), reference)
    places = [("appendix/paper", f"paper-{item.id}", item.place) for item in items]
    return places + [("appendix/claims", f"claim-{name.lower()}", name) for name in claims]


def show_every_card(app: Sphinx, docname: str, source: list[str]) -> None:
    """Write sections instead of the ledger's `cards`: each chapter with the cards of its claims."""
    if docname == app.config.companion_ledger:
        app.env.note_dependency(str(CLAIMS))
        source[0] = source[0].replace(CARDS, cards_by_chapter(load_claims(), Path(app.srcdir)))


def cards_by_chapter(claims: Mapping[str, Claim], book: Path) -> str:
    """The cards of claims under their chapters' titles, as MyST; both in the claims' order."""
    sections = []
    for page in dict.fromkeys(claim.page for claim in claims.values()):
        title = (book / f"{page}.md").read_text(encoding="utf-8").partition("\n")[0]
        names = [name for name, claim in claims.items() if claim.page == page]
        cards = (f"```{{result}} claims/paper#{name}\n```" for name in names)
        sections.append("\n\n".join([f"#{title}", f"Discussed in {{doc}}`/{page}`.", *cards]))
    return "\n\n".join(sections)


def write_claims(app: Sphinx, failed: Exception | None) -> None:
    """Put every claim with its verdict, as plain data, at the root of the built site."""
    if app.builder.format == "html" and not failed:
        text = remembered("claims", project.current().knowledge(), _judged)
        write_if_changed(Path(app.outdir) / "claims.json", text.encode())


def _judged() -> str:
    from companion.chapters.claim_data import as_json  # late: it loads pandas

    return as_json()


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    app.connect("companion-bears-on", bears_on)
    app.connect("source-read", show_every_card)
    app.connect("build-finished", write_claims)
    app.add_directive("counterparts", CounterpartsDirective)
    app.add_directive("glance", GlanceDirective)
    app.add_role("bearing", BearingRole())
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
