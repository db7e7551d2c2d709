"""Pruning under shift against literal loops, and what happens at the ends of the scale."""

import itertools
import math

import numpy as np
import pytest

from analysis.metrics import directions, pruning
from analysis.metrics.pruning import Curves, Images
from analysis.metrics.robustness import Baseline, effective_robustness
from companion.measurements import pruned_shifts

BASELINE = Baseline(slope=0.8, intercept=-1.2, r=0.9)
REFITS = [Baseline(0.8, -1.2, 0.9), Baseline(1.1, -1.0, 0.8), Baseline(0.6, -1.4, 0.9)]


@pytest.fixture
def task():
    """A head of 6 classes; a training distribution and two shifts, one of them of 3 classes."""
    rng = np.random.default_rng(0)
    head = rng.normal(size=(6, 9))
    subset = np.array([0, 2, 5])

    def images(n, classes, noise):
        labels = rng.choice(classes, n)
        return Images(
            head[labels] + rng.normal(scale=noise, size=(n, 9)), labels, rng.integers(0, 25, n),
            subset if len(classes) == 3 else None,
        )  # fmt: skip

    sets = [images(70, range(6), 2.0), images(50, range(6), 3.0), images(40, subset, 3.0)]
    parts = directions.decompose(head)
    order = directions.pruning_order(directions.importance(sets[0].features, parts), "importance")
    return head, parts, order, sets


def flags(task):
    _, parts, order, sets = task
    return [pruning.right(one, parts, order) for one in sets]


def literal_right(head, order, keep, one):
    """Whether each image is classified right by the rebuilt head, image by image."""
    left, values, rows = np.linalg.svd(head, full_matrices=False)
    smaller = sum(values[i] * np.outer(left[:, i], rows[i]) for i in order[:keep])
    allowed = range(len(head)) if one.class_subset is None else one.class_subset
    return [
        max(allowed, key=lambda c, h=h: smaller[c] @ h) == label
        for h, label in zip(one.features, one.labels, strict=True)
    ]


def test_curves_are_those_of_a_literal_loop(task):
    head, _, order, sets = task
    found = pruning.curves(flags(task)[0], flags(task)[1:], BASELINE)
    for keep in range(1, 7):
        inside, *outside = (np.mean(literal_right(head, order, keep, one)) for one in sets)
        mean = sum(outside) / 2
        assert found.inside[keep - 1] == pytest.approx(inside)
        assert found.outside[keep - 1] == pytest.approx(mean)
        expected = effective_robustness(mean, inside, BASELINE)
        assert found.robustness[keep - 1] == pytest.approx(float(expected))


def test_resampling_draws_the_same_units_everywhere(task):
    sets = task[3]
    pairs = [(f, one.units) for f, one in zip(flags(task), sets, strict=True)]
    drawn = pruning.resampled_curves(pairs[0], pairs[1:], REFITS, seed=4)
    known = sorted({int(unit) for one in sets for unit in one.units})
    counts = np.random.default_rng(4).multinomial(len(known), [1 / len(known)] * len(known), 3)
    for number, line in enumerate(REFITS):
        times = dict(zip(known, counts[number], strict=True))
        for keep in range(6):
            accuracies = []
            for right, units in pairs:
                chosen = [r for r, u in zip(right[keep], units, strict=True)
                          for _ in range(times[int(u)])]  # fmt: skip
                accuracies.append(sum(chosen) / len(chosen))
            inside, outside = accuracies[0], sum(accuracies[1:]) / 2
            assert drawn.inside[number, keep] == pytest.approx(inside)
            assert drawn.outside[number, keep] == pytest.approx(outside)
            expected = float(effective_robustness(outside, inside, line))
            assert drawn.robustness[number, keep] == pytest.approx(expected)
    again = pruning.resampled_curves(pairs[0], pairs[1:], REFITS, seed=4)
    np.testing.assert_array_equal(drawn.robustness, again.robustness)


def test_what_pruning_changes_is_paired_within_each_resample(task):
    units = [one.units for one in task[3]]
    sweep = pruning.sweep(flags(task), units, BASELINE, REFITS, seed=1)
    for part in (sweep.change, sweep.change_low, sweep.change_high):
        assert part.inside[-1] == part.outside[-1] == part.robustness[-1] == 0
    np.testing.assert_allclose(sweep.change.inside, sweep.curves.inside - sweep.curves.inside[-1])
    assert (sweep.low.robustness <= sweep.high.robustness).all()


def test_some_steps_are_those_of_all_steps(task):
    _, parts, order, sets = task
    kept = np.array([1, 3, 6])
    bias = np.linspace(-2, 2, 6)
    for one in sets:
        every = directions.right_at_every_step(
            one.features, one.labels, parts, order, one.class_subset, bias
        )
        np.testing.assert_array_equal(pruning.right(one, parts, order, bias), every)
        np.testing.assert_array_equal(pruning.right(one, parts, order, bias, kept), every[kept - 1])
    with pytest.raises(ValueError, match="label 1 is none of the 3 classes that compete"):
        pruning.right(Images(sets[0].features, np.ones(70, int), None, sets[2].class_subset), parts,
                     order)  # fmt: skip


