"""What is measured over all families, put together for the paper's pages, and sentences on it.

The pages discuss one example in detail, COCO's images and captions, beside all that is measured.
The sentences say of its CLIP model and of its control what the numbers turn out to be.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NoReturn

import numpy as np
import pandas as pd

from analysis.common import ROOT
from analysis.families.registry import Edition, Family, Level, load_families
from analysis.metrics.outliers import far_above_mean
from companion.claims.evidence import Cuts
from companion.measurements.quantities import Experiment
from companion.measurements.records import Measurement, MeasurementError, available
from companion.publish import words
from companion.publish.charts import ORDERS, pruned
from companion.publish.style import digits, percent, points

EXAMPLE, DATA = "vit_b_16", "coco_500_"


def known(experiment: Experiment, *editions: Edition) -> list[Measurement]:
    """Measurements of the editions' models, in the order of families and models; captions last."""
    found: list[Measurement] = []
    for family in _families(editions):
        order = [model.name for model in family.models]
        own = available(experiment, family)
        found += sorted(own, key=lambda m: (order.index(m.model), "captions" in m.data.name))
    return found


def _families(editions: Iterable[Edition]) -> Iterator[Family]:
    for edition in editions:
        yield from load_families(edition).values()


def example(found: Sequence[Measurement]) -> list[Measurement]:
    """Those of the example that the pages discuss; MeasurementError if none is sound."""
    shown = [m for m in found if m.family == EXAMPLE and m.data.name.startswith(DATA)]
    return shown or _absent(f"{EXAMPLE} on {DATA}images")


def of_level(level: Level, found: Sequence[Measurement]) -> Measurement:
    """The first of a level, on images; MeasurementError if there is none."""
    on_images = (m for m in found if m.level == level and "captions" not in m.data.name)
    return next(on_images, None) or _absent(f"a model of the level {level}")


def _absent(what: str) -> NoReturn:
    raise MeasurementError(
        f"the page discusses {what}, of which no sound measurement is recorded: companion check "
        "says what is wrong with a file, companion measure --record takes it."
    )


def gaussian_suffices(found: Sequence[Measurement]) -> str:
    """How far draws with the same mean and covariance are from the kurtosis of the images."""
    apart = [abs(m.value("kurtosis_gaussian") / m.value("kurtosis") - 1) for m in found]
    clip = [off for off, m in zip(apart, found, strict=True) if m.level == "zero_shot"]
    if not clip:
        return ""
    told = f"In the zero-shot models the two differ by {100 * max(clip):.0f} % at most."
    worst = found[apart.index(max(apart))]
    if worst.level == "zero_shot":
        return told
    drawn, own = (digits(worst.value(name)) for name in ("kurtosis_gaussian", "kurtosis"))
    return (
        f"{told} In {title(worst)} the draws have {drawn} against {own}: there something "
        "else raises κ."
    )


def front(changed: Sequence[Measurement]) -> Measurement:
    """Of interventions the zero-shot model on most images, of which the pages speak."""
    zero_shot = [m for m in changed if m.level == "zero_shot"]
    return sorted(zero_shot, key=lambda m: m.counts["images"])[-1]


def predictions_changed(changed: Sequence[Measurement]) -> str:
    """How many predictions the changes that a head can undo changed, of how many images."""
    every = sum(
        m.value("changed_rotated") + m.value("changed_shifted").sum() + m.value("changed_less_mean")
        for m in changed
    )
    images = sum(m.counts["images"] for m in changed)
    if not images:
        return "nothing (not measured here)"
    return f"{f'{every:.0f}' if every else 'none'} of {images:,} predictions"


def eigenframe_and_share(found: Sequence[Measurement]) -> str:
    """How near κ in the eigenframe is to what the share of energy in the mean alone gives.

    Were the mean an eigenvector, and the rest spread evenly, it would be about width × share².
    """
    pairs = [
        (m.value("kurtosis_eigenframe"), m.counts["components"] * m.value("mean_share") ** 2)
        for m in found
        if m.level == "zero_shot"
    ]
    if len(pairs) < 3:
        return ""
    r = np.corrcoef(np.log(pairs).T)[0, 1]
    return (
        f"over the {len(pairs)} image sets of zero-shot models, its logarithm and that of width × "
        f"share² have a correlation of {r:.3f}."
    )


