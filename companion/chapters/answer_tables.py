"""Rows of the trainings of `data/relearn/answers.py`: the curve by hand, the answer, the penalty.

Cells are asked for by what is not as in the plain training (`AnswerSettings`).
A median has the exact interval of two order statistics: of ten seeds the second to the ninth
(97.9 %), of three the least to the largest (75 %).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import binom

from companion.chapters import relearn_tables

USUAL = "vit_b_32-imagenet"
#: What is usual elsewhere: as in `plan.yaml`.
OWN: dict[str, dict[str, Any]] = {
    "vit_b_16-coco": {"steps": 1000, "batch": 32, "learning_rate": 0.006},
    "emoji": {
        "steps": 4000, "batch": 64, "learning_rate": 0.002, "caption_noise": 0.3, "start": "random",
    },
}  # fmt: skip
#: The setting nearest to CLIP's own training: new images in every batch, 10 % wrong captions.
NEAREST = {"fresh": True, "caption_noise": 0.1}
#: The factors of the curve by hand, and the column.
FACTORS, HAND = (0.0, 0.1, 0.3, 0.5, 0.6, 0.7, 0.85, 1.0, 1.5), {"column": "longest"}
#: Rules of the texts that change each number, and so do not turn with the axes.
RULES = (
    "element", "adafactor", "sign", "clipped", "between", "column", "root", "power", "cautious",
)  # fmt: skip


class Interval(NamedTuple):
    """A median of ``seeds`` values, from ``low`` to ``high``, which holds with ``coverage``."""

    median: float
    low: float
    high: float
    seeds: int
    coverage: float


def interval(values: pd.Series[float]) -> Interval:
    """The median and its exact interval, the shortest that covers 95 %, or else all values.

    >>> interval(pd.Series([3.0, 1.0, 2.0]))
    Interval(median=2.0, low=1.0, high=3.0, seeds=3, coverage=0.75)
    """
    ordered, seeds = np.sort(values.to_numpy(dtype=float)), len(values)
    cut = max(0, int(binom.ppf(0.025, seeds, 0.5)) - 1)
    coverage = 1 - 2 * float(binom.cdf(cut, seeds, 0.5))
    ends = float(ordered[cut]), float(ordered[seeds - 1 - cut])
    return Interval(float(np.median(ordered)), *ends, seeds, coverage)


def read(name: str = "answers") -> pd.DataFrame:
    """A table of `data/relearn`: a row for each training, or for each rule only compared."""
    return pd.read_csv(relearn_tables.FOLDER / f"{name}.csv")


def cell(table: pd.DataFrame, /, **own: Any) -> pd.DataFrame:
    """The trainings of one cell by seed, all as usual but ``own``; none if it is not trained.

    ``pairs`` is one of these, ViT-B/32's if it is left out.
    """
    pairs = own.pop("pairs", USUAL)
    own = OWN.get(pairs, {}) | own
    column = own.pop("column", None)  # the table has its number, the key its name
    plain = table[table["key"].str.fullmatch(rf"{USUAL} \d+")].iloc[0].to_dict()
    every = [str(name) for name in table.columns]
    first, last = map(every.index, ("caption_noise", "one_matrix"))
    names = [name for name in every[first : last + 1] if name != "column"]
    wanted: pd.Series[Any] = pd.Series({name: own.get(name, plain[name]) for name in names})
    named = table["key"].str.extract(r" column=(\w+)")[0]
    same = (table[names] == wanted) | (table[names].isna() & wanted.isna())
    of_column = named.isna() if column is None else named == column
    found = table[(table["pairs"] == pairs) & of_column & same.all(axis=1)]
    return pd.DataFrame(found.set_index("seed", drop=False).sort_index())


def summary(
    table: pd.DataFrame, cells: Mapping[str, Mapping[str, Any]]
) -> Iterator[dict[str, Any]]:
    """A row for each named cell that is trained: intervals of what is recorded at its end."""
    for name, own in cells.items():
        if len(runs := cell(table, **own)):
            led = int((runs["leader"] == runs["column"]).sum())
            of = {
                column: interval(runs[column])
                for column in ("kurtosis", "kurtosis_texts", "accuracy", "mean_share")
                if runs[column].notna().all()
            }
            yield {"name": name, "led": led, **of, "each": runs["kurtosis"].tolist()}


def by_hand(table: pd.DataFrame, /, **own: Any) -> pd.DataFrame:
    """The curve: a row for each factor of the longest column that is trained, with its interval."""
    rows = []
    for factor in FACTORS:
        runs = cell(table, **HAND, factor=factor, **own)
        if len(runs):
            gone = int((runs["leader"] == runs["column"]).sum())
            rows.append({"factor": factor, "led": gone, **interval(runs["kurtosis"])._asdict()})
    return pd.DataFrame(rows)


def at(curve: pd.DataFrame, ratio: float) -> float:
    """κ by hand at a factor, between the curve's medians on a logarithmic axis."""
    return float(np.exp(np.interp(ratio, curve["factor"], np.log(curve["median"]))))


