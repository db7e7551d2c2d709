"""Pruning against literal loops, its intervals against resampled images, and bad input."""

import itertools

import numpy as np
import pytest
import scipy.linalg
from conftest import refuses
from scipy.optimize import minimize_scalar
from scipy.special import xlogy

from analysis.metrics import outliers, paired, pruning
from analysis.metrics.directions import decompose, importance
from analysis.metrics.pruning import (
    Images,
    accuracy_without_each,
    fewest_kept_without_loss,
    paired_difference,
    prune,
    pruning_curve,
    pruning_order,
    right_at_every_step,
)
from analysis.metrics.robustness import NORMAL_95, Baseline, effective_robustness

RNG = np.random.default_rng(0)
HEAD = RNG.normal(size=(12, 20)) + 0.5
LABELS = RNG.integers(0, 12, 60)
FEATURES = HEAD[LABELS] + 3 * RNG.normal(size=(60, 20))
BIAS = RNG.normal(size=12) * 5
ORDER = pruning_order(importance(FEATURES, HEAD), "importance")
BASELINE = Baseline(slope=0.8, intercept=-1.2, r=0.9)
REFITS = [Baseline(0.8, -1.2, 0.9), Baseline(1.1, -1.0, 0.8), Baseline(0.6, -1.4, 0.9)]


def rebuilt(kept):
    """The head from the kept terms, on SciPy's decomposition."""
    u, s, vt = scipy.linalg.svd(HEAD, full_matrices=False)
    return sum((s[i] * np.outer(u[:, i], vt[i]) for i in kept), np.zeros(HEAD.shape))


def literal(features, labels, kept, rows=range(12), owners=range(12), bias=(0,) * 12):
    """Whether each image is classified right by the rebuilt head, image by image."""
    head, of_row = rebuilt(kept), dict(zip(rows, owners, strict=True))
    best = (max(rows, key=lambda r, h=h: head[r] @ h + bias[r]) for h in features)
    return [of_row[row] == label for row, label in zip(best, labels, strict=True)]


def test_directions_are_ordered_by_importance_singular_value_or_seed():
    values = np.array([0.3, 0.5, 0.1, 0.5])
    assert pruning_order(values, "importance").tolist() == [1, 3, 0, 2]
    assert pruning_order(values, "reversed").tolist() == [2, 0, 3, 1]
    assert pruning_order(values, "singular_value").tolist() == [0, 1, 2, 3]
    many = np.arange(100.0)
    first = pruning_order(many, "random", seed=3)
    np.testing.assert_array_equal(first, pruning_order(many, "random", seed=3))
    assert (first != pruning_order(many, "random", seed=4)).any()
    np.testing.assert_array_equal(np.sort(first), np.arange(100))


def test_pruning_keeps_the_first_terms():
    for keep in (0, 4, 12):
        np.testing.assert_allclose(prune(HEAD, ORDER, keep), rebuilt(ORDER[:keep]), atol=1e-12)


SUBSET = np.array([10, 1, 5, 4])  # in no order
SOME = np.isin(LABELS, SUBSET)
OWNERS = np.array([7, 2, 7, 0])
ALL, FEW = (FEATURES, LABELS), (FEATURES[SOME], LABELS[SOME])
OF_OWNERS = (FEATURES, np.array([0, 2, 7])[LABELS % 3])
FEW_ROWS = {"class_subset": SUBSET, "bias": BIAS}
CASES = {
    "plain": (ALL, {}, {}),
    "reversed": (ALL, {"order": ORDER[::-1]}, {}),
    "with a bias": (ALL, {"bias": BIAS}, {"bias": BIAS}),
    "fewer classes": (FEW, FEW_ROWS, {"rows": SUBSET, "owners": SUBSET, "bias": BIAS}),
    "several rows of a class": (
        OF_OWNERS,
        {"class_subset": SUBSET, "owners": OWNERS},
        {"rows": SUBSET, "owners": OWNERS},
    ),
}


@pytest.mark.parametrize("task, given, meant", CASES.values(), ids=CASES)
def test_the_sweep_is_every_step_computed_afresh(task, given, meant, monkeypatch, tmp_path):
    options = {"order": ORDER} | given
    right = right_at_every_step(*task, HEAD, **options)
    expected = [literal(*task, options["order"][:k], **meant) for k in range(1, 13)]
    np.testing.assert_array_equal(right, expected)
    kept = np.array([1, 3, 4, 9, 12])
    some = right_at_every_step(*task, HEAD, **options, kept=kept)
    np.testing.assert_array_equal(some, right[kept - 1])
    np.save(tmp_path / "h.npy", task[0])
    monkeypatch.setattr(outliers, "BLOCK_BYTES", 7 * 8 * 20)
    monkeypatch.setattr(pruning, "LOGIT_BYTES", 5 * 8 * 12)
    mapped = np.load(tmp_path / "h.npy", mmap_mode="r")
    blocks = right_at_every_step(mapped, task[1], decompose(HEAD), **options)
    np.testing.assert_array_equal(blocks, right)


