"""What follows from definitions holds of features of any kind, and refuses wrong numbers."""

import numpy as np
import pytest

from companion.measurements import bits, invariance, measures, records, unread
from companion.measurements.agreement import contradictions, unusual
from companion.measurements.consequences import consequences
from companion.measurements.provenance import OWN_CLASSIFIER
from companion.measurements.relations import coherence
from companion.probe import measure

IMAGES, WIDTH, CLASSES = 44, 48, 4


rotation = invariance.invariants.random_rotation(WIDTH, 0)[:IMAGES]


def clusters(z, rng):
    return 3 * rng.normal(size=(5, WIDTH))[np.arange(IMAGES) % 5] + z


#: Features as networks of many kinds have them, from Gaussian numbers.
KINDS = {
    "no mean": lambda z, rng: z,
    "one large coordinate": lambda z, rng: (
        z + 30 * (np.arange(WIDTH) == 3) + rng.normal(size=WIDTH)
    ),
    "rectified": lambda z, rng: np.maximum(z - 0.5, 0) + 0.01 * (np.arange(WIDTH) == 0),
    "pooled": lambda z, rng: 0.3 * np.abs(z) + 0.5,
    "far from zero": lambda z, rng: z + 50,
    "clusters": clusters,
    "heavy tails": lambda z, rng: z / rng.chisquare(2, size=z.shape) ** 0.5,
    "coordinates of many scales": lambda z, rng: z * np.exp(1.5 * rng.normal(size=WIDTH)) + 1,
    "classes in turn": lambda z, rng: np.maximum(
        (rng.random((4, WIDTH)) < 0.2)[np.arange(IMAGES) // 11] * 3 + z / 5, 0
    ),
    "two kinds of images": lambda z, rng: (
        z
        + np.where(
            np.arange(IMAGES)[:, None] < 0.6 * IMAGES,
            8.0 * (np.arange(WIDTH) == 3),
            60.0 * (np.arange(WIDTH) == 7),
        )
    ),
    "whitened": lambda z, rng: np.linalg.svd(z - z.mean(axis=0), full_matrices=False)[0] @ rotation,
    "images of many lengths": lambda z, rng: (z + 1) * np.exp(rng.normal(size=(IMAGES, 1))),
}


def measured(kind, bias):
    """All measurements that need no texts or concepts of their own, of made-up features."""
    rng = np.random.default_rng(len(kind))
    h = KINDS[kind](rng.normal(size=(IMAGES, WIDTH)), rng)
    labels, weight = np.arange(IMAGES) % CLASSES, rng.normal(size=(CLASSES, WIDTH))
    offsets = rng.normal(size=CLASSES) / 10 if bias else None
    judge = invariance.Judge(weight, offsets, np.arange(CLASSES), labels)
    texts, controls = unread.Texts(rng.normal(size=(30, WIDTH))), [*unread.CONTROLS.values()]
    made = {
        "outlier_features": (measures.outlier_features(h), {}),
        "probe": (measure.quantities(h) | measure.of_head(h, weight), {}),
        "basis": (invariance.basis(h), {}),
        "privileged_directions": (measures.privileged_directions(h, weight), {}),
        "pruning": (measures.pruning(h, labels, weight, None, offsets), {}),
        "interventions": (invariance.interventions(h, judge), {}),
        "unread": (
            unread.unread(h, [texts], judge),
            {"text_rows": ["made-up texts"], "controls": controls},
        ),
        "quantisation": (
            bits.quantisation(h, texts, judge),
            {"bits": bits.names(), "kurtosis_removed": ["made-up texts"]},
        ),
    }
    return {name: kept(name, *numbers, bias) for name, numbers in made.items()}


def kept(experiment, numbers, names, bias):
    known = records.read_all("outlier_features", "vit_b_32")[0]
    head = OWN_CLASSIFIER if bias else "zero-shot head"
    headless = experiment in ("outlier_features", "probe", "basis")
    return records.build(
        experiment,
        numbers,
        **{"family": known.family, "model": "made_up", "level": "zero_shot", "names": names},
        data=records.Data(name="made_up", what=f"{IMAGES} made-up images"),
        counts={"images": IMAGES, "components": WIDTH} | ({} if headless else {"classes": CLASSES}),
        provenance=known.provenance.model_copy(update={"head": "" if headless else head}),
    )


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_no_true_measurement_is_refused(kind, bias):
    """Whatever the features are, and whether the head sees them at length 1 or as they are."""
    found = measured(kind, bias)
    for m in found.values():
        said = [*coherence(m), *consequences(m), *contradictions(m, [*found.values()])]
        assert said == [], m.experiment


@pytest.fixture(scope="module")
def true():
    return measured("one large coordinate", bias=False)


@pytest.mark.parametrize(
    ("experiment", "name", "change", "message"),
    [
        (
            "outlier_features",
            "persistence_fraction",
            lambda x: x / 7,
            "no whole number of 44 im",
        ),
        ("outlier_features", "negative_share", lambda x: x / 10, "of 2,112 images × components"),
        ("basis", "kurtosis_eigenframe", lambda x: x / 10, "mean_share and effective_rank give"),
        ("basis", "persistence_rotated", lambda x: x / 7, "no whole number of 44 images"),
        (
            "interventions",
            "accuracy_without_leader",
            lambda x: (1 + x) / 7,
            "no whole number of 44",
        ),
        ("pruning", "accuracy_without_each", lambda x: x / 10, "no whole number of 44"),
        ("unread", "dropped", lambda x: x + 1, "how many directions hold shares"),
        ("unread", "equal_without", lambda x: 0 * x + 1, "than equal_without leaves to change"),
        ("unread", "control_equal", lambda x: 0 * x + 1, "than control_equal leaves to change"),
        ("unread", "curve_kurtosis", lambda x: x * 1.3, "does not begin with kurtosis"),
        ("unread", "curve_accuracy_random", lambda x: x / 10, "do not begin with one accuracy"),
        ("quantisation", "bits", lambda x: x[::-1], "bits must fall within the scheme vector"),
        ("quantisation", "kept_written", lambda x: x[::-1], "kept_written must fall with the bit"),
        ("quantisation", "vector_bits", lambda x: x * 10, "vector_bits are not the bits"),
        ("quantisation", "error_expected", lambda x: x / 10, "of vectors with this crest_written"),
        ("quantisation", "error_expected", lambda x: x[::-1], "four times as large for each bit"),
        ("quantisation", "error_measured", lambda x: x * 10, "more than half a step"),
        ("privileged_directions", "importance_centred", lambda x: x[::-1], "must fall, and have"),
        ("privileged_directions", "importance_centred_error", lambda x: x + 1e15, "so many images"),
        ("privileged_directions", "importance_centred_error", lambda x: x / 99, "so many images"),
        ("privileged_directions", "top_with_mean", lambda x: x / 10, "top_with_mean is less than"),
        ("privileged_directions", "control_random_head", lambda x: x / 10, "must lie between 1"),
        ("privileged_directions", "control_random_features", lambda x: x / 2, "must lie between"),
        ("privileged_directions", "control_random_both", lambda x: x * 2, "must lie between"),
        ("privileged_directions", "control_centred_features", lambda x: x * 0, "lie between 1 and"),
    ],
)
def test_a_wrong_number_contradicts_another(true, experiment, name, change, message):
    m = true[experiment]
    value = m.values[name]
    wrong = np.asarray(change(np.asarray(m.value(name), dtype=float))).tolist()
    values = {**m.values, name: value.model_copy(update={"value": wrong})}
    wrong = m.model_copy(update={"values": values})
    said = [*coherence(wrong), *consequences(wrong)]
    assert any(message in one for one in said), said


def changed(m, **given):
    """A measurement with other values."""
    new = {name: m.values[name].model_copy(update={"value": v}) for name, v in given.items()}
    return m.model_copy(update={"values": {**m.values, **new}})


def test_images_of_a_set_are_as_many_and_as_different_for_all(true):
    """Features and basis are of all images; what is refused is the file that is looked at."""
    one = true["basis"]
    more = one.model_copy(update={"counts": {**one.counts, "images": IMAGES + 1}})
    said = [*contradictions(more, [*true.values()])]
    assert f"is {IMAGES + 1}, in the outlier_features of the same images it is {IMAGES}" in said[-1]
    fewer = changed(true["outlier_features"], distinct_images=IMAGES // 4)
    said = [*contradictions(fewer, [*true.values()])]
    assert any("distinct_images is 11, and distinct_images is 44" in one for one in said), said


def test_what_the_mean_has_of_an_energy_is_at_most_all_of_it(true):
    """For whichever texts; what is dropped of the mean and of the rest is all that is dropped."""
    m = true["unread"]
    inside = 1 - np.asarray(m.value("mean_inside")) / 9
    said = [*contradictions(changed(m, mean_inside=inside.tolist()), [*true.values()])]
    assert any("mean_inside and energy leave less than nothing" in one for one in said)


def test_a_leader_at_its_mean_gives_kurtosis(true):
    m = true["interventions"]
    less = float(m.value("kurtosis_leader_at_mean")) / 10
    said = [*contradictions(changed(m, kurtosis_leader_at_mean=less), [*true.values()])]
    assert any("kurtosis_leader_at_mean is less than" in one for one in said), said


def test_a_head_of_two_classes_leaves_one_importance_whose_error_is_none():
    h = np.random.default_rng(0).normal(size=(IMAGES, WIDTH))
    numbers = measures.privileged_directions(h, h[:2])
    m = kept("privileged_directions", numbers, {}, bias=False)
    assert len(m.value("importance_centred")) == 1 and m.value("importance_centred_error") == 0
    assert [*coherence(m), *consequences(m)] == []


@pytest.mark.parametrize(
    ("what", "images", "wrong"),
    [
        ("45 made-up images", IMAGES, True),
        ("45 photographs of 2 kinds, 44 of them sharp", IMAGES, False),
        ("photographs of 2019 to 2021", IMAGES, False),
        ("birds-2020, images listed by manifest 9f7cca3e", IMAGES, False),
        ("46 images; 2 damaged images left out", IMAGES, False),
    ],
)
def test_what_is_said_of_images_is_no_number_of_something_else(true, what, images, wrong):
    m = true["basis"]
    told = m.model_copy(update={"data": records.Data(name="made_up", what=what)})
    assert bool([*contradictions(told, [])]) == wrong


def test_what_chance_does_not_give_is_unusual(true):
    turned = np.asarray(true["outlier_features"].value("sample"))[:, ::-1].tolist()
    for name, given, says in (
        ("outlier_features", {"sample": turned}, "sample has its largest numbers"),
        ("basis", {"effective_rank": float(IMAGES)}, "effective_rank is above"),
    ):
        said = [*unusual(changed(true[name], **given), [])]
        assert any(one.startswith(says) for one in said), said


def test_more_equal_classes_where_more_is_dropped_are_unusual(true):
    m = true["unread"]
    fewer = np.linspace(1, 0.5, np.shape(m.value("equal_without"))[-1])
    for equal, says in ((fewer, False), (fewer[::-1], True)):
        said = [*unusual(changed(m, equal_without=[equal.tolist()]), [])]
        assert any("equal_without rises" in one for one in said) == says