def rules(table: pd.DataFrame, shadows: pd.DataFrame) -> pd.DataFrame:
    """A row for each rule of the texts and seed: its ratios, κ, and κ by hand at its least ratio.

    `shadow` is the least ratio of a text column to the row rule's in the shadow of a training by
    row, `at_shadow` its column; `least` and `ratio` are the least and the leader's in its own.
    """
    curve, rows = by_hand(table), []
    for rule in (*RULES, "muon"):
        before = shadows[(shadows["rule"] == rule) & (shadows["pairs"] == USUAL)]
        least = before.set_index("seed")["least_texts"].to_dict()
        where = before.set_index("seed")["least_at_texts"].to_dict()
        for seed, run in cell(table, texts=rule).to_dict("index").items():
            if seed in least:
                rows.append(
                    {"rule": rule, "seed": seed, "kurtosis": run["kurtosis"]}
                    | {"shadow": least[seed], "at_shadow": int(where[seed])}
                    | {"least": run["least_texts"], "ratio": run["ratio_texts"]}
                    | {"leader": run["leader"], "by_hand": at(curve, least[seed])}
                )
    return pd.DataFrame(rows)


def dampings(table: pd.DataFrame) -> pd.DataFrame:
    """Trainings with right captions in which one text column is changed and no penalty is felt.

    `weaker` is one less the changed column's damping over the others'; `growth` the gain of the
    logarithm of the mean there, in the first fifth of the training.
    """
    words = table["key"].str.split().str[2:]
    allowed = ("column=longest", "column=middling", "column=shortest", "factor", "late", "keeps")
    changed = words.map(
        lambda each: (
            any(word in allowed for word in each)
            and all(word.startswith((*allowed, "gathered", "other_batch")) for word in each)
        )
    )
    found = table[changed & (table["pairs"] == USUAL)]
    return found.assign(weaker=1 - found["damping"] / found["damping_others"])


def judged(
    table: pd.DataFrame, shadows: pd.DataFrame, whole: pd.DataFrame
) -> dict[str, bool | None]:
    """Which predictions of `plan.yaml` on answers hold; None where a cell is not trained.

    The tables are `read` of answers, answer_shadows and whole.
    """
    of = Outcomes(table)
    found = {"A1": of._curve, "A2": of._anywhere, "A9": of._nearest, "B2": of._also_nearest}
    found |= {"A3": of._another_batch, "A4": of._late, "A5": of._split, "A6": of._penalty}
    found |= {"A7": of._lengths, "A8": of._adam_and_penalty, "B1": of._doses, "B3": of._soap}
    found |= {"B4": of._own_rules, "B5": lambda: of._one_curve(shadows), "B6": of._muon}
    found |= {"B7": of._gathered, "B8": of._lamb, "B9": of._scales, "B10": of._second_model}
    found |= {"B11": of._third_model, "B12": of._random, "B13": of._one_matrix, "B14": of._emoji}
    found |= {"B15": of._leaders, "B16": of._damped, "B17": lambda: from_end_to_end(whole)}
    return {name: _decided(found[name]) for name in sorted(found, key=lambda n: (n[0], int(n[1:])))}


def _decided(outcome: Callable[[], Any]) -> bool | None:
    try:
        return bool(outcome())
    except KeyError:
        return None


def from_end_to_end(whole: pd.DataFrame) -> bool:
    """Whether the penalty halves κ in every seed and leaves accuracy within 3 points: B17."""
    without, felt = (whole[whole["penalty"] == size].set_index("seed") for size in (0, 0.25))
    both = felt.index.intersection(without.index)
    felt, without = felt.loc[both], without.loc[both]
    cost = (felt["accuracy"] - without["accuracy"]).abs()
    return bool((felt["kurtosis"] < without["kurtosis"] / 2).all() and cost.max() < 0.03)


