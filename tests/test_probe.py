"""The probe: its numbers and words, its page, and what it says about bad input."""

import errno
import json
import math
import pickle
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
from PIL import Image
from tiny import WIDTH, pictures, save_clip, use_architectures

from analysis.features import encoders, store
from analysis.images import imagelist
from analysis.metrics import directions, outliers
from companion import cli
from companion import probe as probing
from companion.measurements import records
from companion.probe import Probe, ProbeError, Recorded, probe, wilson
from companion.publish import probe_report

RNG = np.random.default_rng(0)
SIGNED = RNG.normal(size=(60, 128))


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Where other processes keep the cores busy, threads of linear algebra wait for each other."""
    try:
        from threadpoolctl import threadpool_limits
    except ModuleNotFoundError:
        yield
        return
    with threadpool_limits(1):
        yield


def with_outlier(coordinate: int = 7, size: float = 12.0, images: int = 60) -> np.ndarray:
    h = SIGNED[:images].copy()
    h[:, coordinate] += size
    return h


def alternating() -> np.ndarray:
    """Two coordinates that stand out in every image, each the largest in half of them."""
    h = with_outlier(7, 12)
    h[:, 9] += np.where(np.arange(60) % 2, 14, 10)
    return h


def rectified(kind: str, pooled: bool) -> np.ndarray:
    """What an activation makes of Gaussian numbers, averaged over 9 positions or not."""
    from scipy.special import erf, expit

    z = np.random.default_rng(1).normal(-1, 2, size=(60, 9, 128))
    made = {
        "relu": np.maximum(z, 0),
        "relu6": np.clip(z, 0, 6),
        "gelu": z * (1 + erf(z / math.sqrt(2))) / 2,
        "silu": z * expit(z),
        "leaky": np.where(z > 0, z, 0.1 * z),
    }[kind]
    return made.mean(axis=1) if pooled else made[:, 0]


def alike(outlier: float = 0.0) -> np.ndarray:
    """Nearly the same features for every image, as from random weights."""
    h = np.tile(SIGNED[0], (60, 1)) + 0.01 * SIGNED
    h[:, 7] += outlier
    return h


def heavy_tailed() -> np.ndarray:
    """Signed, κ far above 3, large coordinates somewhere else in each image."""
    return np.random.default_rng(2).normal(size=(60, 128)) ** 3


def test_gaussian_features_show_none() -> None:
    found = probe(SIGNED, name="x")
    assert found.verdict.answer == "none"
    assert found.verdict.sentence == (
        "x shows none of the outlier features that the paper found only in robust models."
    )
    assert probing.NOT_ABSENCE in found.verdict.cautions
    assert set(probing.ALWAYS) <= set(found.verdict.cautions)
    assert (found.images, found.components, found.outliers) == (60, 128, ())
    assert found.layer.kind == "signed" and found.layer.fair


@pytest.mark.parametrize("features", [with_outlier(), with_outlier(size=-12), alternating()])
def test_persistent_outliers_show(features: np.ndarray) -> None:
    found = probe(features, name="x")
    assert found.verdict.answer == "shows", found.verdict
    assert found.verdict.sentence == (
        "x shows the outlier features that the paper found only in robust models."
    )
    assert {outlier.coordinate for outlier in found.outliers} <= {7, 9}
    assert found.outliers_lead.fraction == 1 >= found.persistence.fraction
    assert set(probing.ALWAYS) <= set(found.verdict.cautions)


@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize(
    ("kind", "layer"),
    [
        ("relu", "behind a ReLU"),
        ("relu6", "behind a ReLU"),
        ("gelu", "behind a soft rectifier"),
        ("silu", "behind a soft rectifier"),
        ("leaky", "behind a soft rectifier"),
    ],
)
def test_sparse_features_cannot_be_told(kind: str, layer: str, pooled: bool) -> None:
    for features in (rectified(kind, pooled), -rectified(kind, pooled)):
        found = probe(features)
        assert found.kurtosis.mean > 3.5
        assert (found.layer.kind, found.layer.fair) == (layer, False)
        assert found.verdict.answer == "cannot tell"
        assert f"comes from {layer}" in found.verdict.sentence
        assert found.layer.comparison in found.verdict.cautions


@pytest.mark.parametrize(
    ("features", "reason"),
    [
        (heavy_tailed(), "κ is raised .* without persistence"),
        (alike(outlier=15), "all images get nearly the same features, as from random weights"),
        (with_outlier(images=9), "too few images: outlier coordinates lead in 9 of 9"),
        (np.hstack([np.random.default_rng(3).normal(size=(20, 4000)), np.full((20, 1), 7.0)]),
         r"coordinates stand out \(4000\), but κ \(3.*\) is not far above 3"),
        (np.random.default_rng(4).laplace(size=(8, 4000)), "on both sides of 6"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_cannot_be_told(features: np.ndarray, reason: str) -> None:
    found = probe(features)
    assert found.verdict.answer == "cannot tell"
    assert found.verdict.sentence.startswith("Cannot tell whether this checkpoint shows")
    assert re.search(reason, found.verdict.sentence), found.verdict.sentence


def test_a_leader_that_does_not_stand_out_is_no_outlier() -> None:
    found = probe(alike())
    assert found.persistence.fraction > 0.9 and not found.outliers
    assert found.layer.varying < 0.01
    assert found.verdict.answer == "none"
    assert any("random weights do so" in caution for caution in found.verdict.cautions)


def test_numbers_agree_with_other_implementations() -> None:
    stats = pytest.importorskip("scipy.stats")
    proportion = pytest.importorskip("statsmodels.stats.proportion")
    found = probe(SIGNED)
    values = np.array([stats.kurtosis(row, fisher=False) for row in SIGNED])
    assert found.kurtosis.mean == pytest.approx(values.mean())
    low, high = stats.t.interval(0.95, 59, loc=values.mean(), scale=stats.sem(values))
    assert (found.kurtosis.interval.low, found.kurtosis.interval.high) == pytest.approx((low, high))
    for count, total in ((0, 8), (3, 10), (500, 500)):
        theirs = proportion.proportion_confint(count, total, method="wilson")
        ours = wilson(count, total)
        assert (ours.low, ours.high) == pytest.approx(theirs, abs=1e-6)
    needed = math.ceil((1.96 * values.std(ddof=1) / (0.05 * values.mean())) ** 2)
    assert found.images_needed == needed and found.enough == (needed <= 60)
    assert found.persistence.fraction == outliers.persistence(SIGNED).fraction


def test_too_few_for_the_interval_is_said() -> None:
    found = probe(np.random.default_rng(5).laplace(size=(12, 64)))
    assert found.images_needed > 12 and not found.enough
    assert any(f"about {found.images_needed} images" in c for c in found.verdict.cautions)


def test_the_head_is_looked_at_if_there_is_one() -> None:
    head = RNG.normal(size=(10, 128)) + 3 * SIGNED.mean(axis=0) + np.eye(128)[7] * 20
    found = probe(with_outlier(), head)
    assert found.head is not None
    importance = directions.importance(with_outlier(), head)
    relative = np.sort(importance / importance.mean())[::-1]
    np.testing.assert_allclose(found.head.importance, relative)
    assert (found.head.classes, found.head.directions) == (10, 10)
    assert found.head.top == pytest.approx(relative[0])
    assert found.head.privileged == (relative >= 10).sum()
    assert found.head.top_centred < found.head.top
    assert probe(with_outlier(), head[:1]).head is None  # one class: nothing to choose between
    assert probe(with_outlier()).head is None


@pytest.mark.parametrize(
    ("features", "head", "message"),
    [
        (SIGNED[:7], None, "7 images are too few .* at least 8 are expected.* add images"),
        (SIGNED[0], None, "features must have the shape"),
        (np.where(np.arange(128) < 1, np.nan, SIGNED), None, "row 0 .* NaN or infinity"),
        (np.ones((9, 4)), None, "row 0 of the features is constant"),
        (SIGNED, np.ones((3, 64)), "features have 128 components but the head reads 64"),
    ],
)
def test_arrays_that_cannot_be_probed(
    features: np.ndarray, head: np.ndarray | None, message: str
) -> None:
    with pytest.raises(ProbeError, match=message):
        probe(features, head)


def other(model: str, kurtosis: float, signed: bool = True) -> Recorded:
    return Recorded(model, "zero_shot", "some images", kurtosis, 0.5, 100, signed)


def test_the_place_is_among_models_of_the_same_kind_of_layer() -> None:
    recorded = [other("a", 2), other("b", 50), other("me", 9), other("sparse", 99, signed=False)]
    place = probe(SIGNED, name="me", recorded=recorded).place
    assert (place.rank, place.among) == (2, 3)
    assert [r.model for r in place.others] == ["sparse", "b", "a"]


def test_recorded_measurements_are_those_of_images() -> None:
    found = probing.recorded_of(records.read_all("outlier_features"))
    names = {(r.model, r.signed) for r in found}
    assert {("vit_b_16-openai", True), ("efficientnet_lite0-supervised", False)} <= names
    assert all("captions" not in r.data for r in found)


def test_json_holds_everything_and_only_finite_numbers() -> None:
    head = RNG.normal(size=(5, 128))
    found = probe(with_outlier(), head, recorded=[other("a", 2)], about={"device": "cpu"})
    text = probing.to_json(found)
    assert probing.from_json(text) == found
    content = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} in the JSON"))
    assert content["verdict"]["answer"] == "shows" and content["format"] == 1
    assert content["kurtosis"]["interval"].keys() == {"low", "high"}
    with pytest.raises(ValueError, match="kurtosis"):
        probing.from_json('{"name": "x"}')


class Page(HTMLParser):
    """Notes what a page would load, its tags, and whether each is closed."""

    VOID = ("meta", "img", "br", "link")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.tags: list[tuple[str, dict]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list) -> None:
        fields = dict(attrs)
        self.tags.append((tag, fields))
        if tag not in self.VOID:
            self.open.append(tag)
        if tag != "a":
            self.loads += [
                v for k, v in attrs if k in ("src", "href", "xlink:href", "srcset", "data")
            ]

    def handle_startendtag(self, tag: str, attrs: list) -> None:
        self.handle_starttag(tag, attrs)
        self.open[-1:] = [] if tag not in self.VOID else self.open[-1:]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def all(self, tag: str) -> list[dict]:
        return [fields for name, fields in self.tags if name == tag]


def check_page(text: str, figures: int) -> Page:
    read = Page(text)
    assert all(url.startswith(("#", "data:image/png")) for url in read.loads), read.loads
    assert "@import" not in text and "url(http" not in text and not read.all("script")
    assert read.all("html") == [{"lang": "en"}]
    drawings = [fields for fields in read.all("svg") if fields.get("role") == "img"]
    assert len(drawings) == figures == len(read.all("figure"))
    assert all(len(fields["aria-label"]) > 40 for fields in drawings)
    assert all(fields.get("scope") in ("row", "col") for fields in read.all("th"))
    assert len({i for _, f in read.tags if (i := f.get("id"))}) == sum(
        "id" in f for _, f in read.tags
    )
    assert "prefers-color-scheme: dark" in text and "default-src 'none'" in text
    return read


def test_the_page_loads_nothing_and_is_well_formed() -> None:
    about = {
        "checkpoint": "my <weights>.safetensors",
        "command": "companion probe 'a b' --images é",
        "left_out": {"bad.png": "truncated"},
        "model": {"name": "m", "weights_sha256": "ab" * 32, "level": "finetuned"},
        "versions": {"torch": "2"},
    }
    recorded = [other("a & b", 2), other("c", 88)]
    found = probe(
        with_outlier(), RNG.normal(size=(5, 128)), name="<b>", recorded=recorded, about=about
    )
    text = probe_report.page(found)
    check_page(text, figures=4)
    assert "<h1>&lt;b&gt;</h1>" in text and "<b>" not in text
    assert text.index("Shows outlier features") < text.index("What was measured")
    for words in ("my &lt;weights&gt;.safetensors", "bad.png: truncated", "abab", "a &amp; b"):
        assert words in text
    for caution in probing.ALWAYS:
        assert caution.replace("'", "&#x27;") in text
    check_page(probe_report.page(probe(rectified("relu", True))), figures=3)


def test_percentages_never_claim_all_or_nothing_by_rounding() -> None:
    assert probing.percent(0.99999).startswith("more than 99.9")
    assert probing.percent(0.00001).startswith("less than 0.1")
    assert [probing.percent(x)[:-2] for x in (0, 0.1, 0.5003, 1)] == ["0", "10", "50", "100"]


# From here on with a network ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tiny.safetensors and the architectures that it is one of."""
    pytest.importorskip("open_clip", reason="extraction is not installed")
    folder = tmp_path_factory.mktemp("weights")
    with pytest.MonkeyPatch.context() as patch:
        use_architectures(folder, patch)
        save_clip(folder / "tiny.safetensors")
    return folder


