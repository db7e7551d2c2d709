"""The probe: its numbers and words, its page, and what it says about bad input."""

import base64
import hashlib
import html as markup
import io
import json
import math
import re
import shutil
import subprocess
import sys
from pathlib import Path

import faiss
import numpy as np
import pandas as pd
import pyarrow
import pytest
from conftest import refused
from PIL import Image
from scipy import stats
from scipy.special import erf, expit
from statsmodels.stats.proportion import proportion_confint
from tiny import save_clip, save_folder, unit, use_architectures

from analysis.base.texts import CompanionError
from analysis.families.registry import Family, load_family
from analysis.features import store
from analysis.images import imagelist
from analysis.metrics import directions, outliers, quantisation
from analysis.metrics.basis import random_rotation
from companion.cli import main as cli
from companion.cli import readers
from companion.measurements import records
from companion.measurements.measurement import Value
from companion.probe import checkpoint, encoder, facts, judge, measure, probe, report, rotation
from companion.runs.options import Wish

pytestmark = pytest.mark.usefixtures("own_store")
RNG = np.random.default_rng(0)
SIGNED = RNG.normal(size=(60, 128))
CLAIM = "outlier features of the kind that the paper reports only in robust models"
UNDECIDED = r"; whether they indicate robustness is undecided here \(claim K-indicator\)"
ALWAYS = {*facts.SENTENCES["always"]}


def with_outlier(coordinate=7, size=12.0, images=60):
    """A coordinate that stands out in every image, among others that vary unequally, as in CLIP."""
    h = SIGNED[:images] * np.where(np.arange(128) % 32, 1, 3)
    h[:, coordinate] += size
    return h


def with_bias():
    """White noise and one constant, as an untrained layer's bias."""
    return np.random.default_rng(8).normal(size=(200, 512)) + 10 * (np.arange(512) == 7)


def alternating():
    """Two coordinates that stand out in every image, each the largest in half of them."""
    h = with_outlier(7, 12)
    h[:, 9] += np.where(np.arange(60) % 2, 14, 10)
    return h


#: Activation → the layer that is named: rectified, or softly so.
RECTIFIERS = {
    lambda z: np.clip(z, 0, 6): "a ReLU",
    lambda z: z * (1 + erf(z / math.sqrt(2))) / 2: "a soft rectifier",
    lambda z: z * expit(z): "a soft rectifier",
    lambda z: np.where(z > 0, z, 0.1 * z): "a soft rectifier",
}


def rectified():
    """What activations make of Gaussian numbers, averaged over 9 positions or not, of any sign."""
    z = np.random.default_rng(1).normal(-1, 2, size=(60, 9, 128))
    for activation, layer in RECTIFIERS.items():
        made = activation(z)
        for h in (made[:, 0], made.mean(axis=1), -made[:, 0], -made.mean(axis=1)):
            yield h, "cannot tell", f"comes from behind {layer}"


def alike(outlier=0.0):
    """Nearly the same features for every image, as from random weights."""
    h = np.tile(SIGNED[0], (60, 1)) + 0.01 * SIGNED
    h[:, 7] += outlier
    return h


def heavy_tailed():
    """Signed, κ far above 3, large coordinates somewhere else in each image."""
    return np.random.default_rng(2).normal(size=(60, 128)) ** 3


DRAW = np.random.default_rng
FEATURES = [
    (SIGNED, "none", "^x shows no outlier features in this basis.$"),
    (alike(), "none", "^x shows no outlier features in this basis.$"),
    (with_outlier(), "shows", f"^x shows {CLAIM}{UNDECIDED}.$"),
    (with_outlier(size=-12), "shows", f"^x shows {CLAIM}{UNDECIDED}.$"),
    (alternating(), "shows", f"^x shows {CLAIM}{UNDECIDED}.$"),
    (heavy_tailed(), "cannot tell", "κ is raised .* without persistence"),
    (alike(outlier=15), "cannot tell", "all images get nearly the same features, as from random"),
    (with_bias(), "cannot tell", r"the mean image alone .* is 16.3, and 2.98 .* after mean subtr"),
    (with_outlier(images=9), "cannot tell", "too few images: outlier coordinates are the largest"),
    (np.hstack([DRAW(3).normal(size=(20, 1500)), np.full((20, 1), 5.5)]), "cannot tell",
     r"coordinates stand out \(1500\), but κ \(3.*\) is not far above 3"),
    (DRAW(4).laplace(size=(8, 4000)), "cannot tell", "interval of κ, 5.46 to 6.31, reaches"),
    *rectified(),
]  # fmt: skip


