"""Sentences that a chapter on measurements needs: what they are of, what is missing or outdated."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from analysis.families.registry import Family, Model
from analysis.metrics.concept_counts import shared, totals
from analysis.metrics.outliers import far_above_mean
from companion.measurements.due import unusable as unusable_features
from companion.measurements.records import Measurement, code_note
from companion.publish.style import Evidence, percent, points, text


def title(measurement: Measurement, family: Family) -> str:
    """The model and the data of a measurement of that family, as words."""
    return f"{family.model(measurement.model).title}: {measurement.data.title}"


def titled(measured: Sequence[Measurement], family: Family) -> dict[str, Measurement]:
    """A family's measurements by title, which names the data set where there are several."""
    alone = len({m.data.name for m in measured}) == 1
    return {family.model(m.model).title if alone else title(m, family): m for m in measured}


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


def with_interval(value: float, low: float, high: float, joint: str = " to ") -> str:
    """A difference and the ends of its interval in signed percentage points, from fractions."""
    return f"{points(value)} ({points(low)}{joint}{points(high)})"


def kind(measured: Iterable[Measurement]) -> Evidence:
    """What kind of evidence measurements are, for the badge of a figure or table of them."""
    live = {m.live for m in measured}
    return "recorded, live" if len(live) == 2 else "live" if True in live else "recorded"


def kinds(*each: str) -> Evidence:
    """Kinds of evidence together: those of "published", "recorded" and "live" that are in any."""
    found = ", ".join(k for k in ("published", "recorded", "live") if k in ", ".join(each))
    return cast(Evidence, found)


def unusable(problems: Sequence[str]) -> str:
    """An admonition (MyST) on features in the store that cannot be used; "" if there is none."""
    if not problems:
        return ""
    items = "\n".join(f"- {problem}" for problem in problems)
    return f":::{{admonition}} Features that cannot be used\n:class: warning\n{items}\n:::"


def digits(value: float) -> str:
    """A number with three significant digits."""
    return f"{value:#.3g}".rstrip(".")


def share(fraction: float) -> str:
    """A share in percent; one that is not quite all or nothing never reads so."""
    for end, words in ((0.0, "less than 0.1"), (1.0, "more than 99.9")):
        if fraction != end and f"{fraction:.3f}" == f"{end:.3f}":
            return f"{words}\N{NO-BREAK SPACE}%"
    return f"{100 * fraction:.1f}\N{NO-BREAK SPACE}%".replace(".0", "")


def kurtosis(measurement: Measurement) -> str:
    """Mean activation kurtosis over images ± its 95 % interval."""
    error = 1.96 * measurement.value("kurtosis_standard_error")
    shown = f"{error:.2g}" if error >= 0.001 else "0.001"  # rounded up, rather than 9e-05
    return f"{digits(measurement.value('kurtosis_mean'))} ± {shown}"


def middle(percentiles: NDArray[np.float64]) -> str:
    """Where 90 % of the items lie, from the percentiles 0 to 100."""
    return f"{digits(percentiles[5])} to {digits(percentiles[95])}"


def outliers(profile: NDArray[np.float64], threshold: float) -> str:
    """The coordinates of a profile that are far above the mean one, the largest first."""
    names = [str(c) for c in far_above_mean(profile, threshold)]
    more = f" and {len(names) - 6} more" if len(names) > 6 else ""
    return ", ".join(names[:6]) + more or "none"


def control(measured: Iterable[Measurement]) -> str:
    """What random weights tell about reading κ and persistence; "" without them, or without others.

    `measured`: outlier features of a family's images.
    """
    every = list(measured)
    untrained = [m for m in every if m.level == "random"]
    trained = [m for m in every if m.level != "random"]
    if not untrained or not trained:
        return ""
    random = untrained[0]
    share, shares = _leading(random), list(map(_leading, trained))
    varying, others = _variation(random), list(map(_variation, trained))
    said = (
        f"With random weights coordinate {random.value('persistence_coordinate')} leads in "
        f"{share:.1f} % of the images; in the trained models the commonest leader does so in "
        f"{min(shares):.1f} to {max(shares):.1f} %."
    )
    if share <= max(shares):
        return said
    return (
        f"{said} But with random weights κ is {digits(random.value('kurtosis_mean'))}, and the "
        f"largest profile only {digits(random.value('profile').max())} times the mean. The "
        "untrained network maps all images to similar vectors: a coordinate varies over images by "
        f"{varying:.2f} standard deviations of an image, in the trained models by "
        f"{min(others):.2f} to {max(others):.2f}. Some coordinate must then be the largest in most "
        "of them. So persistence by itself is no sign of something learned; it says something only "
        "where κ is far above 3."
    )


