"""The paper's data sets on a reader's disk: layouts, counts, archives, and what is wrong."""

import re
import resource
import shutil
import sys
import tarfile
from dataclasses import replace

import miniatures
import numpy as np
import pyarrow
import pytest
from conftest import cases, refused
from PIL import Image
from pyarrow import parquet

from analysis.images import copies, find, imagenet, packed, sets
from analysis.images.imagelist import ImageList
from analysis.images.sets import DatasetError
from base.roots import ROOT

TRUE, READ_ANEW = sets.descriptions(), sets.descriptions.__wrapped__


@pytest.fixture(scope="module")
def complete(tmp_path_factory):
    """Every set in miniature, and the descriptions that fit; not to be changed."""
    folder = tmp_path_factory.mktemp("data")
    return folder, miniatures.save_all(folder)


@pytest.fixture(autouse=True)
def small(complete, own_store, monkeypatch):
    """Expect the miniatures' counts, and look for the sets among them."""
    folder, described = complete
    miniatures.expect(monkeypatch, described)
    monkeypatch.setenv("COMPANION_DATA", str(folder))
    return folder


@pytest.fixture
def copied(tmp_path, small, monkeypatch):
    """Copy a set to a folder of the test's own, where it is then looked for, and return it."""

    def copy(name):
        place = sets.descriptions()[name].folders[0]
        shutil.copytree(small / place, tmp_path / "own" / place)
        monkeypatch.setenv("COMPANION_DATA", str(tmp_path / "own"))
        return tmp_path / "own" / place

    return copy


def available(name):
    return next(data for data in find.availability() if data.name == name)


# The tables


def test_objectnets_classes_are_125_of_imagenets():
    mapping = imagenet.objectnet_to_imagenet()
    wnids = [wnid for several in mapping.values() for wnid in several]
    assert (len(mapping), len(set(wnids))) == (113, 125) and set(wnids) <= {*imagenet.classes()}
    names = imagenet.words()
    chairs = ["barber chair", "folding chair", "rocking chair"]
    assert [names[w] for w in mapping["chair"]] == chairs
    assert "alarm clock" in imagenet.objectnet_prompts().names


# Layouts


@pytest.mark.parametrize("name", miniatures.NAMES)
def test_each_set_is_listed_from_its_layout(name):
    (listed,) = find.find(name)
    described = sets.descriptions()[name]
    used = described.used or described
    assert (listed.name, len(listed), len(listed.classes)) == (name, used.images, used.classes)
    assert set(listed.labels.tolist()) == set(range(used.classes))
    assert miniatures.damaged(listed) == []
    assert listed.image(0).mode == "RGB"
    assert listed.what.startswith(f"{described.title}, {used.images:,} images of {used.classes:,}")
    status = available(name)
    assert (status.state, status.why) == ("present", listed.what)
    for key, label in zip(listed.keys, listed.labels, strict=True):
        folder = key.split("/")[0]
        wnid = imagenet.classes()[int(folder)] if folder.isdecimal() else folder
        assert listed.classes[label] == wnid


def test_class_folders_called_by_numbers_sort_as_numbers(copied):
    (listed,) = find.find("imagenet-v2")
    assert [key.split("/")[0] for key in listed.keys] == [str(i) for i in range(1000)]
    place = copied("imagenet-v2")
    for i in (0, 7, 42):  # some copies pad the numbers, some use WordNet ids
        (place / str(i)).rename(place / f"{i:04}")
    for i in (8, 999):
        (place / str(i)).rename(place / imagenet.classes()[i])
    (other,) = find.find("imagenet-v2")
    assert other.keys == listed.keys
    np.testing.assert_array_equal(other.labels, listed.labels)