@pytest.mark.parametrize(("features", "answer", "said"), FEATURES)
def test_what_is_said_of_features(features, answer, said):
    result = probe(features, name="x", recorded=[])
    sentence, cautions = result.sentence, result.cautions
    assert result.answer == answer and re.search(said, sentence), sentence
    assert sentence.startswith("Cannot tell whether x shows") == (answer == "cannot tell")
    coordinates = {*value(result, "outlier_coordinates").tolist()}
    assert answer == "cannot tell" or coordinates <= {7, 9}
    assert answer == "cannot tell" or bool(coordinates) == (answer == "shows")
    assert set(cautions) >= ALWAYS
    absent = "Showing none does not mean that a model is not robust."
    assert (absent in cautions) == (answer == "none")
    unfair = any("with CLIP's encoders is not fair" in caution for caution in cautions)
    assert (facts.layer(result.measurement) != "signed") == unfair == ("comes from" in said)


def value(result, name):
    return result.measurement.value(name)


OTHER = records.read_all("outlier_features")[0]


def other(model, kurtosis, level="zero_shot", signed=True):
    new = {"kurtosis_mean": kurtosis, "negative_share": 0.5 * signed}
    values = {name: Value(unit=OTHER.values[name].unit, value=v) for name, v in new.items()}
    new = {"model": model, "level": level, "values": OTHER.values | values}
    return OTHER.model_copy(update=new)


@pytest.mark.parametrize("size, answer", [(0, "none"), (6, "cannot tell"), (14, "shows")])
def test_a_checkpoint_is_placed_between_controls_and_zero_shot_models(size, answer):
    recorded = [other("a", 2.9, "random"), other("b", 3.0, "supervised")]
    recorded += [other("c", 27.0), other("d", 87)]
    recorded.append(other("e", 17.0, "supervised", signed=False))  # another layer: behind a ReLU
    result = probe(with_outlier(size=size), recorded=recorded)
    marks = judge.marks_of(recorded)
    assert (marks.plain, marks.outlying) == (3.0, 27.0) and marks.at(0.5) == pytest.approx(9.0)
    assert result.answer == answer, value(result, "kurtosis_mean")
    if answer == "cannot tell":
        assert "between" in result.sentence and "27.0" in result.sentence


def test_numbers_agree_with_other_implementations():
    result = probe(SIGNED)
    assert result.measurement.counts == {"images": 60, "components": 128}
    values = stats.kurtosis(SIGNED, axis=1, fisher=False)
    expected = stats.t.interval(0.95, 59, loc=values.mean(), scale=stats.sem(values))
    assert result.measurement.kurtosis[1:] == pytest.approx(expected, rel=1e-6)
    share = value(result, "persistence_fraction")
    low, high = (f"{100 * end:.1f}" for end in proportion_confint(60 * share, 60, method="wilson"))
    assert any(f"95 % interval {low} to {high}" in reason for reason in result.reasons)
    needed = math.ceil((1.96 * values.std(ddof=1) / (0.05 * values.mean())) ** 2)
    assert facts.images_needed(result.measurement) == needed
    few = probe(np.random.default_rng(5).laplace(size=(12, 64)))
    needed = facts.images_needed(few.measurement)
    assert needed > 12 and any(f"about {needed} images" in c for c in few.cautions)


def test_sentences_say_what_a_measurement_makes_of_its_quantities():
    """Nearly equal images count once: in the sentences, too, that say how many there are."""
    near = np.tile(SIGNED, (2, 1))
    near += 1e-4 * np.random.default_rng(7).normal(size=near.shape)
    measured = probe(near).measurement
    row = facts.values_of(measured)
    assert value(probe(near), "distinct_images") == len(near) > measured.distinct_images
    shared = [name for name in row if hasattr(type(measured), name)]
    assert "distinct_images" in shared
    assert all(row[name] == getattr(measured, name) for name in shared)
    (said,) = [text for text in probe(near).cautions if "are copies of others" in text]
    assert f"{len(near)} are given, and they tell as much as {len(SIGNED)} different" in said


def test_the_head_is_looked_at_if_there_is_one():
    head = RNG.normal(size=(10, 128)) + 3 * SIGNED.mean(axis=0) + np.eye(128)[7] * 20
    result = probe(with_outlier(), head=head)
    importance = directions.importance(with_outlier(), head)
    relative = np.sort(importance / importance.mean())[::-1]
    np.testing.assert_allclose(value(result, "importance"), relative, rtol=1e-3)
    assert result.measurement.counts["classes"] == 10
    assert value(result, "importance_head_centred")[0] < relative[0]
    row = facts.values_of(result.measurement)
    assert (row["privileged"], row["directions"]) == ((relative >= 10).sum(), 10)
    kept = np.linalg.svd(head - head.mean(axis=0))[2][:9]  # ten rows vary in nine directions
    assert value(result, "least_directions") == 119
    inside = ((unit(with_outlier()) @ kept.T) ** 2).sum(axis=1).mean()
    assert value(result, "least_energy") == pytest.approx(1 - inside, rel=1e-3)
    kappa = outliers.kurtosis(with_outlier() @ kept.T @ kept).mean()
    assert value(result, "least_kurtosis") == pytest.approx(kappa, rel=1e-3)
    h = unit(with_outlier())
    part = (h - h @ kept.T @ kept).mean(axis=0)
    kappa = outliers.kurtosis(h - np.outer(h @ part, part) / (part @ part)).mean()
    assert value(result, "one_vector_kurtosis") == pytest.approx(kappa)
    assert any(f"mean image's part in these, κ is {kappa:.3g}" in why for why in result.reasons)
    assert any(
        "The 119 of 128 directions along which the head's 10 rows (too few to vary in "
        "every direction) vary least" in reason
        for reason in result.reasons
    )
    for without in (probe(with_outlier(), head=head[:1]), probe(with_outlier())):
        assert "importance" in without.measurement.lacks


