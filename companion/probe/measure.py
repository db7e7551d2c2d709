"""From features of unlabelled images, and a head if there is one, to a probe's measurement.

Pure functions. The quantities are those of ``probe`` in ``data/quantities.yaml``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.base.texts import CompanionError, as_words
from analysis.families.registry import Level
from analysis.metrics import basis, directions, outliers
from analysis.metrics import quantisation as metrics
from companion.measurements import measures, records
from companion.measurements.measurement import Data, Measurement, Origin, Provenance
from companion.measurements.measures import Quantities
from companion.measurements.provenance import of_today
from companion.measurements.quantities import LARGEST, declared
from companion.probe import rotation

#: Fewer give no meaningful estimate; of more rows of an array so many take part, evenly spaced.
FEWEST_IMAGES, MOST_IMAGES = 8, 20_000
#: Spread of the rows' lengths over their mean from which on an array may be transposed. Images
#: have had 0.00 to 0.13, coordinates 0.24 and more, at least twice as much as the images.
UNEVEN_ROWS = 0.2
#: The directions along which a head's rows vary least: the share of the variance they hold.
LEAST_VARIANCE = 1e-4
#: At most so many images whose components say how far the two signs reach.
SAMPLED_ROWS = 1000
#: Percentiles of the magnitudes on either side of zero that are compared.
REACHES = (0.95, 0.99)
#: Under which name `Provenance.made_from` has what the checkpoint is called.
CHECKPOINT = "checkpoint"


class ProbeError(CompanionError):
    """A probe cannot be made; the message says why and what to do."""


def of_arrays(
    features: ArrayLike,
    head: ArrayLike | None,
    name: str,
    rows_are_images: bool,
    level: Level = "unknown",
) -> Measurement:
    """Measure arrays about which nothing else is known: (N, d), (classes, d) or no head.

    Raises ProbeError, in one sentence, for what no probe can be made of.
    """
    try:
        whole = as_array("the features", features)
        array = whole[metrics.evenly(len(whole), MOST_IMAGES)] if whole.ndim == 2 else whole
        array = outliers.checked_features(array)
        _check_fine(array)
        _check_size("the features", array)
        weights = None if head is None else _check_size("the head", as_array("the head", head))
        if not rows_are_images:
            _check_orientation(array)
        source = Provenance(
            weights=as_words(name),
            weights_sha256=None,
            weights_note="The features were given as an array.",
            origins=[Origin(name="features", sha256=sha256(array))],
            layer="as given",
            head="",
            device="not known",
            precision=f"{array.dtype}; measured in float64",
            **of_today({CHECKPOINT: as_words(name), **records.version_parts("probe")}),
        )
        of = f" of {len(whole):,}, evenly spaced" if len(array) < len(whole) else ""
        what = Data(name="images", what=f"{len(array)} images{of}, given as features")
        return measured(array, weights, "checkpoint", level, what, source)
    except ValueError as error:
        raise ProbeError(f"{name} cannot be probed: {error}") from None


def measured(
    features: NDArray[Any],
    head: NDArray[Any] | None,
    model: str,
    level: Level,
    data: Data,
    source: Provenance,
    first: Callable[[Measurement], None] = lambda m: None,
) -> Measurement:
    """Measure features, with the head if it has more than one class.

    ``first`` gets what a verdict uses, before the head is decomposed, which takes longest. Raises
    ProbeError for too few images, ValueError for features that cannot be measured.
    """
    check_number(len(features))
    if head is not None and len(np.atleast_1d(head)) < 2:  # nothing to choose between
        head = None
    counts = {"images": len(features), "components": features.shape[1]}
    about: dict[str, Any] = {"family": "probe", "model": model, "level": level, "data": data}
    numbers, about["provenance"] = quantities(features), source
    check_number(numbers["distinct_images"], of=len(features))
    if head is not None:
        first(records.build("probe", numbers, counts=counts, **about))
        counts["classes"] = len(head)
        numbers |= of_head(features, head)
    numbers |= rotation.in_four_bits(features)
    return records.build("probe", numbers, counts=counts, **about)


def quantities(features: NDArray[Any]) -> Quantities:
    """The numbers of a probe that need no head: (N, d).

    ``kurtosis_less_mean``: mean κ once the mean image is subtracted, all at length 1.
    ``outliers_lead``: how often an outlier coordinate is the largest. ``reach``: a percentile of
    the magnitudes on the side, negative or positive, that reaches less far, over that of the other;
    the larger ratio of the 95th and the 99th percentile, since a few tall coordinates of one sign
    make a signed layer unequal at one of them. ``varying``: 1 − |mean of h / |h||², the share of
    squared length that differs between images.
    """
    found = outliers.outlier_features(features)
    less_mean = _less_mean(features, found.kurtosis)
    total = sum(h.sum(axis=0) for h in directions.unit_blocks(features, features.shape[1]))
    kept = declared()["probe"].quantities
    numbers = measures.outlier_features(features)  # of which a contribution may add more
    return {
        **{name: value for name, value in numbers.items() if name in kept},
        "kurtosis_less_mean": less_mean.mean(),
        "kurtosis_less_mean_error": less_mean.std(ddof=1) / np.sqrt(len(less_mean)),
        "outliers_lead": found.leading[found.coordinates()].sum() / len(features),
        "reach": _reach(features),
        "varying": max(0.0, 1 - float(np.sum((total / len(features)) ** 2))),
    }


def _less_mean(features: NDArray[Any], kurtosis: NDArray[np.float64]) -> NDArray[np.float64]:
    """κ of the images at length 1 minus their mean; as they are if one of them is the mean."""
    try:
        return outliers.kurtosis(basis.less_mean(features))
    except ValueError:
        return kurtosis


def _reach(features: NDArray[Any]) -> float:
    some = features[:: -(-len(features) // SAMPLED_ROWS)]
    values = np.asarray(some, dtype=np.float64).ravel()
    sides = [values[values > 0], -values[values < 0]]
    far = [np.quantile(side, REACHES) if side.size else np.zeros(len(REACHES)) for side in sides]
    return float((np.minimum(*far) / np.maximum(*far)).max())


def of_head(features: NDArray[Any], head: NDArray[Any]) -> Quantities:
    """The numbers that a head (classes, d) adds, which no verdict uses: (N, d).

    ``importance`` is sorted, the largest first. ``least_directions``: how many directions, those
    along which the head's rows vary least, hold `LEAST_VARIANCE` of their variance together; the
    images' energy in them, and κ without them; ``one_vector_kurtosis``: κ without a single
    direction, that of the mean image's part in them.
    """
    importance = directions.importance(features, head)
    rows = basis.text_directions(head, at_length=False)
    least = rows.directions[: int((np.cumsum(rows.variance) <= LEAST_VARIANCE).sum())]
    h = basis.at_length_one(features)
    part = basis.mean_part(h, least)
    # The rows less their mean are decomposed already, the least of σ first.
    sizes = np.sqrt(rows.variance[::-1][: rows.spanned])
    centred = sizes * directions.mean_absolute_cosine(h, rows.directions[::-1][: rows.spanned])
    return {
        "importance": np.sort(importance)[::-1] / importance.mean(),
        "importance_head_centred": np.sort(centred)[::-1] / centred.mean(),
        "privileged_threshold": directions.PRIVILEGED_THRESHOLD,
        "least_directions": len(least),
        "least_energy": ((h @ least.T) ** 2).sum(axis=1).mean(),
        "least_kurtosis": outliers.kurtosis(basis.without(h, least)).mean(),
        "one_vector_kurtosis": outliers.kurtosis(basis.less_direction(h, part)).mean(),
    }


def check_number(images: int, of: int = 0) -> None:
    """Raise ProbeError for fewer images than `FEWEST_IMAGES`; ``of``: with copies of them."""
    if images < FEWEST_IMAGES:
        among = f" without copies, of {of} given," if of else ""
        number = (
            f"{images} image{'' if images == 1 else 's'}{among} {'is' if images == 1 else 'are'}"
        )
        raise ProbeError(
            f"{number} too few for a meaningful estimate: at least {FEWEST_IMAGES} are expected, "
            "preferably 100 or more; add images to the folder."
        )


def as_array(what: str, given: Any) -> NDArray[Any]:
    """An array of what may be a tensor, on any device and of any precision, of parameters even.

    Raises ValueError for anything that has no such numbers, and for masked ones.
    """
    if np.ma.isMaskedArray(given):
        raise ValueError(
            f"{what} came as a masked array, whose mask would be lost: leave rows out."
        )
    try:
        if hasattr(given, "detach"):
            given = given.detach().cpu()
            unknown = any(kind in str(given.dtype) for kind in ("bfloat16", "float8"))
            given = given.float() if unknown else given  # to NumPy
        array = np.asarray(given)
    except (ValueError, TypeError, RuntimeError) as error:  # rows that differ, a sparse tensor
        reason = str(error).partition(". ")[0].rstrip(".")
        raise ValueError(f"{what} cannot be taken as an array ({reason}).") from None
    if array.dtype.kind not in "fiu":
        raise ValueError(
            f"{what} came as {array.dtype}, where real numbers are expected{_remedy(given, array)}."
        )
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _remedy(given: Any, array: NDArray[Any]) -> str:
    """What to write for a store that its users keep otherwise; "" where nothing is known."""
    if hasattr(given, "reconstruct_n"):
        return ": give index.reconstruct_n(0, index.ntotal) of a faiss index"
    if isinstance(given, str) or hasattr(given, "read_text"):
        return ": give what the file holds, np.load(…) or a column of pd.read_parquet(…)"
    if type(given).__module__.startswith("pyarrow"):
        return ": give np.stack(column.to_numpy(zero_copy_only=False)) of an Arrow column"
    if array.dtype == object and array.ndim == 1 and len(array):
        return ': give np.stack(column), as in np.stack(frame["embedding"])'
    return ""


def _check_size(what: str, array: NDArray[Any]) -> NDArray[Any]:
    """The array; ValueError if a number of it is beyond what measurements hold."""
    if float(np.abs(array[np.isfinite(array)]).max(initial=0)) > LARGEST:
        raise ValueError(f"{what} came with a number beyond ±{LARGEST:g}: scale it down.")
    return array


def sha256(array: NDArray[Any]) -> str:
    """The checksum of an array's numbers, read in blocks of rows."""
    found = hashlib.sha256()
    for start in range(0, len(array), SAMPLED_ROWS):
        found.update(array[start : start + SAMPLED_ROWS].tobytes())
    return found.hexdigest()


