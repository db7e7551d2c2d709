"""Rows and numbers for the chapters on encoders: measurements in, frames and texts out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from analysis.families.registry import LEVEL_TITLES
from companion.chapters import figures
from companion.chapters.measured import frame, model_title, set_title
from companion.chapters.robustness_figures import ER
from companion.claims.evidence import Cuts
from companion.engine import cells, plots
from companion.engine.style import Drawing, digits, points, stacked
from companion.measurements.intervals import Interval
from companion.measurements.kept_counts import counts_of
from companion.measurements.measurement import Measurement
from companion.measurements.pruned import directions, pruned


def kappa(measurements: Sequence[Measurement]) -> Drawing:
    """κ with the middle 90 % of single images, a row for each measurement, the highest first.

    The note has the dominant coordinate, and its share of images.
    """
    rows, note = frame(measurements), "{persistence_coordinate}, in {persistence_fraction:share}"
    rows["low"], rows["high"] = (rows["kurtosis_percentiles"].str[share] for share in (5, 95))
    rows["note"] = [cells.cell(note, row) for row in rows.to_dict("records")]
    rows = rows.assign(of=rows["set"], κ=rows["kurtosis_mean"]).sort_values("κ", ascending=False)
    rows = rows[["of", "level", "κ", "low", "high", "note"]]
    levels = {str(m.level): LEVEL_TITLES[m.level] for m in measurements}
    note = "dominant coordinate"
    return plots.marks(rows, "κ", note=note, verticals=figures.GAUSSIAN, levels=levels)


def kappa_and_persistence(image_sets: Mapping[str, Sequence[Measurement]]) -> Drawing:
    """κ against persistence, a mark for each model on its first image set, named; others small."""
    every = [m for sets in image_sets.values() for m in sets]
    rows = frame(every).rename(columns={"kurtosis_mean": "κ"})
    share = "dominant coordinate: share of images (%)"
    rows[share] = 100 * rows["persistence_fraction"]
    places = [place for sets in image_sets.values() for place in range(len(sets))]
    rows["look"] = ["small" if place else "filled" for place in places]
    rows["of"] = [
        set_title(m) if place else model_title(m) for m, place in zip(every, places, strict=True)
    ]
    rows = rows[["of", "level", "look", "κ", share]]
    at = np.column_stack([10 * np.log(rows["κ"]), rows[share] / 3])
    near = np.abs(at[:, None] - at).max(axis=-1) < 1
    near &= rows["look"].eq("filled").to_numpy()  # one name for marks that cover one another
    named = [of[n] and not of[:n].any() for n, of in enumerate(near)]
    names = rows["of"].str.replace(", ", ",\n")
    rows["name"] = [",\n".join(names[of]) if n else "" for n, of in zip(named, near, strict=True)]
    drawing = plots.scatter(rows, "κ", share, labels="name", verticals=figures.GAUSSIAN)
    drawing.figure.axes[0].set(ylim=(-14, 118), xlim=(2, 5 * rows["κ"].max()))  # room for names
    return drawing


def profiles_beside_robustness(
    measurements: Mapping[str, Measurement], robustness: Mapping[str, float]
) -> Drawing:
    """The activation profile of each named encoder; above it κ, and effective robustness.

    `robustness`: fractions, by the same names.
    """
    z = "mean |z|"
    parts = []
    for name, m in measurements.items():
        kurtosis, er = digits(m.value("kurtosis_mean")), points(robustness[name])
        title = f"{name}: κ = {kurtosis}, effective robustness {er} points"
        columns = {z: m.value("profile"), "coordinate": np.arange(m.counts["components"])}
        parts.append({"of": title, "level": m.level} | columns)
    return figures.stems(stacked(parts), z)


def by_model(image_sets: Mapping[str, Sequence[Measurement]]) -> pd.DataFrame:
    """Outlier features of each model that has several image sets, each quantity as a list."""
    rows = frame(m for sets in image_sets.values() if len(sets) > 1 for m in sets)
    lists = rows.groupby("of", sort=False).agg(list)
    coordinates = lists["persistence_coordinate"].map(lambda each: dict.fromkeys(map(str, each)))
    shares = lists["persistence_fraction"]
    columns = {"dominant": coordinates.map(" and ".join), "share": shares.map(min)}
    return lists.assign(**columns, sets=shares.map(len))


def kappa_and_robustness(
    image_sets: Mapping[str, Sequence[Measurement]], intervals: Mapping[str, Interval]
) -> pd.DataFrame:
    """Models by falling effective robustness, with κ on the first of their image sets.

    `low` and `high`: the lowest and the highest mean κ of a model's image sets. Marks of other
    pretraining than OpenAI's are hollow, and `name` says which.
    """
    rows = []
    for name, sets in image_sets.items():
        if name in intervals:
            er, means = intervals[name], [float(m.value("kurtosis_mean")) for m in sets]
            kappa = {"κ": means[0], "low": min(means), "high": max(means)}
            ends = {ER: 100 * er.value, "ER low": 100 * er.low, "ER high": 100 * er.high}
            title = model_title(sets[0])
            look = "filled" if "OpenAI" in title else "hollow"
            name = title.replace(" OpenAI", "")
            about = {"of": title, "name": name, "level": sets[0].level, "look": look}
            rows.append({**about, **kappa, **ends})
    return pd.DataFrame(rows).sort_values(ER, ascending=False, ignore_index=True)


def orders(models: pd.DataFrame) -> dict[str, int]:
    """Pairs of models by falling robustness: κ higher in the first, lower, or undecided."""
    ends = models[["low", "high"]].to_numpy(dtype=float).tolist()
    pairs = [*combinations(ends, 2)]
    higher = sum(first[0] > second[1] for first, second in pairs)
    lower = sum(first[1] < second[0] for first, second in pairs)
    every = len(pairs)
    return {"all": every, "higher": higher, "lower": lower, "open": every - higher - lower}


def pruned_at(measurements: Sequence[Measurement], share: float) -> pd.DataFrame:
    """The cost of pruning a share, compared with other orders; a row for each model.

    A second row of a model whose head has many fewer directions than it could have: the share of
    the latter.
    """
    rows = []
    for m in measurements:
        rank, most = len(m.value("accuracy_importance")), directions(m)
        for of in (rank, most) if rank < 0.9 * most else (rank,):
            row = pruned(m, share, of) | {"set": set_title(m), "of_all": of}
            row["singular_value"] = m.value("accuracy_singular_value")[row["kept"] - 1]
            rows.append(row | {"lost": lost(row["accuracy_change"])})
    return pd.DataFrame(rows)


def lost(change: Interval) -> str:
    """Whether accuracy is lost, by the margin of the claim."""
    said = {"fails": "yes", "holds": "no", "undecided": "undecided"}
    return said[change.above(-Cuts().margin)]


def encoded_concepts(m: Measurement) -> tuple[pd.DataFrame, str]:
    """Concepts that some direction encodes: the head's, coordinates, and chance; mean and ends.

    With the name of the quantity.
    """
    counts, coordinates = counts_of(m), counts_of(m, "coordinates_")
    draws = [
        ("singular vectors of the head", "zero_shot", counts.of("draws", "unique")),
        ("coordinates", "zero_shot", coordinates.of("draws", "unique")),
        ("random directions", "random", counts.of("random", "unique")),
        ("singular vectors, permuted labels", "random", counts.of("permuted", "unique")),
    ]
    axis = f"concepts with AP ≥ {m.value('threshold'):g}, of {m.counts['concepts']}"
    rows = [(title, level, n.mean(), n.min(), n.max()) for title, level, n in draws]
    return pd.DataFrame(rows, columns=["of", "level", axis, "low", "high"]), axis


def textures(m: Measurement, count: int, named: Sequence[str]) -> pd.DataFrame:
    """The textures of highest average precision along the top direction; ``named``: these too."""
    table = pd.DataFrame({"texture": m.names["along_top"], "other_sign": m.value("against_top")})
    for end in ("", "_lowest", "_highest"):
        table[f"ap{end}"] = m.value(f"along_top{end}")
    table = table.sort_values("ap", ascending=False, kind="stable", ignore_index=True)
    starred = table["texture"].isin(named)
    table["texture"] += np.where(starred, " *", "")
    return table.assign(rank=table.index + 1)[(table.index < count) | starred]


def texture_numbers(m: Measurement) -> dict[str, float]:
    """Where the top direction is among the head's directions and among random ones."""
    head, random = m.value("per_direction"), m.value("per_random_direction")
    top = head[m.value("top_direction")]
    numbers = {"mean": top, "median": np.median(head), "random_median": np.median(random)}
    numbers |= {"better": (head > top).sum(), "random_better": (random > top).sum()}
    along = m.value("along_top")
    return numbers | {"directions": len(head), "all": len(along), "high": (along >= 0.9).sum()}
