"""How often each rule was wrong, and right, where the truth is known: what `worlds` counted.

The numbers lie in `data/rates/rates.csv`, which `data/rates/make.py` writes; see the README there.
"""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from analysis.base.roots import ROOT

FOLDER = ROOT / "data" / "rates"


class Rates(NamedTuple):
    """The error rates of one rule over its worlds, in percent of draws, and its power.

    ``wrongly_for``, ``wrongly_against``: the largest, with ``for_world`` and ``against_world`` in
    which it was found, among those that are not known to deceive the rule; ``deceived``: world →
    both rates, of those. ``in_part``: how often the claim was *partly established* where only a
    part of it is true, in ``part_world``, "" if there is none such. ``power``: how often the claim
    was *reproduced* where it holds as printed and everything that it speaks of was measured;
    ``draws`` of each of ``worlds``.
    """

    wrongly_for: float
    for_world: str
    wrongly_against: float
    against_world: str
    in_part: float
    part_world: str
    deceived: dict[str, tuple[float, float]]
    power: float
    draws: int
    worlds: int


def kept() -> pd.DataFrame:
    """What is kept: a row for each world of each claim, as `worlds.rates` makes them."""
    return pd.read_csv(FOLDER / "rates.csv")


def of_claim(claim: str, table: pd.DataFrame) -> Rates:
    """The rates of one claim, by its id, from such a table."""
    rows = table[table["claim"] == claim].set_index("world")
    columns = ["wrongly for", "wrongly against", "in part"]
    shares = rows[columns].mul(100 / rows["draws"], axis=0).astype(float)
    sound = shares[~rows["deceives"].astype(bool)]
    worst = [(float(sound[column].max()), str(sound[column].idxmax())) for column in columns]
    in_part = worst[2] if worst[2][0] else (0.0, "")
    deceived = shares[rows["deceives"].astype(bool)].iterrows()
    printed = rows[rows["printed"]].iloc[0]
    return Rates(
        *worst[0],
        *worst[1],
        *in_part,
        {str(name): (share.iloc[0], share.iloc[1]) for name, share in deceived},
        100 * float(printed["reproduced"] / printed["draws"]),
        int(rows["draws"].max()),
        len(rows),
    )