def test_the_border_of_objectnet_is_cut_off(small):
    (listed,) = find.find("objectnet")
    for i in (0, 40, 124):
        with Image.open(listed.images[i]) as whole:
            expected = np.asarray(whole)
        assert (expected[0] == miniatures.RED).all() and (expected[:, -2] == miniatures.RED).all()
        inner = np.asarray(listed.image(i))
        np.testing.assert_array_equal(inner, expected[2:-2, 2:-2])
        assert not (inner[0] == miniatures.RED).all(axis=-1).all()
    assert replace(listed, border=0).manifest != listed.manifest


# Copies that are not the published set


def spoil(place, how, folder, other=""):
    """Change a copy: lose, move or double an image of a folder; drop, rename or copy the folder."""
    folder, other = place / folder, place / other
    image = next(folder.iterdir())
    another = (other if how == "move" else folder) / f"2{image.suffix}"
    {
        "lose": image.unlink,
        "move": lambda: image.rename(another),
        "double": lambda: shutil.copy(image, another),
        "drop": lambda: shutil.rmtree(folder),
        "rename": lambda: folder.rename(other),
        "copy": lambda: shutil.copytree(folder, other),
    }[how]()


@pytest.mark.parametrize("name, how, message", cases("copies")["spoilt"])
def test_a_copy_that_differs_is_refused_or_says_so_wherever_it_is_used(copied, name, how, message):
    spoil(copied(name), *how.split())
    refused(f"{message}.*with --accept-counts: every measurement", find.find, name)
    status = available(name)
    assert status.state == "incomplete"
    (listed,) = find.find(name, accept_counts=True)
    said = listed.what.partition("NOT the published set, taken as it is: ")[2]
    assert said and status.why.startswith(f"{sets.descriptions()[name].title}: {said} (")
    assert len(listed.classes) == len(imagenet.subset(sets.descriptions()[name]))


def test_an_empty_folder_is_refused_whatever_counts_are_accepted(copied):
    place = copied("imagenet-a")
    shutil.rmtree(place)
    place.mkdir()
    (place / "n01498041_1.jpg").touch()
    with pytest.raises(DatasetError, match=r": 0 images.*\. A folder per class is expected"):
        find.find("imagenet-a", accept_counts=True)


# Where sets are looked for


def test_where_sets_are_looked_for(small, tmp_path, monkeypatch):
    config = tmp_path / "data.yaml"
    monkeypatch.setenv("COMPANION_DATA_CONFIG", str(config))
    refused(r"names .*data\.yaml, but there is no such file", find.find, "imagenet-a")
    shutil.copytree(small / "imagenet-a", tmp_path / "elsewhere")
    lose = next((tmp_path / "elsewhere").rglob("*.jpg"))
    lose.unlink()
    config.write_text(f"imagenet-a: {tmp_path / 'elsewhere'}\n")
    assert available("imagenet-a").folder == tmp_path / "elsewhere"
    assert available("imagenet-r").folder == small / "imagenet-r"
    monkeypatch.setenv("COMPANION_DATA", str(tmp_path))
    refused(r"ImageNet-R is not in .* none of imagenet-r, .*github", find.find, "imagenet-r")
    monkeypatch.delenv("COMPANION_DATA")
    refused("COMPANION_DATA names, but this variable is not set", find.find, "imagenet-r")
    config.write_text(f"root: {small}\nbroden: {tmp_path}/broden\n")
    assert available("imagenet-r").folder == small / "imagenet-r"
    assert "Broden lies in" in available("broden").why
    (tmp_path / "broden").mkdir()
    assert available("broden").folder == tmp_path / "broden"
    config.write_text("imagenet-a: /absent\n")
    assert "ImageNet-A lies in /absent, which is not a folder" in available("imagenet-a").why