def left_out(name: str, measurement: Measurement) -> str:
    """What leaving out single directions does to a model's accuracy."""
    without = measurement.value("accuracy_without_each")
    worst = int(without.argmin())
    others = np.delete(without, worst)
    return (
        f"**{name}:** leaving out direction {worst + 1} (by singular value) alone takes accuracy "
        f"from {percent(measurement.value('accuracy_importance')[-1])} % to "
        f"{percent(without[worst])} %, more than any other. Without any single one of the others "
        f"it stays between {percent(others.min())} % and {percent(others.max())} %."
    )


def not_measured(family: Family, missing: Sequence[Model], what: str, experiment: str) -> str:
    """An admonition (MyST) that names the missing models and how to get them; "" if none is."""
    if not missing:
        return ""
    if family.edition == "pocket":
        body = f"{what} of these models:\n\n{_items(missing)}\n\n{pocket_command([family.name])}"
        return f"::::{{admonition}} Not measured\n:class: not-measured\n{body}\n::::"
    loadable = [model for model in missing if model.loadable]
    private = [model for model in missing if not model.loadable]
    parts = []
    if loadable:
        parts.append(f"{what} of these models:\n\n{_items(loadable)}")
        parts.append(
            "Their weights can be had, so a copy of the images is all that is missing:\n\n"
            f"```console\n$ companion extract {family.name} --data FOLDER\n"
            f"$ companion measure {experiment} {family.name} --record\n```"
        )
    if private:
        parts.append(f"No public weights are known for these:\n\n{_items(private)}")
    body = "\n\n".join(parts)
    return f"::::{{admonition}} Not measured yet\n:class: not-measured\n{body}\n::::"


def no_features(missing: Sequence[Model], what: str, family: str) -> str:
    """An admonition (MyST) on models that the store has no features of; "" if there is none."""
    if not missing:
        return ""
    return (
        "::::{admonition} Not measured yet\n:class: not-measured\n"
        f"The store has no {what} by these models:\n\n{_items(missing)}\n\n"
        f"```console\n$ companion extract {family} --data FOLDER\n```\n::::"
    )


def pocket_command(families: Sequence[str]) -> str:
    """How to get the features of pocket families (MyST)."""
    lines = "\n".join(f"$ companion extract {name} --data pocket" for name in families)
    return (
        "Their features are extracted before a build, from checkpoints of this repository, which "
        "needs PyTorch:\n\n"
        f"```console\n$ pip install -e '.[extract]'\n{lines}\n```"
    )


def missing(
    what: str,
    experiment: str,
    family: Family,
    measured: Sequence[Measurement],
    random: bool = True,
) -> None:
    """Publish the end of a family's page: what is not measured, and which features are unusable.

    ``what`` would stand on the page of the models that nothing is ``measured`` of, by which
    ``experiment``; models of random weights count if ``random`` says so.
    """
    known = {m.model for m in measured}
    absent = [m for m in family.models if m.name not in known and (random or m.level != "random")]
    every = "Every model of this family was measured."
    text("not-measured", not_measured(family, absent, what, experiment) or every)
    problems = unusable(unusable_features(family))
    for name, note in (("older-code", code_notes(measured)), ("unusable", problems)):
        if note:
            text(name, note)


def code_notes(measured: Iterable[Measurement]) -> str:
    """An admonition (MyST) that lists measurements taken with other code; "" if there is none."""
    notes = [(m, code_note(m)) for m in measured]
    items = "\n".join(f"- `{m.file_name}`: {note}" for m, note in notes if note)
    if not items:
        return ""
    return f":::{{admonition}} Older code\n:class: warning\n{items}\n:::"


#: Titles of the regions of three levels' concepts: ZS zero-shot, FT finetuned, SUP supervised.
_REGIONS = {
    "zero_shot_only": "ZS only",
    "zero_shot_finetuned": "ZS ∩ FT",
    "zero_shot_supervised": "ZS ∩ SUP",
    "all": "all three",
    "finetuned_only": "FT only",
    "finetuned_supervised": "FT ∩ SUP",
    "supervised_only": "SUP only",
}


def regions(of_regions: Mapping[str, int]) -> dict[str, str]:
    """The seven regions, and the share of the finetuned model's concepts that zero-shot has too."""
    cells = {title: str(of_regions[name]) for name, title in _REGIONS.items()}
    return cells | {"of FT, in ZS (%)": share_of(of_regions, "finetuned", "zero_shot")}


def share_of(of_regions: Mapping[str, int], level: str, other: str) -> str:
    """The percentage of one level's concepts that another encodes too; n/a if it has none."""
    whole = totals(of_regions)[level]
    return f"{100 * shared(of_regions, level, other) / whole:.0f}" if whole else "n/a"


def _leading(measurement: Measurement) -> float:
    """How often the commonest leader leads, in percent."""
    return float(100 * measurement.value("persistence_fraction"))


def _variation(measurement: Measurement) -> float:
    """How much a coordinate varies over images, in an image's standard deviations: of a sample."""
    return float(measurement.value("sample").std(axis=0).mean())


def _items(models: Sequence[Model]) -> str:
    return "\n".join(f"- {model.title}" for model in models)
