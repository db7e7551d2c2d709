"""What a notebook asks of the book: what was measured, as a DataFrame.

A row is what one experiment found for one model on one set of images (or captions). Its columns
are names (below), then what was counted, then every quantity by its name in
`data/quantities.yaml`; a list or table is one value. A quantity that a file lacks is None, one that
all files lack is pandas' NA. Nothing is kept in a frame's ``attrs``, which merge and concat lose.

- `title`: model and images, unique; where all rows are of one set in this build, the model alone.
- `of`: the model in few words; `backbone` and `training`: the two parts of its full name; `data`:
  the images' title; `level`, and `how_trained` in words of a reader's model.
- `family`, `model`, `data_set`, `edition`: as commands and files call them.
- `role`: what the style of a pocket set is for. `captions`: whether it is of texts. `main`:
  whether it is of the images with which a family's page begins. `evidence`: "live" (of this
  build) or "recorded". `record`: all that the file says.
"""

from __future__ import annotations

from typing import Any, get_args

import pandas as pd

from analysis.families.registry import Edition, load_family
from companion.chapters import arrays, notes
from companion.chapters import measured as titles
from companion.engine.page import Also
from companion.engine.style import LEVEL_STYLES
from companion.measurements.measurement import Measurement, MeasurementError
from companion.measurements.quantities import Measurable
from companion.measurements.quantities import declared as kinds
from companion.measurements.records import STYLES_BY_ROLE, TRAINING, available

ROLES = {name: role for role, names in STYLES_BY_ROLE.items() for name in names}
NAMES = {
    "title": str, "of": str, "backbone": str, "training": str, "data": str, "level": str,
    "how_trained": object, "family": str, "model": str, "data_set": str, "edition": str,
    "role": object, "captions": bool, "main": bool, "evidence": str, "record": object,
}  # fmt: skip


def measured(experiment: Measurable, *subjects: str) -> pd.DataFrame:
    """Everything measured of an experiment for families or editions: the columns are above.

    Families are in their order, models in the order of their family. Raises MeasurementError if two
    rows would have the same title.
    """
    records: list[Measurement] = []
    for subject in subjects:
        if subject in get_args(Edition):
            records += titles.of_editions(experiment, subject)  # type: ignore[arg-type]
        else:
            records += available(experiment, load_family(subject))
    frame = pd.DataFrame(map(_row, records))
    known = [*NAMES, *kinds()[experiment].counted, *kinds()[experiment].quantities]
    frame = frame.reindex(columns=[*dict.fromkeys([*known, *frame])])
    main = frame["data_set"] == TRAINING
    frame["main"] = main | ~frame["family"].isin(frame.loc[main, "family"])
    frame = frame.astype({name: kind for name, kind in NAMES.items() if kind is not object})
    if frame.empty:  # so that a mean of no rows is one
        single = [n for n, q in kinds()[experiment].quantities.items() if not q.shape]
        frame = frame.astype(dict.fromkeys(single, float))
    lacking = set.intersection(*({*m.lacks} for m in records)) if records else set()
    frame[[*lacking]] = pd.NA
    return titled(frame)


def titled(found: pd.DataFrame) -> pd.DataFrame:
    """The rows with a `title` for this selection: of one set that this build measured, the model.

    Of several backbones the title says which. Raises MeasurementError if two titles are equal.
    """
    alone = found["data_set"].nunique() == 1 and (found["evidence"] == "live").all()
    name = "training" if found["family"].nunique() < 2 else "of"
    data = found["data"].str.removesuffix(" (model inferred)")  # which `of` says
    given = found[name] if alone else found[name] + ": " + (data if name == "of" else found["data"])
    if repeated := [*given[given.duplicated()]]:
        raise MeasurementError(
            f"two rows have the title {repeated[0]!r}: give the family or the data another title."
        )
    return found.assign(title=given)


def front(found: pd.DataFrame) -> pd.DataFrame:
    """One set of images for each model, and its captions, under titles of this selection.

    The first set in `data/embeddings.yaml`; a set that is not listed there comes before.
    """
    kept = {id(m) for m in titles.one_set_each([*found["record"]])}
    return titled(found[found["record"].map(id).isin(kept)])


def with_imagenets_head(found: pd.DataFrame) -> pd.DataFrame:
    """The zero-shot models with the published 80-template head, on one set of images each."""
    kept = {id(m) for m in titles.with_imagenets_head([*found["record"]])}
    return titled(found[found["record"].map(id).isin(kept)])


def one(found: pd.DataFrame, **wanted: object) -> pd.Series[Any]:
    """The first row with these values of columns; MeasurementError if there is none."""
    rows = found
    for column, value in wanted.items():
        rows = rows[rows[column] == value]
    if rows.empty:
        what = ", ".join(f"{column} {value}" for column, value in wanted.items())
        raise MeasurementError(
            f"the page needs a measurement ({what}) and there is no sound one: companion check "
            "says what is wrong with a file, companion measure --record takes it."
        )
    return rows.iloc[0]


def coverage(found: pd.DataFrame, *editions: Edition) -> str:
    """How many zero-shot models are measured on images, and which of these are inferred."""
    return titles.coverage([*found["record"]], *editions)


def features(found: pd.DataFrame) -> arrays.Arrays | None:
    """Features `h` (images, components) of the first row whose very features are on this disk.

    With a head, labels and what was `measured` of them; None where no row's features are here.
    """
    return arrays.on_disk(found["record"])


def closing_notes(found: pd.DataFrame, experiment: Measurable, family: str, **options: bool) -> Any:
    """The texts at the end of a family's page, by name: what is unmeasured, what is unusable."""
    backbone = load_family(family)
    return notes.closing_notes(experiment, backbone, [*found["record"]], **options)


def colours(found: pd.DataFrame) -> dict[str, str]:
    """Title → the colour of the model's level."""
    levels = zip(found["title"], found["level"], strict=True)
    return {title: LEVEL_STYLES[level].colour for title, level in levels}


def declared(found: pd.DataFrame) -> Also:
    """The columns that quantities bring to every table of their experiment, for `also`."""
    experiments = dict.fromkeys(m.experiment for m in found["record"])
    every = [item for name in experiments for item in kinds()[name].quantities.items()]
    shown = {q.column: (name, q.means) for name, q in every if q.column}
    return Also(
        {column: f"{{{name}:digits}} | not measured" for column, (name, _) in shown.items()},
        {column: means for column, (_, means) in shown.items()},
    )


def _row(m: Measurement) -> dict[str, object]:
    """A measurement as a row, but for what depends on the others."""
    family = titles.family_of(m)
    model = family.model(m.model)
    return {
        "of": titles.model_title(m),
        "backbone": family.title,
        "training": model.title,
        "data": m.data.title,
        "level": m.level,
        "how_trained": titles.how_trained(family, m.level),
        "family": m.family,
        "model": m.model,
        "data_set": m.data.name,
        "edition": family.edition,
        "role": ROLES.get(m.data.name),
        "captions": titles.of_captions(m),
        "evidence": "live" if m.live else "recorded",
        "record": m,
        **dict.fromkeys(m.lacks),
        **m.counts,
        **{name: m.value(name) for name in m.values},
    }
