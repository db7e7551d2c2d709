"""How often each rule was wrong, and right, where the truth is known: what `worlds` counted.

The numbers lie in `data/rates/rates.csv`, which `data/rates/make.py` writes; see the README there.
"""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from base.roots import ROOT

FOLDER = ROOT / "data" / "rates"


class Rates(NamedTuple):
    """The error rates of one rule over its worlds, in percent of draws, and its power.

    ``wrongly_for``, ``wrongly_against``: the largest, with ``for_world`` and ``against_world`` in
    which it was found; ``power``: how often the claim was *reproduced* where it holds as printed
    and everything that it speaks of was measured; ``draws`` of each of ``worlds``.
    """

    wrongly_for: float
    for_world: str
    wrongly_against: float
    against_world: str
    power: float
    draws: int
    worlds: int


def kept() -> pd.DataFrame:
    """What is kept: a row for each world of each claim, as `worlds.rates` makes them."""
    return pd.read_csv(FOLDER / "rates.csv")


def of_claim(claim: str, table: pd.DataFrame) -> Rates:
    """The rates of one claim, by its id, from such a table."""
    rows = table[table["claim"] == claim].reset_index(drop=True)
    shares = [100 * rows[f"wrongly {side}"] / rows["draws"] for side in ("for", "against")]
    names = rows["world"].tolist()
    worst = [(float(s.max()), names[int(s.to_numpy().argmax())]) for s in shares]
    printed = rows[rows["printed"]].iloc[0]
    power = 100 * float(printed["reproduced"] / printed["draws"])
    return Rates(*worst[0], *worst[1], power, int(rows["draws"].max()), len(rows))
