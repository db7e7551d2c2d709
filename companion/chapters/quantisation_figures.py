"""Features in few bits: rows, figures and numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from analysis.base.roots import ROOT
from analysis.families.registry import LEVEL_TITLES
from analysis.metrics.indicators import interval, rank_correlation
from companion.chapters.measured import model_of, model_title, set_title
from companion.claims.ours import Prediction, kappa_predicts
from companion.engine import plots, style
from companion.engine.style import Drawing
from companion.measurements.measurement import Measurement

#: The schemes by the names that measurements have, in words.
SCHEME_TITLES = {
    "vector": "one scale per vector",
    "clipped": "one scale per vector, clipped",
    "tensor": "one scale for all",
    "range": "one range for all",
    "dimension": "a range per dimension",
    "product": "product codes",
    "sign": "signs alone",
}
#: The scheme and the bits of which pages speak.
SCHEME, BITS = "vector", 4
FRAMES = ("written", "rotated", "less_mean", "removed")
#: What a measurement has for each scheme: of neighbours, of predictions. And what for a frame.
KEPT = (*(f"kept_{frame}{end}" for frame in FRAMES for end in ("", "_error")), "won", "won_error")
JUDGED = tuple(f"accuracy_{frame}" for frame in FRAMES)
OF_FRAMES = ("kurtosis_written", "crest_written", "kurtosis_rotated")
#: Second moments of an optimiser, in words.
MOMENTS = {"element": "own (Adam)", "shared": "shared"}
#: What of the pocket models was trained, by the names in `data/pocket/bits.csv`.
TRAINED = {
    "vit-web": "ViT, two projections",
    "cnn-web": "CNN, two projections",
    "grown-vit-element": "ViT, all weights",
    "grown-vit-shared": "ViT, all weights",
}
#: Resamples of encoders, and their seed.
RESAMPLES, SEED = 2000, 0


def schemes(m: Measurement) -> list[tuple[str, int]]:
    """The schemes of a measurement, and their bits."""
    return [*zip(m.names["bits"], map(int, m.value("bits")), strict=True)]


def left(m: Measurement) -> pd.DataFrame:
    """What is left in each frame, a row for each scheme and its bits; NaN if it is not measured.

    Over rotations it is the mean.
    """

    def of(name: str) -> Any:
        values = np.atleast_2d(m.value(name))  # rotated: a row for each basis
        return values.mean(axis=0) if values.size else np.nan

    index = pd.MultiIndex.from_tuples(schemes(m), names=["scheme", "bits"])
    return pd.DataFrame({name: of(name) for name in (*KEPT, *JUDGED)}, index)


def rows(
    measurements: Iterable[Measurement], scheme: str = SCHEME, bits: int = BITS
) -> pd.DataFrame:
    """A row for each measurement: its subject, κ, the crest factor, and what the scheme leaves."""
    return pd.DataFrame(
        {
            "set": set_title(m),
            "of": model_title(m),
            "model": m.model,
            "level": m.level,
            "family": re.split(r", | \(", model_of(m).pretraining)[0],  # first trained on
            "images": m.counts["images"],
            "components": m.counts["components"],
            **left(m).loc[(scheme, bits), [*KEPT]],
            **{name: float(np.mean(m.value(name))) for name in OF_FRAMES},
        }
        for m in measurements
    )


def picture(measurements: Sequence[Measurement]) -> Drawing:
    """Neighbours kept at 4 bits against κ, written and rotated: a mark for each set of images."""
    kept, kappa = "neighbours kept (%)", "κ as written"
    panels = {"as written": "written", "after a random rotation": "rotated"}
    table = rows(measurements)
    frame = pd.concat(
        table.assign(
            panel=panel,
            series=table["level"].map(LEVEL_TITLES),
            **{
                "of": table["set"],
                kappa: table["kurtosis_written"],
                kept: 100 * table[f"kept_{name}"],
                "low": 100 * (table[f"kept_{name}"] - 1.96 * table[f"kept_{name}_error"]),
                "high": 100 * (table[f"kept_{name}"] + 1.96 * table[f"kept_{name}_error"]),
            },
        )
        for panel, name in panels.items()
    )
    columns = ["panel", "of", "level", "series", kappa, kept, "low", "high"]
    return plots.scatter(frame[columns], kappa, kept, log="x", ticks=5)


def curves(measurements: Sequence[Measurement]) -> Drawing:
    """Neighbours kept against bits, one scale per vector: a panel for each model."""
    names = {"written": "as written", "rotated": "rotated", "less_mean": "mean off"}
    names |= {"removed": "one vector removed"}
    width, kept = "bits per number", "neighbours kept (%)"
    parts = (
        {"panel": model_title(m), "of": name, width: scale.index, kept: 100 * scale[f"kept_{of}"]}
        for m in measurements
        for scale in [left(m).loc[SCHEME]]
        for of, name in names.items()
    )
    colours = (style.LEVEL_STYLES["zero_shot"].colour,) * 2 + (style.MUTED,) * 2
    looks = {
        name: plots.Stroke(colour, dash)
        for name, colour, dash in zip(names.values(), colours, plots.DASHES, strict=True)
    }
    return plots.lines(style.stacked(parts).dropna(), width, kept, looks=looks, columns=2, ticks=6)


def by_scheme(front: Measurement, one_each: Sequence[Measurement]) -> pd.DataFrame:
    """A row for each scheme: of one set what it leaves, over encoders how κ goes with what is won.

    ``one_each``: one set of images for each encoder.
    """
    kappas = [m.value("kurtosis_written") for m in one_each]
    won = pd.concat([left(m)["won"] for m in one_each], axis=1)
    order = [at for at in product(SCHEME_TITLES, range(8, 0, -1)) if at in schemes(front)]
    table, won = left(front).loc[order], won.loc[order]
    return table.reset_index().assign(
        key=[f"{scheme}-{bits}" for scheme, bits in order],
        scheme=[SCHEME_TITLES[scheme] for scheme, _ in order],
        rho=[rank_correlation(kappas, each) for each in won.to_numpy()],
        most_won=won.max(axis=1).to_numpy(),
        least_won=won.min(axis=1).to_numpy(),
    )


def correlations(table: pd.DataFrame) -> dict[str, Any]:
    """Rank correlations of κ with what is kept and won: over sets and over encoders.

    `table` as `rows` gives it. Intervals draw encoders with replacement, each with all of its sets.
    Over encoders, each counts with the medians of its sets.
    """
    medians = table.groupby("model")[["kurtosis_written", "kept_written", "won"]].median()
    found: dict[str, Any] = {"sets": len(table), "encoders": len(medians)}
    for name, column in (("kept", "kept_written"), ("won", "won")):
        pair = (table["kurtosis_written"], table[column])
        ends = interval(rank_correlation, table["model"], *pair, resamples=RESAMPLES, seed=SEED)
        found[f"rho_{name}"] = (rank_correlation(*pair), *ends)
        own = (medians["kurtosis_written"], medians[column])
        ends = interval(rank_correlation, medians.index, *own, resamples=RESAMPLES, seed=SEED)
        found[f"rho_{name}_encoders"] = (rank_correlation(*own), *ends)
    return found


def encoders(table: pd.DataFrame, after: Sequence[str]) -> tuple[pd.DataFrame, Prediction]:
    """A row for each encoder, the medians of its sets, and what κ predicts of the loss.

    ``family``: what it was first trained on; `predicted`: by all other families.
    """
    columns = ["kurtosis_written", "crest_written", "kept_written"]
    own = table.groupby(["model", "of", "family"], sort=False)[columns]
    medians = own.median().reset_index()
    medians["lost"] = 1 - medians["kept_written"]
    found = kappa_predicts(medians["kurtosis_written"], medians["lost"], medians["family"].tolist())
    words = np.where(medians["model"].isin(after), "first seen afterwards", "known")
    return medians.assign(predicted=found.predicted, held_out=words), found


def beside_kappa(table: pd.DataFrame, each: pd.DataFrame) -> dict[str, Any]:
    """What the crest factor predicts by the same rule, and κ within the encoder of most sets."""
    crest = kappa_predicts(each["crest_written"], each["lost"], each["family"].tolist())
    sets = table[table["model"] == table["model"].value_counts().idxmax()]
    within = rank_correlation(sets["kurtosis_written"], sets["won"])
    return {
        "crest_error": crest.error,
        "within": within,
        "within_sets": len(sets),
        "within_of": sets["of"].iloc[0],
    }


def errors(measurements: Iterable[Measurement]) -> Iterator[dict[str, Any]]:
    """Measured relative squared errors of one scale per vector, and what crest factors predict."""
    for m in measurements:
        values = (m.value(name) for name in ("vector_bits", "error_measured", "error_expected"))
        for bits, measured, expected in zip(*values, strict=True):
            yield (
                {"set": set_title(m), "of": model_title(m), "bits": int(bits)}
                | {"crest": m.value("crest_written"), "kurtosis": m.value("kurtosis_written")}
                | {"measured": measured, "expected": expected, "ratio": measured / expected}
            )


def twins() -> pd.DataFrame:
    """A row for each pair of towers and optimiser: of every number a list over seeds."""
    table = pd.read_csv(ROOT / "data" / "pocket" / "bits.csv")
    by = ["model", "trained", "second_moment"]
    lists = table.groupby(by, sort=False).agg(list).reset_index()
    return lists.assign(
        moment=lists["second_moment"].map(MOMENTS),
        what=lists["model"].map(TRAINED),
        key=lists["model"] + "-" + lists["second_moment"],
    )
