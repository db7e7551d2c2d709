"""What this book claims itself: one rule each, tried on encoders that did not make it.

These are ours, not the paper's, and no verdict on the paper counts them. `data/our_claims.yaml` has
the words of their cards. A rule takes one number per encoder and gives a case, as in `ledger`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.base.roots import ROOT
from analysis.base.strict import read_yaml
from analysis.metrics.indicators import rank_correlation
from companion.claims.deciding import SIGNIFICANCE
from companion.claims.ledger import ClaimError, Entry, entries
from companion.measurements.intervals import Result

Array = NDArray[np.float64]

FILE = ROOT / "data" / "our_claims.yaml"
#: Assignments of κ to encoders that are drawn, and their seed.
PERMUTATIONS, SEED = 2000, 0


class OurClaim(Entry):
    """One claim of this book: the words of its card, and the page that argues for it."""

    page: str
    short: str
    statement: str
    expected: str
    rule: str
    note: str
    after: tuple[str, ...] = ()


class Prediction(NamedTuple):
    """How well one number per encoder predicts another for a family that was left out.

    `families`: how many; `error`: mean absolute error of the predictions of their medians, and
    `error_without` of the mean of the others; `rank`: Spearman's ρ of the medians. `p`: how often κ
    in another order of families predicts as well. `predicted`: of each encoder, by the line of its
    family, (encoders,).
    """

    result: Result
    families: int
    error: float
    error_without: float
    rank: float
    p: float
    predicted: Array


def kappa_predicts(kurtosis: ArrayLike, loss: ArrayLike, family: Sequence[str]) -> Prediction:
    """Whether κ predicts a loss for a family of encoders that is left out whole.

    ``kurtosis``, ``loss``: of each encoder, (encoders,); ``family``: what it was first trained on.
    Encoders of one family are alike, so each family counts once, by its medians. A line in log κ is
    fitted to all other families. κ predicts if the mean absolute error is as small in at most
    `SIGNIFICANCE` of all orders of κ: a permutation test. Its false rate is at most that share if
    families are independent and none has more than another to say. The claim then holds if the loss
    rises with κ, and fails if it falls. Undecided otherwise, or with fewer than five families.

    >>> kappa_predicts([3, 4, 9, 30, 80, 90], [0.1, 0.12, 0.2, 0.35, 0.5, 0.52], "abcdef").result
    'holds'
    """
    logs, losses = np.log(np.asarray(kurtosis, np.float64)), np.asarray(loss, np.float64)
    names, of = np.unique([*family], return_inverse=True)
    x, y = (
        np.array([np.median(values[of == n]) for n in range(len(names))])
        for values in (logs, losses)
    )
    if len(names) < 5:
        nothing = np.full(len(logs), np.nan)
        return Prediction("undecided", len(names), np.nan, np.nan, np.nan, np.nan, nothing)
    error = np.abs(left_out(x, y) - y).mean()
    rng = np.random.default_rng(SEED)
    orders = rng.permuted(np.tile(x, (PERMUTATIONS, 1)), axis=1)
    drawn = np.abs(left_out(orders, y) - y).mean(axis=1)
    better = (1 + (drawn <= error + 1e-12).sum()) / (1 + PERMUTATIONS)
    rank = rank_correlation(x, y)
    result: Result = "undecided"
    if better <= SIGNIFICANCE:
        result = "holds" if rank > 0 else "fails"
    mean = (y.sum() - y) / (len(y) - 1)
    lines = np.array([np.polyfit(np.delete(x, n), np.delete(y, n), 1) for n in range(len(x))])
    return Prediction(
        result,
        len(names),
        float(error),
        float(np.abs(mean - y).mean()),
        rank,
        float(better),
        lines[of, 0] * logs + lines[of, 1],
    )


def left_out(x: Array, y: Array) -> Array:
    """For each place, the value there of the least-squares line through all others: (…, n), (n,).

    By the leverages of the line through all (Allen 1974), for one order of x or for many.
    """
    apart = x - x.mean(axis=-1, keepdims=True)
    squares = (apart**2).sum(axis=-1, keepdims=True)
    slope = (apart * y).sum(axis=-1, keepdims=True) / np.where(squares > 0, squares, 1)
    leverage = 1 / len(y) + apart**2 / np.where(squares > 0, squares, 1)
    residual = y - (y.mean() + slope * apart)
    predicted: Array = y - residual / (1 - leverage)
    return predicted


def false_rate(
    family: Sequence[str], alike: float = 0.0, trials: int = 400, seed: int = 1
) -> float:
    """How often the rule calls it established that noise is predicted: a share of `trials`.

    log κ and losses of these encoders are Gaussian and independent of each other; ``alike``: the
    correlation of two encoders of one family.
    """
    rng = np.random.default_rng(seed)
    names, of = np.unique([*family], return_inverse=True)

    def drawn() -> Array:
        shared, own = rng.normal(size=len(names))[of], rng.normal(size=len(of))
        return np.asarray(np.sqrt(alike) * shared + np.sqrt(1 - alike) * own)

    results = [kappa_predicts(np.exp(3 + drawn()), drawn(), family).result for _ in range(trials)]
    return results.count("holds") / trials


def load() -> dict[str, OurClaim]:
    """All claims of this book by id; ClaimError names the entry and the field."""
    content: Sequence[object] = read_yaml(FILE, ClaimError)["claims"]
    return entries(content, OurClaim, FILE.name)
