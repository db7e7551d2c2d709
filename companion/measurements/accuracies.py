"""Accuracies of all models in one long table: a row for each model and data set.

Three sources fill it: what others published (``data/published/accuracies.csv``, whose README gives
the origin, commit, licence and known defects of each source), what the trainings of the pocket lab
left (``data/pocket``), and what this book measured from features. `effective_robustness` computes
with them.

A prediction chooses among the classes of its data set only: 200 for ImageNet-R and ImageNet-A, 113
for ObjectNet. Of a head with more classes the other rows are left out. One class of ObjectNet may
be several of ImageNet (``chair`` is barber, folding and rocking chair). For a head of ImageNet's
classes the convention is that of the ImageNet testbed (Taori et al. 2020) and of WiSE-FT: the
largest of the 125 ImageNet logits decides, and any of a class's own counts as right. A zero-shot
head is made of ObjectNet's own 113 names instead, as in CLIP_benchmark, from which open_clip's
published accuracies come (they kept the images' red border, which WiSE-FT, the testbed and we cut
off).

Accuracies are fractions. A mean over four shifts and a mean over five are never mixed, and a model
that lacks one of them has none. No torch.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.base.roots import ROOT
from analysis.families.registry import Family, Model, PublishedKey
from analysis.metrics.robustness import NORMAL_95
from companion.measurements.measurement import Measurement
from companion.sources import emoji, sets

PUBLISHED = ROOT / "data" / "published" / "accuracies.csv"
#: Models that other papers trained, and another project's evaluation of 75 models.
ELSEWHERE, ONE_EVALUATOR = (PUBLISHED.with_name(f"{name}.csv") for name in ("finetuned", "lca"))
POCKET = ROOT / "data" / "pocket"

#: The paper's shifts, in its order.
FIVE_SHIFTS = tuple(map(sets.column, sets.SHIFTS))
#: Those that timm measures: no ObjectNet.
FOUR_SHIFTS = tuple(shift for shift in FIVE_SHIFTS if shift != "objectnet")
#: Data sets by the names of the published table, and how many classes a prediction chooses among.
CLASSES_PUBLISHED = {published: sets.classes(name) for published, name in sets.published().items()}

V2 = Literal["mean", "matched_frequency", "threshold", "top_images"]
#: The three test sets of ImageNet-V2 (Recht et al. 2019).
V2_VARIANTS = ("matched_frequency", "threshold", "top_images")
CLIP_V2: V2 = "matched_frequency"
"""The one variant of ImageNet-V2 that is published for CLIP models."""

#: The sources of accuracies that were measured here, and of those of the pocket lab's trainings.
MEASURED, TRAININGS = "this book", "pocket"
Pool = Literal["all", "standard"]
Role = Literal["unseen", "seen"]
#: Testbed types that are outside the baseline pool, and the type that is "standard".
MORE_DATA = "Trained with more data"
STANDARD = "Standard training"
#: The same weights are published with and without this end of their architecture's name.
GELU = "-quickgelu"

#: One model as one source evaluated it.
MODEL_KEY = ["source", "model", "weights", "image_size"]
#: Columns that differ between the data sets of one model.
OF_DATA = ("dataset", "classes", "accuracy", "defect", "images", "what", "evidence")


# What others published


def load(path: Path = PUBLISHED) -> pd.DataFrame:
    """Read the table of published accuracies.

    ``image_size`` is a nullable integer in pixels, ``classes`` an integer, ``accuracy`` a fraction;
    the other columns are text, empty where nothing is known.
    """
    table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
    whole = {name: pd.to_numeric(table[name]).astype("Int64") for name in ("classes", "image_size")}
    return table.assign(accuracy=table["accuracy"].astype(float), **whole)


def known(families: Iterable[Family], measurements: Sequence[Measurement] = ()) -> pd.DataFrame:
    """Every accuracy of the families' models, below one another: `published`, `pocket`, `measured`.

    Columns: those that describe a model, then dataset, accuracy, images (how many), what (which
    images, of measured ones) and evidence.
    """
    families = list(families)
    return _joined([published(families), pocket(families), measured(families, measurements)])


def published(families: Iterable[Family], table: pd.DataFrame | None = None) -> pd.DataFrame:
    """The published accuracies of families' models, in the order of the families and their files.

    The rows of `load` that have no defect, with the model of the registry that they belong to. A
    model has several rows for a data set where several sources, or many checkpoints of one
    description, were measured.
    """
    rows = load() if table is None else table
    sound = rows[rows["defect"] == ""].drop(columns=["commit", "classes", "defect"])
    images = {name: sets.images(ours) for name, ours in sets.published().items()}
    sound = sound.assign(images=sound["dataset"].map(images), what="", evidence="published")
    return _joined(
        _named(sound[matches(sound, key)], family, model)
        for family in families
        for model in family.models
        for key in model.published
    )


def of_checkpoint(table: pd.DataFrame, model: Model) -> pd.DataFrame:
    """What was published of this very checkpoint: dataset, accuracy (a fraction) and source.

    Rows whose source names the same architecture and weights as the registry; there are none for
    models that stand in for others. A data set that several sources measured keeps the first.
    """
    parts = [table.iloc[:0]]
    for key in model.published:
        same = key.model.removesuffix(GELU) == (model.architecture or "").removesuffix(GELU)
        if same and (key.source, key.weights) == (model.library, model.weights):
            exact = (table["defect"] == "") & (table["model"] == key.model)
            parts.append(table[exact & matches(table, key)])
    rows = pd.concat(parts)[["dataset", "accuracy", "source"]]
    return rows.drop_duplicates("dataset").reset_index(drop=True)


def elsewhere(families: Iterable[Family]) -> pd.DataFrame:
    """Accuracies of models that other papers trained from the families' backbones, as `published`.

    They are typed from these papers (``data/published/finetuned.csv``), whose models are no
    checkpoints of the registry. ``name`` is the backbone, the method and the source, ``model``
    the method, ``pretraining`` what zero-shot and finetuned ones start from. ImageNet-V2 is taken
    to be the matched-frequency variant.
    """
    table = pd.read_csv(ELSEWHERE, dtype={"place": str})
    titles = {family.name: family.title for family in families}
    table = table[table["family"].isin(titles)]
    table = table.rename(columns={"imagenet_v2": f"imagenet_v2_{CLIP_V2}"})
    table = table.sort_values("family", key=lambda f: f.map([*titles].index), kind="stable")
    images = {name: sets.images(ours) for name, ours in sets.published().items()}
    about = ["source", "place", "family", "method", "level"]
    rows = table.melt(about, var_name="dataset", value_name="accuracy")
    return rows.assign(
        accuracy=rows["accuracy"] / 100,
        title=rows["family"].map(titles),
        name=rows["family"].map(titles) + ", " + rows["method"] + ", " + rows["source"],
        model=rows["method"],
        pretraining=np.where(rows["level"] == "supervised", "none", "OpenAI WIT-400M"),
        seed=0,
        images=rows["dataset"].map(images),
        what="",
        evidence="published",
    )


# The pocket lab


def styles(role: Role) -> tuple[str, ...]:
    """The styles of that role, in the order of `emoji.STYLES`."""
    return tuple(style for style, plays in emoji.STYLES.items() if plays == role)


def pocket(families: Iterable[Family]) -> pd.DataFrame:
    """Accuracies on the test emoji of every model and seed of pocket families, in their order.

    The training style is the data set ``imagenet``.
    """
    in_pocket = [family for family in families if family.edition == "pocket"]
    return _of_models(_kept_of_trainings(), in_pocket) if in_pocket else _joined([])


def recognised() -> dict[tuple[str, int, str], NDArray[np.bool_]]:
    """(model, seed, style) → whether each test image that has a class is recognised.

    In the order of the images in the emoji table.
    """
    rows: Any = pd.read_csv(POCKET / "recognised.csv", dtype={"right": str}).itertuples()
    return {(row.model, row.seed, row.style): unpacked(row.right, row.images) for row in rows}


def hexadecimal(right: NDArray[np.bool_]) -> str:
    """Flags as hexadecimal digits, eight to two digits, filled up with zeros."""
    return np.packbits(right).tobytes().hex()


def unpacked(text: str, count: int) -> NDArray[np.bool_]:
    """The `count` flags that `hexadecimal` wrote."""
    flags = np.frombuffer(bytes.fromhex(text), np.uint8)
    return np.unpackbits(flags, count=count).astype(bool)


def _kept_of_trainings() -> pd.DataFrame:
    """The accuracies that were kept of the trainings, of all seeds, and of the pool."""
    kept = pd.read_csv(POCKET / "accuracies.csv").query("split == 'test'")
    kept = kept.assign(dataset=kept["style"].replace(emoji.IMAGENET, "imagenet"))
    kept = kept.assign(source=TRAININGS, what="", evidence="recorded")
    kept = kept.sort_values(["model", "seed"], kind="stable")
    return kept.drop(columns=["style", "split", "role"])


# Measured from features


def measured(families: Iterable[Family], measurements: Iterable[Measurement]) -> pd.DataFrame:
    """Measured accuracies on ImageNet and its shifts, in the order of the families' models.

    Exact: from counts, not from the rounded fraction. ``what`` says which images, ``evidence``
    whether they were just measured (live) or are recorded. `measurements`: of any experiment and
    data sets; others are left alone.
    """
    names = {ours: name for name, ours in sets.published().items() if ours in sets.GRID}
    rows = pd.DataFrame(
        {
            "source": MEASURED,
            "model": m.model,
            "dataset": names[m.data.name],
            "images": m.counts["images"],
            "what": m.data.what,
            "accuracy": int(m.value("right_per_class").sum()) / m.counts["images"],
            "evidence": "live" if m.live else "recorded",
        }
        for m in measurements
        if m.experiment == "accuracy" and m.data.name in names
    )
    return _joined([]) if rows.empty else _of_models(rows, families)


def with_published(table: pd.DataFrame, family: Family, others: pd.DataFrame) -> pd.DataFrame:
    """The rows of `measured`, each compared with the same checkpoint's published accuracy.

    ``published``: from ``others``, NaN where there is none; ``limit``: half the width of the 95 %
    interval of the measured one, from the binomial standard error of the number of images.
    """
    theirs = [
        of_checkpoint(others, model)[["dataset", "accuracy"]].assign(name=model.name)
        for model in family.models
    ]
    same = pd.concat(theirs).rename(columns={"accuracy": "published"})
    variance = table["accuracy"] * (1 - table["accuracy"]) / table["images"]
    limit = NORMAL_95 * np.sqrt(variance.astype(float))
    return table.assign(limit=limit).merge(same, "left", on=["name", "dataset"])


def missing(datasets: Iterable[str]) -> list[str]:
    """The data sets, by their names in the store, that effective robustness lacks besides these."""
    here = {sets.published()[name] for name in datasets}
    return [name for name in (sets.IMAGENET, *sets.SHIFTS) if name not in here]


# One row for each model


def wide(
    table: pd.DataFrame,
    v2: V2 = "mean",
    shifts: Sequence[str] = FIVE_SHIFTS,
    values: Literal["accuracy", "images"] = "accuracy",
) -> pd.DataFrame:
    """Return one row per model that has ImageNet and every one of ``shifts``, in their order.

    Columns: those of ``table`` that describe models; ``imagenet`` and one column per shift with the
    values; ``shifted``, the plain mean of the shifts. Rows with a known defect are left out. ``v2``
    says what stands for ImageNet-V2: one of its variants, or the ``mean`` of all three. A model
    without the variant that was asked for is absent; nothing is substituted, so ask for
    ``matched_frequency`` to see CLIP models, of which no other variant is published.
    """
    sound = table[table["defect"] == ""] if "defect" in table else table
    keys = [name for name in sound if name not in OF_DATA and name != "commit"]
    number = sound.groupby(keys, sort=False, dropna=False).ngroup()
    models = sound[keys].set_axis(number).loc[~number.duplicated().to_numpy()]
    columns = sound.assign(number=number).pivot(index="number", columns="dataset", values=values)
    variants = [f"imagenet_v2_{name}" for name in (V2_VARIANTS if v2 == "mean" else (v2,))]
    columns["imagenet_v2"] = columns.reindex(columns=variants).mean(axis="columns", skipna=False)
    complete = columns.reindex(columns=["imagenet", *shifts]).dropna()
    complete["shifted"] = complete[list(shifts)].mean(axis="columns")
    return models.join(complete, how="inner").reset_index(drop=True)


def baseline_pool(table: pd.DataFrame, kinds: Pool = "all") -> pd.DataFrame:
    """Return the models of the testbed that a baseline is fitted on (Taori et al. 2020).

    ``table`` comes from :func:`wide`. ``all`` is every type except "Trained with more data", which
    gives the paper's printed constants; ``standard`` is the type "Standard training" alone.
    """
    kept = table["kind"] == STANDARD if kinds == "standard" else table["kind"] != MORE_DATA
    return table[kept & (table["source"] == "imagenet_testbed")].reset_index(drop=True)


def pocket_pool(role: Role) -> pd.DataFrame:
    """The small supervised models that the pocket lab's baseline is fitted on, as `wide`."""
    kept = _kept_of_trainings()
    return wide(kept[kept["family"] == "pool"], CLIP_V2, styles(role))


