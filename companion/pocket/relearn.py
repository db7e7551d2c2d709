"""CLIP's axes, chosen again: two projections trained behind features of a real CLIP model.

Public image and text features of one model are each multiplied by a random rotation of their own,
so that no axis of either is special; all cosines within a side stay as they are. Two projections
W and V then learn with CLIP's loss, as in `origin`, whose training this is. *Turned*: they
start as the inverse rotations times one common random rotation Q, so that xW = hQ and yV = tQ. This
is CLIP itself, with all its cosines and predictions, in random axes. *Random*: they start Gaussian.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from analysis.metrics import basis, modalities, outliers
from companion.pocket import origin
from companion.pocket.origin import LARGEST_SCALE, Locked, OriginSettings, Projections
from companion.pocket.pocket import Count, Positive, Share

Array = NDArray[np.float64]


class RelearnSettings(OriginSettings):
    """How the projections are trained again; with pairs and a seed it decides them.

    ``start``: CLIP's map in random axes (``turned``), or Gaussian numbers. ``centred``: whether
    both sides' common vectors are taken out of the inputs, which get a constant input instead.
    ``scale``: the logit scale, or None for one that is learned from CLIP's largest value.
    """

    start: Literal["turned", "random"] = "turned"
    centred: bool = False
    caption_noise: Share = 0.0
    steps: Count = 2000
    batch: Count = 128
    learning_rate: Positive = 1e-3


@dataclass(frozen=True)
class Pairs:
    """Features of one model at length 1: images (N, d), texts (n, d), and who belongs to whom.

    ``labels`` (N,) number the text of each image; ``held_out`` (N,) says which images are not
    learned from. ``classes`` (m,) number the texts among which held-out images are to find theirs.
    """

    images: Array
    texts: Array
    labels: NDArray[np.int64]
    held_out: NDArray[np.bool_]
    classes: NDArray[np.int64]

    @property
    def answers(self) -> NDArray[np.int64]:
        """The place of each held-out image's text in ``classes``."""
        place: NDArray[np.int64] = np.searchsorted(self.classes, self.labels[self.held_out])
        return place


@dataclass(frozen=True)
class Begun:
    """Inputs and the projections from which a training begins."""

    locked: Locked
    own: Projections


def begin(pairs: Pairs, settings: RelearnSettings, seed: int, together: bool = False) -> Begun:
    """Turn both sides' features by random rotations and draw or build the projections.

    ``together``: by the same rotation, so that one matrix can serve both.

    Inputs are features times √d, so that their components are about 1. Taken out of centred inputs
    is the mean of the images that are learned from, and that of the texts; what is left is scaled
    to length 1, and the constant input is 1, with a weight of 0 if the start is turned.
    """
    width = pairs.images.shape[1]
    rotations = [basis.random_rotation(width, 10_000 + 10 * seed + part) for part in range(3)]
    if together:
        rotations[1] = rotations[0]
    inputs, starts = [], []
    learned = [pairs.images[~pairs.held_out], pairs.texts]
    for side, known, rotation in zip((pairs.images, pairs.texts), learned, rotations, strict=False):
        h = basis.at_length_one(side - known.mean(axis=0)) if settings.centred else side
        x, start = math.sqrt(width) * h @ rotation, rotation.T @ rotations[2]
        if settings.centred:
            x = np.concatenate([x, np.ones((len(x), 1))], axis=1)
            start = np.concatenate([start, np.zeros((1, width))])
        inputs.append(torch.tensor(x, dtype=torch.float32))
        starts.append(torch.tensor(start, dtype=torch.float32))
    (images, texts), held_out = inputs, torch.tensor(pairs.held_out)
    locked = Locked(
        images[~held_out],
        torch.tensor(pairs.labels)[~held_out],
        texts[:, None],
        images[held_out],
        texts[torch.tensor(pairs.classes)][:, None],
    )
    own = Projections(starts[0], starts[1])
    if settings.start == "random":
        own = origin.drawn(locked, settings, seed)
    own.log_scale.data.fill_(math.log(LARGEST_SCALE))
    return Begun(locked=locked, own=own)


@dataclass(frozen=True)
class Slopes:
    """A batch's loss, and its slopes: of the cosines (n, n) and of both projections' weights."""

    loss: Tensor
    of_cosines: Tensor
    of_weights: tuple[Tensor, Tensor]
    of_log_scale: Tensor


def slopes(
    image: Tensor, text: Tensor, x: Tensor, y: Tensor, factor: Tensor, groups: Tensor
) -> Slopes:
    """CLIP's loss for x (n, p), y (n, q) behind W (p, d), V (q, d), and its slopes, by hand.

    ``factor`` is the logit scale. Items of one group are right answers for each other. Can be
    differentiated once more.
    """
    a, b = x @ image, y @ text
    lengths = a.norm(dim=1, keepdim=True), b.norm(dim=1, keepdim=True)
    h, t = a / lengths[0], b / lengths[1]
    cosines = h @ t.T
    same = (groups[:, None] == groups).to(h.dtype)
    targets = same / same.sum(dim=1, keepdim=True)
    of_image, of_text = ((factor * cosines).log_softmax(dim) for dim in (1, 0))
    loss = -(targets * (of_image + of_text)).sum() / (2 * len(h))
    slope = (of_image.exp() + of_text.exp() - 2 * targets) * (factor / (2 * len(h)))
    weights = (
        behind(x, h, lengths[0], slope @ t),
        behind(y, t, lengths[1], slope.T @ h),
    )
    return Slopes(loss, slope, weights, (slope * cosines).sum())


