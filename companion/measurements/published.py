"""Top-1 accuracies that others published, and the views of them that the book computes with.

``data/published/accuracies.csv`` has one row per model and data set (its README gives the origin,
commit, licence and known defects of each source). Accuracies are fractions. A mean over four
shifts and a mean over five are never mixed: every view names its shifts, and a model that lacks
one of them is not in the view.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pandas as pd

from analysis.common import ROOT, suggestion
from analysis.families.registry import LEVELS, Family, Model, PublishedKey

ACCURACIES = ROOT / "data" / "published" / "accuracies.csv"

#: The paper's shifts, in its order.
FIVE_SHIFTS = ("imagenet_v2", "imagenet_r", "imagenet_sketch", "objectnet", "imagenet_a")
#: Those that timm measures: no ObjectNet.
FOUR_SHIFTS = ("imagenet_v2", "imagenet_r", "imagenet_sketch", "imagenet_a")
#: The three test sets of ImageNet-V2 (Recht et al. 2019).
V2_VARIANTS = ("matched_frequency", "threshold", "top_images")

V2 = Literal["mean", "matched_frequency", "threshold", "top_images"]

#: Data sets, and how many classes a prediction chooses among.
CLASSES = {
    "imagenet": 1000,
    "imagenet_v2_matched_frequency": 1000,
    "imagenet_v2_threshold": 1000,
    "imagenet_v2_top_images": 1000,
    "imagenet_r": 200,
    "imagenet_sketch": 1000,
    "objectnet": 113,
    "imagenet_a": 200,
}
SOURCES = ("open_clip", "imagenet_testbed", "timm", "model_soups")
#: Testbed types that are outside the baseline pool, and the type that is "standard".
MORE_DATA = "Trained with more data"
STANDARD = "Standard training"

#: One model as one source evaluated it.
MODEL_KEY = ["source", "model", "weights", "image_size"]
KEY = [*MODEL_KEY, "dataset"]
DESCRIPTION = ["level", "family", "kind"]
COLUMNS = [
    *("source", "commit", "model", "weights", "image_size", "level", "family", "kind"),
    *("dataset", "classes", "accuracy", "defect"),
]


class PublishedError(ValueError):
    """The published table, or a question to it, is wrong; the message says how."""


def load(path: Path = ACCURACIES) -> pd.DataFrame:
    """Read and check the table of published accuracies.

    Columns as in ``COLUMNS``: text (empty where not known), ``image_size`` a nullable integer in
    pixels, ``classes`` an integer, ``accuracy`` a fraction. Raises PublishedError in one sentence
    if a column, a value or a key is wrong.
    """
    if not path.is_file():
        raise PublishedError(f"{path} does not exist: run `python data/published/make.py`.")
    table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
    if list(table.columns) != COLUMNS:
        raise PublishedError(
            f"{path.name} has the columns {', '.join(table.columns)} where "
            f"{', '.join(COLUMNS)} are expected: rebuild it with data/published/make.py."
        )
    table["accuracy"] = _numbers(table, "accuracy", path)
    table["classes"] = _numbers(table, "classes", path).astype("Int64")
    table["image_size"] = _numbers(table, "image_size", path, empty=True).astype("Int64")
    _check_values(table, path)
    return table


def wide(table: pd.DataFrame, v2: V2 = "mean", shifts: Sequence[str] = FIVE_SHIFTS) -> pd.DataFrame:
    """Return one row per model that has ImageNet and every one of ``shifts``.

    Columns: source, model, weights, image_size, level, family, kind; ``imagenet`` and one column
    per shift (fractions); ``shifted``, the plain mean of the shifts. Rows with a known defect are
    left out. ``v2`` says what stands for ImageNet-V2: one of its variants, or the ``mean`` of all
    three. A model without the variant that was asked for is absent; nothing is substituted, so ask
    for ``matched_frequency`` to see CLIP models, of which no other variant is published.
    """
    unknown = [shift for shift in shifts if shift not in FIVE_SHIFTS]
    if unknown:
        raise PublishedError(
            f"unknown shift {unknown[0]!r}: {suggestion(unknown[0], FIVE_SHIFTS)}."
        )
    sound = table[table["defect"] == ""]
    # Pivoting drops keys that are missing, so an image size that is not known becomes 0 meanwhile.
    flat = sound.assign(image_size=sound["image_size"].fillna(0))
    columns = flat.set_index([*MODEL_KEY, *DESCRIPTION, "dataset"])["accuracy"].unstack("dataset")
    columns = columns.reindex(columns=list(CLASSES))
    columns["imagenet_v2"] = _imagenet_v2(columns, v2)
    complete = columns[["imagenet", *shifts]].dropna()
    result = complete.assign(shifted=complete[list(shifts)].mean(axis="columns")).reset_index()
    result["image_size"] = result["image_size"].replace(0, pd.NA).astype("Int64")
    result.columns.name = None
    return result


def baseline_pool(table: pd.DataFrame, kinds: Literal["all", "standard"] = "all") -> pd.DataFrame:
    """Return the models of the testbed that a baseline is fitted on (Taori et al. 2020).

    ``table`` comes from :func:`wide`. ``all`` is every type except "Trained with more data", which
    gives the paper's printed constants; ``standard`` is the type "Standard training" alone.
    """
    testbed = table["source"] == "imagenet_testbed"
    if kinds == "all":
        kept = testbed & (table["kind"] != MORE_DATA)
    elif kinds == "standard":
        kept = testbed & (table["kind"] == STANDARD)
    else:
        raise PublishedError(f"unknown kinds {kinds!r}: expected 'all' or 'standard'.")
    return table[kept].reset_index(drop=True)


def claimed_by(table: pd.DataFrame, family: Family) -> pd.Series[bool]:
    """Return which rows of ``table`` the family's ``published`` keys name."""
    claimed = pd.Series(False, index=table.index)
    for model in family.models:
        for key in model.published:
            claimed |= _matches(table, key)
    return claimed


