"""The counterparts in this book of each figure, table and claim of the paper, from one file.

`data/counterparts.yaml` names the counterparts, and says how close each is. What can be computed is
not in it: evidence is noted with the results, coverage is the verdicts'. Which claims rest on an
item, each claim says itself (`items` in `data/claims.yaml`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from analysis.base.roots import ROOT
from analysis.base.strict import Strict, read_yaml
from companion.claims.ledger import CLAIMS, ClaimError, Entry, entries, load_claims

COUNTERPARTS = ROOT / "data" / "counterparts.yaml"

Quantity = Literal["the same quantity", "another quantity", "the paper's own numbers, redrawn"]


class Counterpart(Strict):
    """A result of this book, and how close it is; the fields are explained in the file."""

    result: str
    quantity: Quantity
    other: tuple[str, ...] = ()
    says: str = ""
    claims: tuple[str, ...] = ()
    miniature: bool = False

    @property
    def closeness(self) -> str:
        """How close a counterpart is to the paper's item, in words."""
        of = f", with other {' and '.join(self.other)}" if self.other else ""
        mini = ", in the pocket lab's miniature" if self.miniature else ""
        return f"{self.quantity}{of}{mini}{f' ({self.says})' if self.says else ''}"


class Printed(Entry):
    """A figure, table or statement of the paper, as the file has it."""

    place: str
    version: tuple[Literal["v1", "v2"], ...]
    shows: str
    counterparts: tuple[Counterpart, ...]


class Item(Printed):
    """A figure, table or statement of the paper, with the claims that rest on it."""

    claims: tuple[str, ...]

    def claims_of(self, counterpart: Counterpart) -> tuple[str, ...]:
        """The claims that one of its counterparts bears on."""
        return counterpart.claims or self.claims


def load_counterparts(path: Path = COUNTERPARTS) -> dict[str, Item]:
    """All items by id, in the file's order; ClaimError names the entry and the field."""
    printed = entries(read_yaml(path, ClaimError), Printed, path.name)
    claims = load_claims()
    for claim in claims.values():
        if unknown := [name for name in claim.items if name not in printed]:
            raise ClaimError(
                f"{CLAIMS.name}, {claim.id}: {path.name} has no item {unknown[0]!r}; "
                f"it has {', '.join(printed)}."
            )
    resting = {name: [c.id for c in claims.values() if name in c.items] for name in printed}
    return {
        name: Item.model_validate(item.model_dump() | {"claims": resting[name]})
        for name, item in printed.items()
    }


def bearing(items: Mapping[str, Item], claim: str) -> list[str]:
    """The results that bear on a claim, the best first, those in miniature last."""
    results = [
        (ours.miniature, ours.result)
        for item in items.values()
        for ours in item.counterparts
        if claim in item.claims_of(ours)
    ]
    return [result for _, result in sorted(results, key=lambda each: each[0])]


def borne_on(items: Mapping[str, Item], result: str) -> tuple[list[Item], list[str]]:
    """The items of the paper whose counterpart a result is, and the claims that it bears on."""
    beside = [(i, ours) for i in items.values() for ours in i.counterparts if ours.result == result]
    claims = dict.fromkeys(name for item, ours in beside for name in item.claims_of(ours))
    return [item for item, _ in beside], list(claims)