def _check_fine(array: NDArray[Any]) -> None:
    """Raise ValueError for whole numbers: a copy in 8 bits has another κ than what it is of."""
    some = array[:SAMPLED_ROWS]
    if array.dtype.kind in "iu" or (some.min() < some.max() and not np.any(some % 1)):
        raise ValueError(
            f"the features ({array.dtype}) are whole numbers, as in a copy of few bits, whose κ is"
            " not that of what the model computes: give that, in floating point."
        )


def seems_transposed(array: NDArray[Any]) -> bool:
    """Whether an array (N, d) seems to be (components, images).

    The lengths say so: images are about equally long, if not at length 1, and coordinates are not.
    """
    uneven = []
    for subscripts in ("ij,ij->i", "ij,ij->j"):
        lengths = np.sqrt(np.einsum(subscripts, array, array, dtype=np.float64, casting="unsafe"))
        uneven.append(lengths.std() / lengths.mean() if lengths.any() else 0)
    return bool(uneven[0] > max(UNEVEN_ROWS, 2 * uneven[1]))


def _check_orientation(array: NDArray[Any]) -> None:
    """Raise ValueError for what seems to be transposed."""
    if seems_transposed(array):
        raise ValueError(
            f"the features have the shape {array.shape} and seem to be transposed, since their "
            "rows differ in length more than twice as much as their columns; one row per image is "
            "expected: give features.T or, if rows are images, divide each by its length."
        )