def test_a_set_of_other_classes_by_a_name_of_its_own(tmp_path, monkeypatch):
    """As the page on the house says: an entry in sets.yaml, a folder for each class."""
    table = tmp_path / "sets.yaml"
    table.write_text(sets.SETS.read_text().replace("\nsets:\n", cases("copies")["own"]))
    monkeypatch.setattr(sets, "SETS", table)
    monkeypatch.setattr(sets, "_table", sets._table.__wrapped__)
    for module in (sets, copies):
        monkeypatch.setattr(module, "descriptions", READ_ANEW)
    monkeypatch.setenv("COMPANION_DATA", str(tmp_path))
    for place in ("sea_gull/1", "sea_gull/2", "n01514668/1", "n01514668/2"):
        path = tmp_path / "my-birds" / f"{place}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (9, 9)).save(path)
    (listed,) = find.find("birds")
    assert (listed.name, listed.labels.tolist()) == ("birds", [0, 0, 1, 1])
    assert listed.prompts and listed.prompts.names == ("rooster", "sea gull")
    assert available("birds").state == "present"
    shutil.rmtree(tmp_path / "my-birds" / "sea_gull")
    assert "1 classes where 2 were published" in available("birds").why


@pytest.mark.parametrize(("text", "message"), cases("copies")["configured"])
def test_a_wrong_configuration_is_a_sentence(tmp_path, monkeypatch, answer, text, message):
    config = tmp_path / "data.yaml"
    config.write_text(text)
    monkeypatch.setenv("COMPANION_DATA_CONFIG", str(config))
    assert re.match(f"companion: {config}.*{message}", answer("status", "--data", fails=True))


def test_the_grid_is_all_of_the_papers_sets_or_says_which_is_missing(monkeypatch):
    refused(r"not here: 1 of the paper's 7 data sets .*Broden", find.find, "grid")
    monkeypatch.setattr(sets, "GRID", sets.GRID[:-1])
    assert [listed.name for listed in find.find("grid")] == list(sets.GRID)


# Shards


@pytest.mark.parametrize("name", ["imagenet-r", "imagenet-v2", "objectnet"])
def test_shards_equal_folders(name, small, tmp_path, monkeypatch):
    (folders,) = find.find(name)
    wds = sets.descriptions()[name].folders[-1]
    miniatures.save_shards(folders, tmp_path / "wds" / wds)
    monkeypatch.setenv("COMPANION_DATA", str(tmp_path / "wds"))
    (listed,) = find.find(name)
    assert available(name).state == "present"
    np.testing.assert_array_equal(listed.labels, folders.labels)
    assert (listed.classes, listed.border) == (folders.classes, folders.border)
    assert listed.keys[0] == "s0000000" and listed.manifest
    assert miniatures.damaged(listed) == []  # by several threads
    for i in range(len(listed)):
        np.testing.assert_array_equal(np.asarray(listed.image(i)), np.asarray(folders.image(i)))


def archive(folder, members):
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(folder / "0.tar", "w") as target:
        for name, content in members.items():
            miniatures.add(target, name, content.encode())
    return folder / "0.tar"


# Parquet files


def words(wnids):
    """WordNet's words for classes of ImageNet, which the hub's files name them by."""
    timm_data = pytest.importorskip("timm.data", reason="extraction is not installed")
    info = timm_data.ImageNetInfo()
    every = {info.index_to_label_name(i): info.index_to_description(i) for i in range(1000)}
    return [every[wnid] for wnid in wnids]


def save_parquet(listed, folder, patch, **more):
    """Write a set of the folder layout as the hub keeps it, and look for it there."""
    place = folder / sets.descriptions()[listed.name].folders[-1]
    miniatures.save_parquet(listed, place, **more)
    patch.setenv("COMPANION_DATA", str(folder))
    return place


