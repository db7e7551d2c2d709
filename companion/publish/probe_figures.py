"""Tables of a `Probe`, for its report and for the book's chapter."""

from __future__ import annotations

import pandas as pd

from analysis.families.registry import level_title
from companion.probe import Interval, Probe, Recorded, named, percent
from companion.publish.words import digits


def measured(found: Probe) -> pd.DataFrame:
    """What was measured, as a table of words: one row per quantity."""
    k, head = found.kurtosis, found.head
    enough = "enough" if found.enough else "not enough"
    rows = [
        ("activation kurtosis κ", digits(k.mean),
         f"95 % interval {digits(k.interval.low)} to {digits(k.interval.high)}; a Gaussian gives "
         "3"),
        ("κ of single images", f"{digits(k.percentiles[5])} to {digits(k.percentiles[95])}",
         f"90 % of the images; median {digits(k.percentiles[50])}"),
        ("outlier coordinates", named(found),
         f"at least {found.outlier_threshold:g} times as large as the mean coordinate"),
        ("persistence", percent(found.persistence.fraction),
         f"coordinate {found.leader} is the largest in {found.persistence.count} of "
         f"{found.images} images; {_interval(found.persistence.interval)}"),
        ("leaders", str(found.leaders), "different coordinates that are the largest somewhere"),
        ("last layer", found.layer.kind,
         f"{percent(found.layer.negatives)} of the components negative, "
         f"{percent(found.layer.zeros)} exactly zero"),
        ("images", f"{found.images}",
         f"{enough}: about {found.images_needed} give κ to ± 5 % (95 % interval)"),
    ]  # fmt: skip
    if head is None:
        rows.append(
            (
                "privileged directions",
                "not looked at",
                "the checkpoint has no classifier of its own",
            )
        )
    else:
        rows += [
            ("privileged directions", str(head.privileged),
             f"of {head.directions}, at least {head.threshold:g} times the mean importance; "
             f"{head.privileged_centred} with the head centred"),
            ("largest importance", f"{digits(head.top)} times",
             f"the mean importance; {digits(head.top_centred)} times with the head centred"),
        ]  # fmt: skip
    return pd.DataFrame(rows, columns=["quantity", "value", "remark"])


def among_recorded(found: Probe) -> pd.DataFrame:
    """This checkpoint among the recorded models, by falling κ."""
    model = found.about.get("model", {})
    level = model.get("level") if model.get("name") == found.name else None  # else it is a guess
    own = Recorded(
        found.name, level, "images", found.kurtosis.mean,
        found.persistence.fraction, found.images, found.layer.kind == "signed",
    )  # fmt: skip
    rows = sorted([own, *found.place.others], key=lambda r: -r.kurtosis)
    return pd.DataFrame(
        {
            "model": [f"{r.model} (this one)" if r is own else r.model for r in rows],
            "κ": [digits(r.kurtosis) for r in rows],
            "persistence": [percent(r.persistence) for r in rows],
            "last layer": ["signed" if r.signed else "not signed" for r in rows],
            "level": [_level(r) for r in rows],
            "images": [_images(r) for r in rows],
        }
    )


def place_in_words(found: Probe) -> str:
    """Where this checkpoint stands among the recorded models."""
    place, kind = found.place, "signed" if found.layer.kind == "signed" else "not signed"
    if place.among == 1:
        return f"There is no recorded model whose last layer is {kind}, so no rank is given."
    return (
        f"By κ it is number {place.rank} of {place.among} models whose last layer is {kind}, "
        "itself included. They were measured on other images, and κ depends on the images: small "
        "differences mean nothing."
    )


def _level(of: Recorded) -> str:
    if not of.level:
        return ""
    return level_title(of.level, "pocket" if of.model.startswith("pocket-") else "paper")


def _images(of: Recorded) -> str:
    return of.data if of.data.startswith(f"{of.images} ") else f"{of.images} {of.data}"


def _interval(interval: Interval) -> str:

    return f"95 % interval {100 * interval.low:.1f} to {100 * interval.high:.1f} %"
