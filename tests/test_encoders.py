"""What is said of encoders whose features others published: sentences and rows from numbers."""

import html
import json

import numpy as np
import pytest
from scipy import sparse

from analysis.common import ROOT
from analysis.families.registry import load_families
from companion.claims.evidence import gather
from companion.measurements.records import available
from companion.measurements.textures import textures
from companion.publish import dots, encoders, overview
from companion.publish.dots import Row

OVERLAPPING = ("c", 10, 95, 5, 99)
FAMILIES = load_families("paper") | load_families("contrast")


def rows(*models):
    """Models as (title, ER in points ± 1, κ, its lowest and highest), by falling ER."""
    return {
        "er": [Row(title, "zero_shot", er, er - 1, er + 1) for title, er, *_ in models],
        "κ": [Row(title, "zero_shot", *kappa) for title, _, *kappa in models],
    }


@pytest.mark.parametrize(
    "models, told",
    [
        ([("a", 30, 80, 70, 90), ("b", 20, 9, 8, 10), ("c", 10, 3, 3, 3)], (3, 3, 0, 0)),
        (
            [("a", 30, 9, 8, 10), ("b", 20, 50, 40, 60), ("c", 10, 80, 70, 90)],
            (
                3,
                0,
                3,
                0,
                " a has a lower κ than b on each of these sets (10.0 at most against 40.0 "
                "at least) and is the more robust of the two (+30.0 against +20.0 points).",
            ),
        ),
        ([("a", 21, 9, 8, 10), ("b", 20, 80, 70, 90), OVERLAPPING], (3, 0, 1, 2)),  # ER overlaps
        ([("a", 30, 9, 8, 80), ("b", 20, 80, 70, 90), OVERLAPPING], (3, 0, 0, 3)),  # κ overlaps
        (
            [
                ("a (inferred)", 40, 1, 1, 1),
                ("b", 30, 9, 8, 80),
                ("c", 20, 8, 7, 90),
                ("d", 9, 3, 3, 3),
            ],
            (3, 2, 0, 1),
        ),
    ],
)
def test_whether_kurtosis_orders_robustness(models, told):
    pairs, alike, reverse, open_, *more = told
    assert encoders.order_told(rows(*models), 1) == (
        f"1 of these {len(models)} encoders are more robust than their ImageNet accuracy predicts. "
        "Take the 3 encoders whose identity is certain. In "
        f"{reverse} of their {pairs} pairs the more robust encoder has the lower κ on the image "
        f"sets available, in {alike} the higher; in {open_} it depends on the image set."
        f"{''.join(more)}"
    )


def test_image_sets_that_are_known_but_not_recorded_are_counted():
    title = "ViT-B/32 OpenAI"
    models = [("a", 30, 50, 45, 55), (title, 20, 87, 71, 128)]
    told = encoders.order_told(rows(*models), 2)
    assert told.startswith("All of these 2 encoders are more robust than their ImageNet accuracy")
    assert "In 1 of their 1 pairs" in told
    assert told.endswith(
        f"On other image sets, not recorded here, {title} is known to have a κ from 30 to 165: "
        "with these the more robust encoder has the lower κ in 0 pairs, the higher in 0, and 1 "
        "depend on the set."
    )


def test_the_seven_encoders_and_where_each_stands():
    found = encoders.outliers()
    zero_shot = [name for name, own in found.items() if own[0].level == "zero_shot"]
    assert len(zero_shot) == 7
    assert [own[0].data.name for name, own in found.items() if name == "vit_b_32-openai"] == [
        "imagenet_train_4000"
    ]
    titles = [encoders.told(own[0]) for own in found.values()]
    assert len({*titles}) == len(titles)
    assert [title for title in titles if "inferred" in title] == ["RN101 OpenAI (inferred)"]
    shown = [encoders.outlier_row(own[0]) for own in found.values()]
    alt = dots.noted(shown, "κ", "leader", 3).alt
    assert "ViT-B/32 OpenAI: 4,000 ImageNet training images: 87.3 (" in alt
    assert "92, 100" in alt


def test_features_before_the_projection_are_no_other_encoder(monkeypatch):
    before = encoders.outliers()
    own = before["vit_b_32-openai"][0]
    early = own.model_copy(update={"model": "vit_b_32-openai-before-projection"})
    known = overview.known("outlier_features", "paper", "contrast")
    monkeypatch.setattr(overview, "known", lambda *_: [*known, early])
    assert encoders.outliers() == before


def test_one_set_of_images_each_and_a_models_captions():
    found = available("outlier_features", FAMILIES["vit_b_16"])
    kept = [m.file_name for m in encoders.one_set_each(found)]
    assert len(kept) == len(found) - 1 and "vit_b_16-openai--histology_1000.json" not in kept
    own = found[0].model_copy(update={"data": found[0].data.model_copy(update={"name": "mine"})})
    assert own in encoders.one_set_each([*found, own])


def test_textures_along_directions():
    """Three textures of which two lie far along the head's first direction, on its lower side."""
    rng = np.random.default_rng(0)
    kind = np.repeat([0, 1, 2, 3, 3, 3, 3], 20)
    shown = sparse.csr_array(kind[:, None] == np.arange(3))
    h = rng.normal(0, 0.1, (140, 6)) + 5 * np.eye(6)[4]
    h[:, 0] += np.where(kind < 2, -3, -1)
    head = np.vstack([10 * np.eye(6)[0], np.eye(6)[1:4]])
    found = textures(h, shown, head)
    assert found["top_direction"] == 0
    np.testing.assert_allclose(found["along_top"][:2], 1)
    assert found["along_top"][2] < 0.8 and (found["against_top"][:2] < 0.5).all()
    assert found["textures_lie_at"] > found["others_lie_at"]
    assert found["per_direction"].argmax() == 0 and len(found["per_direction"]) == 4
    assert found["along_top"].mean() == pytest.approx(found["per_direction"][0])


def recorded(experiment, model, quantity):
    """One number of every recorded file of a model, by data set, read as plain JSON."""
    found = {}
    for path in (ROOT / "data/measurements" / experiment).glob(f"{model}--*.json"):
        content = json.loads(path.read_text(encoding="utf-8"))
        found[content["data"]["name"]] = content["values"][quantity]["value"]
    return found


def test_readme_has_the_measured_numbers(own_store):  # what is recorded, alone
    said = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    openai, laion = (
        recorded("outlier_features", f"vit_b_32-{name}", "kurtosis_mean")
        for name in ("openai", "laion2b")
    )
    lowest, highest = min(openai.values()), max(laion.values())
    assert f"({highest:.2f} at most against {lowest:.1f} at least)" in said
    turned = recorded("interventions", "vit_b_32-openai", "kurtosis_rotated")
    whole = openai["imagenet_train_4000"]
    changed = f"from {whole:.1f} to {turned['imagenet_train_4000']:.2f}"
    assert f"4,000 ImageNet training images and the head together lowers κ {changed}" in said
    er = {name: 100 * gather("paper").intervals[f"vit_b_32-{name}"].value
          for name in ("openai", "laion2b")}  # fmt: skip
    assert f"(+{er['laion2b']:.1f} against +{er['openai']:.1f} points)" in said


def test_readmes_figure_is_the_books(own_store):
    drawing = encoders.seven(own[0] for own in encoders.outliers().values())
    kept = (ROOT / "book/_static/seven_encoders.svg").read_text(encoding="utf-8")
    assert f"<title>{html.escape(drawing.alt)}</title>" in kept  # all its numbers