@pytest.mark.parametrize(
    ("features", "head", "message"),
    [
        (SIGNED[0], None, "features must have the shape"),
        (np.where(np.arange(128) < 1, np.nan, SIGNED), None, "row 0 .* NaN or infinity"),
        (np.ones((9, 4)), None, "row 0 of the features is constant"),
        (SIGNED, np.ones((3, 64)), "features have 128 components but the head reads 64"),
        (SIGNED.T, np.ones((3, 128)), "have 60 components but the head reads 128"),
        (unit(with_outlier()).T, None, r"shape \(128, 60\) and seem to be transposed.*features.T"),
        (with_outlier().T, None, "seem to be transposed"),
        (SIGNED * np.where(np.arange(60) < 1, 1000, 1)[:, None], None, "divide each by its length"),
    ],
)
def test_arrays_that_cannot_be_probed(features, head, message):
    refused(message, probe, features, head=head)


def test_extracted_features_are_never_taken_for_transposed():
    uneven = SIGNED * np.exp(np.random.default_rng(0).normal(size=(len(SIGNED), 1)))
    refused("seem to be transposed", probe, uneven)
    assert probe(uneven, rows_are_images=True).measurement.counts["images"] == len(uneven)


def test_recorded_measurements_are_those_of_images():
    models = judge.known_models()
    names = {(m.model, bool(m.value("negative_share"))) for m in models}
    assert {("vit_b_16-openai", True), ("efficientnet_lite0-supervised", False)} <= names
    assert all("captions" not in m.data.name for m in models)


def test_marks_name_the_models_that_they_hang_on():
    controls = [other("a", 3.0, "random"), other("b", 12.0, "supervised")]
    recorded = [*controls, other("c", 20.0), other("d", 80), other("sparse", 99, signed=False)]
    result = probe(with_outlier(size=12), name="me", recorded=[*recorded, other("me", 9)])
    assert "at most 12.0 (b), recorded zero-shot models at least 20.0 (c)" in result.reasons[0]
    assert result.answer == "shows" and "the model is number 2 of 5 " in result.place
    assert [c for c in result.cautions if "rests on" in c] == [
        "The verdict rests on one recorded model: without c it would be “cannot tell”."
    ]
    result = probe(SIGNED, recorded=[other("a", 3.0, "random"), other("b", 2.9)])
    assert "zero-shot models are not separated, so 6.00 is the mark" in result.reasons[0]


def test_the_headline_claims_no_more_than_the_ledger():
    """The words say “undecided here”: if the ledger says something else one day, so must they."""
    from companion.claims import rules
    from companion.claims.evidence import gather
    from companion.claims.ledger import load_claims

    assert rules.judge(load_claims()["K-indicator"], gather()).outcome == "undecided"
    assert "undecided here (claim K-indicator)" in probe(with_outlier()).sentence


def test_a_robust_model_without_outlier_features_sets_no_mark_for_having_them():
    known = judge.known_models()
    eva = [m for m in known if m.model.startswith("eva_clip")]
    without = [m for m in known if m not in eva]
    assert eva and judge.marks_of(known) == judge.marks_of(without) != judge.Marks()


def test_the_mark_after_mean_subtraction_lies_between_recorded_models():
    known = judge.known_models()
    assert "vit_b_32_inside-openai" not in {m.model for m in known}
    signed = [m for m in known if m.value("negative_share") > 0]
    high = {(m.model, m.data.name) for m in judge._towering(signed)}
    low = {(m.model, m.data.name) for m in signed if m.level != "zero_shot"}
    of = {"low": [], "high": []}
    for m in records.read_all("basis"):
        for name, some in (("high", high), ("low", low)):
            of[name] += [m.value("kurtosis_less_mean")] * ((m.model, m.data.name) in some)
    assert max(of["low"]) < 3.27 and min(of["high"]) > 3.33 and len(of["high"]) > 18
    middle = math.sqrt(max(of["low"]) * min(of["high"]))
    assert middle == pytest.approx(facts.LESS_MEAN_THRESHOLD, abs=0.01)


