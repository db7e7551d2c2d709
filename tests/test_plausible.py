"""What `companion check` finds: each rule on a file that breaks just that one."""

import contextlib
import json
import shutil

import numpy as np
import pytest

from analysis.families.registry import load_families
from analysis.images import imagenet
from companion import cli
from companion.measurements import measures, plausible, records, take
from companion.measurements.records import FOLDER, MeasurementError

FAMILIES = load_families()
CLIP = {
    experiment: FOLDER / experiment / "vit_b_16-openai--coco_500_images.json"
    for experiment in ("outlier_features", "privileged_directions", "pruning")
}


def edited(tmp_path, experiment, change):
    """A copy of a recorded measurement with its content changed."""
    path = tmp_path / experiment / CLIP[experiment].name
    path.parent.mkdir(exist_ok=True)
    content = json.loads(CLIP[experiment].read_text(encoding="utf-8"))
    content.pop("digest", None)
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def value(name, new):
    """A change of one quantity: a value, or a function of the old one."""

    def change(content):
        old = content["values"][name]["value"]
        content["values"][name]["value"] = new(old) if callable(new) else new

    return change


def field(name, new):
    return lambda content: content.__setitem__(name, new)


def test_what_is_recorded_is_sound():
    for path in FOLDER.rglob("*.json"):
        assert plausible.problems(path, FAMILIES) == []


@pytest.mark.parametrize(
    ("experiment", "change", "sentence"),
    [
        ("outlier_features", value("kurtosis_mean", 0.5), "kurtosis_mean is 0.5, which is imposs"),
        ("outlier_features", value("kurtosis_mean", 300.0), "outside the range of single images"),
        ("outlier_features", value("kurtosis_percentiles", lambda p: p[::-1]), "rising numbers"),
        ("outlier_features", value("persistence_fraction", 1.2), "between 0 and 1"),
        ("outlier_features", value("persistence_coordinate", 512), "between 0 and 511"),
        ("outlier_features", value("outlier_coordinates", [3]), "whose profile reaches"),
        ("outlier_features", value("outlier_threshold", 1.0), "must be the paper's 6"),
        ("outlier_features", value("leaders", 5000), "no more than there are images or comp"),
        ("outlier_features", lambda c: c["provenance"].update(taken="2999-13-45"), "month must be"),
        ("outlier_features", value("profile", lambda p: [2 * v for v in p]), "mean must be 1"),
        (
            "privileged_directions",
            value("importance", lambda i: [i[0] * 3, *i[1:]]),
            "importance is relative to its mean",
        ),
        ("privileged_directions", value("top_direction", 4), "not the direction of the largest"),
        ("privileged_directions", value("top_components", lambda v: [0.9, *v[1:]]), "length 1"),
        (
            "privileged_directions",
            value("singular_value_share", lambda s: [s[1], s[0], *s[2:]]),
            "must fall and add up to 1",
        ),
        ("privileged_directions", value("top_with_gap", 1.5), "between 0 and 1"),
        ("pruning", value("accuracy_random", lambda a: [*a[:-1], 0.9]), "must be equal when"),
        ("pruning", value("difference_importance", lambda d: [-0.5, *d[1:]]), "less that of the"),
        ("pruning", field("family", "vit_b_17"), "did you mean 'vit_b_16'"),
        ("pruning", field("level", "supervised"), "its level is supervised, that of"),
        (
            "pruning",
            lambda c: c["counts"].update(components=1024),
            "it has 1024 components, vit_b_16-openai has 512",
        ),
        ("pruning", lambda c: c.update(unknown=1), "unknown"),
        ("pruning", lambda c: c["provenance"].pop("device"), "provenance.device"),
        (
            "pruning",
            lambda c: c["provenance"].update(device="<script>P=1</script>"),
            "provenance.device: plain words are expected, without '<'",
        ),
        (
            "pruning",
            lambda c: c["data"].update(what="![x](http://x.org/y.png)"),
            "data.what: plain words are expected, without '['",
        ),
        (
            "pruning",
            lambda c: c["provenance"]["made_from"].update({"analysis.`x`": "1"}),
            "plain words are expected, without '`'",
        ),
    ],
)
def test_each_fault_is_named(tmp_path, experiment, change, sentence):
    found = plausible.problems(edited(tmp_path, experiment, change), FAMILIES)
    assert found and any(sentence in problem for problem in found), found
    assert all(CLIP[experiment].name in problem for problem in found)