def _joined(parts: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Tables of accuracies below one another; an empty one has the columns that all share."""
    filled = [part for part in parts if len(part)]
    named = ["family", "title", "name", "pretraining", "level", "seed", "source", "model"]
    empty = pd.DataFrame(columns=[*named, *OF_DATA])
    return pd.concat(filled, ignore_index=True) if filled else empty


def _of_models(rows: pd.DataFrame, families: Iterable[Family]) -> pd.DataFrame:
    """The rows that bear the name of a family's model, in the order of the models."""
    return _joined(
        _named(rows[rows["model"] == model.name], family, model)
        for family in families
        for model in family.models
    )


def _named(rows: pd.DataFrame, family: Family, model: Model) -> pd.DataFrame:
    """Say of which model of the registry some accuracies are."""
    about = {"family": family.name, "title": family.title, "name": model.name}
    about |= {"pretraining": model.pretraining, "level": model.level}
    return rows.assign(**about, seed=rows.get("seed", 0))


def matches(table: pd.DataFrame, key: PublishedKey) -> pd.Series[bool]:
    """Which rows of the published table a family's key names."""
    near = (table["source"] == key.source) & (table["weights"] == key.weights)
    names = [n for n in table["model"][near].unique() if fnmatch.fnmatchcase(n, key.model)]
    return near & table["model"].isin(names)