def test_the_numbers_are_a_measurement_of_which_the_verdict_follows(tmp_path):
    result = probe(
        with_outlier(), head=RNG.normal(size=(5, 128)), name="<b> $x$ a&lt;b", recorded=[]
    )
    file = tmp_path / "numbers.json"
    file.write_text(records.to_text(result.measurement))
    again = records.parse(file)
    assert again == result.measurement and judge.place(again, []) == result
    checkpoint.write_page(result, tmp_path / "page.html")  # which takes nothing for markup
    assert "<h1>Probe of ?b? ?x? a?lt;b</h1>" in (tmp_path / "page.html").read_text()
    assert report.of_file(file).answer == result.answer == "shows"


def larger(text, name, factor=10):
    content = json.loads(text)
    content["values"][name]["value"] *= factor
    return json.dumps(content)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: "", "cannot be read as JSON"),
        (lambda text: "{}", "numbers.json: format: field required"),
        (lambda text: "[" * 100_000, "cannot be read as a measurement"),
        (lambda text: text.replace("images, given", "<script> given"), "plain words are expected"),
        (lambda text: text.replace('"leaders"', '"followers"'), "not known to this"),
        (lambda text: larger(text, "kurtosis_mean", 0.5), "kurtosis_mean is not that of single"),
        (lambda text: larger(text, "negative_share", 0.63), "no whole number of"),
    ],
)
def test_numbers_that_anyone_may_have_written(change, said, tmp_path):
    """They are shown in a notebook, whose viewer may read HTML in Markdown."""
    file = tmp_path / "numbers.json"
    file.write_text(change(records.to_text(probe(with_outlier()).measurement)))
    refused(said, report.of_file, file)
    with pytest.raises(CompanionError, match="holds outlier_features, not a probe"):
        report.of_file(records.recorded_path(OTHER.model, OTHER.data.name, OTHER.experiment))
    refused(r"gone.json is not there", report.of_file, tmp_path / "gone.json")


def check_page(text, figures):
    loads = re.findall(r'<(?!a )[^>]*\s(?:src|href|xlink:href|srcset|data)="([^"]*)"', text)
    assert all(url.startswith(("#", "data:image/png")) for url in loads), loads
    assert not re.search(r"@import|url\(http|<script", text)
    drawings = re.findall(r'<svg role="img" aria-label="([^"]{40,})"', text)
    assert len(drawings) == figures == text.count("<figure>") == text.count("</figure>")
    assert text.count("<th ") == text.count('<th scope="col"')
    named = re.findall(r'\sid="([^"]+)"', text)
    assert len(named) == len(set(named))
    for words in ('<html lang="en">', "prefers-color-scheme: dark", "default-src 'none'"):
        assert words in markup.unescape(text)


# From here on with a network ----------------------------------------------------------------------

TINY = ("--architecture", "tiny-vit")


@pytest.fixture
def tiny(tmp_path_factory, monkeypatch):
    """A checkpoint of a few kilobytes, its architecture known."""
    pytest.importorskip("open_clip", reason="extraction is not installed")
    folder = tmp_path_factory.mktemp("weights")
    use_architectures(folder, monkeypatch)
    save_clip(folder / "mein modell.safetensors")
    return folder / "mein modell.safetensors"


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return save_folder(tmp_path_factory.mktemp("Fotos für später") / "日本", 12)


@pytest.fixture
def refusal(images, tmp_path, capsys):
    """Probe a file and return the one sentence on the error output; nothing may be written."""

    def probed(file, *words, folder=images):
        outputs = ("--html", tmp_path / "o.html", "--json", tmp_path / "o.json")
        before = sorted(tmp_path.rglob("*"))
        given = ("probe", file, "--images", folder, *outputs, *words, "--quiet")
        assert cli.main([*map(str, given)]) == 1
        out, err = capsys.readouterr()
        assert out == "" and err.startswith("companion: ") and len(err.splitlines()) == 1, err
        assert sorted(tmp_path.rglob("*")) == before
        return err

    yield probed