def most(holds: pd.Series[bool]) -> bool:
    """Whether something holds in more than half of the trainings."""
    return float(holds.mean()) > 0.5


class Outcomes:
    """Decides the predictions under `answers` in `plan.yaml`, each as it is worded there."""

    def __init__(self, table: pd.DataFrame) -> None:
        self.table = table

    def of(self, name: str = "kurtosis", /, **own: Any) -> pd.Series[float]:
        """A column of one cell by seed; KeyError if it is not trained."""
        if (runs := cell(self.table, **own)).empty:
            raise KeyError(own)
        return runs[name]

    def _curve(self, low: float = 3.5, factors: Sequence[float] = FACTORS, **own: Any) -> bool:
        hand = [self.of(**HAND, factor=factor, **own) for factor in factors if factor <= 1]
        falls = np.diff([each.median() for each in hand]) < 0
        longer = [cell(self.table, **HAND, factor=1.5, **own)]
        gone = most(longer[0]["column_place"] > 100)
        ends = hand[0].min() > 50 and (1 not in factors or hand[-1].max() < low)
        return bool(falls.all() and ends and gone)

    def _anywhere(self) -> bool:
        runs = cell(self.table, column="middling", factor=0)
        kappa = self.of(column="middling", factor=0)
        return bool((runs["leader"] == runs["column"]).all()) and most(kappa > 5)

    def _another_batch(self, **own: Any) -> bool:
        return self.of(**HAND, other_batch=True, **own).min() > 10

    def _late(self, low: float = 3.5, **own: Any) -> bool:
        later = all(most(self.of(**HAND, late=late, **own) > 5) for late in (20, 100))
        return self.of(**HAND, late=1, **own).max() < low and later

    def _split(self, low: float = 3.5, **own: Any) -> bool:
        answer, drift = (self.of(**HAND, keeps=part, **own) for part in ("answer", "drift"))
        return most(answer < low) and most(drift > 5)

    def _penalty(self, low: float = 3.3, **own: Any) -> bool:
        little, theory, much = (
            self.of(**HAND, factor=0, penalty=size, **own) for size in (0.125, 0.25, 1)
        )
        return max(theory.max(), much.max()) < low and most(little > low)

    def _lengths(self, low: float = 3.5, **own: Any) -> bool:
        levelled = self.of(texts="element", text_lengths="shared", **own)
        return levelled.max() < low and most(self.of(text_lengths="element", **own) > 5)

    def _adam_and_penalty(self, low: float = 3.3, **own: Any) -> bool:
        felt = {"texts": "element", "penalty": 0.25, **own}
        cost = self.of("accuracy", texts="element", **own) - self.of("accuracy", **felt)
        return self.of(**felt).max() < low and cost.abs().max() < 0.02

    def _nearest(self) -> bool:
        adam = {"images": "element", "texts": "element", "fresh": True}
        noisy, both = {**adam, "caption_noise": 0.1}, ("kurtosis", "kurtosis_texts")
        grown = min(self.of(name, **noisy).min() for name in both) > 8
        taken = max(self.of(name, **noisy, penalty=0.25).max() for name in both) < 3.5
        rows = max(self.of(fresh=True, caption_noise=noise).max() for noise in (0, 0.1)) < 4
        right = self.of(**adam).max() < 4 and self.of("accuracy", **noisy).min() > 0.62
        return grown and taken and rows and right

    def _also_nearest(self) -> bool:
        some = (0, 0.3, 0.5, 0.7, 0.85)
        outcomes = [
            self._curve(4, some, **NEAREST), self._another_batch(**NEAREST),
            self._late(4, **NEAREST),
            self._split(4, **NEAREST), self._penalty(4, **NEAREST), self._lengths(4, **NEAREST),
            self._adam_and_penalty(4, **NEAREST),
        ]  # fmt: skip
        return all(outcomes)

    def _doses(self) -> bool:
        adam = {"images": "element", "texts": "element", "fresh": True}
        kappa = [self.of(**adam, caption_noise=noise).median() for noise in (0, 0.01, 0.03, 0.1)]
        return bool((np.diff(kappa) > 0).all())

    def _soap(self) -> bool:
        return self.of(texts="soap").max() < 3.5 and self.of(texts="soap", **NEAREST).max() < 4

    def _own_rules(self) -> bool:
        return most(self.of(texts="root") > 3.5) and self.of(texts="power").max() < 3.3

    def _one_curve(self, shadows: pd.DataFrame) -> bool:
        for rule in RULES:
            self.of(texts=rule)  # or KeyError
        found = rules(self.table, shadows).query("rule != 'muon'")
        medians = found.groupby("rule")[["kurtosis", "by_hand"]].median()
        off = np.log(medians["kurtosis"].to_numpy() / medians["by_hand"].to_numpy())
        grown = found[found["kurtosis"] > 6]
        return bool(np.abs(off).max() < np.log(2)) and most(grown["leader"] == grown["at_shadow"])

    def _muon(self) -> bool:
        return self.of("least_texts", texts="muon").max() < 0.85 and (
            self.of(texts="muon").max() < 3.5
        )

    def _gathered(self) -> bool:
        whole = self.of(column="all", gathered=20).max(), self.of(column="all", late=20).max()
        return most(self.of(**HAND, gathered=20) > 5) and max(whole) < 3.5

    def _lamb(self) -> bool:
        images = {"images": "lamb", "image_rate": 10, "text_rate": 3}
        texts = {"texts": "lamb", "text_rate": 10, "image_rate": 3}
        low = self.of(**images).max(), self.of("kurtosis_texts", **texts).max()
        return max(low) < 3.5 and min(
            self.of("kurtosis_texts", **images).min(), self.of(**texts).min()
        ) > 8  # fmt: skip

    def _scales(self) -> bool:
        stopped = {**HAND, **NEAREST, "factor": 0}
        learned, usual = self.of(**stopped, scale=None), self.of(**stopped)
        return (
            most(self.of(**stopped, scale=30) < 4)
            and most(self.of(**stopped, scale=300) > 10)
            and most((learned > 4) & (learned < usual[learned.index]))
        )

    def _second_model(self, pairs: str = "vit_b_16-coco") -> bool:
        stopped = {"pairs": pairs, **HAND, "factor": 0}
        felt = self.of(**stopped, penalty=0.25), self.of(pairs=pairs, texts="element", penalty=0.25)
        return most(self.of(**stopped) > 10) and max(each.max() for each in felt) < 3.5

    def _third_model(self, pairs: str = "vit_l_14-news") -> bool:
        noisy = {"pairs": pairs, **HAND, "caption_noise": 0.3}
        none = self.of(**noisy, factor=0, penalty=0.25).max(), self.of(**noisy).max()
        right = self.of(pairs=pairs, **HAND, factor=0).max()
        return right < 4 and max(none) < 3.5 and self.of(**noisy, factor=0).min() > 10

    def _random(self) -> bool:
        stopped = {**HAND, "start": "random", "factor": 0}
        return self.of(**stopped).min() > 10 and self.of(**stopped, penalty=0.25).max() < 3.5

    def _one_matrix(self) -> bool:
        one = {**HAND, "start": "random", "one_matrix": True}
        two = self.of(**HAND, start="random", factor=0.5)
        below = bool((self.of(**one, factor=0.5) < two).all())
        return below and self.of(**one, factor=0).max() < 3.5

    def _emoji(self, pairs: str = "emoji") -> bool:
        own, other = self.of(pairs=pairs, images="element"), self.of(pairs=pairs, texts="element")
        levelled = self.of(pairs=pairs, images="element", image_lengths="shared")
        stopped = self.of(pairs=pairs, **HAND, factor=0)
        return bool((own > other).all()) and stopped.min() > 6 and levelled.max() < 4

    def _leaders(self) -> bool:
        adam = self.table[(self.table["texts"] == "element") & (self.table["penalty"] == 0)]
        adam = adam[adam["text_lengths"].isna() & (adam["kurtosis"] > 6)]
        if adam["rank_texts"].isna().all():
            raise KeyError("rank_texts")
        return all(most(some["rank_texts"] <= 10) for _, some in adam.groupby(_setting(adam)))

    def _damped(self) -> bool:
        each = {seed: own for seed, own in dampings(self.table).groupby("seed")}
        along = [own["growth"].corr(own["weaker"]) for own in each.values()]
        return most(pd.Series(along) > 0.9)


def _setting(table: pd.DataFrame) -> pd.Series[str]:
    """The name of each training's cell: its key without the seed."""
    return table["key"].str.replace(r" \d+", "", n=1, regex=True)
