import functools
import json
import shutil
from pathlib import Path

import broden_miniature
import numpy as np
import pytest
from conftest import companion, copy_checkout, results
from PIL import Image

from analysis.families.registry import load_family
from analysis.features import store
from analysis.images import broden, sets
from analysis.images.imagelist import DatasetError
from companion.cli import main
from companion.measurements import concept_probe, from_store, pending, records, tables

NAMES = (
    *("black-c", "red-c", "wall", "bench", "leg", "fabric", "head"),
    *("leather (material)", "leather (texture)", "street, paved-s", "kitchen-s", "dotted", "dog"),
)
CATEGORIES = (
    *("color", "color", "object", "object", "part", "material", "part"),
    *("material", "texture", "scene", "scene", "texture", "object"),
)
#: By hand from the miniature: which image shows what, and how many pixels of it.
SHOWN = {
    "ade20k/a.jpg": {"black-c": 4, "wall": 100, "bench": 9, "street, paved-s": 999},
    "ade20k/b.jpg": {"dog": 30, "leg": 5, "head": 3, "kitchen-s": 999},
    "ade20k/c.jpg": {"wall": 1, "leg": 8, "head": 8, "street, paved-s": 999},
    "pascal/a.jpg": {"dog": 200, "bench": 1},
    "pascal/b.jpg": {"fabric": 10},
    "pascal/c.jpg": {"wall": 256},
    "opensurfaces/a.jpg": {"black-c": 1, "red-c": 7, "leather (material)": 12},
    "opensurfaces/b.jpg": {"wall": 5, "bench": 5, "leather (material)": 2, "fabric": 2},
    "opensurfaces/c.jpg": {"red-c": 256},
    "dtd/a.jpg": {"black-c": 50, "red-c": 50, "dotted": 999},
    "dtd/b.jpg": {"dotted": 999, "leather (texture)": 999},
    "dtd/c.jpg": {},
}


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


def shown(found):
    dense = found.shares.toarray() > 0
    return {
        image: {found.names[i] for i in np.flatnonzero(dense[row])}
        for row, image in enumerate(found.images)
    }