def test_a_probe_from_the_command_line(tiny, images, tmp_path, answer):
    """Of paths with spaces and other letters.

    What was chosen of a file that holds more stands in answer, page and numbers.
    """
    from safetensors.torch import load_file

    torch = pytest.importorskip("torch")
    html, numbers, both = (tmp_path / n for n in ("Bericht é.html", "n.json", "das beste.pt"))
    state = {f"module.{key}": value for key, value in load_file(tiny).items()}
    torch.save({"model": state, "model_ema": state}, both)
    said = answer("probe", both, *TINY, "--images", images, "--html", html, "--json", numbers)
    result = report.of_file(numbers)
    source, images_seen = result.measurement.provenance, result.measurement.counts["images"]
    assert images_seen == 12 and facts.title_of(result.measurement) == "das beste.pt"
    assert said.split("\n\n")[0].replace("\n", " ") == result.sentence
    note = source.weights_note
    assert "the entry model was read, model_ema ignored" in note and "module." in note
    assert source.libraries["torch"]
    page = html.read_text()
    check_page(page, figures=3)
    assert page.index(result.sentence) < page.index("<figure>") < page.index("To paste")
    assert page.index("Comparable models") < page.index('<details class="folded">')
    for end in ("csv", "svg"):
        (address,) = re.findall(
            rf'href="data:[^;]*;base64,([^"]*)" download="profile\.{end}"', page
        )
        assert len(base64.b64decode(address)) > 500
    (rows,) = re.findall(r'base64,([^"]*)" download="profile.csv"', page)
    drawn = pd.read_csv(io.BytesIO(base64.b64decode(rows)))
    assert [*drawn["of"].unique()] == ["das beste.pt", "CLIP ViT-B/16", "untrained ViT-B/16"]
    assert "@misc{companion-probe-das-beste.pt-profile-" in page
    assert report.latex(result).count(" & ") == 12 and report.latex(result) in markup.unescape(page)
    for words in (*ALWAYS, note, "companion probe ", "vit_b_16-openai", source.weights_sha256):
        assert words in page, words
    assert all(words in " ".join(said.split()) for words in (*ALWAYS, note))
    assert sorted(tmp_path.iterdir()) == sorted([html, numbers, both])
    assert not list(store.default_folder().rglob("*"))
    assert answer("probe", both, *TINY, "--images", images, "--quiet") == result.sentence + "\n"


def test_a_checkpoint_is_probed_before_its_projection(images, answer, tmp_path):
    numbers = tmp_path / "probe.json"
    given = ["--images", images, "--layer", "before_projection", "--json", numbers]
    said = answer("probe", "pocket-vit-web-large", *given)
    assert "pocket-vit-web-large, before the projection" in " ".join(said.split())
    m = records.parse(numbers)
    assert m.counts["components"] == 96 and "before CLIP's projection" in m.provenance.layer
    assert "--layer before_projection" in m.provenance.made_from[report.COMMAND]
    said = answer("probe", "pocket-cnn-web-large", *given, fails=True)
    assert "has no projection of its own" in said


def test_a_probe_says_what_it_found_in_a_few_lines():
    result = probe(np.random.default_rng(0).normal(size=(60, 40)), name="cats & dogs")
    lines = repr(result).splitlines()
    assert (
        lines[0] == result.sentence
        and len(lines) == 7
        and all(len(line) < 150 for line in lines[:6])
    )
    shown = result._repr_html_()
    assert lines[6].endswith(result.storage) and result.storage.endswith("is needed.")
    assert shown.count("<li>") == 6 and "<strong>cats &amp; dogs shows" in shown
    (row,) = result.to_frame().to_dict("records")
    assert (row["answer"], row["images"], row["level"]) == (result.answer, 60, "unknown")
    assert row["kurtosis"] == value(result, "kurtosis_mean")
    assert row["kurtosis_low"] < row["kurtosis"] < row["kurtosis_high"]
    said = probe(np.random.default_rng(0).normal(size=(60, 40)), level="random")
    assert said.measurement.level == "random" and said.answer == result.answer


def test_any_encoder_gets_the_same_numbers(tiny, images, tmp_path, answer):
    torch = pytest.importorskip("torch")
    from companion.checkpoints import loading, lookup
    from companion.checkpoints.any_encoder.features import features_of

    answer("probe", tiny, *TINY, "--images", images, "--json", tmp_path / "n.json")
    typed = report.of_file(tmp_path / "n.json")
    loaded = loading.load(lookup.find(str(tiny)))
    listed = imagelist.unlabelled(images)
    pictures = [listed.image(row) for row in range(len(listed))]
    inputs = torch.stack([loaded.preprocess(picture) for picture in pictures])
    loaded.encoder.train()
    for given, how in ((images, loaded.preprocess), (pictures, loaded.preprocess), (inputs, None)):
        for network in (loaded.encoder, lambda batch: loaded.encoder.forward(batch).numpy()):
            result = encoder.probe(network, given, preprocess=how)
            np.testing.assert_allclose(value(result, "profile"), value(typed, "profile"), rtol=1e-3)
            by_array = probe(features_of(network, given, how), rows_are_images=True)
            for judged in (result, by_array):
                assert (judged.answer, judged.place) == (typed.answer, typed.place)
    assert loaded.encoder.training
    refused("give preprocess, a function", encoder.probe, loaded.encoder, images)
    refused("3 images are too few", encoder.probe, loaded.encoder, inputs[:3])