def of_family(table: pd.DataFrame, family: Family) -> pd.DataFrame:
    """Return the rows that belong to a family, in the family file's order.

    ``table`` comes from :func:`wide` or :func:`load`. Before its columns stand ``name`` and
    ``pretraining`` of the registry's model; one model has several rows where several sources, or
    many checkpoints of one description, were measured.
    """
    parts = [_named(table, model, key) for model in family.models for key in model.published]
    found = [part for part in parts if len(part)]
    if not found:
        return table.iloc[:0].assign(name="", pretraining="")[
            ["name", "pretraining", *table.columns]
        ]
    return pd.concat(found, ignore_index=True)


def _named(table: pd.DataFrame, model: Model, key: PublishedKey) -> pd.DataFrame:
    rows = table[_matches(table, key)]
    named = rows.assign(name=model.name, pretraining=model.pretraining)
    return named[["name", "pretraining", *table.columns]]


def _matches(table: pd.DataFrame, key: PublishedKey) -> pd.Series[bool]:
    named = table["model"].map(lambda name: fnmatch.fnmatchcase(name, key.model)).astype(bool)
    return (table["source"] == key.source) & (table["weights"] == key.weights) & named


def _imagenet_v2(columns: pd.DataFrame, v2: str) -> pd.Series[float]:
    if v2 == "mean":
        variants = [f"imagenet_v2_{variant}" for variant in V2_VARIANTS]
        return columns[variants].mean(axis="columns", skipna=False)
    if v2 not in V2_VARIANTS:
        known = ("mean", *V2_VARIANTS)
        raise PublishedError(f"unknown ImageNet-V2 variant {v2!r}: {suggestion(v2, known)}.")
    return columns[f"imagenet_v2_{v2}"]


def _numbers(table: pd.DataFrame, column: str, path: Path, empty: bool = False) -> pd.Series[float]:
    numbers = pd.to_numeric(table[column], errors="coerce")
    wrong = numbers.isna() & ~((table[column] == "") & empty)
    if wrong.any():
        raise PublishedError(
            f"{path.name}, {_where(table, wrong)}: {column} is "
            f"{table.loc[wrong, column].iloc[0]!r}, which is not a number."
        )
    return numbers


def _check_values(table: pd.DataFrame, path: Path) -> None:
    """Raise PublishedError for the first rule that some row breaks."""
    expected = table["dataset"].map(CLASSES)
    rules = [
        ("source", ~table["source"].isin(SOURCES), f"must be one of {', '.join(SOURCES)}"),
        ("level", ~table["level"].isin(("", *LEVELS)), f"must be empty or {', '.join(LEVELS)}"),
        ("dataset", expected.isna(), f"must be one of {', '.join(CLASSES)}"),
        ("classes", table["classes"] != expected, "is not that data set's number of classes"),
        ("accuracy", ~table["accuracy"].between(0, 1), "must be a fraction between 0 and 1"),
        ("dataset", table.duplicated(KEY), "is there twice for this model"),
    ]
    for column, broken, rule in rules:
        if broken.any():
            value = table.loc[broken, column].iloc[0]
            raise PublishedError(f"{path.name}, {_where(table, broken)}: {column} {value} {rule}.")


def _where(table: pd.DataFrame, rows: pd.Series[bool]) -> str:
    """Return ``line n (source model)`` of the first of ``rows``; line 1 holds the column names."""
    position = int(rows.to_numpy().argmax())
    first = table.iloc[position]
    return f"line {position + 2} ({first['source']} {first['model']})"