def test_leaving_out_each_direction():
    accuracies = accuracy_without_each(FEATURES[SOME], LABELS[SOME], HEAD, SUBSET, BIAS)
    for left_out in range(12):
        others = np.delete(np.arange(12), left_out)
        afresh = literal(FEATURES[SOME], LABELS[SOME], others, SUBSET, SUBSET, BIAS)
        assert accuracies[left_out] == np.mean(afresh)


def test_paired_difference_is_mcnemars():
    reference = np.array([1, 1, 1, 0, 0, 1, 0, 1], dtype=bool)
    right = np.array([[1, 0, 1, 1, 0, 0, 0, 1], reference], dtype=bool)
    difference, error = paired_difference(right, reference)
    lost, gained, n = 2, 1, 8
    assert difference[0] == pytest.approx((gained - lost) / n)
    assert error[0] == pytest.approx(np.sqrt(gained + lost - (gained - lost) ** 2 / n) / n)
    assert (difference[1], error[1]) == (0, 0)


def score(gained, lost, n, delta):
    """The score statistic by definition: the likelihood given δ is maximised numerically."""

    def unlikely(p):
        return -sum(
            xlogy(*pair)
            for pair in ((gained, p + delta), (lost, p), (n - gained - lost, 1 - 2 * p - delta))
        )

    bounds = (max(0, -delta), (1 - delta) / 2)
    p = minimize_scalar(unlikely, bounds=bounds, method="bounded", options={"xatol": 1e-12}).x
    return (gained - lost - n * delta) / np.sqrt(n * (2 * p + delta - delta**2))


@pytest.mark.parametrize("counts", [(1, 7, 21), (40, 20, 160), (0, 5, 25), (3, 0, 1000), (2, 2, 9)])
def test_the_ends_of_a_paired_interval_solve_the_score_equation(counts):
    low, high = paired.score_interval(*counts)
    gained, lost, n = counts
    assert low < (gained - lost) / n < high
    assert score(*counts, low) == pytest.approx(NORMAL_95, abs=1e-3)
    assert score(*counts, high) == pytest.approx(-NORMAL_95, abs=1e-3)
    mirrored = paired.score_interval(lost, gained, n)
    assert np.negative(mirrored[::-1]) == pytest.approx(np.array([low, high]), abs=1e-12)


def test_a_published_paired_interval():
    """Fagerland, Lydersen and Laake 2014: Tango's of 21 children, 1 against 7 discordant."""
    assert np.round(paired.score_interval(1, 7, 21), 3).tolist() == [-0.517, -0.026]


def test_no_image_that_flips_leaves_a_bound_and_all_of_them_the_end():
    for n in (20, 100, 50_000):
        bound = NORMAL_95**2 / (n + NORMAL_95**2)
        ends = np.array(paired.score_interval(0, 0, n))
        assert ends == pytest.approx(np.array([-bound, bound]), rel=1e-4)
    assert paired.score_interval(50, 0, 50)[1] == 1 and paired.score_interval(0, 50, 50)[0] == -1


def test_counts_of_a_paired_difference_are_found_again():
    rng = np.random.default_rng(0)
    right, reference = rng.random((5, 200)) < 0.7, rng.random(200) < 0.6
    right[0] = reference
    counts = paired.discordant(*paired_difference(right, reference), 200)
    for found, of in zip(counts, ((right & ~reference), (~right & reference)), strict=True):
        np.testing.assert_allclose(found, of.sum(axis=1), atol=1e-9)


def test_an_interval_covers_the_true_difference_as_often_as_it_says():
    """Where one image in 100 differs the usual interval is of width zero a third of the time."""
    rng, n, draws, loss = np.random.default_rng(0), 100, 4000, 0.01
    lost = rng.binomial(n, loss, draws)
    low, high = paired.score_interval(np.zeros(draws), lost, n)
    assert 0.94 < ((low <= -loss) & (-loss <= high)).mean() <= 1
    half = NORMAL_95 * np.sqrt(lost / n - (lost / n) ** 2) / np.sqrt(n)
    assert (abs(loss - lost / n) <= half).mean() < 0.7


def test_fewest_directions_without_an_established_loss():
    high = [-0.2, 0.1, -0.1, 0.0, 0.0]  # with 3 kept there is a loss
    for given, fewest in ((high, 4), (np.zeros(5), 1), ([np.nan], 1)):
        assert fewest_kept_without_loss(given) == fewest


# Several data sets -------------------------------------------------------------------------------