def test_what_a_script_has_at_hand_just_works():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, 12), torch.nn.Linear(12, 5))
    x = torch.randn(40, 3, 4, 4)
    result = encoder.probe(net[:2], x, head=net[2].weight)
    assert result.measurement.counts == {"images": 40, "components": 12, "classes": 5}
    features = net[:2](x)
    for same in (features, features.to(torch.bfloat16), torch.nn.Parameter(features)):
        kurtosis = value(probe(same, head=net[2].weight), "kurtosis_mean")
        assert kurtosis == pytest.approx(value(result, "kurtosis_mean"), rel=1e-2)
    assert (value(encoder.probe(net[:2], x.numpy()), "profile") == value(result, "profile")).all()
    eight, swapped = features.to(torch.float8_e4m3fn), features.detach().numpy().astype(">f4")
    assert value(probe(eight), "kurtosis_mean") == pytest.approx(kurtosis, rel=0.1)
    assert (value(probe(swapped), "profile") == value(probe(features), "profile")).all()
    refused(r"cannot be taken as an array \(.*parse", probe, features.to_sparse())


PICTURES = np.ones((9, 3, 4, 4), np.float32)
FLAT = PICTURES[:, 0, 0]


MASKED = np.ma.masked_array(np.ones((9, 12)), mask=np.eye(9, 12))


def square(batch):
    """As many components as the batch has images."""
    return np.ones((len(batch), len(batch)))


@pytest.mark.parametrize(
    ("network", "images", "given", "message"),
    [
        (lambda batch: (batch, 0), PICTURES, {}, "gives a tuple, where a tensor"),
        (lambda batch: None, PICTURES, {}, "gives a NoneType, where a tensor"),
        (lambda batch: MASKED, PICTURES, {}, "gives a masked array: fill in"),
        (
            lambda batch: batch @ 3,
            PICTURES,
            {},
            r"encoder fails at \(9, 3, 4, 4\).* TypeError: .*int",
        ),
        (lambda batch: batch[:, 0, 0] + 1j, PICTURES, {}, "real numbers"),
        (lambda batch: batch, PICTURES, {}, "so pool or flatten what it gives"),
        (lambda batch: batch[:, 0, 0].to_sparse(), PICTURES, {}, "without all its numbers"),
        (
            lambda batch: np.array([["a"]] * len(batch)),
            PICTURES,
            {},
            "of type <U1 of 9 images: real num",
        ),
        ("resnet50", PICTURES, {}, "is of type str, which cannot be called"),
        (square, 3, {}, "the images are of type int: give a folder"),
        (square, {"a": 1}, {}, "the images are of type dict: give a folder"),
        (square, ["a.png"] * 9, {"preprocess": len}, "among the images is a str: give a folder, p"),
        (square, [Image.new("RGB", (4, 4))] * 9, {"preprocess": id}, "preprocess gives int"),
        (square, [PICTURES, 1], {"preprocess": id}, "image 0 of the list .* type float32, whose"),
        (square, PICTURES, {"preprocess": id}, "leave preprocess out, or give pictures"),
        (square, PICTURES, {"preprocess": 3}, "the preprocess is of type int, which cannot be"),
        (square, FLAT, {"name": None}, "the name is of type NoneType: give a text"),
        (square, FLAT, {"batch_size": 0}, "batch_size is 0, where 1 or more"),
        (square, FLAT, {"batch_size": True}, "batch_size is True, where 1 or more"),
        (square, FLAT, {"batch_size": 8}, "gives 4 and 8 components in turn"),
    ],
)
def test_what_is_no_encoder_is_a_sentence(network, images, given, message):
    pytest.importorskip("torch")
    refused(message, encoder.probe, network, images, **given)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (MASKED, "masked array"),
        (np.ones((9, 12)) + 1j, "complex128, where real"),
        ([["a"] * 3] * 9, "where real numbers"),
        (object(), "where real numbers"),
        ([[1, 2], [3]], "cannot be taken as an array"),
        (np.full((9, 12), 1e200), r"a number beyond ±1e\+15"),
    ],
)
def test_what_is_no_array_is_a_sentence(given, said):
    for features, head in ((given, None), (np.eye(9, 12) / 2, given)):
        refused(said, probe, features, head=head)


def test_of_two_checkpoints_each_is_called_by_its_title(own_store):
    """A family with two titles is called by its name."""
    first = (
        load_family("pocket_cnn").models[0].model_copy(update={"name": "a", "own_title": "step 1"})
    )
    family = Family(
        name="mine", title="step 1", edition="reader", order=1, backbone="B.", models=(first,)
    )
    second = first.model_copy(update={"name": "b", "own_title": "step 3"})
    wish = Wish(name="mine", checkpoint="x.pt", model="b", title="step 3")
    both = readers._family(wish, family, second, own_store)
    assert both.title == "mine" and [m.title for m in both.models] == ["step 1", "step 3"]
    again = readers._family(wish, both, second, own_store)
    assert again.title == "mine"


