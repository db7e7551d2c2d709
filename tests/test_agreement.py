"""What identities and other files refuse, and what is true by construction, which none refuses."""

import numpy as np
import pytest

from analysis.families.registry import load_families
from companion.checks import plausible
from companion.checks.agreement import contradictions
from companion.checks.relations import coherence, kurtosis_with_constant
from companion.measurements import (
    bits,
    invariance,
    measures,
    quantities,
    records,
    unread,
)
from companion.measurements.measurement import Data
from companion.measurements.provenance import OWN_CLASSIFIER
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
        data=Data(name="made_up", what=f"{IMAGES} made-up images"),
        counts={"images": IMAGES, "components": WIDTH} | ({} if headless else {"classes": CLASSES}),
        provenance=known.provenance.model_copy(update={"head": "" if headless else head}),
    )


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_no_true_measurement_is_refused(kind, bias):
    """Whatever the features are, and whether the head sees them at length 1 or as they are."""
    found = measured(kind, bias)
    for m in found.values():
        said = [*coherence(m), *contradictions(m, [*found.values()])]
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
        ("basis", "persistence_rotated", lambda x: x / 7, "no whole number of 44 images"),
        (
            "interventions",
            "accuracy_without_leader",
            lambda x: (1 + x) / 7,
            "no whole number of 44",
        ),
        ("pruning", "accuracy_without_each", lambda x: x / 10, "no whole number of 44"),
        ("unread", "equal_without", lambda x: 0 * x + 1, "than equal_without leaves to change"),
        ("unread", "control_equal", lambda x: 0 * x + 1, "than control_equal leaves to change"),
        ("unread", "curve_kurtosis", lambda x: x * 1.3, "curve_kurtosis must begin with kurtosis"),
        ("pruning", "accuracy_reversed", lambda x: x / 2, "and the last of accuracy_reversed is"),
        ("interventions", "kurtosis_shifted", lambda x: x * 2, "with these constants added"),
        ("privileged_directions", "importance_centred", lambda x: x * 2, "have the mean 1"),
    ],
)
def test_a_wrong_number_contradicts_another(true, experiment, name, change, message):
    m = true[experiment]
    value = m.values[name]
    wrong = np.asarray(change(np.asarray(m.value(name), dtype=float))).tolist()
    values = {**m.values, name: value.model_copy(update={"value": wrong})}
    wrong = m.model_copy(update={"values": values})
    said = [*coherence(wrong), *contradictions(wrong, [])]
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


def test_a_head_of_two_classes_leaves_one_importance_whose_error_is_none():
    h = np.random.default_rng(0).normal(size=(IMAGES, WIDTH))
    numbers = measures.privileged_directions(h, h[:2])
    m = kept("privileged_directions", numbers, {}, bias=False)
    assert len(m.value("importance_centred")) == 1 and m.value("importance_centred_error") == 0
    assert [*coherence(m)] == []


#: Images that are nearly alike → the coordinate that leads in them.
NARROW = {"sunsets": 5, "one picture and its copies": 17, "two unequal kinds": 29}


def of_narrow_images(kind, name):
    """A measurement of images that are nearly alike, led by a coordinate of their own; features."""
    leader = NARROW.get(kind, 3)
    rng = np.random.default_rng(leader)
    h = rng.normal(size=(IMAGES, WIDTH)) + 40 * (np.arange(WIDTH) == leader)
    h *= 1 + 3 * rng.random(WIDTH)
    if kind == "one picture and its copies":
        h[1:-1] = h[0]
    elif kind == "two unequal kinds":
        h = (
            h[0]
            + np.where(np.arange(IMAGES)[:, None] < 4, 5 * h[1], 0)
            + rng.normal(0, 0.1, h.shape)
        )
    m = kept("outlier_features", measures.outlier_features(h), {}, bias=False)
    return m.model_copy(update={"data": Data(name=name, what=f"{IMAGES} {kind}")}), h


@pytest.mark.parametrize("kind", NARROW)
def test_what_contradicts_the_book_is_no_fault(kind):
    """Other leaders and other profiles on narrow sets are evidence."""
    broad, _ = of_narrow_images("seas and many other things", "seas")
    m, h = of_narrow_images(kind, "narrow")
    assert [*coherence(m), *contradictions(m, [broad, m])] == []
    labels, weight = np.arange(IMAGES) % CLASSES, np.random.default_rng(1).normal(size=(4, WIDTH))
    judge = invariance.Judge(weight, None, np.arange(CLASSES), labels)
    for name, numbers in (
        ("basis", invariance.basis(h)),
        ("privileged_directions", measures.privileged_directions(h, weight)),
        ("interventions", invariance.interventions(h, judge)),
    ):
        of_h = kept(name, numbers, {}, bias=False).model_copy(update={"data": m.data})
        assert [*coherence(of_h), *contradictions(of_h, [broad, m, of_h])] == [], name


def test_kurtosis_with_a_constant_lies_between_the_two():
    """Of a Gaussian vector of length 1 with a constant added, directly."""
    rng, width = np.random.default_rng(0), 512
    h = rng.normal(size=(200, width))
    h /= np.linalg.norm(h, axis=1, keepdims=True)
    for c in (0.0, 0.5, 2.0):
        moved = h + c * (np.arange(width) == 0)
        centred = moved - moved.mean(axis=1, keepdims=True)
        kurtosis = (width * (centred**4).sum(axis=1) / (centred**2).sum(axis=1) ** 2).mean()
        low, high = kurtosis_with_constant(np.array(c), np.array(3.0), width)
        assert 0.9 * low < kurtosis < 1.1 * high
        assert high < 1.6 * low + 1 or c == 0.5


def test_what_quantities_are_held_against_exists():
    """`same_as`, `last_as` and `share_of` of `data/quantities.yaml` name what is measured."""
    every = quantities.declared()
    for kind in every.values():
        for name, about in kind.quantities.items():
            for of in filter(None, (about.same_as, about.last_as)):
                experiment, _, other = of.partition(".")
                there = every[experiment].quantities[other]
                assert there.unit == about.unit and not (there.same_as or there.shape), name
                assert bool(about.shape) == bool(about.last_as), name
            assert {*about.share_of} <= {*kind.counted, *kind.quantities}, name
            assert about.shape or not about.choice, name


def test_a_texture_that_does_not_exist_is_refused(tmp_path):
    (known,) = records.read_all("textures")
    names = ["mesh" if name == "meshed" else name for name in known.names["along_top"]]
    path = records.write(known.model_copy(update={"names": {"along_top": names}}), tmp_path)
    (said,) = plausible.problems(path, load_families())
    assert (
        "it names 'mesh', no class of these photographs: the nearest of the 47 known are meshed"
        in said
    )
