"""Lists of images: folders, names, manifests, and damaged files."""

import hashlib
import os
import shutil
import sys
from pathlib import Path

import miniatures
import numpy as np
import pytest
from conftest import refused
from PIL import Image
from tiny import image_list, pictures, save_folder

from analysis.images import imagelist
from analysis.images.imagelist import DatasetError, ImageList
from companion.sources import find


def test_a_folder_of_classes_is_listed_in_order(tmp_path):
    save_folder(tmp_path)
    (tmp_path / "red" / "deeper").mkdir()
    Image.fromarray(pictures(1)[0]).save(tmp_path / "red" / "deeper" / "z.PNG")
    (tmp_path / "red" / "notes.txt").write_text("not an image")
    (tmp_path / "red" / ".hidden.png").write_text("not an image")
    listed = imagelist.folder(tmp_path, name="mine")
    assert listed.classes == ("blue", "green", "red")
    assert listed.keys == (
        *("blue/002.png", "blue/005.png", "blue/008.png"),
        *("green/001.png", "green/004.png", "green/007.png"),
        *("red/000.png", "red/003.png", "red/006.png", "red/deeper/z.PNG"),
    )
    assert listed.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 2]
    np.testing.assert_array_equal(np.asarray(listed.image(0)), pictures(9)[2])


def test_names_tell_folders_of_the_same_name_apart(tmp_path):
    first = imagelist.folder(save_folder(tmp_path / "a" / "Val set", 9))
    second = imagelist.folder(save_folder(tmp_path / "b" / "Val set", 6))
    assert first.name == f"val-set-{first.manifest[:8]}"
    assert first.name != second.name
    flat = imagelist.folder(tmp_path / "a" / "Val set" / "red")  # no labels
    assert (set(flat.labels.tolist()), flat.classes, flat.prompts) == ({-1}, (), None)
    save_folder(tmp_path / "a-1", 3)  # as a text before a/, as a path behind it
    every = imagelist.unlabelled(tmp_path)
    assert len(every) == 18 and every.keys[0] == "a/Val set/blue/002.png"
    assert [*map(Path, every.images)] == sorted(tmp_path.rglob("*.png"))


def test_a_folder_without_images_to_use_is_refused(tmp_path):
    refused(
        r"no images, it is empty; images that end in .*\.tiff, \.ppm are",
        imagelist.folder,
        tmp_path,
    )
    save_folder(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "x.heic").write_bytes(b"x")
    refused(r"empty has no images but files of \.heic;", imagelist.folder, tmp_path)
    (tmp_path / "empty" / "x.heic").unlink()
    Image.fromarray(pictures(1)[0]).save(tmp_path / "loose.png")
    refused("images beside subfolders", imagelist.folder, tmp_path)


def test_the_manifest_is_what_older_features_noted(tmp_path):
    """Names in their order, labels, classes, and sizes of files and of images within files."""
    (tmp_path / "x").write_bytes(bytes(7))
    images = [tmp_path / "x", imagelist.Packed(Path("x"), "a", 9)]
    listed = ImageList("x", images, ("ä", "b"), np.array([1, -1]), ("u", "v"))
    noted = '[["ä", "b"], [1, -1], ["u", "v"], [7, 9]]'
    assert listed.manifest == hashlib.sha256(noted.encode()).hexdigest()


def test_the_manifest_of_what_is_not_compressed_sees_pixels(tmp_path):
    original = image_list()
    assert image_list().manifest == original.manifest
    changed = image_list()
    changed.images[3, 2, 1, 0] ^= 1
    assert changed.manifest != original.manifest
    manifests = set()
    for lists in (original, changed):
        Image.fromarray(lists.images[3]).save(tmp_path / "x.bmp")
        manifests.add(imagelist.folder(tmp_path).manifest)
    assert len(manifests) == 2
    (tmp_path / "x.bmp").unlink()
    for level, expected in (0, 2), (9, 1):
        sizes, manifests = set(), set()
        for grey in (3, 7):
            picture = Image.fromarray(np.full((16, 16, 3), grey, np.uint8))
            picture.save(tmp_path / "x.png", compress_level=level)
            sizes.add((tmp_path / "x.png").stat().st_size)
            manifests.add(imagelist.folder(tmp_path, name="x").manifest)
        assert (len(sizes), len(manifests)) == (1, expected)


