"""The paper's data sets on a reader's disk: layouts, counts, and what is wrong."""

import re
import shutil
from dataclasses import replace

import miniatures
import numpy as np
import pytest
from conftest import cases, refused
from PIL import Image

from analysis.base.roots import ROOT
from analysis.images import imagenet
from analysis.images.imagelist import DatasetError
from companion.sources import copies, find, sets

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
    assert len(listed.classes) == len(copies.subset(sets.descriptions()[name]))


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


def test_the_book_describes_the_sets():
    page = (ROOT / "book" / "appendix" / "datasets.md").read_text()
    bibliography = (ROOT / "book" / "references.bib").read_text()
    for described in TRUE.values():
        row = next((line for line in page.splitlines() if f"| `{described.name}` |" in line), None)
        assert row is not None, f"{described.name} is not in the page's table"
        assert f"{described.images:,}" in row and f"`{described.folders[0]}/`" in row
        assert described.origin in page and f"{{{described.citation}," in bibliography
