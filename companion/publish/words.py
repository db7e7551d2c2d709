"""Sentences that a chapter on measurements needs: what they are of, what is missing or outdated."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from numpy.typing import ArrayLike

from analysis.common import as_markdown
from analysis.families.registry import Family, Model, load_family
from analysis.images.imagelist import is_whole
from analysis.metrics.outliers import far_above_mean
from companion.measurements import records
from companion.measurements.quantities import Experiment
from companion.measurements.records import Measurement, available, broken, code_note
from companion.publish.style import admonition, items


def whose(measurement: Measurement) -> tuple[Family, Model]:
    """The family and the model that were measured, from the family's file."""
    family = load_family(measurement.family)
    return family, family.model(measurement.model)


def of_same_model(m: Measurement, experiment: Experiment) -> dict[str, Measurement]:
    """Data set → what another experiment found for the same model."""
    family, model = whose(m)
    alone = family.model_copy(update={"models": (model,)})  # no other model's files are read
    return {found.data.name: found for found in available(experiment, alone)}


def title(measurement: Measurement) -> str:
    """The model and the data of a measurement, as words."""
    return f"{whose(measurement)[1].title}: {measurement.data.title}"


def titled(measured: Sequence[Measurement]) -> dict[str, Measurement]:
    """A family's measurements by title, which names the data, unless all are this build's of one.

    Of what was recorded the reader is told on which images, and whether the model is inferred.
    """
    alone = len({m.data.name for m in measured}) == 1 and all(m.live for m in measured)
    return {whose(m)[1].title if alone else title(m): m for m in measured}


def head(measurement: Measurement) -> str:
    """What the head is, in words: as the measurement says, without checksums."""
    return re.sub(r", prompts [0-9a-f]{64}", "", measurement.provenance.head)


def heads(measured: Iterable[Measurement]) -> str:
    """What the heads of several models are, each kind once."""
    return "; ".join(dict.fromkeys(map(head, measured)))


def task(measurement: Measurement) -> str:
    """What the head has to tell apart, as a sentence without its full stop."""
    classes = measurement.counts["classes"]
    captions = "captions" in measurement.provenance.head
    own = "own caption" if captions else "class"
    here = "" if measurement.data.name.startswith("imagenet") else "The task is not ImageNet: each"
    return f"{here or 'Each'} image is to be given its {own} out of {classes}"


def in_brief(measurement: Measurement) -> str:
    """The single numbers of a measurement, by name, and the head if not all of it took part."""
    values = measurement.values.items()
    single = [(name, v.value) for name, v in values if isinstance(v.value, int | float)]
    told = [f"{name.replace('_', ' ')} {value:.4g}" for name, value in single]
    return "; ".join([*told, of] if "took part" in (of := head(measurement)) else told)


def unusable(problems: Sequence[str]) -> str:
    """An admonition (MyST) on what is here and cannot be used; "" if there is nothing.

    The sentences quote files that anyone may have written: but for code they hold no markup.
    """
    escaped = (as_markdown(" ".join(text.split()), "<>&{}[]$*|\\") for text in problems)
    return admonition("What cannot be used", items(escaped))


def outliers(profile: ArrayLike, threshold: float) -> str:
    """The coordinates of a profile that are far above the mean one, the largest first."""
    names = [str(c) for c in far_above_mean(profile, threshold)]
    more = f" and {len(names) - 6} more" if len(names) > 6 else ""
    return ", ".join(names[:6]) + more or "none"


def not_measured(missing: Iterable[Model]) -> str:
    """An admonition (MyST) that names models, and the page that says what brings them; "" if none.

    That page lists what every chapter lacks.
    """
    named = items(model.title for model in missing)
    tells = "{doc}`/runs/not_measured` says what each model lacks and which command brings it."
    return admonition("Not measured yet", named and f"{named}\n\n{tells}", "not-measured")


def missing(
    experiment: Experiment, family: Family, measured: Sequence[Measurement], random: bool = True
) -> dict[str, str]:
    """The end of a family's page, its texts by name: what is not measured, and what is unusable.

    Models of random weights count if ``random`` says so.
    """
    older = (f"`{m.file_name}`: {note}" for m in measured if (note := code_note(m)))
    known = {m.model for m in measured}
    absent = [m for m in family.models if m.name not in known and (random or m.level != "random")]
    notes = {
        "not-measured": not_measured(absent) or "Every model of this family was measured.",
        "cautions": cautions(measured),
        "older-code": admonition("Older code", items(older)),
        "unusable": unusable([*records.unusable(family), *broken(experiment, family)]),
    }
    return {name: note for name, note in notes.items() if note}


def cautions(measured: Sequence[Measurement]) -> str:
    """An admonition (MyST) on what keeps measurements from being compared; "" if nothing does."""
    notes = [f"{title(m)}: {m.data.what}." for m in measured if not is_whole(m.data.what)]
    precisions = list(dict.fromkeys(m.provenance.precision for m in measured if m.live))
    if len(precisions) > 1:
        notes.append(f"Not all are of one precision: {'; '.join(precisions)}.")
    shares = [m.value("negative_share") for m in measured if "negative_share" in m.values]
    if 0.0 in shares:
        notes.append(
            "Some of these features are never negative, as behind a ReLU: there a coordinate can "
            "be far above the mean one without being an outlier of the kind that the paper means."
        )
    return admonition("To be kept in mind", items(notes))
