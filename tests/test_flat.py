"""ImageNet's validation images in one folder, with Kaggle's list or the development kit's."""

import numpy as np
import pytest
import scipy.io
from conftest import refused
from PIL import Image

from analysis.images import imagenet
from companion.sources import copies, flat, sets


@pytest.fixture
def place(tmp_path, monkeypatch):
    """As Kaggle has them; six images, of two classes."""
    place = tmp_path / "imagenet/ILSVRC/Data/CLS-LOC/val"
    place.mkdir(parents=True)
    for number in range(1, 7):
        Image.new("RGB", (9, 9)).save(place / f"ILSVRC2012_val_{number:08}.JPEG")
    monkeypatch.setenv("COMPANION_DATA", str(tmp_path))
    return place


FIRST, SECOND = imagenet.classes()[:2]
OF = [FIRST, SECOND, FIRST, SECOND, FIRST, FIRST]


def kaggle(place):
    rows = [f"ILSVRC2012_val_{i:08},{wnid} 1 2 3 4" for i, wnid in enumerate(OF, 1)]
    text = "\n".join(["ImageId,PredictionString", *rows])
    (place.parents[3] / flat.KAGGLE).write_text(text)


def kit(place):
    folder = place / flat.KIT
    folder.mkdir(parents=True)
    kind = [("ILSVRC2012_ID", "O"), ("WNID", "O")]
    synsets = np.array([(7, FIRST), (9, SECOND)], dtype=kind)
    scipy.io.savemat(folder / flat.SYNSETS, {"synsets": synsets})
    (folder / flat.TRUTH).write_text("\n".join("7" if of == FIRST else "9" for of in OF) + "\n")


@pytest.mark.parametrize("write", [kaggle, kit])
def test_images_in_one_folder_are_those_of_class_folders(place, tmp_path, write):
    write(place)
    found = copies.image_list("imagenet", accept_counts=True)
    assert len(found) == 6 and [found.classes[i] for i in found.labels] == sorted(OF)
    for key, wnid in zip([path.name for path in sorted(place.glob("*.JPEG"))], OF, strict=True):
        folder = tmp_path / "imagenet/val" / wnid
        folder.mkdir(parents=True, exist_ok=True)
        (folder / key).write_bytes((place / key).read_bytes())
    sorted_ones = copies.image_list("imagenet", accept_counts=True)
    assert sorted_ones.keys == found.keys and sorted_ones.manifest == found.manifest


def test_images_without_a_list_are_not_called_none(place):
    refused(
        "6 images in .* are not sorted into classes.*LOC_val_solution.csv",
        copies.image_list,
        "imagenet",
    )
    (place / flat.KAGGLE).write_text("ImageId,PredictionString\nILSVRC2012_val_00000001,n1 2\n")
    refused("does not name ILSVRC2012_val_00000002", copies.image_list, "imagenet")
    (place / flat.KAGGLE).write_text("a,b\n1,2\n")
    refused("is not Kaggle's list", copies.image_list, "imagenet")
    assert sets.IMAGENET == "imagenet"