def shares_of_random(found: Sequence[Measurement]) -> str:
    """Whether random weights have less in the mean, and in the eigenframe, than trained ones."""
    control = next((m for m in found if m.level == "random"), None)
    clip = [m for m in found if m.level == "zero_shot"]
    if control is None or not clip:
        return ""
    told = []
    for name, title in (("mean_share", "share"), ("kurtosis_eigenframe", "κ in the eigenframe")):
        own, others = control.value(name), [m.value(name) for m in clip]
        below = sum(other < own for other in others)
        told.append(f"a {title} of {digits(own)}, above {below} of {len(others)} zero-shot models")
    return f"Random weights have {' and '.join(told)}."


def from_moments(found: Sequence[Measurement]) -> str:
    """What published moments alone give for a model, beside what its images give."""
    table = pd.read_csv(ROOT / "data/moments/kurtosis.csv")
    own = sorted(m.value("kurtosis") for m in found if m.model in set(table["model"]))
    drawn, leaders = (
        " or ".join(map(str, dict.fromkeys(values)))
        for values in (map(digits, table["kurtosis"]), table["leader"])
    )
    if not own:
        return ""
    return (
        f"From the mean and the covariance that others published of OpenAI's ViT-L/14 on COCO, κ "
        f"is {drawn} (by which side their whitening matrix multiplies from), with coordinate "
        f"{leaders} in the lead; on images it is {' and '.join(map(digits, own))}."
    )


def title(m: Measurement, data: bool = True) -> str:
    """Backbone and model, and the data if wanted."""
    family, model = words.whose(m)
    return f"{family.title}, {words.title(m) if data else model.title}"


def titled(found: Sequence[Measurement]) -> dict[str, Measurement]:
    """Measurements by backbone, model and data."""
    return {title(m): m for m in found}


def coverage(found: Sequence[Measurement], *editions: Edition) -> str:
    """How many of the editions' zero-shot models are measured, and which of these are inferred."""
    names = {model.name for f in _families(editions) for model in f.at_level("zero_shot")}
    told = f"{len({m.model for m in found} & names)} of the {len(names)} zero-shot models"
    inferred = dict.fromkeys(words.whose(m)[0].title for m in found if m.provenance.inferred)
    return (
        f"{told} (which model it is, is inferred for {', '.join(inferred)})" if inferred else told
    )


def learned(clip: Measurement, control: Measurement) -> str:
    """Whether the kurtosis of CLIP's images lies above that of all the control's."""
    low = clip.value("kurtosis_percentiles")[0]
    high = control.value("kurtosis_percentiles")[-1]
    if low > high:
        return (
            f"Every image of CLIP lies above every image of the control ({digits(low)} at least "
            f"against {digits(high)} at most): here the outliers are learned."
        )
    return (
        f"CLIP's lowest image has {digits(low)}, the control's highest {digits(high)}: the two "
        "overlap, so the architecture brings along a part."
    )


def leader_in_top(m: Measurement) -> str:
    """How much of a head's top direction lies in the coordinate that leads in most images.

    If the most lies in the one that leads in most captions, that is said.
    """
    parts = m.value("top_components") ** 2
    leaders = {
        data: int(outliers.value("persistence_coordinate"))
        for data, outliers in words.of_same_model(m, "outlier_features").items()
    }
    own, most = leaders[m.data.name], int(parts.argmax())
    told = (
        f"Coordinate {own}, dominant in most images, holds {100 * parts[own]:.1f} % of the top "
        f"direction's squared length"
    )
    if own == most:
        return f"{told}, more than any other."
    of_captions = any(c == most for data, c in leaders.items() if "captions" in data)
    which = ", which is dominant in most captions" * of_captions
    return f"{told}; the most, {100 * parts[most]:.1f} %, lies in coordinate {most}{which}."


def captions_leader(images: Measurement, captions: Measurement) -> str:
    """How often one coordinate leads in captions, and whether it is that of the images."""
    own, leader = (m.value("persistence_coordinate") for m in (images, captions))
    which = "the same one" if own == leader else f"but a different one, coordinate {leader}"
    share = 100 * captions.value("persistence_fraction")
    return f"again one coordinate is dominant in {share:.0f} % of them, {which}"