@pytest.mark.parametrize(("name", "split", "named"), cases("copies")["parquet"])
def test_parquet_files_list_as_folders_do(name, split, named, tmp_path, monkeypatch):
    (folders,) = find.find(name)
    kept, classes = folders, folders.classes
    if name == "imagenet":  # the hub's names of files end in the class
        keys = tuple(key.replace(".", f"_{key[:9]}.") for key in folders.keys)
        kept = replace(folders, keys=keys)
    if named == "all":  # labels of a subset that count through all classes
        classes = imagenet.classes()
        every = np.array([classes.index(wnid) for wnid in folders.classes])
        kept = replace(folders, labels=every[folders.labels], classes=classes)
    names = () if named == "ids" else words(classes)
    save_parquet(kept, tmp_path, monkeypatch, split=split, files=3, names=names)
    packed._images.cache_clear()
    listed = copies.image_list(name)
    assert packed._images.cache_info().misses == 0  # no image is read for the list
    for field in ("keys", "what", "classes"):
        assert getattr(listed, field) == getattr(folders, field)
    np.testing.assert_array_equal(listed.labels, folders.labels)
    assert available(name).state == "present"
    for i in (0, 57, len(listed) - 1):
        np.testing.assert_array_equal(np.asarray(listed.image(i)), np.asarray(folders.image(i)))
    assert packed._images.cache_info().misses <= 3


def test_of_several_splits_the_one_that_is_meant_is_read(tmp_path):
    assert packed.read(tmp_path) is None
    for label, path in enumerate(("data/train", "data/validation", "0000")):
        place, split = (tmp_path / path).parent, (tmp_path / path).name
        table(place, {"image": [PICTURE], "label": [label]}, split)
        ((sample,), _) = packed.read(tmp_path) or ([], ())
        assert sample.label == str(label)  # each goes before those that were there


@pytest.mark.parametrize(("names", "message"), cases("copies")["classes"])
def test_parquet_files_with_other_classes(names, message, tmp_path, monkeypatch):
    (listed,) = find.find("imagenet-a")
    save_parquet(listed, tmp_path, monkeypatch, names=names or sorted(words(imagenet.classes())))
    refused(message, find.find, "imagenet-a")


def table(folder, content, name="test"):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-00000-of-00001.parquet"
    parquet.write_table(pyarrow.table(content), path)
    return path


PICTURE = {"bytes": b"<html>", "path": None}


def test_labels_beside_images_and_images_that_are_damaged(tmp_path):
    members = {
        **{"a/1.jpg": "<html>", "a/1.cls": "7", "a/1.json": "{}", "a/2.seg.cls": "no"},
        **{"b/1.JPEG": "y", "b/1.cls": " n01440764\n"},
    }
    archive(tmp_path / "shards", members)
    table(tmp_path / "rows", {"image": [PICTURE], "wnid": ["n01443537"], "label": [7]})
    path = table(tmp_path / "none", {"image": [PICTURE, {"bytes": None}], "label": [7, 7]})
    assert packed.read(path.parent).samples[1].image.read() == b""
    for folder, labels, names in (
        ("shards", {"a/1": "7", "b/1": "n01440764"}, None),
        ("rows", {"test-00000-of-00001-000000": "n01443537"}, ()),
    ):
        samples, classes = packed.read(tmp_path / folder)
        assert ({sample.name: sample.label for sample in samples}, classes) == (labels, names)
        listed = ImageList("x", [samples[0].image], ("a",), np.array([0]), ("a",))
        refused(f"a: cannot identify .* '{samples[0].name}", listed.image, 0)


@pytest.mark.parametrize(("kind", "content", "message"), cases("copies")["shards"])
def test_shards_and_parquet_files_that_are_wrong(kind, content, message, tmp_path, monkeypatch):
    {"archive": archive, "table": table}[kind](tmp_path / "imagenet-r", content)
    monkeypatch.setenv("COMPANION_DATA", str(tmp_path))
    refused(message, find.find, "imagenet-r")
    assert available("imagenet-r").state == "incomplete"