def behind(inputs: Tensor, unit: Tensor, length: Tensor, pull: Tensor) -> Tensor:
    """The slope in a weight (p, d), given that in the outputs (n, d) at length 1."""
    sideways = pull - (pull * unit).sum(dim=1, keepdim=True) * unit
    return inputs.T @ (sideways / length)


@torch.no_grad()
def written_out(
    own: Projections, images: Tensor, texts: Tensor, scale: float | None, groups: Tensor
) -> float:
    """As `companion.pocket.origin.differentiated`, with the gradient by hand: a third less time."""
    factor = own.log_scale.exp().clamp(max=LARGEST_SCALE) if scale is None else torch.tensor(scale)
    found = slopes(own.image, own.text, images, texts, factor, groups)
    own.image.grad, own.text.grad = found.of_weights
    if scale is None:
        within = own.log_scale <= math.log(LARGEST_SCALE)
        own.log_scale.grad = found.of_log_scale * within
    return float(found.loss)


def features(own: Projections, locked: Locked) -> tuple[Array, Array]:
    """What the projections make of held-out images (M, d) and of their classes' texts (m, d)."""
    return own.features(locked.tested), own.head(locked.prompts)


def path(own: Projections, start: Projections) -> float:
    """How far both projections are from where they began, over their norm then: the mean of both.

    Neither changes with a common rotation of the outputs.
    """
    pairs = ((own.image, start.image), (own.text, start.text))
    each = [float(((now - then).norm() / then.norm()).detach()) for now, then in pairs]
    return sum(each) / len(each)


def right(images: ArrayLike, head: ArrayLike, answers: ArrayLike) -> NDArray[np.bool_]:
    """Which images (M, d) find their text in a head (m, d) first: (M,)."""
    found: NDArray[np.bool_] = (np.asarray(images) @ np.asarray(head).T).argmax(axis=1) == answers
    return found


def described(images: Array, texts: Array, answers: ArrayLike) -> dict[str, float]:
    """What is recorded over time of held-out images (M, d) and texts (m, d)."""
    leader = modalities.dominant_coordinate(images)
    return {
        "kurtosis": float(outliers.kurtosis(images).mean()),
        "kurtosis_texts": float(outliers.kurtosis(texts).mean()),
        "mean_share": basis.mean_share(images),
        "leader": leader.coordinate,
        "leader_share": leader.share,
        "accuracy": float(right(images, texts, answers).mean()),
    }


def less_vector(
    learned: Array,
    images: Array,
    texts: Array,
    answers: ArrayLike,
    share: float,
    found: basis.TextDirections | None = None,
) -> dict[str, float]:
    """Images (M, d) without one vector, that of the mean learned image where texts vary least.

    ``learned`` (N, d) are the images whose mean is taken; ``share`` of the texts' variance is what
    the ``dropped`` directions hold together, and ``mean_inside`` of the mean's energy lies in them.
    Then κ, the accuracy, and the share of predictions that stay. All items are taken at length 1.
    ``found``: the texts' directions, if they are known.
    """
    found = found or basis.text_directions(texts)
    silent = found.directions[: int((np.cumsum(found.variance) <= share).sum())]
    mean = basis.at_length_one(learned).mean(axis=0)
    vector = basis.mean_part(mean[None], silent)
    less = basis.less_direction(basis.at_length_one(images), vector)
    stays = (images @ texts.T).argmax(axis=1) == (less @ texts.T).argmax(axis=1)
    return {
        "dropped": len(silent),
        "mean_inside": float(vector @ vector / (mean @ mean)),
        "kurtosis": float(outliers.kurtosis(less).mean()),
        "accuracy": float(right(less, texts, answers).mean()),
        "equal": float(stays.mean()),
    }


def ended(
    begun: Begun, own: Projections, answers: ArrayLike, shares: Sequence[float]
) -> dict[str, float]:
    """What is recorded at the end: `described`, and what the mean and the one vector carry.

    ``quiet_before`` and ``quiet_after``: the rank of the texts' spread at the coordinate on which
    the mean image ends, a fraction, in the features with which the training began, and at its end.
    ``…_less_vector_…``: see `less_vector`, at each of ``shares``.
    """
    images, texts = features(own, begun.locked)
    before = begun.own.head(begun.locked.prompts)
    leader = modalities.dominant_coordinate(images).coordinate
    half = images.shape[1] // 2
    learned, found = own.features(begun.locked.images), basis.text_directions(texts)
    less = {
        f"{name}_less_vector_{share:g}": value
        for share in shares
        for name, value in less_vector(learned, images, texts, answers, share, found).items()
    }
    return (
        described(images, texts, answers)
        | {
            "kurtosis_less_mean": float(outliers.kurtosis(basis.less_mean(images)).mean()),
            "persistence": outliers.persistence(images).fraction,
            "quiet_before": float(modalities.spread_ranks(before)[leader]),
            "quiet_after": float(modalities.spread_ranks(texts)[leader]),
            "quiet_images": modalities.quietness(texts, images),
            "mean_share_texts": basis.mean_share(texts),
            "kurtosis_first_half": float(outliers.kurtosis(images[:, :half]).mean()),
            "kurtosis_second_half": float(outliers.kurtosis(images[:, half:]).mean()),
        }
        | less
    )
