"""How often a rule says what is not so, in worlds of which the truth is known.

`data/rates/worlds.yaml` lists worlds for each claim: what is true there, and which outcomes are
wrong. `rate` draws evidence in one many times (see `made_up`), judges every draw by the claim's
rule, and counts the outcomes. `data/rates/make.py` keeps what comes out, and each card says it.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from analysis.base.reach import Code
from analysis.base.strict import Strict, read_yaml
from companion.claims import made_up
from companion.claims import rates as drawn_before
from companion.claims.ledger import OUTCOMES, Claim, Outcome
from companion.claims.rules import RULES, found

DRAWS, SEED = 400, 0
#: Code that the rules reach and that decides no rate: what there is, and how it is read.
BEYOND = (
    "analysis.families",
    "analysis.base.files",
    "analysis.images",
    "analysis.base.roots",
    "analysis.base.strict",
    "analysis.base.texts",
    "companion.measurements.quantities",
    "companion.measurements.records",
    "companion.sources",
    "companion.sources.emoji",
)


class World(Strict):
    """What is true, and which outcomes are then wrong.

    ``of``: the generator, ``given``: its arguments. ``wrong``: ``for`` where the claim is false,
    ``against`` where it is true, ``either`` at the border. ``part``: a part of the claim is true,
    so that *partly established* is no wrong word. ``deceives``: the rule is known to be wrong there
    too often. ``printed``: the claim holds as the paper prints it, and all that it speaks of was
    measured: how often it is *reproduced* is the rule's power.
    """

    name: str
    of: str
    given: dict[str, Any] = Field(default_factory=dict)
    wrong: Literal["for", "against", "either"]
    part: bool = False
    deceives: bool = False
    printed: bool = False

    @property
    def wrongly_for(self) -> set[Outcome]:
        """The outcomes that wrongly speak for the claim."""
        whole: set[Outcome] = {"reproduced", "agrees so far"}
        in_part: set[Outcome] = set() if self.part else {"partly established"}
        return whole | in_part if self.wrong in ("for", "either") else set()

    @property
    def wrongly_against(self) -> set[Outcome]:
        """The outcomes that wrongly speak against the claim."""
        return {"differs", "mixed"} if self.wrong in ("against", "either") else set()


def worlds() -> dict[str, list[World]]:
    """The worlds of each claim, by the claim's id."""
    return {
        claim: [World.model_validate(world) for world in listed]
        for claim, listed in read_yaml(drawn_before.FOLDER / "worlds.yaml").items()
    }


def rate(claim: Claim, world: World, draws: int, seed: int) -> Counter[Outcome]:
    """How often each outcome follows for a claim in a world."""
    rng = np.random.default_rng([seed, *world.name.encode()])
    drawn = (made_up.GENERATORS[world.of](rng, **world.given) for _ in range(draws))
    return Counter(found(claim, evidence).outcome for evidence in drawn)


def code_of(claim: Claim, world: World) -> str:
    """A hash of what decides a rate: the rule and all that it reaches, and the world."""
    judging, code = RULES[claim.id], _code()
    names = (
        f"{judging.__module__}.{judging.__name__}",
        "companion.claims.ledger.verdict",
        f"{made_up.__name__}.{world.of}",
    )
    parts: list[Any] = [code.from_name(name).by_module() for name in names]
    parts += [claim.values, claim.names, claim.tolerance, world.name, world.given]
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


@cache
def _code() -> Code:
    return Code(beyond=BEYOND)


def rates(claim: Claim, listed: list[World], draws: int = DRAWS) -> pd.DataFrame:
    """A row for each world of a claim: how many draws gave each outcome, and how many wrongly."""
    rows = []
    for world in listed:
        counted = rate(claim, world, draws, SEED)
        rows.append(
            {"claim": claim.id, "world": world.name, "draws": draws, "seed": SEED}
            | {outcome: counted[outcome] for outcome in OUTCOMES}
            | wrong_words(world, counted)
            | {"code": code_of(claim, world)}
        )
    return pd.DataFrame(rows)


def wrong_words(world: World, counted: Mapping[Any, int]) -> dict[str, int | bool]:
    """What the truth in a world makes of the outcomes there: how many are wrong, and its kind."""
    return {
        "wrongly for": sum(counted[each] for each in world.wrongly_for),
        "wrongly against": sum(counted[each] for each in world.wrongly_against),
        "in part": counted["partly established"] if world.part else 0,
        "deceives": world.deceives,
        "printed": world.printed,
    }
