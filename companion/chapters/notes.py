"""What a page says of its measurements in addition to results: heads, cautions, what lacks."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence

from analysis.families.registry import Family, Model
from companion.chapters.measured import model_and_data, of_captions
from companion.engine import style
from companion.engine.style import admonition, items, unusable
from companion.measurements import records
from companion.measurements.measurement import Measurement
from companion.measurements.quantities import Measurable
from companion.measurements.records import broken


def head(measurement: Measurement) -> str:
    """The head in words, as the measurement describes it, without checksums."""
    return re.sub(r", prompts [0-9a-f]{64}", "", measurement.provenance.head)


def heads(measured: Iterable[Measurement]) -> str:
    """The heads of several models in words, each kind once."""
    return "; ".join(dict.fromkeys(map(head, measured)))


def task(measurement: Measurement) -> str:
    """The task of the head, as a sentence without its full stop."""
    classes = measurement.counts["classes"]
    captions = "captions" in measurement.provenance.head
    target = "caption" if captions else "class"
    other = "" if measurement.data.name.startswith("imagenet") else " (not ImageNet's)"
    return f"Task{other}: pick each image's {target} from {classes}"


def in_brief(measurement: Measurement) -> str:
    """The single numbers of a measurement, by name, and the head if not all of it took part."""
    values = measurement.values.items()
    single = [(name, v.value) for name, v in values if isinstance(v.value, int | float)]
    parts = [f"{name.replace('_', ' ')} {value:.4g}" for name, value in single]
    return "; ".join([*parts, of] if "took part" in (of := head(measurement)) else parts)


def absent_models(missing: Iterable[Model], on_texts: Collection[str] = ()) -> str:
    """A folded box (MyST) that names absent models and the page on how to get them; "" if none.

    That page lists what every chapter lacks. ``on_texts``: names of those measured on texts alone.
    """
    titles = (f"{m.title}{', on images' if m.name in on_texts else ''}" for m in missing)
    named = items(titles)
    tells = "{doc}`/runs/not_measured` says what each model lacks and which command brings it."
    return style.not_measured(named and f"{named}\n\n{tells}")


def closing_notes(
    experiment: Measurable, family: Family, measured: Sequence[Measurement], random: bool = True
) -> dict[str, str]:
    """The texts at the end of a family's page, by name: what is unmeasured, and what is unusable.

    Models of random weights count if ``random`` says so.
    """
    read, seen = ({m.model for m in measured if of_captions(m) is texts} for texts in (True, False))
    absent = [m for m in family.models if m.name not in seen and (random or m.level != "random")]
    notes = {
        "not-measured": absent_models(absent, read) or "Every model of this family was measured.",
        "cautions": cautions(measured),
        "unusable": unusable([*records.unusable_features(family), *broken(experiment, family)]),
    }
    return {name: note for name, note in notes.items() if note}


def cautions(measured: Sequence[Measurement]) -> str:
    """An admonition (MyST) on what keeps measurements from being compared; "" if nothing does."""
    notes = [f"{model_and_data(m)}: {m.data.what}." for m in measured if not m.data.is_whole]
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