def test_how_much_is_to_be_read_is_known_before(tmp_path, monkeypatch):
    """Small files of many zeros: images of megabytes in a kilobyte, a class or a name of 1 GB."""
    monkeypatch.setattr(packed, "LARGEST", 4_000_000)
    path = tmp_path / "rows" / "test.parquet"
    path.parent.mkdir()
    places, zeros = pyarrow.array([0] * 400, pyarrow.int32()), pyarrow.array([bytes(3_000_000)])
    equal = pyarrow.DictionaryArray.from_arrays(places, zeros)
    image = pyarrow.StructArray.from_arrays([equal], ["bytes"])
    rows = pyarrow.table({"image": image, "label": [0] * 400})
    parquet.write_table(rows[:2], path, compression="zstd", use_dictionary=False)
    assert path.stat().st_size < 10_000
    said = r"image.bytes of its group of rows 0 takes 6,000,\d+ bytes, 4,000,000 at most are read"
    refused(said, packed.read, path.parent)
    parquet.write_table(rows, path, compression="zstd", dictionary_pagesize_limit=2**30)
    samples, _ = packed.read(path.parent)  # equal ones are there once, and are read once
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert [len(sample.image.read()) for sample in samples] == [3_000_000] * 400
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB
    packed._images.cache_clear()
    for name, size, said in (
        ("1.jpg", 2**30, "the image 1.jpg takes 1,073,741,824 bytes"),
        ("1.cls", 2**30, "the class 1.cls takes 1,073,741,824 bytes, 4,096 at most"),
    ):
        path = tmp_path / name / "0.tar"
        path.parent.mkdir()
        entry = tarfile.TarInfo(name)
        entry.size = size
        with path.open("wb") as file:
            file.write(entry.tobuf())
            file.truncate(size + 4096)  # takes no room on the disk
        refused(said, packed.read, path.parent)
    entry.type = tarfile.GNUTYPE_LONGNAME
    with path.open("r+b") as file:
        file.write(entry.tobuf())
    refused(r"name or description takes 1,073,741,824 bytes", packed.read, path.parent)


def test_damaged_archives_and_parquet_files_are_named(tmp_path, monkeypatch):
    for path, kind in (
        (archive(tmp_path / "shards", {"1.jpg": "x" * 5000, "1.cls": "0"}), "tar archive"),
        (table(tmp_path / "rows", {"image": [PICTURE], "label": [0]}), "Parquet file"),
    ):
        whole = path.read_bytes()
        for spoilt in (whole[: len(whole) // 2], whole[:100], b"", b"<html>404</html>" * 99):
            path.write_bytes(spoilt)
            message = rf"{path.name} is not a sound {kind} .*get it again"
            refused(message, packed.read, path.parent)
    place = save_parquet(find.find("imagenet-a")[0], tmp_path, monkeypatch)
    path = place / "data" / "validation-00000-of-00002.parquet"
    path.write_bytes(bytes(5000 * [255]) + path.read_bytes()[5000:])
    packed._images.cache_clear()
    (listed,) = find.find("imagenet-a")  # the footer is sound, images are not
    wrong = miniatures.damaged(listed)
    assert 0 < len(wrong) < len(listed)
    assert "is not a sound Parquet file" in wrong[0].reason


def test_without_pyarrow_a_parquet_file_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "imagenet-r").mkdir()
    (tmp_path / "imagenet-r" / "test.parquet").touch()
    monkeypatch.setenv("COMPANION_DATA", str(tmp_path))
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    refused(r"test\.parquet is a Parquet file.*'\.\[parquet\]'", find.find, "imagenet-r")


def test_the_book_describes_the_sets():
    page = (ROOT / "book" / "appendix" / "datasets.md").read_text()
    bibliography = (ROOT / "book" / "references.bib").read_text()
    for described in TRUE.values():
        row = next((line for line in page.splitlines() if f"| `{described.name}` |" in line), None)
        assert row is not None, f"{described.name} is not in the page's table"
        assert f"{described.images:,}" in row and f"`{described.folders[0]}/`" in row
        assert described.origin in page and f"{{{described.citation}," in bibliography


def test_metadata_that_is_nested_too_deeply_names_no_class(tmp_path):
    about = {b"huggingface": b"[" * 100_000}
    rows = pyarrow.table({"image": [PICTURE], "label": [3]}).replace_schema_metadata(about)
    parquet.write_table(rows, tmp_path / "test.parquet")
    samples, names = packed.read(tmp_path)
    assert (samples[0].label, names) == ("3", ())