@pytest.mark.skipif(sys.platform != "linux", reason="such names are Linux's")
def test_a_damaged_image_is_named_without_its_folder_whatever_its_name(tmp_path):
    for name in ("a\\b.png", "a'b.png", 'a"b.png', "a\tb.png"):
        (tmp_path / name).write_bytes(b"no picture")
    reasons = [error.reason for error in miniatures.damaged(imagelist.unlabelled(tmp_path))]
    assert len(reasons) == 4 and not any(str(tmp_path) in reason for reason in reasons)


def test_damaged_images_are_named(tmp_path):
    cut = (save_folder(tmp_path, suffix="jpg") / "blue/002.jpg").read_bytes()[:-200]
    spoilt = {
        "blue/002.jpg": (cut, "truncated"),
        "green/001.jpg": (b"", "cannot identify"),
        "red/000.jpg": (b"<html>404</html>", "cannot identify"),
    }
    for name, (content, _) in spoilt.items():
        (tmp_path / name).write_bytes(content)
    listed = imagelist.folder(tmp_path)
    reasons = {error.key: error.reason for error in miniatures.damaged(listed)}
    assert reasons.keys() == spoilt.keys()
    for name, (_, said) in spoilt.items():
        assert said in reasons[name] and str(tmp_path) not in reasons[name]
    refused(r"^blue/002\.jpg: ", listed.image, 0)


@pytest.mark.skipif(sys.platform != "linux", reason="such names are Linux's")
def test_odd_names_of_files_and_links(tmp_path):
    """Control characters, no UTF-8; links to folders, in a circle, to nothing."""
    folder = save_folder(tmp_path / "real")
    for name in (b"a\x01\\x.png", b"\xff.png"):
        Path(os.fsdecode(os.fsencode(folder / "red") + b"/" + name)).write_bytes(b"no picture")
    for list_them in (imagelist.folder, imagelist.unlabelled):
        listed = list_them(folder)
        assert "red/\\xff.png" in listed.keys and len(listed.manifest) == 64
        assert {e.key for e in miniatures.damaged(listed)} == {"red/a\x01\\x.png", "red/\\xff.png"}
    (folder / "red/circle").symlink_to(folder / "red")
    (folder / "red/itself").symlink_to(folder / "red/itself")
    for list_them in (imagelist.folder, imagelist.unlabelled):
        assert len(list_them(folder)) == len(listed)
    (folder / "red/gone.png").symlink_to(tmp_path / "nowhere")
    for list_them in (imagelist.folder, imagelist.unlabelled):
        refused(r"gone.png is no file, perhaps a link to nothing", list_them, folder)


@pytest.mark.skipif(sys.platform != "linux", reason="links as Linux has them")
def test_links_between_folders_add_no_image(tmp_path):
    """Each real folder is looked into once; what would be listed twice is named."""
    for one, names in {"a": "123", "b": "45", "c": "6"}.items():
        save_folder(tmp_path / one, len(names)).joinpath("more").symlink_to(tmp_path / one)
    every = [*imagelist.unlabelled(tmp_path).keys]
    for one, other in (("a", "b"), ("b", "c"), ("c", "a"), ("a", "c"), ("c", "b")):
        (tmp_path / one / f"to {other}").symlink_to(tmp_path / other)
    (tmp_path / "0 alias").symlink_to(tmp_path / "b")
    (tmp_path / "up").symlink_to(tmp_path.parent)
    assert [*imagelist.unlabelled(tmp_path).keys] == every and len(every) == 6
    refused("and .* are one file, which would count twice", imagelist.folder, tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "x").symlink_to(tmp_path / "a")
    assert len(imagelist.unlabelled(elsewhere)) == 6
    twice = elsewhere / "again.png"
    twice.symlink_to(tmp_path / every[0])
    refused("again.png.*are one file", imagelist.unlabelled, elsewhere)