def an_accuracy(tmp_path, change=lambda content: None):
    """An accuracy on ImageNet-A as its measurement would be, with its content changed."""
    source = records.read(CLIP["outlier_features"])
    labels = np.arange(7500) % 200
    numbers = measures.accuracy(labels % 3 == 0, labels, 200)
    made = take.build(
        "accuracy", source.family, FAMILIES["vit_b_16"].model(source.model), numbers,
        {"images": 7500, "components": 512, "classes": 200},
        source.data.model_copy(update={"name": "imagenet-a", "what": "ImageNet-A"}),
        source.provenance,
    )  # fmt: skip
    path = records.write(made, tmp_path)
    content = json.loads(path.read_text(encoding="utf-8"))
    content.pop("digest")
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_a_sound_accuracy_is_sound_also_of_a_copy_that_says_how_it_differs(tmp_path):
    assert plausible.problems(an_accuracy(tmp_path), FAMILIES) == []

    def fewer(content):
        content["counts"]["images"] -= 37
        content["values"]["images_per_class"]["value"][1] -= 37
        right = sum(content["values"]["right_per_class"]["value"])
        content["values"]["top1"]["value"] = right / 7463
        error = (right * (7463 - right) / 7463**3) ** 0.5
        content["values"]["top1_standard_error"]["value"] = error

    (problem,) = plausible.problems(an_accuracy(tmp_path, fewer), FAMILIES)
    assert "published with 7500 images of 200 classes, this saw 7463 of 200" in problem

    def said(content):
        fewer(content)
        content["data"]["what"] += f"; {imagenet.DIFFERS}: 7,463 images"

    assert plausible.problems(an_accuracy(tmp_path, said), FAMILIES) == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (value("top1", 0.5), "top1 is not the share of right_per_class"),
        (value("top1_standard_error", 0.01), "top1_standard_error is not the binomial one"),
        (value("right_per_class", lambda r: [*r[:-1], 38]), "no class can have more right"),
        (
            value("right_per_class", lambda r: r[1:]),
            "has 199 numbers for 200 classes",
        ),
        (lambda c: c["counts"].update(classes=113), "has 200 numbers for 113 classes"),
    ],
)
def test_each_fault_of_an_accuracy_is_named(tmp_path, change, sentence):
    found = plausible.problems(an_accuracy(tmp_path, change), FAMILIES)
    assert any(sentence in problem for problem in found), found


def test_no_flipped_bit_of_a_measurement_is_used(tmp_path):
    path = records.write(records.read(CLIP["pruning"]), tmp_path)
    sound = path.read_bytes()
    for place in np.random.default_rng(0).integers(0, 8 * len(sound), 100):
        content = bytearray(sound)
        content[place // 8] ^= 1 << place % 8
        path.write_bytes(content)
        with contextlib.suppress(MeasurementError):
            assert records.read(path) == records.read(CLIP["pruning"]), place


@pytest.mark.parametrize(
    "path", sorted(FOLDER.rglob("*.json")), ids=lambda p: f"{p.parent.name}/{p.name}"
)
def test_no_list_can_be_shorter_than_it_is(tmp_path, path):
    """Cut in half or emptied; what is as long as it wants to be is held against other numbers."""
    content = json.loads(path.read_text(encoding="utf-8"))
    content.pop("digest", None)
    copy = tmp_path / path.parent.name / path.name
    copy.parent.mkdir()
    for name, kept in content["values"].items():
        old = kept["value"]
        for length in {0, len(old) // 2} - {len(old)} if isinstance(old, list) else ():
            kept["value"] = old[:length]
            copy.write_text(json.dumps(content), encoding="utf-8")
            free = name in ("importance_head_centred", "sample", "accuracy_without_other")
            assert plausible.problems(copy, FAMILIES) or free, (name, length)
        kept["value"] = old


def test_a_model_that_no_family_has_is_named(tmp_path):
    path = edited(tmp_path, "pruning", field("model", "vit_b_16-openia"))
    renamed = path.with_name(path.name.replace("openai", "openia"))
    path.rename(renamed)
    (problem,) = plausible.problems(renamed, FAMILIES)
    assert "has no model 'vit_b_16-openia'" in problem and "did you mean" in problem


def test_the_command_says_how_many_are_sound(tmp_path, capsys):
    shutil.copytree(FOLDER, tmp_path / "kept")
    assert cli.main(["check", str(tmp_path / "kept")]) == 0
    count = len(list(FOLDER.rglob("*.json")))
    assert f"{count} of {count} measurement files are sound." in capsys.readouterr().out
    bad = edited(tmp_path / "kept", "pruning", value("random_orders", -1))
    assert cli.main(["check", str(tmp_path / "kept")]) == 1
    printed = capsys.readouterr().out
    assert f"{bad.name}: random_orders is -1" in printed and f"{count - 1} of {count}" in printed
    assert cli.main(["check", str(tmp_path / "kept" / "nowhere")]) == 1


def test_a_folder_without_measurements_is_an_error(tmp_path, capsys):
    assert cli.main(["check", str(tmp_path)]) == 1
    assert "no measurement file" in capsys.readouterr().err
