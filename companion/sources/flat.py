"""ImageNet's validation images as its archive and Kaggle have them: flat, with a list of classes.

The list is Kaggle's ``LOC_val_solution.csv``, or the development kit's ground truth with its
``meta.mat``. It is looked for next to the images and in the folders above. No torch.
"""

from __future__ import annotations

import csv
from pathlib import Path

import scipy

from analysis.images.imagelist import DatasetError, is_image

KAGGLE = "LOC_val_solution.csv"
KIT = "ILSVRC2012_devkit_t12/data"
TRUTH, SYNSETS = "ILSVRC2012_validation_ground_truth.txt", "meta.mat"
#: How many folders above the images are looked into: Kaggle's are ILSVRC/Data/CLS-LOC/val.
ABOVE = 5


def classes_of(place: Path) -> dict[str, str] | None:
    """The WordNet id of each image in a flat folder, by file name; None if none lies there flat.

    Raises DatasetError, naming what is looked for, if no list is found, or one that lacks images.
    """
    files = sorted(path.name for path in place.iterdir() if is_image(path.name) and path.is_file())
    if not files:
        return None
    for folder in (place, *place.resolve().parents[:ABOVE]):
        listed = None
        if (folder / KAGGLE).is_file():
            listed = _of_kaggle(folder / KAGGLE)
        elif (folder / KIT / TRUTH).is_file() and (folder / KIT / SYNSETS).is_file():
            listed = _of_kit(folder / KIT)
        if listed is not None and (lacking := [f for f in files if Path(f).stem not in listed]):
            raise DatasetError(f"the list in {folder} does not name {lacking[0]} of {place}.")
        if listed is not None:
            return {file: listed[Path(file).stem] for file in files}
    raise DatasetError(
        f"{len(files):,} images in {place} are not sorted into classes, and the list that says them"
        f" is not there: put Kaggle's {KAGGLE} or the development kit's {KIT} next to them, or in a"
        " folder above."
    )


def _of_kaggle(path: Path) -> dict[str, str]:
    """``ImageId,PredictionString``: of each image its class and boxes."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file)
            return {row["ImageId"]: row["PredictionString"].split()[0] for row in rows}
    except (OSError, ValueError, KeyError, IndexError, AttributeError, TypeError):
        raise DatasetError(f"{path} is not Kaggle's list ImageId,PredictionString.") from None


def _of_kit(folder: Path) -> dict[str, str]:
    """A number for each image, in the order of their names, and the WordNet id of each number."""
    try:
        synsets = scipy.io.loadmat(folder / SYNSETS, squeeze_me=True)["synsets"]
        named = {int(row["ILSVRC2012_ID"]): str(row["WNID"]) for row in synsets}
        lines = (folder / TRUTH).read_text(encoding="utf-8").split()
        return {f"ILSVRC2012_val_{i:08}": named[int(n)] for i, n in enumerate(lines, 1)}
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        raise DatasetError(f"{folder} is not ImageNet's development kit of 2012.") from None