def test_who_makes_a_report_is_its_author(tmp_path):
    checkpoint.write_page(probe(SIGNED, name="x"), tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    entries = [
        base64.b64decode(text).decode()
        for text in re.findall(r'href="data:[^"]*bib[^"]*base64,([^"]+)"', page)
    ]
    assert "contributors" not in page and all("Your Name" in entry for entry in entries)


def test_a_missing_architecture_is_said_before_torch_is_imported(tmp_path):
    (tmp_path / "net.pt").write_bytes(b"PK")
    code = (
        "import sys; from companion.cli.main import main; "
        f"words = ['probe', {str(tmp_path / 'net.pt')!r}, '--images', {str(tmp_path)!r}]; "
        "assert main(words) == 1; "
        "assert 'torch' not in sys.modules"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 0 and "give open_clip's or timm's with --architecture" in ran.stderr


def test_of_a_large_store_evenly_spaced_rows_take_part(monkeypatch):
    monkeypatch.setattr(measure, "MOST_IMAGES", 30)
    h = with_outlier()
    few, same = probe(h), probe(h[quantisation.evenly(60, 30)])
    assert few.measurement.values == same.measurement.values
    assert few.measurement.data.what == "30 images of 60, evenly spaced, given as features"
    assert few.measurement.provenance.origins == same.measurement.provenance.origins
    plain = hashlib.sha256(h.tobytes()).hexdigest()
    assert measure.sha256(h) == plain and measure.sha256(np.asfortranarray(h)) == plain


def test_a_store_of_another_kind_is_answered_with_what_to_write():
    frame = pd.DataFrame({"embedding": [*with_outlier()]})
    index = faiss.IndexFlatL2(128)
    column = pyarrow.array([row.tolist() for row in with_outlier()])
    given = {
        r"np.stack\(frame": frame["embedding"],
        r"give index.reconstruct_n\(0, index.ntotal\)": index,
        r"column.to_numpy\(zero_copy_only=False\)": column,
        "give what the file holds": "store.npy",
    }
    for said, one in given.items():
        refused(said, probe, one)


def test_a_copy_in_few_bits_is_not_judged_and_texts_are_no_classifier():
    h = with_outlier()
    eight = np.clip(np.round(h / np.abs(h).max() * 127), -128, 127)
    for copy in (eight.astype(np.int8), eight):
        refused("are whole numbers, as in a copy of few bits", probe, copy)
    refused("the features of texts are no classifier", probe, h, RNG.normal(size=(30, 128)))


def test_three_doors_give_one_answer(tmp_path, monkeypatch):
    """An array's, an encoder's, and the command line's of its own file, where marks decide."""
    known = [other("a", 3.2, "random"), other("b", 9.3)]
    for module in (judge, report):
        monkeypatch.setattr(module, "known_models", lambda: known)
    h = np.random.default_rng(2).normal(size=(150, 256))
    h[:, 7] += 4.5
    by_array, by_encoder = probe(h, name="x"), encoder.probe(lambda x: x, h, name="x")
    (tmp_path / "x.json").write_text(records.to_text(by_array.measurement))
    typed = report.of_file(tmp_path / "x.json")
    alone = probe(h, name="x", recorded=[])
    assert alone.answer != by_array.answer == "cannot tell"
    for other_door in (by_encoder, typed):
        assert other_door.sentence == by_array.sentence and other_door.place == by_array.place


def test_what_cannot_be_probed_is_said_in_a_sentence(refusal, tiny, tmp_path):
    half = tmp_path / "half.safetensors"
    half.write_bytes(tiny.read_bytes()[:-200])
    assert "half.safetensors" in refusal(half, *TINY)
    said = refusal("pocket-cnn-web-lage")
    assert "there is no checkpoint 'pocket-cnn-web-lage'" in said and "pocket-cnn-web-large" in said
    assert "there is no device 'tpu'" in refusal(tiny, "--device", "tpu")
    folder = tmp_path / "empty"
    assert "is not a folder: give a folder of images" in refusal(tiny, folder=folder)
    folder.mkdir()
    Image.new("RGB", (20, 20)).save(folder / "d.png")
    few = r"1 image is too few .* at least 8 are expected.* add images"
    assert re.search(few, refusal(tiny, folder=folder))
    assert "cannot be written into" in refusal(tiny, "--html", tmp_path / "no" / "r.html")
    assert "is a folder: give the name of the file" in refusal(tiny, "--json", tmp_path)


def test_images_that_cannot_be_used_are_named_or_left_out(refusal, tiny, images, tmp_path, answer):
    folder, numbers = shutil.copytree(images, tmp_path / "kinds"), tmp_path / "n.json"
    Image.new("RGB", (1, 1)).save(folder / "pixel.png")
    (folder / "text.jpg").write_text("not an image")
    (folder / "notes.txt").write_text("ignored")
    said = refusal(tiny, folder=folder)
    assert "2 images cannot be decoded" in said and "--leave-out-damaged" in said
    assert "pixel.png (1 × 1 pixels are too few" in said and "text.jpg" in said
    assert "notes.txt" not in said
    told = answer("probe", tiny, "--images", folder, "--leave-out-damaged", "--json", numbers)
    result = report.of_file(numbers)
    assert result.measurement.counts["images"] == 12
    left_out = report.left_out_of(result)
    assert "pixel.png: 1 × 1 pixels" in left_out and "text.jpg: " in left_out
    assert "2 damaged images left out: pixel.png" in " ".join(told.split())


# The words for genuine models ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "persistence"), [("pocket-cnn-web-large", (0, 0.3)), ("pocket-cnn-random", (0.95, 1))]
)
def test_pocket_models_show_none(name, persistence):
    pytest.importorskip("open_clip", reason="extraction is not installed")
    from analysis.features import plan
    from companion.checkpoints import lookup

    listed = checkpoint.find_images("pocket-twemoji-test")
    settings = plan.ExtractionSettings(device="cpu", progress=False)
    result = checkpoint.of_images(lookup.find(name), listed, settings)
    assert result.answer == "none" and "classes" in result.measurement.counts
    assert 2.7 < value(result, "kurtosis_mean") < 3.2
    assert persistence[0] < value(result, "persistence_fraction") < persistence[1]
    untrained = any("make sure that the weights are trained" in c for c in result.cautions)
    assert untrained == (name == "pocket-cnn-random")


def test_public_embeddings_of_clip_show(artefacts, own_store):
    family = load_family("vit_b_16")
    artefacts["into_store"](family)
    clip, control = (
        report.of_store(family.model(f"vit_b_16-{n}"), "coco_500_images", own_store)
        for n in ("openai", "random")
    )
    assert clip.answer == "shows" and control.answer == "none"
    assert value(clip, "kurtosis_mean") == pytest.approx(87.24, abs=0.01)
    assert value(clip, "outlier_coordinates").tolist() == [442]
    assert value(clip, "importance")[0] == pytest.approx(161.8, abs=0.1)


def test_it_says_what_four_bits_leave_and_judges_nothing_by_it():
    towering, plain = with_outlier(size=30), SIGNED
    varying = towering * np.where(np.arange(128) == 7, np.linspace(-1, 1, 60)[:, None], 1)
    cases = {
        "subtract the mean before you compress; a rotation wins no more. With a range per "
        "dimension, a rotation is not needed.": towering,
        "one scale per vector, rotate before you compress.": varying,
        "No rotation is needed.": plain,
    }
    for advice, h in cases.items():
        judged = probe(h)
        rows = np.arange(60)
        near = quantisation.nearest(h, rows)
        turned = unit(h) @ random_rotation(128, 0)
        mean = unit(h).mean(axis=0)
        kept = {
            "four_bits": quantisation.uniform(unit(h), 4),
            "four_bits_rotated": quantisation.uniform(turned, 4),
            "four_bits_less_mean": quantisation.uniform(unit(h) - mean, 4) + mean,
            "four_bits_ranged": quantisation.ranged(unit(h), 4, "dimension"),
            "four_bits_ranged_rotated": quantisation.ranged(turned, 4, "dimension"),
        }
        for name, decoded in kept.items():
            expected = quantisation.kept(near, decoded, rows).mean()
            assert value(judged, name) == pytest.approx(expected, rel=1e-3)
        assert advice in judged.storage
        told = report.summary(judged).splitlines()[-1]
        assert told.startswith(judged.storage) and "`companion bits`" in told
        assert "neighbours" not in judged.sentence
    few = probe(towering[:9])
    assert few.storage == "" and "four_bits" not in few.measurement.values


def test_a_rotation_is_written_with_the_lines_that_apply_it(tmp_path):
    path = tmp_path / "turn.safetensors"
    rotation.write(128, path)
    left = {"features": SIGNED}
    exec(rotation.lines(path), left)
    turned = left["features"]
    assert turned @ turned.T == pytest.approx(SIGNED @ SIGNED.T, rel=1e-4, abs=1e-3)
    assert outliers.kurtosis(with_outlier() @ left["rotation"]).mean() < 4
    before = path.read_bytes()
    rotation.write(128, path)
    assert path.read_bytes() == before and [*tmp_path.iterdir()] == [path]
    for wrong in ("turn.npy", "-"):
        refused("a rotation is written as a file", rotation.check_place, Path(wrong))
