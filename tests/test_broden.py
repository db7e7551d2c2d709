"""Broden: what an image shows, copies that are damaged or incomplete, and a measurement of it."""

import functools
import re
import shutil

import broden_miniature
import numpy as np
import pytest
from conftest import refused
from PIL import Image

from analysis.families.registry import load_family
from analysis.features import store
from companion.measurements import concept_probe, from_store, pending, records
from companion.sources import broden, sets

CASES = broden_miniature.CASES
NAMES, SHOWN = [*CASES["names"]], CASES["shown"]


@pytest.fixture
def root(own_store, tmp_path):
    """The miniature as a reader's copy, where the command looks for it."""
    return broden_miniature.save(tmp_path / "data" / "broden1_224")


def read(root, **options):
    kept = store.default_folder() / "concepts"
    return broden.concepts(root, kept, **{"accept_counts": True, **options})


def publish(patch, images=12, labels=13):
    """As if so many images and labels had been published."""
    update = {"images": images, "classes": labels}
    described = sets.descriptions()["broden"].model_copy(update=update)
    patch.setitem(sets.descriptions(), "broden", described)


def concepts_of(table):
    dense = table.shares.toarray() > 0
    return {
        image: {table.names[i] for i in np.flatnonzero(dense[row])}
        for row, image in enumerate(table.images)
    }


def replace_in(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new), newline="")


def test_which_image_shows_what(root):
    table = read(root)
    assert concepts_of(table) == {image: set(names) for image, names in SHOWN.items()}
    assert dict(zip(table.names, table.categories, strict=True)) == CASES["names"]
    for image, shares in zip(table.images, table.shares.toarray(), strict=True):
        wanted = {name: min(1, pixels / 256) for name, pixels in SHOWN[image].items()}
        assert {NAMES[c]: shares[c] for c in np.flatnonzero(shares)} == pytest.approx(wanted)
    assert table.images == tuple(broden_miniature.IMAGES)
    # categories in which an image is annotated, also where nothing was found: the last one's colour
    for image, annotated in zip(table.images, table.annotated, strict=True):
        wanted = {*broden_miniature.IMAGES[image]}
        assert {c for c, here in zip(broden.CATEGORIES, annotated, strict=True) if here} == wanted


def test_other_ways_to_write_the_tables(root):
    expected = concepts_of(read(root))
    for path in (root / "index.csv", root / "label.csv"):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    replace_in(root / "label.csv", "257,leg,", '"257","leg",')
    assert concepts_of(read(root)) == expected


def test_the_table_is_kept(root, monkeypatch):
    first = read(root)
    (path,) = (store.default_folder() / "concepts").glob("broden-*.npz")
    decoded = []
    decode = broden._read_mask
    monkeypatch.setattr(
        broden, "_read_mask", lambda path, size: decoded.append(path) or decode(path, size)
    )
    again = read(root)
    assert not decoded and concepts_of(again) == concepts_of(first)
    path.write_bytes(path.read_bytes()[:-1])
    assert concepts_of(read(root)) == concepts_of(first) and len(decoded) == 18
    replace_in(root / "label.csv", "kitchen-s", "kitchens-s")
    assert "kitchens-s" in read(root).names and len(decoded) == 36


def spoil(path, how):
    """Remove a file, cut it, put another mask in its place, or replace a text in it."""
    kind, *numbers = how.split()
    if kind == "gone":
        path.unlink()
    elif kind == "cut":
        path.write_bytes(path.read_bytes()[: int(numbers[0])])
    elif kind == "mask":
        shape = tuple(map(int, numbers))
        Image.fromarray(np.full(shape, 3 * (len(shape) == 2), np.uint8)).save(path, "png")
    else:
        replace_in(path, *how.split(" → "))


@pytest.mark.parametrize(("name", "how", "message"), CASES["damaged"])
def test_a_damaged_copy_is_refused_with_its_file_and_reason(root, name, how, message):
    (path,) = root.rglob(name)
    spoil(path, how)
    refused(message, read, root)


def test_the_counts_of_the_paper_are_expected(root, monkeypatch):
    whole = r"12 images where Broden has 63,305; 13 labels where .* incomplete, .*--accept-counts"
    for reader in (read, broden.image_list):
        refused(whole, reader, root, accept_counts=False)
    publish(monkeypatch, 9)
    refused(r"^12 images where Broden has 9: .*another version", read, root, accept_counts=False)
    assert "NOT the published set, taken as it is: 12 images where" in read(root).what
    publish(monkeypatch)
    listed = broden.image_list(root)
    assert read(root, accept_counts=False).what == listed.what == ""
    assert listed.name == "broden" and listed.keys == tuple(broden_miniature.IMAGES)
    assert set(listed.labels.tolist()) == {-1} and listed.classes == ()
    assert listed.image(0).size == (32, 32)


def test_what_is_there_of_an_incomplete_copy(root, monkeypatch):
    """The index lists all images, as after an unpacking that broke off."""
    publish(monkeypatch)
    expected = concepts_of(read(root, accept_counts=False))
    (root / "images" / "dtd" / "b.jpg").unlink()
    refused(r"1 of 12 images .* are missing, the first is .*b\.jpg", broden.image_list, root)
    listed, table = broden.image_list(root, accept_counts=True), read(root)
    assert listed.keys == table.images and len(listed) == 11
    said = "Broden, NOT the published set, taken as it is: 11 images where Broden has 12"
    assert listed.what == table.what == said
    del expected["dtd/b.jpg"]
    assert concepts_of(table) == expected