@pytest.fixture
def networks(
    made: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """That folder in use, and an empty store."""

    monkeypatch.setattr(encoders, "ARCHITECTURES", made / "architectures")
    monkeypatch.setenv("COMPANION_STORE", str(tmp_path_factory.mktemp("store")))
    return made


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for i, picture in enumerate(pictures(12)):
        Image.fromarray(picture).save(folder / f"{i:02}.png")
    return folder


def run(*words: object) -> int:
    return cli.main(["probe", *map(str, words)])


def refuse(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """The one sentence that a refused probe leaves on stderr."""
    assert run(*words, "--quiet") == 1
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("companion: ") and err.endswith(".\n"), err
    assert "Traceback" not in err and len(err.splitlines()) == 1
    return err


@pytest.fixture
def refused(
    networks: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Iterator:
    """Probe a file as tiny-vit and return the sentence; nothing may be written."""

    def probed(file: object, *words: object, folder: Path = images) -> str:
        outputs = ("--html", tmp_path / "o.html", "--json", tmp_path / "o.json")
        before = sorted(tmp_path.rglob("*"))
        said = refuse(capsys, file, "--images", folder, *outputs, *words)
        assert sorted(tmp_path.rglob("*")) == before
        return said

    yield probed


TINY = ("--architecture", "tiny-vit")


def test_a_probe_from_the_command_line(
    networks: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    html, numbers = tmp_path / "Bericht é.html", tmp_path / "numbers.json"
    checkpoint = networks / "tiny.safetensors"
    assert run(checkpoint, "--images", images, "--html", html, "--json", numbers) == 0
    said = capsys.readouterr().out
    found = probing.from_json(numbers.read_text(encoding="utf-8"))
    assert found.images == 12 and found.name == "tiny.safetensors"
    assert said.split("\n\n")[0].replace("\n", " ") == found.verdict.sentence
    for caution in probing.ALWAYS:
        assert caution in said
    about = found.about
    assert about["model"]["weights_sha256"] and about["versions"]["torch"]
    assert about["command"].startswith("companion probe ") and "--html" in about["command"]
    check_page(html.read_text(encoding="utf-8"), figures=3)
    assert sorted(tmp_path.iterdir()) == sorted([html, numbers])
    assert not list(store.default_folder().rglob("*"))
    assert run(checkpoint, "--images", images, "--quiet") == 0
    assert capsys.readouterr() == (found.verdict.sentence + "\n", "")


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run("--help")
    assert "companion probe pocket-cnn-web-large --images pictures/" in capsys.readouterr().out


def test_paths_with_spaces_letters_and_backslashes(
    networks: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    folder = tmp_path / "Fotos für später" / "日本"
    folder.mkdir(parents=True)
    for path in images.iterdir():
        (folder / f"bild {path.name}").write_bytes(path.read_bytes())
    weights = tmp_path / "mein modell.safetensors"
    weights.write_bytes((networks / "tiny.safetensors").read_bytes())
    assert run(weights, "--images", folder.parent, "--quiet") == 0
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    weights.rename(tmp_path / "sub" / weights.name)
    assert run(f"sub\\{weights.name}", "--images", "Fotos für später\\日本", "--quiet") == 0
    assert capsys.readouterr().err == ""


def test_features_in_the_store_are_used(
    networks: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from analysis.features import checkpoints, extract
    from companion import probe_checkpoint

    monkeypatch.setenv("COMPANION_STORE", str(tmp_path))
    model = checkpoints.find(str(networks / "tiny.safetensors"))
    listed = imagelist.unlabelled(images)
    settings = extract.Settings(device="cpu", progress=False)
    fresh = probe_checkpoint.probe_checkpoint(model, listed, settings)
    extract.extract([model], imagelist.folder(images), settings)
    monkeypatch.setattr(extract, "extract", lambda *a, **k: pytest.fail("extracted again"))
    again = probe_checkpoint.probe_checkpoint(model, listed, settings)
    assert again.kurtosis == fresh.kurtosis


def test_checkpoints_that_are_none(refused, networks: Path, tmp_path: Path) -> None:
    """Half a checkpoint, other files under its name, and names that nothing has."""
    import torch
    from safetensors.torch import load_file, save_file

    whole = load_file(networks / "tiny.safetensors")

    def saved(name: str, state: dict) -> Path:
        save_file(state, tmp_path / f"{name}.safetensors")
        return tmp_path / f"{name}.safetensors"

    half = tmp_path / "half.safetensors"
    half.write_bytes((networks / "tiny.safetensors").read_bytes()[:-200])
    said = refused(half, *TINY)
    assert "half.safetensors is named safetensors but is not a sound one" in said
    assert "cut short" in said and "get it again" in said
    lacking = saved("lacking", {k: v for k, v in whole.items() if "visual.proj" not in k})
    assert "1 tensors are missing (first visual.proj)" in refused(lacking, *TINY)
    assert "get the whole file, or name the architecture" in refused(lacking, *TINY)
    save_clip(tmp_path / "cnn.safetensors", "tiny-cnn")
    other = saved("other", load_file(tmp_path / "cnn.safetensors"))
    assert "other.safetensors is not of the architecture tiny-vit" in refused(other, *TINY)
    lora = saved("lora", {"visual.lora_A.weight": torch.ones(2)})
    assert "is an adapter (LoRA)" in refused(lora, *TINY)
    assert "merge it into its model" in refused(lora, *TINY)
    optimizer = saved("adam", {"state.0.exp_avg": torch.ones(2)})
    assert "holds the state of an optimizer" in refused(optimizer, *TINY)
    text = saved("text", {k: v for k, v in whole.items() if not k.startswith("visual.")})
    assert "holds a text encoder alone" in refused(text, *TINY)
    head = {**whole, "head.weight": torch.zeros(3, WIDTH + 1)}
    wide = tmp_path / "wide.safetensors"
    save_file(head, wide, {"classes": '["a", "b", "c"]', "normalize": "false"})
    assert f"the head reads {WIDTH + 1} components, the encoder gives {WIDTH}" in refused(
        wide, *TINY
    )


class Bomb:
    def __reduce__(self) -> tuple:
        return pytest.fail, ("a pickle was opened",)


def test_files_that_could_run_code_are_not_opened(refused, tmp_path: Path) -> None:
    import torch

    torch.save({"x": Bomb()}, tmp_path / "bomb.pt")
    assert "may run code when it is opened, so it was not" in refused(tmp_path / "bomb.pt", *TINY)
    (tmp_path / "bomb.safetensors").write_bytes(pickle.dumps(Bomb()))
    assert "is not a sound one" in refused(tmp_path / "bomb.safetensors", *TINY)
    (tmp_path / "a.ckpt").write_bytes(b"x")
    refused(tmp_path / "a.ckpt", *TINY)


def test_names_that_nothing_has(refused, networks: Path) -> None:
    said = refused("pocket-cnn-web-lage")
    assert "there is no checkpoint 'pocket-cnn-web-lage'" in said and "pocket-cnn-web-large" in said
    assert "open_clip has no weights 'opnai' for ViT-B-16-quickgelu" in refused(
        "ViT-B-16-quickgelu/opnai"
    )
    file = networks / "tiny.safetensors"
    assert "has an architecture 'ViT-B-61': " in refused(file, "--architecture", "ViT-B-61")
    assert "ViT-B-16" in refused(file, "--architecture", "ViT-B-61")
    assert "there is no file no/such.safetensors" in refused("no/such.safetensors")
    assert "there is no device 'tpu'" in refused(file, "--device", "tpu")


def test_folders_that_hold_no_images(refused, networks: Path, tmp_path: Path) -> None:
    file, folder = networks / "tiny.safetensors", tmp_path / "empty"
    assert "is not a folder: give a folder of images" in refused(file, folder=folder)
    folder.mkdir()
    assert "holds no images: it is empty; images that end in .jpg" in refused(file, folder=folder)
    (folder / "a.heic").write_bytes(b"x")
    (folder / "b.txt").write_text("x")
    (folder / ".c.png").write_bytes(b"x")
    assert "2 other files (.heic, .txt)" in refused(file, folder=folder)
    Image.new("RGB", (20, 20)).save(folder / "d.png")
    said = refused(file, folder=folder)
    assert "1 images that can be used are too few" in said and "at least 8" in said


def every_kind(folder: Path) -> tuple[list[str], list[str]]:
    """Fill a folder with images of every kind; the names of those to use and to refuse."""
    colour = Image.fromarray(pictures(1)[0])
    grey16 = Image.fromarray(np.linspace(0, 65535, 40 * 48).reshape(40, 48).astype(np.uint16))
    colour.convert("L").save(folder / "grey.png")
    colour.convert("CMYK").save(folder / "cmyk.jpg")
    colour.convert("P").save(folder / "palette.png")
    colour.convert("RGBA").save(folder / "alpha.png")
    colour.convert("1").save(folder / "bits.tif")
    colour.convert("LA").save(folder / "grey-alpha.png")
    grey16.save(folder / "deep.png")
    grey16.save(folder / "deep.tiff")
    frames = [Image.fromarray(p) for p in pictures(3)]
    frames[0].save(folder / "film.gif", save_all=True, append_images=frames[1:])
    frames[0].save(folder / "film.webp", save_all=True, append_images=frames[1:], lossless=True)
    usable = sorted(path.name for path in folder.iterdir())
    Image.new("RGB", (1, 1)).save(folder / "pixel.png")
    Image.new("RGB", (300, 7)).save(folder / "strip.png")
    Image.fromarray(np.zeros((40, 48), np.float32)).save(folder / "floats.tif")
    (folder / "cut.png").write_bytes((folder / "grey.png").read_bytes()[:200])
    (folder / "text.jpg").write_text("not an image")
    (folder / "nothing.png").write_bytes(b"")
    (folder / "notes.txt").write_text("ignored")
    known = {*usable, "notes.txt"}
    return usable, sorted(path.name for path in folder.iterdir() if path.name not in known)


def test_images_of_every_kind(
    refused, networks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "kinds"
    folder.mkdir()
    usable, refusable = every_kind(folder)
    listed = imagelist.unlabelled(folder)
    for name in usable:
        image = listed.image(listed.keys.index(name))
        assert image.mode == "RGB" and image.size == (48, 40)
        assert np.asarray(image).std() > 20, name  # neither black nor white
    deep = np.asarray(listed.image(listed.keys.index("deep.png")))
    assert (deep[0, 0, 0], deep[-1, -1, 0]) == (0, 255) and 120 < deep.mean() < 135
    said = refused(networks / "tiny.safetensors", folder=folder)
    assert f"{len(refusable)} of {len(usable) + len(refusable)} images cannot be used" in said
    assert all(name in said for name in refusable) and "notes.txt" not in said
    assert "pixel.png (1 × 1 pixels show nothing: 8 on the shorter side are the least)" in said
    assert "floats.tif (grey values of 32 bits" in said and "--leave-out-damaged" in said
    numbers = tmp_path / "n.json"
    words = ("--leave-out-damaged", "--json", numbers)
    assert run(networks / "tiny.safetensors", "--images", folder, *words) == 0
    said = capsys.readouterr().out
    found = probing.from_json(numbers.read_text(encoding="utf-8"))
    assert found.images == len(usable) and sorted(found.about["left_out"]) == refusable
    assert f"{len(refusable)} left out" in said


def test_outputs_are_checked_before_the_work(
    networks: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from companion import probe_checkpoint

    monkeypatch.setattr(
        probe_checkpoint, "probe_checkpoint", lambda *a, **k: pytest.fail("it began")
    )
    file = networks / "tiny.safetensors"
    words = (file, "--images", images)
    said = refuse(capsys, *words, "--html", tmp_path / "no" / "r.html")
    assert "there is no folder" in said and "make it" in said
    assert "is a folder: give the name of the file" in refuse(capsys, *words, "--json", tmp_path)
    read_only = next((p for p in (Path("/proc"), Path("/sys")) if p.is_dir()), None)
    if read_only is None:
        pytest.skip("this system has no folder that nobody can write to")
    said = refuse(capsys, *words, "--html", read_only / "r.html")
    assert f"r.html cannot be written into {read_only}" in said


def test_a_full_disk(
    refused, networks: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def full(*arguments: object, **options: object) -> NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device")

    file = networks / "tiny.safetensors"
    with monkeypatch.context() as patch:
        patch.setattr(store, "write_tensors", full)
        said = refused(file)
    assert "there is no space left" in said and "TMPDIR" in said
    (tmp_path / "o.html").write_text("what was there")
    write = Path.write_text

    def full_for_the_report(path: Path, *arguments: str, **options: str) -> int:
        return full() if "o.html" in path.name else write(path, *arguments, **options)

    monkeypatch.setattr(Path, "write_text", full_for_the_report)
    said = refused(file)
    assert "o.html could not be written (No space left on device): make room" in said
    assert (tmp_path / "o.html").read_text() == "what was there"


def test_an_interrupted_probe_leaves_nothing(
    networks: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def interrupt(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("analysis.features.extract.extract", interrupt)
    words = ("--images", images, "--html", tmp_path / "r.html")
    assert run(networks / "tiny.safetensors", *words) == 130
    assert "interrupted; nothing was written" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


# The words for genuine models ---------------------------------------------------------------------


def of_pocket(name: str) -> Probe:
    from analysis.features import checkpoints, extract
    from companion import probe_checkpoint

    listed = probe_checkpoint.find_images("pocket-twemoji-test")
    settings = extract.Settings(device="cpu", progress=False)
    return probe_checkpoint.probe_checkpoint(checkpoints.find(name), listed, settings)


@pytest.mark.parametrize(
    "name", ["pocket-cnn-web-large", "pocket-cnn-supervised", "pocket-vit-finetuned"]
)
def test_pocket_models_show_none(name: str, tmp_path: Path, monkeypatch) -> None:
    pytest.importorskip("open_clip", reason="extraction is not installed")
    monkeypatch.setenv("COMPANION_STORE", str(tmp_path))
    found = of_pocket(name)
    assert found.verdict.answer == "none" and probing.NOT_ABSENCE in found.verdict.cautions
    assert 2.7 < found.kurtosis.mean < 3.2 and not found.outliers
    assert found.persistence.fraction < 0.3 and found.enough and found.head is not None


def test_the_random_control_shows_none(tmp_path: Path, monkeypatch) -> None:
    pytest.importorskip("open_clip", reason="extraction is not installed")
    monkeypatch.setenv("COMPANION_STORE", str(tmp_path))
    found = of_pocket("pocket-cnn-random")
    assert found.verdict.answer == "none" and found.persistence.fraction > 0.95
    assert any("Make sure that the weights are trained" in c for c in found.verdict.cautions)


def test_a_supervised_network_behind_a_relu_cannot_be_told(tmp_path: Path, monkeypatch) -> None:
    pytest.importorskip("torch", reason="extraction is not installed").set_num_threads(1)
    from analysis.families.registry import load_family
    from analysis.features import extract
    from analysis.images import find, public
    from companion import probe_checkpoint

    monkeypatch.setenv("COMPANION_STORE", str(tmp_path))
    settings = extract.Settings(device="cpu", batch_size=14, progress=False)
    (model,) = load_family("efficientnet_lite0").models
    try:
        (listed,) = find.find("scikit_image_photographs")
        found = probe_checkpoint.probe_checkpoint(model, listed, settings)
    except public.ArtifactError as error:
        pytest.skip(str(error))
    assert found.kurtosis.mean == pytest.approx(29.67, abs=0.01)
    assert found.layer.kind == "behind a ReLU" and found.layer.zeros > 0.4
    assert found.verdict.answer == "cannot tell" and "behind a ReLU" in found.verdict.sentence
    assert (found.leaders, found.images, found.enough) == (14, 14, False)


def test_public_embeddings_of_clip_show(tmp_path: Path) -> None:
    from analysis.families.registry import load_family
    from analysis.images import public
    from companion import probe_store
    from companion.measurements import public_features

    family = load_family("vit_b_16")
    try:
        public_features.into_store(family, tmp_path)
    except public.ArtifactError as error:
        pytest.skip(f"the public embeddings are not here: {error}")
    clip, control = (
        probe_store.from_store(family.model(f"vit_b_16-{n}"), "coco_500_images", folder=tmp_path)
        for n in ("openai", "random")
    )
    assert clip.verdict.answer == "shows" and control.verdict.answer == "none"
    assert clip.kurtosis.mean == pytest.approx(87.24, abs=0.01)
    assert [outlier.coordinate for outlier in clip.outliers] == [442]
    assert clip.persistence.fraction == 1 and clip.enough
    assert clip.head is not None and clip.head.top == pytest.approx(161.8, abs=0.1)
    assert 2.9 < control.kurtosis.mean < 3 and control.persistence.fraction < 0.3