def shift(seed, rows=None):
    """Images of a harder data set, perhaps of some classes only, with units."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(np.arange(12) if rows is None else rows, 50)
    features = HEAD[labels] + 4 * rng.normal(size=(50, 20))
    return Images(features, labels, rng.integers(0, 25, 50), rows)


SETS = [Images(FEATURES, LABELS, RNG.integers(0, 25, 60)), shift(1), shift(2, SUBSET)]


def test_resampling_draws_the_same_units_everywhere_and_pairs_the_heads():
    units = [of_set.units for of_set in SETS]
    flags = [right_at_every_step(o.features, o.labels, HEAD, ORDER, o.class_subset) for o in SETS]
    result = pruning.resampled(flags, units, BASELINE, REFITS, seed=4)
    pool = sorted({int(unit) for of_set in units for unit in of_set})
    counts = np.random.default_rng(4).multinomial(len(pool), [1 / len(pool)] * len(pool), 3)
    drawn = np.empty((3, 3, 12))
    for number, line in enumerate(REFITS):
        times = dict(zip(pool, counts[number], strict=True))
        for step in range(12):
            inside, *outside = (
                np.average(right[step], weights=[times[u] for u in units_of.tolist()])
                for right, units_of in zip(flags, units, strict=True)
            )
            mean = sum(outside) / 2
            drawn[:, number, step] = inside, mean, float(effective_robustness(mean, inside, line))
    for ends, values in (
        ((result.low, result.high), drawn),
        ((result.change_low, result.change_high), drawn - drawn[:, :, -1:]),
    ):
        np.testing.assert_allclose(ends, np.percentile(values, [2.5, 97.5], axis=1))
    inside = result.curves.inside
    np.testing.assert_allclose(result.change.inside, inside - inside[-1])


def test_intervals_from_test_sets_agree_with_resampled_images():
    rng = np.random.default_rng(3)
    sizes, base = (4000, 1500, 900), (0.7, 0.4, 0.5)
    flags = []
    for n, a in zip(sizes, base, strict=True):
        whole = rng.random(n) < a
        less = [np.where(rng.random(n) < drop, False, whole) for drop in (0.5, 0.1)]
        flags.append(np.array([*less, whole]))
    sampled = pruning.sampled(flags, BASELINE, np.array([2, 5, 9]))
    ends = np.cumsum((0, *sizes))
    units = [np.arange(low, high) for low, high in itertools.pairwise(ends)]
    drawn = pruning.resampled(flags, units, BASELINE, [BASELINE] * 1500, seed=2)
    np.testing.assert_allclose(sampled.curves, drawn.curves)
    assert sampled.steps.tolist() == [2, 5, 9]
    for high, low in (("high", "low"), ("change_high", "change_low")):
        ways = (sampled, drawn)
        ours, theirs = (np.subtract(getattr(way, high), getattr(way, low)) for way in ways)
        np.testing.assert_allclose(ours, theirs, rtol=0.08, atol=1e-12)
    never = pruning.sampled([np.zeros((1, 5), bool), np.ones((1, 5), bool)], BASELINE, [9])
    assert np.isnan(never.low.robustness[0]) and never.low.outside[0] == 1


def test_random_orders_have_a_mean_and_a_range():
    parts, steps = decompose(HEAD), np.array([4, 12])
    sweep = pruning.sweeps(SETS, parts, None, ["random"], BASELINE, None, 3, steps)["random"]
    drawn = []
    for seed in range(3):
        order = pruning_order(np.ones(12), "random", seed)
        flags = [
            right_at_every_step(o.features, o.labels, parts, order, o.class_subset, kept=steps)
            for o in SETS
        ]
        drawn.append(pruning.curves(flags, BASELINE))
    for curves, of in ((sweep.curves, np.mean), (sweep.low, np.min), (sweep.high, np.max)):
        np.testing.assert_array_equal(curves, of(drawn, axis=0))
    assert sweep.change is None and sweep.steps is steps


test_bad_input_is_named = refuses(
    (lambda: pruning_curve(FEATURES, LABELS, HEAD, ORDER[:5]), "each of the 12 directions"),
    (lambda: pruning_curve(FEATURES, LABELS, HEAD, ORDER * 0), "each of the 12 directions"),
    (lambda: pruning_curve(FEATURES[:, :9], LABELS, HEAD, ORDER), "the head reads 20"),
    (lambda: pruning_curve(FEATURES, LABELS[:9], HEAD, ORDER), "60 images need one label each"),
    (lambda: pruning_curve(FEATURES, LABELS + 12, HEAD, ORDER), "of the 12 classes"),
    (lambda: right_at_every_step(*ALL, HEAD, ORDER, class_subset=[0]), "of the 1 classes that c"),
)