def test_the_status_says_whether_broden_is_whole_or_where_to_get_it(root, monkeypatch, answer):
    assert f"broden  incomplete  {root}  12 images where Broden" in answer("status", "--data")
    publish(monkeypatch)
    assert f"broden  present  {root}  12 images" in answer("status", "--data")
    monkeypatch.delenv("COMPANION_DATA")
    assert re.search(r"broden  absent .*script/makebroden\.sh", answer("status", "--data"))


# From a copy on disk to a measurement ------------------------------------------------------------

MODELS = ("pocket-cnn-web-large", "pocket-cnn-supervised")


@pytest.fixture
def painted(own_store, tmp_path, monkeypatch):
    """Some hundreds of images that show what their labels say, as an incomplete copy."""
    for library in ("torch", "open_clip", "timm"):
        pytest.importorskip(library, reason="extraction is not installed")
    monkeypatch.setattr(records, "FOLDER", tmp_path / "measured")
    for name in ("write", "read_all"):
        kept_apart = functools.partial(getattr(records, name), folder=records.FOLDER)
        monkeypatch.setattr(records, name, kept_apart)
    return broden_miniature.save_painted(tmp_path / "data" / "broden1_224")


@pytest.fixture
def extract(answer):
    def extract(data, *more, models=MODELS, **fails):
        on = ("--data", data, "--device", "cpu", "--workers", 1, "-q")
        return answer("extract", "pocket_cnn", "--model", *models, *on, *more, **fails)

    return extract


def measured(model):
    """The measurement of a model as it is now, or what hinders it."""
    described = load_family("pocket_cnn").model(model)
    return from_store.measure(
        pending.Job("concepts", "pocket_cnn", described, "broden", ("broden",))
    )


def test_from_an_incomplete_copy_to_a_recorded_measurement(painted, extract, answer):
    measure = ["measure", "concepts", "pocket_cnn", "--quiet"]
    few = "400 images where Broden has 63,305; 18 labels where"
    assert few in extract("broden", fails=True)
    extract("broden", "--accept-counts", models=MODELS[:1])
    said = answer(*measure, fails=True)
    assert said.startswith(f"companion: the store has no head of {MODELS[0]}: run `companion extr")
    extract("broden", "--accept-counts")
    extract("pocket-noto-test")
    answer(*measure, "--record")
    lines = [line for line in answer(*measure).splitlines() if line[0] != " "]
    assert sorted(lines) == sorted(f"{model}--broden.json: as recorded" for model in MODELS)
    taken = {m.model: m for m in records.read_all("concepts")}
    first = taken[MODELS[0]]
    assert first.data.what.startswith("Broden, NOT the published set, taken as it is: 400 images")
    assert first.provenance.head.startswith("zero-shot head of 34 classes")
    assert first.counts == {"images": 400, "components": 128, "classes": 34, "concepts": 16}
    # The painted colours are there to be told, and the labels' permutation takes them away.
    assert first.value("lower_draws").min() > first.value("lower_permuted").max()
    whole = concept_probe.broden([load_family("pocket_cnn").model(MODELS[0])])
    chosen = whole.select(20)
    assert first.value("positives").tolist() == chosen.positives.tolist()
    best = chosen.names[int(first.value("best").argmax())]
    assert best.endswith("-c") or chosen.kinds[chosen.names.index(best)] == "texture"

    # Negatives that were annotated for textures are textures themselves: a harder question.
    said = answer(*measure, "--annotated", "--least-percent", 20, "--record")
    assert f"{MODELS[0]}--broden-annotated-20-percent.json" in said
    other = {m.model: m for m in records.read_all("concepts") if m.data.name != "broden"}[MODELS[0]]
    assert other.data.what.endswith(
        "negatives annotated in the concept's category, shown from 20 % of a mask on"
    )
    assert set(chosen.kinds[-4:]) == {"texture"}
    assert (other.value("positives")[-4:] == first.value("positives")[-4:]).all()
    assert other.counts["concepts"] < 16  # some objects are smaller
    assert other.value("best")[-4:].mean() < first.value("best")[-4:].mean() - 0.05


def test_images_that_are_not_in_the_features(painted, extract):
    (painted / "images" / "ade20k" / "0001.jpg").write_bytes(b"no picture")
    extract("pocket-noto-test")
    extract("broden", "--accept-counts", fails=True)
    extract("broden", "--accept-counts", "--leave-out-damaged")
    taken = measured(MODELS[0])
    assert taken.counts["images"] == 399
    assert taken.data.what.endswith("has 1,197, damaged images left out: 1")
    # Features of another copy than the one at hand are of no use, and one sentence says so.
    (painted / "images" / "ade20k" / "0002.jpg").unlink()
    refused("not of the probe's images in its order", measured, MODELS[0])
    shutil.rmtree(painted)
    refused("none of broden1_224", measured, MODELS[0])
    family = load_family("pocket_cnn")
    assert pending.jobs(family, ["concepts"]) == []
    assert records.available("concepts", family) == []  # a page says that it is missing
