"""How often a rule says what is not so, in worlds of which the truth is known.

`data/rates/worlds.yaml` lists worlds for each claim: what is true there, and which outcomes are
wrong. `rate` draws evidence in one many times (see `made_up`), judges every draw by the claim's
rule, and counts the outcomes. `data/rates/make.py` keeps what comes out, and each card says it.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from functools import cache
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from base.reach import Code
from base.strict import Strict, read_yaml
from companion.claims import made_up
from companion.claims import rates as drawn_before
from companion.claims.ledger import OUTCOMES, RULES, Claim, Outcome
from companion.claims.rules import judge

DRAWS, SEED = 400, 0
#: Code that the rules reach and that decides no rate: how what exists is read.
BEYOND = (
    "analysis.families",
    "base.files",
    "analysis.images",
    "base.roots",
    "base.strict",
    "base.texts",
    "companion.measurements.records",
)


class World(Strict):
    """What is true, and which outcomes are then wrong.

    ``of``: the generator, ``given``: its arguments. ``wrong``: *reproduced*; ``for`` the claim
    (*agrees so far* as well); ``against`` it (*differs* or *mixed*); ``either``; or ``none``, where
    the world is only shown. ``printed``: the claim holds as the paper prints it, and all that it
    speaks of was measured: how often it is *reproduced* is the rule's power.
    """

    name: str
    of: str
    given: dict[str, Any] = Field(default_factory=dict)
    wrong: Literal["reproduced", "for", "against", "either", "none"]
    printed: bool = False

    @property
    def wrongly_for(self) -> set[Outcome]:
        """The outcomes that wrongly speak for the claim."""
        narrow: set[Outcome] = {"reproduced"} if self.wrong == "reproduced" else set()
        return {"reproduced", "agrees so far"} if self.wrong in ("for", "either") else narrow

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
    return Counter(judge(claim, evidence).outcome for evidence in drawn)


def code_of(claim: Claim, listed: list[World]) -> str:
    """A hash of what decides a claim's rates: its rule and all that it reaches, and its worlds."""
    judging, code = RULES[claim.id], _code()
    drawn = sorted({f"{made_up.__name__}.{world.of}" for world in listed})
    names = [f"{judging.__module__}.{judging.__name__}", "companion.claims.ledger.verdict", *drawn]
    parts: list[Any] = [code.from_name(name).by_module() for name in names]
    parts += [claim.values, claim.names, claim.tolerance, *(w.model_dump() for w in listed)]
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


@cache
def _code() -> Code:
    return Code(beyond=BEYOND)


def rates(claim: Claim, listed: list[World], draws: int = DRAWS) -> pd.DataFrame:
    """A row for each world of a claim: how many draws gave each outcome, and how many wrongly."""
    rows = []
    for world in listed:
        found = rate(claim, world, draws, SEED)
        rows.append(
            {"claim": claim.id, "world": world.name, "draws": draws, "seed": SEED}
            | {outcome: found[outcome] for outcome in OUTCOMES}
            | {"wrongly for": sum(found[each] for each in world.wrongly_for)}
            | {"wrongly against": sum(found[each] for each in world.wrongly_against)}
            | {"printed": world.printed, "code": code_of(claim, listed)}
        )
    return pd.DataFrame(rows)
