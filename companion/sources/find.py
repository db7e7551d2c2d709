"""What a command line calls data: the paper's sets, the pocket lab's, any folder of images."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from analysis.base.files import fingerprint
from analysis.base.roots import in_package
from analysis.base.texts import suggestion
from analysis.images import imagelist, imagenet
from analysis.images.imagelist import DatasetError, ImageList
from companion.sources import broden, copies, emoji, saved, sets
from companion.sources.sets import Availability, Description


def packaged(name: str) -> ImageList:
    """List images that come with a Python package; ArtifactError if it is not installed."""
    described = sets.packaged()[name]
    folder = in_package(described.place)
    titles = ", ".join(Path(file).stem for file in described.files)
    return ImageList(
        name=name,
        images=[folder / file for file in described.files],
        keys=described.files,
        labels=np.full(len(described.files), -1),
        classes=(),
        what=f"{len(described.files)} {described.what}: {titles}",
    )


def find_all(
    texts: Iterable[str], *, accept_counts: bool = False, without_labels: bool = False
) -> list[ImageList]:
    """Return the data sets that a command line names; ``without_labels``, all images of folders."""
    if without_labels:
        return [imagelist.unlabelled(Path(text), smallest_side=1) for text in texts]
    return [images for text in texts for images in find(text, accept_counts=accept_counts)]


def find(text: str, *, accept_counts: bool = False) -> list[ImageList]:
    """Return the data sets that a command line names.

    ``pocket`` is the test images of every style, ``pocket-<style>-<split>`` one list of it;
    ``imagenet``, its shifts and ``broden`` are looked for as `sets` says, ``grid`` is all that the
    paper computes on; ``scikit_image_photographs`` comes with a package; anything else is a folder,
    of images or saved by Hugging Face's `datasets`. ``accept_counts`` takes a copy of a published
    set that is incomplete or altered as it is. Raises DatasetError, or ArtifactError for a package
    that is not installed.
    """
    if text == "grid":
        return _grid(accept_counts)
    if text in sets.descriptions():
        return [_published(text, accept_counts)]
    if text in sets.packaged():
        return [packaged(text)]
    if text == "pocket":
        return [emoji.pocket(style) for style in emoji.STYLES]
    parts = re.fullmatch(r"pocket-(.+)-(train|test)", text)
    if parts and not Path(text).exists():
        return [emoji.pocket(parts[1], parts[2])]
    if "://" in text:
        raise DatasetError(f"{text} is an address: fetch its files, and name their folder here.")
    if not Path(text).exists() and "/" not in text and "\\" not in text:
        names = ["grid", "pocket", *sets.descriptions(), *sets.packaged()]
        raise DatasetError(
            f"{text} is neither a folder of images nor a data set: {suggestion(text, names)}."
        )
    if saved.is_saved(Path(text)):
        return [saved.image_list(Path(text), words=imagenet.words())]
    return [imagelist.folder(Path(text), words=imagenet.words())]


def availability() -> list[Availability]:
    """Say for each data set that readers must obtain whether it is present and complete.

    Raises DatasetError if the file that says where they are is wrong.
    """
    sets.root()
    return list(map(_availability, sets.descriptions().values()))


def _availability(described: Description) -> Availability:
    try:
        place = sets.locate(described)
    except DatasetError as error:
        return Availability(described.name, "absent", None, str(error))
    try:
        listed = _published(described.name, accept_counts=False)
    except DatasetError as error:
        return Availability(described.name, "incomplete", place, str(error))
    of_broden = f"{len(listed):,} images, list {fingerprint(listed.keys)[:16]}"
    return Availability(described.name, "present", place, listed.what or of_broden)


def _published(name: str, accept_counts: bool) -> ImageList:
    if sets.descriptions()[name].layout == "broden":
        return broden.image_list(broden.find_root(), accept_counts=accept_counts)
    return copies.image_list(name, accept_counts=accept_counts)


def _grid(accept_counts: bool) -> list[ImageList]:
    """List all that the paper computes on; DatasetError, naming every absent set, if any is."""
    of_grid = [each for each in availability() if each.name in sets.GRID]
    absent = [each.why for each in of_grid if each.state == "absent"]
    if absent:
        raise DatasetError(
            f"not here: {len(absent)} of the paper's {len(sets.GRID)} data sets (to continue "
            f"without them, name the others): {' '.join(absent)}"
        )
    return [_published(name, accept_counts) for name in sets.GRID]