def replace_in(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8", newline="")


def test_which_image_shows_what(root):
    found = read(root)
    assert shown(found) == {image: set(names) for image, names in SHOWN.items()}
    assert (found.names, found.categories) == (NAMES, CATEGORIES)
    assert found.shares.shape == (12, 13)
    of_mask = {image: {name: min(1, pixels / 256) for name, pixels in names.items()}
               for image, names in SHOWN.items()}  # fmt: skip
    for image, shares in zip(found.images, found.shares.toarray(), strict=True):
        wanted = of_mask[image] if image != "pascal/b.jpg" else {"fabric": 10 / 256}
        assert {NAMES[c]: shares[c] for c in np.flatnonzero(shares)} == pytest.approx(wanted)
    assert found.images == tuple(broden_miniature.IMAGES)
    # categories in which an image is annotated, also where nothing was found: the last one's colour
    for image, annotated in zip(found.images, found.annotated, strict=True):
        wanted = {*broden_miniature.IMAGES[image]}
        assert {c for c, here in zip(broden.CATEGORIES, annotated, strict=True) if here} == wanted


def test_other_ways_to_write_the_tables(root):
    expected = shown(read(root))
    for path in (root / "index.csv", root / "label.csv"):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    replace_in(root / "label.csv", "257,leg,", '"257","leg",')
    assert shown(read(root)) == expected


def test_the_table_is_kept(root, monkeypatch):
    first = read(root)
    (path,) = (store.default_folder() / "concepts").glob("broden-*.npz")
    decoded = []
    decode = broden._read_mask
    monkeypatch.setattr(
        broden, "_read_mask", lambda path, size: decoded.append(path) or decode(path, size)
    )
    again = read(root)
    assert not decoded and shown(again) == shown(first)
    path.write_bytes(path.read_bytes()[:-1])
    assert shown(read(root)) == shown(first) and len(decoded) == 18
    replace_in(root / "label.csv", "kitchen-s", "kitchens-s")
    assert "kitchens-s" in read(root).names and len(decoded) == 36


def swap(old, new):
    return lambda path: replace_in(path, old, new)


def cut(end):
    return lambda path: path.write_bytes(path.read_bytes()[:end])


def mask(shape, value=0):
    return Image.fromarray(np.full(shape, value, np.uint8)).save


@pytest.mark.parametrize(
    ("name", "spoil", "message"),
    [
        ("ade20k/b_part_2.png", Path.unlink, r"b_part_2\.png is not there: .*incomplete"),
        ("ade20k/b_object.png", cut(40), r"ade20k/b_object\.png is damaged"),
        ("pascal/c_object.png", mask((16, 16), 3), "not a mask of 16 × 16 .*blue not all zero"),
        ("pascal/c_object.png", mask((8, 16, 3)), r"not a mask .*\(it has 8 × 16 pixels, blue all"),
        (
            "label.csv",
            swap("1024,dog", "1023,dog"),
            r"b_object\.png gives .* ade20k/b\.jpg .* 1024",
        ),
        ("index.csv", swap(",515,", ",5150,"), r"gives the image ade20k/b\.jpg .* number 5150"),
        (
            "index.csv",
            lambda path: path.write_bytes(b"\xff\xfe"),
            "not readable as a table .*utf-8",
        ),
        ("index.csv", swap(",part,", ",parts,"), r"not readable as .*\['part'\] not in index"),
        ("index.csv", cut(-15), "not readable as a table of Broden .a row is cut short"),
        ("label.csv", swap("300,head", "III,head"), "not readable as .*'III'"),
        (
            "label.csv",
            swap("part(2)", "limb(2)"),
            "see the label number .*a category of color, obj",
        ),
        ("label.csv", swap("300,head", "257,head"), "see the label number 257"),
        ("label.csv", swap("300,head", "0,head"), "see the label number 0. Numbers from 1 on"),
        ("label.csv", swap("300,head", "300,leg"), "see the label number 300.* distinct names"),
        ("index.csv", Path.unlink, r"index\.csv is not there: .*no longer reliably served"),
    ],
)
def test_damaged_copies(root, name, spoil, message):
    (path,) = root.rglob(name)
    spoil(path)
    with pytest.raises(DatasetError, match=message):
        read(root)


def test_the_counts_of_the_paper_are_expected(root, monkeypatch):
    whole = (
        r"12 images where Broden has 63,305; 13 labels where Broden has 1,197: .* incomplete, .* "
        "with --accept-counts"
    )
    for reader in (read, broden.image_list):
        with pytest.raises(DatasetError, match=whole):
            reader(root, accept_counts=False)
    publish(monkeypatch, 9)
    with pytest.raises(DatasetError, match=r"^12 images where Broden has 9: .*another version"):
        read(root, accept_counts=False)
    accepted = read(root)
    assert accepted.shares.shape == (12, 13)
    assert accepted.what == (
        "Broden, NOT the published set, taken as it is: 12 images where Broden has 9"
    )
    publish(monkeypatch)
    listed = broden.image_list(root)
    assert read(root, accept_counts=False).what == listed.what == ""
    assert listed.name == "broden" and listed.keys == tuple(broden_miniature.IMAGES)
    assert set(listed.labels.tolist()) == {-1} and listed.classes == ()
    assert listed.image(0).size == (32, 32)


def test_what_is_there_of_an_incomplete_copy(root, monkeypatch):
    """The index lists all images, as after an unpacking that broke off."""
    publish(monkeypatch)
    expected = shown(read(root, accept_counts=False))
    (root / "images" / "dtd" / "b.jpg").unlink()
    with pytest.raises(DatasetError, match=r"1 of 12 images .* not there, the first is .*b\.jpg"):
        broden.image_list(root)
    listed, found = broden.image_list(root, accept_counts=True), read(root)
    assert listed.keys == found.images and len(listed) == 11
    said = "Broden, NOT the published set, taken as it is: 11 images where Broden has 12"
    assert listed.what == found.what == said
    del expected["dtd/b.jpg"]
    assert shown(found) == expected


def line_of_broden(status):
    return next(line for line in status.splitlines() if line.startswith("broden "))


def test_the_status_of_data(root, monkeypatch, capsys):
    assert main(["status", "--data"]) == 0
    line = line_of_broden(capsys.readouterr().out)
    assert line.startswith(f"broden  incomplete  {root}  12 images where Broden")
    publish(monkeypatch)
    assert main(["status", "--data"]) == 0
    line = line_of_broden(capsys.readouterr().out)
    assert line.startswith(f"broden  present  {root}  12 images")
    monkeypatch.delenv("COMPANION_DATA")
    assert main(["status", "--data", "--json"]) == 0
    found = {one["data"]: one for one in json.loads(capsys.readouterr().out)}["broden"]
    assert (found["state"], found["folder"]) == ("absent", None)
    assert "script/makebroden.sh" in found["why"]


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


def extract(data, *more, models=MODELS):
    return main(["extract", "pocket_cnn", "--model", *models, "--data", data, "--device", "cpu",
                 "--workers", "1", "-q", *more])  # fmt: skip


def measured(model):
    """The measurement of a model as it is now, or what hinders it."""
    described = load_family("pocket_cnn").model(model)
    return from_store.measure(
        pending.Job("concepts", "pocket_cnn", described, "broden", ("broden",))
    )


def test_from_an_incomplete_copy_to_a_recorded_measurement(painted, capsys):
    measure = ["measure", "concepts", "pocket_cnn", "--quiet"]
    assert extract("broden") == 1
    assert "400 images where Broden has 63,305; 18 labels where" in capsys.readouterr().err
    assert extract("broden", "--accept-counts", models=MODELS[:1]) == 0
    assert main(measure) == 1
    told = capsys.readouterr().err
    assert told.startswith(f"companion: the store has no head of {MODELS[0]}: run `companion extr")
    assert extract("broden", "--accept-counts") == 0 == extract("pocket-noto-test")
    assert main([*measure, "--record"]) == 0 == main(measure)
    lines = [line for line in capsys.readouterr().out.splitlines() if line[0] != " "][-2:]
    assert sorted(lines) == sorted(f"{model}--broden.json: as recorded" for model in MODELS)
    taken = {m.model: m for m in records.read_all("concepts")}
    one = taken[MODELS[0]]
    assert one.data.what.startswith("Broden, NOT the published set, taken as it is: 400 images")
    assert one.provenance.head.startswith("zero-shot head of 34 classes")
    assert one.counts == {"images": 400, "components": 128, "classes": 34, "concepts": 16}
    # The painted colours are there to be told, and the labels' permutation takes them away.
    assert one.value("lower_draws").min() > one.value("lower_permuted").max()
    whole = concept_probe.broden([load_family("pocket_cnn").model(MODELS[0])])
    chosen = whole.select(20)
    assert one.value("positives").tolist() == chosen.positives.tolist()
    best = chosen.names[int(one.value("best").argmax())]
    assert best.endswith("-c") or chosen.kinds[chosen.names.index(best)] == "texture"
    found = tables.counts_of(one)
    assert found.directions == one.value("directions") == 34
    assert found.value("unique") == pytest.approx(one.value("unique_draws").mean())
    assert found.frequent("best").error > 0 and found.ap.shape == (1, 16)
    assert len(one.value("other_choices")) == 9

    # Negatives that were annotated for textures are textures themselves: a harder question.
    assert main(["measure", "pruning", "pocket_cnn", "--annotated"]) == 1
    assert "say how Broden is read for concepts" in capsys.readouterr().err
    assert main([*measure, "--annotated", "--least-percent", "20", "--record"]) == 0
    assert f"{MODELS[0]}--broden-annotated-20-percent.json" in capsys.readouterr().out
    other = {m.model: m for m in records.read_all("concepts") if m.data.name != "broden"}[MODELS[0]]
    assert other.data.what.endswith(
        "negatives annotated in the concept's category, shown from 20 % of a mask on"
    )
    assert set(chosen.kinds[-4:]) == {"texture"}
    assert (other.value("positives")[-4:] == one.value("positives")[-4:]).all()
    assert other.counts["concepts"] < 16  # some objects are smaller
    assert other.value("best")[-4:].mean() < one.value("best")[-4:].mean() - 0.05


def test_images_that_are_not_in_the_features(painted):
    (painted / "images" / "ade20k" / "0001.jpg").write_bytes(b"no picture")
    assert extract("pocket-noto-test") == 0
    assert extract("broden", "--accept-counts") == 1
    assert extract("broden", "--accept-counts", "--leave-out-damaged") == 0
    taken = measured(MODELS[0])
    assert taken.counts["images"] == 399
    assert taken.data.what.endswith("has 1,197, damaged images left out: 1")
    # Features of another copy than the one at hand are of no use, and one sentence says so.
    (painted / "images" / "ade20k" / "0002.jpg").unlink()
    with pytest.raises(store.StoreError, match="not of the probe's images in its order"):
        measured(MODELS[0])
    shutil.rmtree(painted)
    with pytest.raises(DatasetError, match="none of broden1_224"):
        measured(MODELS[0])
    family = load_family("pocket_cnn")
    assert pending.jobs(family, ["concepts"]) == []
    assert records.available("concepts", family) == []  # a page says that it is missing


@pytest.mark.slow
def test_the_chapter_shows_broden_live_and_as_recorded(painted, tmp_path):
    folder = copy_checkout(tmp_path / "project")
    for name in ("web-large", "finetuned", "supervised"):
        companion(folder, "add", "mine", f"pocket-cnn-{name}", "--model", f"mine-{name}")
    for data in ("broden", "pocket-noto-test"):
        companion(folder, "extract", "mine", "--data", data, "--accept-counts", "-q")
    live = "\n".join(results(folder, "concepts mine").values())
    small_print = (folder / "run.ipynb").read_text(encoding="utf-8")
    said = "Probe: Broden, NOT the published set, taken as it is: 400 images where Broden has"
    assert said in small_print
    assert "with 16 concepts of at least 20 positive images" in small_print
    assert "| coordinates | 0.9 |" in live and "| right singular vectors | 0.9 |" in live
    by_hand = next(line for line in live.splitlines(True) if ", v1, *" in line)  # on the arrays
    companion(folder, "measure", "concepts", "mine", "--record", "-q")
    shutil.rmtree(painted)
    assert "\n".join(results(folder, "concepts mine").values()) == live.replace(by_hand, "")