def test_two_images_of_one_name_are_refused():
    with pytest.raises(DatasetError, match="two images have the same name"):
        ImageList("x", pictures(3), ("a", "b", "a"), np.array([0, 1, -1]), ("u", "v"))


def test_the_pocket_labs_lists_are_rows_of_its_table():
    from companion.sources import emoji

    listed = emoji.pocket("noto")
    table = emoji.load().table
    rows = table[(table["style"] == "noto") & (table["split"] == "test")]
    assert listed.name == "pocket-noto-test"
    assert listed.keys == tuple(f"{concept}/noto" for concept in rows["concept"])
    assert listed.labels.tolist() == rows["class_index"].tolist()
    assert find.find("pocket-noto-train")[0].name == "pocket-noto-train"
    assert [images.name for images in find.find("pocket")] == [
        f"pocket-{style}-test" for style in emoji.STYLES
    ]
    refused(r"unknown style 'notto': .*did you mean 'noto'", emoji.pocket, "notto")


# Saved by Hugging Face's `datasets`


@pytest.fixture
def saved(tmp_path):
    """Save columns as a data set and return its folder."""
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()

    def save(labels=None, files=None, names=("n01440764", "sea_gull")):
        save_folder(tmp_path / "files")
        paths = sorted((tmp_path / "files").rglob("*.png"))[:4] if files is None else files
        columns, kinds = {"picture": list(map(str, paths))}, {"picture": datasets.Image()}
        if labels is not None:
            columns["label"], kinds["label"] = labels, datasets.ClassLabel(names=[*names])
        rows = datasets.Dataset.from_dict(columns, features=datasets.Features(kinds))
        rows.save_to_disk(tmp_path / "a set")
        return tmp_path / "a set", paths

    return save


def test_a_saved_data_set_lists_its_rows_with_the_bytes_of_their_files(saved):
    folder, paths = saved([1, 0, 0, -1])
    (listed,) = find.find(str(folder))
    assert listed.labels.tolist() == [1, 0, 0, -1] and listed.classes == ("n01440764", "sea_gull")
    assert listed.prompts.names == ("tench", "sea gull")
    assert listed.name == f"a-set-{listed.manifest[:8]}"
    assert [image.read() for image in listed.images] == [path.read_bytes() for path in paths]
    for row, path in enumerate(paths):
        np.testing.assert_array_equal(np.asarray(listed.image(row)), np.asarray(Image.open(path)))
    assert [image.size for image in listed.images] == [path.stat().st_size for path in paths]


def test_a_saved_data_set_without_labels_has_no_classes(saved):
    folder, _ = saved()
    (listed,) = find.find(str(folder))
    assert (set(listed.labels.tolist()), listed.classes, listed.prompts) == ({-1}, (), None)


def test_a_saved_data_set_that_cannot_be_used_is_a_sentence(saved, tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    folder, _ = saved([0, 1, None, 1])
    refused("row without a class in label", find.find, str(folder))
    datasets.Dataset.from_dict({"text": ["a"]}).save_to_disk(tmp_path / "texts")
    refused("no column of images among text", find.find, str(tmp_path / "texts"))
    splits = datasets.DatasetDict({"val": datasets.Dataset.from_dict({"text": ["a"]})})
    splits.save_to_disk(tmp_path / "splits")
    refused(
        r"several splits: name the folder of one \(.*splits/val\)",
        find.find,
        str(tmp_path / "splits"),
    )
    shutil.copytree(tmp_path / "texts", tmp_path / "half")
    (tmp_path / "half" / "state.json").unlink()
    refused("no sound data set .*save it again", find.find, str(tmp_path / "half"))
    monkeypatch.setitem(sys.modules, "datasets", None)
    refused(
        r"pip install \"interpreting-clip-companion\[datasets\]\"",
        find.find,
        str(tmp_path / "splits" / "val"),
    )
