"""Sentences on what is measured over all families, on recorded measurements."""

import pytest

from analysis.families.registry import load_families
from companion.measurements.records import MeasurementError, read_all
from companion.publish import arrays, overview, words

FAMILIES = load_families("paper")
IMAGES, CAPTIONS, RANDOM, _ = overview.example(overview.known("outlier_features", "paper"))
CLIP, CONTROL = overview.example(overview.known("privileged_directions", "paper"))
(PRUNED,) = overview.example(overview.known("pruning", "paper"))
(SPARSE,) = read_all("outlier_features", "efficientnet_lite0")
NEED = "The model needs that direction"


def test_measurements_come_in_the_order_of_families_and_models():
    names = [m.file_name for m in (IMAGES, CAPTIONS, RANDOM)]
    assert names == [
        "vit_b_16-openai--coco_500_images.json",
        "vit_b_16-openai--coco_500_captions.json",
        "vit_b_16-random--coco_500_images.json",
    ]
    assert overview.title(CLIP, data=False) in overview.title(CLIP)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (overview.learned(IMAGES, RANDOM), "here the outliers are learned"),
        (overview.learned(RANDOM, IMAGES), "the two overlap"),
        (overview.captions_leader(IMAGES, CAPTIONS), "coordinate"),
        (overview.captions_leader(IMAGES, IMAGES), "the same one"),
        (overview.sparse_leaders(SPARSE, 1e3), "No coordinate reaches 1000 times the mean"),
        (overview.sparse_leaders(SPARSE, 1.5), "coordinates reach 1.5 times the mean"),
        (overview.varying(CLIP), "it is mostly common to all images."),
        (overview.privileged_control(CONTROL, 1e3), "below 1000."),
        (overview.privileged_control(CONTROL, 2.0), "above 2 as well."),
        (overview.pruned_at(PRUNED, 0.8), "(100 of 500 kept)"),
        (overview.pruned_at(PRUNED, 0.8), "a loss of more than 1 point is established"),
        (overview.pruned_at(PRUNED, 0.1), "there is no loss of more than 1 point"),
        (overview.without_first(PRUNED, CLIP), NEED),
    ],
)
def test_sentences_say_what_the_numbers_are(told, expected):
    assert expected in told


def test_a_direction_that_is_not_the_top_one_is_not_said_to_be_needed():
    top = CLIP.values["top_direction"].model_copy(update={"value": 3})
    other = CLIP.model_copy(update={"values": CLIP.values | {"top_direction": top}})
    assert NEED not in overview.without_first(PRUNED, other)


def test_where_no_features_are_a_page_works_on_gaussian_numbers(own_store):
    title, h, labels, weight, bias = arrays.of([IMAGES], FAMILIES["vit_b_16"])
    assert title == "Gaussian numbers" and h.shape[1] == weight.shape[1] == 512
    assert (labels == (h @ weight.T + bias).argmax(axis=1)).all()


def test_the_share_in_the_leader_needs_outlier_features_of_the_same_images():
    leader = IMAGES.value("persistence_coordinate")
    assert words.top_direction(CLIP)["in leader (%)"].endswith(f"({leader})")
    others = CLIP.data.model_copy(update={"name": "other_images"})
    elsewhere = words.top_direction(CLIP.model_copy(update={"data": others}))
    assert elsewhere["in leader (%)"] == "not measured"


def test_a_familys_recorded_numbers_name_the_images_and_a_model_that_is_inferred():
    found = read_all("outlier_features", "rn101")
    (title,) = words.titled(found)
    assert title.endswith(": 1,600 images of 100 ImageNet classes (model inferred)")
    live = [m.model_copy(update={"live": True}) for m in found]
    assert title.startswith(*words.titled(live))


def test_an_example_that_is_not_there_is_named():
    """Its file may be broken: the page says which evidence it lacks, not that a list is empty."""
    with pytest.raises(
        MeasurementError, match="discusses vit_b_16 on coco_500_images, of which no"
    ):
        overview.example([])
    with pytest.raises(MeasurementError, match="a model of the level random, of which no sound"):
        overview.of_level("random", overview.example(overview.known("pruning", "paper")))
