"""The numbers of figures that a reader changes, and their still drawings.

Vectors are packed as whole numbers, which a page's script unpacks; what it computes of them agrees
with the numbers here to four digits. `book/_static/explorable.js` explains the form.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.metrics import basis, quantisation
from analysis.metrics.outliers import kurtosis
from companion.engine import plots, style
from companion.engine.plots import Stroke
from companion.engine.style import Drawing, peaks

Array = NDArray[np.float64]
Packed = dict[str, Any]

#: Angles on the way, in degrees.
ANGLES = range(91)
#: Bits per number among which a reader chooses, one scale a vector; and of the first figure.
BITS, FEW = (32, 8, 4, 3, 2), 3
#: Captions that a page shows of a photograph.
BEST = 5
#: What is played of a training, and the looks of lines where the step size differs, or not.
PLAYED = ("kurtosis", "accuracy", "path", "mean_share")
GROWN = [Stroke(style.INK), Stroke(style.INK, (4, 2)), Stroke(style.INK, (1, 1))]
GROWN += [Stroke(style.MUTED), Stroke(style.MUTED, (4, 2))]
#: Directions that a page drops at most, and draws of as many random ones.
MOST, DRAWS = 120, 5


def growing(
    runs: Sequence[Mapping[str, Any]], arrays: Mapping[str, NDArray[Any]], names: Mapping[str, str]
) -> dict[str, Any]:
    """Recorded trainings to play: of each optimiser in `names`, each seed's numbers at each frame.

    `runs` and `arrays` are those of `data/relearn/frames.safetensors`; trainings in rotated axes
    are left out.
    """
    data: dict[str, Any] = {"steps": arrays["step"].tolist(), "optimisers": []}
    for kind, title in names.items():
        of = [n for n, r in enumerate(runs) if (r["second_moment"], r["rotated"]) == (kind, "none")]
        seeds = [
            {key: np.round(arrays[key][n].astype(float), 5).tolist() for key in PLAYED}
            | {
                "seed": runs[n]["seed"],
                "unit": [float(f"{unit:.6g}") for unit in arrays["unit"][n]],
                "means": base64.b64encode(arrays["mean"][n].tobytes()).decode(),
            }
            for n in of
        ]
        data["optimisers"].append({"title": title, "seeds": seeds})
    data["width"] = arrays["mean"].shape[-1]
    return data


def grown(data: Mapping[str, Any]) -> Drawing:
    """κ during training, a line for each optimiser: the mean over seeds, lowest and highest."""
    step, parts = "training steps", []
    for of in data["optimisers"]:
        each = np.array([seed["kurtosis"] for seed in of["seeds"]])
        ends = {"κ": each.mean(0), "low": each.min(0), "high": each.max(0)}
        parts.append({"of": of["title"], step: data["steps"], **ends})
    looks = dict(zip((of["title"] for of in data["optimisers"]), GROWN, strict=True))
    return plots.lines(style.stacked(parts), step, "κ", looks=looks, horizontals={"Gaussian": 3})


def packed(vectors: Array, bits: int = 24) -> Packed:
    """Vectors (n, d) as text: whole numbers of 16 or 24 bits, and the factor of each vector."""
    scale = np.abs(vectors).max(axis=1) / (2 ** (bits - 1) - 1)
    whole = np.round(vectors / scale[:, None]).astype("<i4")
    low_first = whole.view(np.uint8).reshape(*whole.shape, 4)[..., : bits // 8]
    return {
        "width": vectors.shape[1],
        "bits": bits,
        "scale": [float(f"{factor:.10g}") for factor in scale],
        "numbers": base64.b64encode(low_first.tobytes()).decode(),
    }


def found(images: Array, captions: Array) -> NDArray[np.int64]:
    """Of each image (N, d) the number of the caption (N, d) with the largest product: (N,)."""
    best: NDArray[np.int64] = (images @ captions.T).argmax(axis=1)
    return best


def examples(images: Array, captions: Array | None = None) -> list[int]:
    """The image whose κ is nearest to the mean, and those with the smallest and the largest κ.

    Where there are captions, a row for each image, the first is one that finds its own.
    """
    each = kurtosis(images)
    apart = np.abs(each - each.mean())
    if captions is not None:
        apart[found(images, captions) != np.arange(len(images))] = np.inf
    return list(dict.fromkeys(map(int, (apart.argmin(), each.argmin(), each.argmax()))))


def turning(
    title: str,
    images: Array,
    names: Sequence[str],
    captions: Array | None = None,
    *,
    places: Sequence[int] | None = None,
    bits: Sequence[int] = (),
    seed: int = 0,
) -> dict[str, Any]:
    """One encoder's images (N, d) along a path of rotations, with captions (N, d) if there are any.

    `names` are those of the images, `places` the numbers of those to show. Each has its vector and
    what a quarter turn makes of it; all vectors at other angles lie between. For each of `bits`
    there is what all images, and the first one shown, find when each number is stored so.
    """
    turn, angles = basis.quarter_turn(images.shape[1], seed), np.radians(ANGLES)
    places = examples(images, captions) if places is None else places
    both = [images] if captions is None else [images, captions]
    steps = [[np.cos(a) * of + np.sin(a) * (of @ turn) for of in both] for a in angles]
    data: dict[str, Any] = {"title": title, "images": len(images)}
    data["kurtosis"] = [round(float(kurtosis(turned[0]).mean()), 4) for turned in steps]
    if captions is not None:
        before = found(images, captions)
        data["unchanged"] = [int((found(*turned) == before).sum()) for turned in steps]
        data["found"] = float((before == np.arange(len(images))).mean())
        data["stored"] = [_stored(steps, before, places[0], of) for of in bits]
        shown = {n for stored in data["stored"] for n in stored["finds"]}
        data["words"] = {n: names[n] for n in sorted(shown)}
    texts = images[:0] if captions is None else captions
    data["examples"] = []
    for place in places:
        near: NDArray[np.intp] | list[int]
        near = np.argsort(-basis.at_length_one(texts) @ images[place])[:BEST] if len(texts) else []
        vectors = np.concatenate([images[[place]], *(texts[[n]] for n in near)])
        pair = np.concatenate([(v, v @ turn) for v in vectors])
        own = {"name": names[place], "captions": [names[n] for n in near], **packed(pair)}
        data["examples"].append(own)
    return data


def _stored(
    steps: Sequence[Sequence[Array]], before: NDArray[np.int64], place: int, bits: int
) -> dict[str, Any]:
    """At each step, with a few bits a number: how many images find what they found `before`.

    `finds` has the number of the caption that the image at `place` finds.
    """
    now = np.array([found(quantisation.uniform(h, bits), texts) for h, texts in steps])
    unchanged = (now == before).sum(axis=1).tolist()
    return {"bits": bits, "unchanged": unchanged, "finds": now[:, place].tolist()}


def rotation(turn: Array, degrees: float) -> Array:
    """The rotation on the way of a quarter turn (d, d), at an angle in degrees."""
    angle = np.radians(degrees)
    frame: Array = np.cos(angle) * np.eye(len(turn)) + np.sin(angle) * turn
    return frame


def tower(image: Array) -> Drawing:
    """The numbers of one image (d,), a stem for each."""
    frame = pd.DataFrame({"of": "one image", "level": "zero_shot", "number": image})
    frame["coordinate"] = np.arange(len(image))
    figure, panels = style.panels(["one image"], 1, 1.6)
    panel, colour = panels.flat[0], style.LEVEL_STYLES["zero_shot"].colour
    stem = np.column_stack([np.zeros(len(frame)), image, np.full(len(frame), np.nan)])
    panel.plot(np.repeat(frame["coordinate"], 3), stem.ravel(), color=colour, linewidth=0.8)
    panel.set(xlim=(-4, len(image) + 3), xlabel="coordinate", ylabel="value", title="")
    return Drawing.of(figure, "Stem plot of one image", frame, "number", says=peaks)


def in_two_bases(images: Array, captions: Array, place: int, bits: int, seed: int = 0) -> Drawing:
    """The numbers of the image at `place`, stored in a few bits, as written and in turned axes.

    Each panel says how many of all images (N, d) find the caption that they find unrounded.
    """
    turn, before = basis.quarter_turn(images.shape[1], seed), found(images, captions)
    parts: list[dict[str, Any]] = []
    for title, axes in (("as CLIP writes it", np.eye(len(turn))), ("axes turned", turn)):
        stored = quantisation.uniform(images @ axes, bits)
        same = int((found(stored, captions @ axes) == before).sum())
        says = f"{title}, {bits} bits a number\n{same} of {len(images)} keep their caption"
        parts.append({"of": says, "number": stored[place], "coordinate": np.arange(len(turn))})
    frame = style.stacked(part | {"level": "zero_shot"} for part in parts)
    figure, panels = style.panels(frame["of"].unique(), 2, 1.35, sharey=True)
    for panel, (_, rows) in zip(panels.flat, frame.groupby("of", sort=False), strict=True):
        colour = style.LEVEL_STYLES["zero_shot"].colour
        stem = np.column_stack([np.zeros(len(rows)), rows["number"], np.full(len(rows), np.nan)])
        panel.plot(np.repeat(rows["coordinate"], 3), stem.ravel(), color=colour, linewidth=0.7)
        panel.set(xlim=(-4, images.shape[1] + 3), xlabel="coordinate")
    panels[0, 0].set(ylabel="number")
    return Drawing.of(figure, "Stem plots of one image", frame, "number", says=peaks)


def dropping(images: Array, captions: Array, names: Sequence[str]) -> dict[str, Any]:
    """Images (N, d) without the directions along which captions (N, d) vary least.

    κ and the share of captions that are found, for 0, 1, … directions, next to random ones; and
    the same without one vector alone, the mean image's part in those that hold 0.01 % of the
    captions' variance.
    """
    h, texts = basis.at_length_one(images), basis.at_length_one(captions)
    least = basis.text_directions(captions).directions[:MOST]
    frames = [basis.random_rotation(h.shape[1], seed)[:MOST] for seed in range(1, DRAWS + 1)]
    few = basis.least_varying(captions, 1e-4)
    mean = few.T @ (few @ h.mean(axis=0))
    vector = mean / np.linalg.norm(mean)
    drawn = [_curves(h, texts, frame) for frame in frames]
    one = _curves(h, texts, vector[None])
    return {
        "images": len(h),
        "few": len(few),
        **_curves(h, texts, least),
        "random": {key: np.mean([d[key] for d in drawn], 0).round(4).tolist() for key in drawn[0]},
        "vector": {key: curve[1] for key, curve in one.items()} | packed(vector[None]),
        "energy": float((vector @ h.mean(axis=0)) ** 2 / (h.mean(axis=0) ** 2).sum()),
        "directions": packed(least, 16),
        "examples": [{"name": names[n], **packed(h[[n]])} for n in examples(h, texts)],
    }


def _curves(h: Array, texts: Array, directions: Array) -> dict[str, list[float]]:
    """κ and what is found after each further of orthonormal directions (k, d) is dropped.

    One direction changes all products by an outer product, so that none is computed again.
    """
    left, products = h.copy(), h @ texts.T
    steps = [_one(left, products)]
    for direction in directions:
        along = left @ direction
        left -= np.outer(along, direction)
        products -= np.outer(along, texts @ direction)
        steps.append(_one(left, products))
    return {key: [step[key] for step in steps] for key in ("kurtosis", "found")}


def _one(left: Array, products: Array) -> dict[str, float]:
    right = (products.argmax(axis=1) == np.arange(len(left))).mean()
    return {"kurtosis": round(float(kurtosis(left).mean()), 4), "found": round(float(right), 4)}


def dropped(data: Mapping[str, Any]) -> Drawing:
    """κ and captions found against the number of dropped directions, silent and random ones."""
    steps = np.arange(MOST + 1)
    kappa, share = style.LOGARITHMIC["κ"], "captions found (%)"
    frame = style.stacked(
        {"panel": quantity, "quantity": quantity, "of": title, "directions dropped": steps}
        | {"value": factor * np.array(curves[key])}
        for quantity, key, factor in ((kappa, "kurtosis", 1.0), (share, "found", 100.0))
        for title, curves in {"where captions barely vary": data, "random": data["random"]}.items()
    )
    looks = {"where captions barely vary": Stroke(style.INK), "random": Stroke(style.MUTED, (4, 2))}
    options: dict[str, Any] = {"looks": looks, "columns": 2, "height": 2.0}
    return plots.lines(pd.DataFrame(frame), "directions dropped", "value", **options)
