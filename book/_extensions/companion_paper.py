"""Sphinx extension: the paper, figure by figure, and the results behind each claim.

The directive `counterparts` takes an item of `data/counterparts.yaml` and sets beside it what this
book has: a thumbnail, a link to the result itself, its evidence, how close it is, and the verdicts
of the claims that rest on it, with how much of what they speak of was measured. The role `bearing`
names the results that bear on a claim. What is not in this build is named and not linked.
"""

from __future__ import annotations

import html
import sys
from pathlib import Path
from typing import Any

from companion_cite import OTHER_BOOKS, counterparts
from companion_results import RUNS, ResultDirective, ResultError, badges, find_result, name_of
from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxRole

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # this checkout's `companion`, whichever one is installed
from companion.claims.counterparts import (  # noqa: E402
    COUNTERPARTS,
    Counterpart,
    Item,
    bearing,
)


class thumbnail(nodes.General, nodes.Element):  # noqa: N801 - docutils' way to name nodes
    """A small picture of the figure `reference`, which leads to where it stands."""


class CounterpartsDirective(ResultDirective):
    """`{counterparts} ITEM`: an item of the paper, and what this book sets beside it."""

    option_spec = {}  # noqa: RUF012 - docutils' interface

    def run(self) -> list[nodes.Node]:
        """Build the nodes: what the item shows, the claims that rest on it, the counterparts."""
        items = counterparts()
        self.env.note_dependency(str(COUNTERPARTS))
        if self.arguments[0] not in items:
            raise self.error(f"counterparts: {COUNTERPARTS.name} has no {self.arguments[0]!r}.")
        item = items[self.arguments[0]]
        anchor = nodes.container(ids=[f"paper-{item.id}"], classes=["paper-item"])
        anchor += self.parse_text_to_nodes(
            f"*{versions(item)}.* {item.shows}\n\n{self.claims(item)}"
        )
        for one in item.counterparts:
            anchor += self.beside(one)
        if not item.counterparts:
            anchor += nodes.paragraph("", "Nothing stands beside it.")
        return [anchor]

    def claims(self, item: Item) -> str:
        """The claims that rest on an item, each with its verdict and its coverage, as MyST."""
        told = []
        for name in item.claims:
            path, output, _ = find_result(f"claims/paper#{name}-badge")
            self.env.note_dependency(str(path))
            told.append(f"{{ref}}`{name} <claim-{name}>` {output['data']['text/markdown']}")
        return f"Claims: {'; '.join(told)}." if told else ""

    def beside(self, one: Counterpart) -> list[nodes.Node]:
        """One counterpart: its picture, its number as a link, its evidence, how close it is."""
        note = noted(self.env, one.result)
        if note is None:
            text = f"`{one.result}`: not in this build; {one.closeness}."
        else:
            title = " ".join(note.get("caption", "").split()).split(". ")[0].rstrip(".")
            text = f"{{numref}}`{name_of(one.result)}` {title} {badges(note)}\n\n"
            text += f":::{{div}} closeness\n{one.closeness[0].upper()}{one.closeness[1:]}.\n:::"
        (box,) = self.parse_text_to_nodes(f"::::{{div}} counterpart\n{text}\n::::")
        if note and note["kind"] == "figure":
            box.insert(0, thumbnail(reference=one.result))
        return [box]


class BearingRole(SphinxRole):
    """The role `bearing`: the figures and tables of this build that bear on a claim."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Build the links, the best counterpart first."""
        self.env.note_dependency(str(COUNTERPARTS))
        shown: list[nodes.Node] = []
        for reference in bearing(counterparts(), self.text):
            if noted(self.env, reference) is not None:
                link = pending_xref(
                    "", nodes.inline("", reference), refdomain="std", reftype="numref",
                    refexplicit=False, refwarn=True, refdoc=self.env.docname,
                    reftarget=name_of(reference),
                )  # fmt: skip
                shown += [nodes.Text(", "), link] if shown else [link]
        return shown or [nodes.Text("no figure or table of this build")], []


def versions(item: Item) -> str:
    """Which versions of the paper have an item, in words."""
    return "Version " + " and ".join(name.removeprefix("v") for name in item.version)


def noted(env: Any, reference: str) -> dict[str, str] | None:
    """What a figure or table notes of itself; None if this build has it not."""
    env.note_dependency(str(RUNS / f"{reference.split('#')[0]}.ipynb"))
    try:
        _, output, _ = find_result(reference)
    except ResultError:
        return None
    note: dict[str, str] = output["metadata"]["companion"]
    return None if note["kind"] == "text" else note


def write_thumbnail(writer: Any, node: thumbnail) -> None:
    """The picture as HTML; in books of another form nothing."""
    builder = writer.builder
    known = builder.env.domaindata["std"]["anonlabels"]
    page, anchor = known.get(name_of(node["reference"]).lower(), ("", ""))
    if builder.name == "html" and page:
        here = builder.current_docname
        up = builder.get_relative_uri(here, "index").removesuffix("index.html")
        uri = html.escape(f"{builder.get_relative_uri(here, page)}#{anchor}")
        picture = f"{up}results/{node['reference'].replace('#', '/')}.png"
        writer.body.append(
            f'<a class="thumbnail" href="{uri}" tabindex="-1" aria-hidden="true">'
            f'<img src="{picture}" alt="the figure, small"></a>'
        )
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    app.add_node(thumbnail, html=(write_thumbnail, None), **OTHER_BOOKS)
    app.add_directive("counterparts", CounterpartsDirective)
    app.add_role("bearing", BearingRole())
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