def test_several_rows_of_the_head_may_be_one_class(task):
    head, parts, order, sets = task
    features = sets[0].features
    rows, owners = np.array([0, 1, 4, 5]), np.array([0, 0, 1, 2])
    labels = np.random.default_rng(1).integers(0, 3, len(features))
    found = pruning.right(Images(features, labels, None, rows, owners), parts, order)
    left, values, vectors = np.linalg.svd(head, full_matrices=False)
    for keep in range(1, 7):
        smaller = sum(values[i] * np.outer(left[:, i], vectors[i]) for i in order[:keep])
        pairs = list(zip(rows, owners, strict=True))
        best = [max(pairs, key=lambda r, h=h, w=smaller: w[r[0]] @ h)[1] for h in features]
        assert found[keep - 1].tolist() == (np.array(best) == labels).tolist()


def test_intervals_from_test_sets_agree_with_resampled_images():
    rng = np.random.default_rng(3)
    sizes, base = (4000, 1500, 900), (0.7, 0.4, 0.5)
    flags = []
    for n, a in zip(sizes, base, strict=True):
        whole = rng.random(n) < a
        less = [np.where(rng.random(n) < drop, False, whole) for drop in (0.5, 0.1)]
        flags.append(np.array([*less, whole]))
    found = pruning.sampled(flags, BASELINE, np.array([2, 5, 9]))
    ends = np.cumsum((0, *sizes))
    units = [np.arange(low, high) for low, high in itertools.pairwise(ends)]
    drawn = pruning.sweep(flags, units, BASELINE, [BASELINE] * 1500, seed=2)
    for quantity in ("inside", "outside", "robustness"):
        for part in ("", "change_"):
            ours, theirs = (
                getattr(getattr(one, f"{part}high"), quantity)
                - getattr(getattr(one, f"{part}low"), quantity)
                for one in (found, drawn)
            )
            np.testing.assert_allclose(ours, theirs, rtol=0.08, atol=1e-12)
        point = getattr(drawn.curves, quantity)
        np.testing.assert_allclose(getattr(found.curves, quantity), point)
    assert (found.at(5), found.steps[-1]) == (1, 9)
    with pytest.raises(ValueError, match=r"no step keeps 4 directions; the steps keep \[2 5 9\]"):
        found.at(4)
    never = pruning.sampled([np.zeros((1, 5), bool), np.ones((1, 5), bool)], BASELINE)
    assert np.isnan(never.low.robustness[0]) and never.low.outside[0] == 1


def test_random_orders_are_shown_by_mean_and_range():
    found = [Curves(*(np.array([a, b]) for _ in range(3))) for a, b in [(0.1, 0.5), (0.3, 0.4)]]
    spread = pruning.spread(found)
    np.testing.assert_allclose(spread.curves.inside, [0.2, 0.45])
    np.testing.assert_allclose(spread.low.robustness, [0.1, 0.4])
    np.testing.assert_allclose(spread.high.outside, [0.3, 0.5])
    assert spread.change is None
    with pytest.raises(ValueError, match="random orders have no interval"):
        pruned_shifts.fewest_without_loss(spread, "inside")


def test_the_baseline_has_limits_where_the_logit_is_infinite():
    lines = [Baseline(0.8, -1.0, 1), Baseline(-0.5, -1.0, 1), Baseline(0.0, -1.0, 1)]
    found = pruning.expected([0.0, 0.5, 1.0], lines)
    middle = 1 / (1 + math.e)
    np.testing.assert_allclose(found, [[0, middle, 1], [1, middle, 0], [middle, middle, middle]])
    near = pruning.expected([1e-12, 0.5, 1 - 1e-12], lines[:1])
    np.testing.assert_allclose(near, found[:1], atol=1e-9)


def test_a_resample_without_images_is_refused():
    right = np.ones((2, 3), dtype=bool)
    weights = np.array([[1, 0, 2], [0, 0, 0]])
    with pytest.raises(ValueError, match="1 of 2 resamples hold none of the 3 images"):
        pruning.weighted_accuracy(right, weights)


def test_fewest_directions_without_an_established_loss():
    zero = np.zeros(5)
    high = Curves(np.array([-0.2, 0.1, -0.1, 0.0, 0.0]), zero, zero)
    sweep = pruning.Sweep(high, high, high, high, high, high)
    assert pruned_shifts.fewest_without_loss(sweep, "inside") == 4  # with 3 kept there is a loss
    assert pruned_shifts.fewest_without_loss(sweep, "outside") == 1
    some = pruning.Sweep(high, high, high, high, high, high, np.array([3, 6, 9, 20, 40]))
    assert pruned_shifts.fewest_without_loss(some, "inside") == 20