def sparse_leaders(sparse: Measurement, threshold: float) -> str:
    """What kurtosis, outliers and leaders are where features are merely sparse."""
    count, leaders = sparse.counts["images"], sparse.value("leaders")
    names = far_above_mean(sparse.value("profile"), threshold)
    few = len(names) < 2
    return (
        f"κ is {digits(sparse.value('kurtosis_mean'))} over {count} photographs; a Gaussian has 3. "
        f"{len(names) or 'No'} coordinate{'' if few else 's'} reach{'es' if few else ''} "
        f"{threshold:g} times the mean, and {leaders} different coordinates are dominant in these "
        f"{count} photographs" + (": each has its own." if leaders == count else ".")
    )


def varying(clip: Measurement) -> str:
    """How much the alignment with the most important direction varies over images."""
    cosine = clip.value("cosine_with_images")[clip.value("top_direction")]
    deviation = clip.value("top_cosine_deviation")
    common = "is mostly common to all images" if deviation < cosine / 2 else "distinguishes them"
    return (
        f"Its |cos| with images is {cosine:.3f} on average, and varies over images with a standard "
        f"deviation of {deviation:.3f}, {100 * deviation / cosine:.0f} % of that: it {common}."
    )


def privileged_control(control: Measurement, threshold: float) -> str:
    """Whether the control has a privileged direction, too."""
    top = control.value("importance").max()
    told = (
        f"above {threshold:g} as well. A large importance alone therefore does not show that "
        "something was learned; how much larger CLIP's is may show it."
        if top >= threshold
        else f"below {threshold:g}."
    )
    centred = digits(control.value("importance_head_centred")[0])
    return (
        f"With random weights the first direction reaches {digits(top)} times the mean ({centred} "
        f"with a mean-centred head), {told}"
    )


def kept(m: Measurement, shares: Iterable[float]) -> pd.DataFrame:
    """A row for each share of directions kept: accuracy in every order, and what is lost."""
    best, difference, half = pruned(m)
    rank = len(best)
    return pd.DataFrame(
        {"pruned (%)": f"{100 * (1 - k / rank):.0f}", "kept": str(k)}
        | {
            f"{order} (%)": percent(m.value(f"accuracy_{name}")[k - 1])
            for name, (order, _, _) in ORDERS.items()
        }
        | {"difference (points)": points(difference[k - 1], half[k - 1]) if k < rank else ""}
        for k in (round(share * rank) for share in shares)
    )


def pruned_at(m: Measurement, share: float) -> str:
    """Accuracy with a share pruned in three orders, and whether a loss is established."""
    rank = len(m.value("accuracy_importance"))
    kept = round((1 - share) * rank)
    best, change, half = (values[kept - 1] for values in pruned(m))
    drawn, by_size = (m.value(f"accuracy_{o}")[kept - 1] for o in ("random", "singular_value"))
    return (
        f"With {100 * share:.0f} % pruned ({kept} of {rank} kept) accuracy is {percent(best)} %, a "
        f"difference of {points(change, half)} points: {lost(change, half)}. Keeping as many "
        f"directions at random gives {percent(drawn)} %, ranking by singular value alone "
        f"{percent(by_size)} %, so weighting by the images adds {points(best - by_size)} points."
    )


def lost(change: float, half: float) -> str:
    """Whether accuracy is lost, by the margin of the claim: fractions, ± half an interval."""
    margin = Cuts().margin
    if change + half < -margin:
        return f"a loss of more than {100 * margin:g} point is established"
    if change - half >= -margin:
        return f"there is no loss of more than {100 * margin:g} point"
    return f"whether more than {100 * margin:g} point is lost is undecided"


def without_first(pruned: Measurement, directions: Measurement) -> str:
    """What leaving out the one direction does that matters most, and whether it is the top one."""
    without = pruned.value("accuracy_without_each")
    worst, others = int(without.argmin()), sorted(without)[1]
    told = (
        f"Leaving out direction {worst + 1} by singular value alone takes accuracy to "
        f"{percent(without[worst])} %; without any single one of the others it stays at "
        f"{percent(others)} % or above."
    )
    if worst != directions.value("top_direction"):
        return told
    return (
        f"{told} The model needs that direction, although its |cos| with the head's mean row is "
        f"{directions.value('top_with_head_mean'):.3f}."
    )
