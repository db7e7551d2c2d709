"""Average precision of directions: against scikit-learn, by hand, by enumeration, and bad input."""

import math
import os
import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.metrics import average_precision_score

from analysis.metrics import average_precision as concepts
from analysis.metrics.average_precision import (
    average_precision,
    average_precision_on,
    balanced_average_precision,
    balanced_sample,
    beyond_chance,
    chance_encoding_probability,
    encoded,
    expected_by_chance,
    overlap,
    permuted,
    polysemanticity,
    project,
    random_directions,
    top_concepts,
    unique_concepts,
)
from benchmarks.concepts import broden_like

ROOT = Path(__file__).resolve().parents[1]
ENGINES = ["compiled", "numpy"]


@pytest.fixture
def labels():
    """(120, 9): rare and common concepts, one without positives and one that all images show."""
    rng = np.random.default_rng(0)
    dense = rng.random((120, 9)) < [0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.9, 0, 1]
    dense[3, :7] = True
    return scipy.sparse.csr_array(dense)


@pytest.fixture
def scores():
    return np.random.default_rng(1).normal(size=(120, 5))


def oracle(scores, labels, sign=1.0):
    """scikit-learn, pair by pair; NaN where it would warn that there is no positive."""
    dense, wide = labels.toarray() != 0, sign * scores.astype(np.float64)
    return np.array(
        [
            [average_precision_score(c, s) if c.any() else np.nan for c in dense.T]
            for s in wide.T
        ]
    ).reshape(scores.shape[1], labels.shape[1])  # fmt: skip


def kinds_of_scores():
    rng = np.random.default_rng(2)
    normal = rng.normal(size=(120, 4))
    yield "normal", normal
    yield "float32", normal.astype(np.float32)
    yield "float16", normal.astype(np.float16)
    yield "heavily tied", rng.integers(-2, 3, (120, 4)).astype(np.float32)
    yield "nearly all tied", (rng.random((120, 4)) < 0.02).astype(np.float16)
    yield "constant", np.full((120, 2), -3.0)
    yield "both zeros", np.where(normal > 0, 0.0, -0.0)
    yield "closer than float32 tells", 1 + normal * 1e-12
    yield "huge and tiny", normal * np.array([1e300, 1e-300, 1e-320, 1])
    bits = rng.integers(0, 2**32, (120, 4), dtype=np.uint32).view(np.float32)
    yield "any single-precision number", np.where(np.isfinite(bits), bits, np.float32(1e-42))
    yield "column order", np.asfortranarray(normal)
    yield "other byte order", normal.astype(">f4")
    yield "photographs", load_digits().data[:120, 18:24]
    yield "measurements", load_breast_cancer().data[:120, :4]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("values", [pytest.param(v, id=k) for k, v in kinds_of_scores()])
def test_it_is_scikit_learns(values, labels, engine):
    given, negated = oracle(values, labels), oracle(values, labels, -1.0)
    found = average_precision(values, labels, engine=engine)
    np.testing.assert_allclose(found, given, atol=1e-12, rtol=0)
    both = average_precision(values, labels, engine=engine, signs="both")
    np.testing.assert_allclose(both, np.maximum(given, negated), atol=1e-12, rtol=0)


@pytest.mark.parametrize("engine", ENGINES)
def test_real_pictures_and_classes(engine):
    digits = load_digits()
    classes = scipy.sparse.csr_array(digits.target[:, None] == np.arange(10))
    pixels = digits.data[:, [10, 21, 36, 42]].astype(np.float32)
    found = average_precision(pixels, classes, engine=engine)
    np.testing.assert_allclose(found, oracle(pixels, classes), atol=1e-12, rtol=0)


@pytest.mark.parametrize("engine", ENGINES)
def test_hand_worked(engine):
    # Ranks of the positives: 1 and 3, so (1/1 + 2/3) / 2; reversed 2 and 4: (1/2 + 2/4) / 2.
    labels = scipy.sparse.csr_array(np.array([[1], [0], [1], [0]]))
    scores = np.array([[0.9], [0.8], [0.7], [0.6]])
    assert average_precision(scores, labels, engine=engine)[0, 0] == pytest.approx(5 / 6)
    assert average_precision(-scores, labels, engine=engine)[0, 0] == pytest.approx(1 / 2)
    # Everything tied: both positives have 2 of 4.
    assert average_precision(0 * scores, labels, engine=engine)[0, 0] == 0.5


@pytest.mark.parametrize("engine", ENGINES)
def test_the_ends_are_exact(labels, scores, engine):
    found = average_precision(scores, labels, engine=engine)
    assert np.isnan(found[:, 7]).all()
    assert (found[:, 8] == 1).all()
    separated = labels.toarray()[:, [4]].astype(np.float32)
    assert average_precision(separated, labels, engine=engine)[0, 4] == 1


def awkward_labels(dense):
    """The same labels in other clothes."""
    values = np.where(dense, -2.5, 0)
    yield scipy.sparse.csr_matrix(values)
    yield scipy.sparse.csc_array(dense)
    yield scipy.sparse.coo_array(dense.astype(np.uint8))
    everywhere = np.indices(dense.shape).reshape(2, -1)
    yield scipy.sparse.coo_array((values.ravel(), everywhere), shape=dense.shape).tocsr()
    rows, columns = dense.nonzero()
    twice = np.concatenate([rows, rows[::-1]]), np.concatenate([columns, columns[::-1]])
    yield scipy.sparse.coo_array((np.ones(2 * len(rows)), twice), shape=dense.shape)
    plain = scipy.sparse.csr_array(dense)
    doubled = np.repeat(plain.indices, 2), 2 * plain.indptr
    yield scipy.sparse.csr_array((np.ones(2 * plain.nnz, bool), *doubled), shape=dense.shape)
    unsorted = scipy.sparse.csr_array(dense)[:, ::-1].copy()
    unsorted.indices = dense.shape[1] - 1 - unsorted.indices
    unsorted.has_sorted_indices = unsorted.has_canonical_format = False
    yield unsorted


def test_any_sparse_labels_and_theirs_stay_untouched(labels, scores):
    expected = average_precision(scores, labels)
    for given in awkward_labels(labels.toarray()):
        before = given.copy()
        np.testing.assert_array_equal(average_precision(scores, given), expected)
        assert given.nnz == before.nnz and given.dtype == before.dtype
        np.testing.assert_array_equal(given.data, before.data)


def test_more_concepts_than_two_bytes_can_name(scores):
    wide = scipy.sparse.random_array((120, 70_000), density=1e-3, rng=np.random.default_rng(3))
    some = np.flatnonzero(wide.tocsc().sum(axis=0))[-20:]
    found = average_precision(scores, wide)[:, some]
    np.testing.assert_allclose(found, oracle(scores, wide.tocsc()[:, some]), atol=1e-12)


def test_empty_sides(labels, scores):
    assert average_precision(scores[:, :0], labels).shape == (0, 9)
    for engine in ENGINES:
        assert average_precision(scores, labels[:, :0], engine=engine).shape == (5, 0)


def test_threads_and_blocks_change_nothing(labels):
    values = np.random.default_rng(4).integers(0, 40, (120, 37)).astype(np.float32)
    sample = balanced_sample(labels, 0)
    expected = average_precision(values, labels, threads=1)
    on_sample = average_precision_on(values, sample, threads=1)
    for threads, memory in ((2, 2**28), (5, 2**28), (3, 30_000), (1, 10_000), (None, 12_000)):
        found = average_precision(values, labels, threads=threads, memory=memory)
        np.testing.assert_array_equal(found, expected)
        found = average_precision_on(values, sample, threads=threads, memory=memory)
        np.testing.assert_array_equal(found, on_sample)


def test_callers_may_come_in_threads(labels, scores):
    expected = average_precision(scores, labels)
    with ThreadPoolExecutor(4) as executor:
        for found in executor.map(lambda _: average_precision(scores, labels), range(8)):
            np.testing.assert_array_equal(found, expected)


# The paper's protocol


def literal(scores, sample, concept, sign=1.0):
    rows, truth = sample.members(concept)
    wide = sign * scores[rows].astype(np.float64)
    return [average_precision_score(truth, s) for s in wide.T]


@pytest.mark.parametrize("tied", [False, True])
def test_balanced_is_scikit_learn_on_the_same_draw(labels, scores, tied):
    values = scores.round() if tied else scores
    sample = balanced_sample(labels, seed=5)
    found = balanced_average_precision(values, labels, seed=5)
    both = balanced_average_precision(values, labels, seed=5, signs="both")
    for concept in range(7):
        given, negated = (literal(values, sample, concept, sign) for sign in (1.0, -1.0))
        np.testing.assert_allclose(found[:, concept], given, atol=1e-12)
        np.testing.assert_allclose(both[:, concept], np.maximum(given, negated), atol=1e-12)
    assert np.isnan(found[:, 7:]).all()


def test_a_draw_is_balanced_and_holds_what_it_says(labels):
    dense, sample = labels.toarray(), balanced_sample(labels, seed=6)
    positives = dense.sum(axis=0)
    np.testing.assert_array_equal(sample.pairs, np.minimum(positives, 120 - positives))
    for concept in range(9):
        rows, truth = sample.members(concept)
        assert len(np.unique(rows)) == len(rows) == 2 * truth.sum()
        np.testing.assert_array_equal(dense[rows, concept], truth)
        if positives[concept] <= 60:
            np.testing.assert_array_equal(rows[truth], np.flatnonzero(dense[:, concept]))


def test_every_negative_is_as_likely():
    labels = scipy.sparse.csr_array(np.arange(10)[:, None] % 3 == 0)
    drawn = [balanced_sample(labels, seed).rows[4:] for seed in range(600)]
    counts = np.bincount(np.concatenate(drawn), minlength=10)
    np.testing.assert_array_equal(np.flatnonzero(counts), [1, 2, 4, 5, 7, 8])
    assert abs(counts[counts > 0] - 400).max() < 4 * np.sqrt(600 * 2 / 9)


def test_seeds_and_other_concepts(labels):
    sample = balanced_sample(labels, seed=7)
    np.testing.assert_array_equal(sample.rows, balanced_sample(labels, seed=7).rows)
    assert (sample.rows != balanced_sample(labels, seed=8).rows).any()
    fewer = balanced_sample(labels[:, :4], seed=7)
    np.testing.assert_array_equal(fewer.rows, sample.rows[: len(fewer.rows)])
    moved = balanced_sample(labels[:, [4, 2]], seed=7, keys=[4, 2])
    for place, concept in enumerate([4, 2]):
        np.testing.assert_array_equal(moved.members(place)[0], sample.members(concept)[0])


def test_concepts_with_few_positives_are_left_out(labels, scores):
    positives = labels.toarray().sum(axis=0)
    minimum = int(positives[2])  # reached by exactly this many too
    found = balanced_average_precision(scores, labels, seed=0, minimum=minimum)
    left_out = (positives < minimum) | (positives == 120)
    assert 2 < left_out.sum() < 9
    np.testing.assert_array_equal(np.isnan(found).all(axis=0), left_out)
    plain = balanced_average_precision(scores, labels, seed=0)
    np.testing.assert_array_equal(found[:, ~left_out], plain[:, ~left_out])


def test_permuted_labels_and_permuted_draws_agree(labels, scores):
    shuffled = permuted(labels, seed=9)
    dense, original = shuffled.toarray(), labels.toarray()
    assert (dense != original).any()
    np.testing.assert_array_equal(np.unique(dense, axis=0), np.unique(original, axis=0))
    np.testing.assert_array_equal(dense.sum(axis=0), original.sum(axis=0))
    sample = balanced_sample(labels, seed=1).permuted(seed=9)
    found = average_precision_on(scores, sample)
    for concept in range(7):
        rows, truth = sample.members(concept)
        np.testing.assert_array_equal(dense[rows, concept], truth)
        np.testing.assert_allclose(found[:, concept], literal(scores, sample, concept))


# What is encoded


def test_counting_by_hand():
    values = np.array([[0.95, 0.2, np.nan, 0.9], [0.1, 0.89, np.nan, 0.91], [0.5, 0.5, np.nan, 0]])
    found = encoded(values)
    np.testing.assert_array_equal(
        found, [[True, False, False, True], [False, False, False, True], [False] * 4]
    )
    assert unique_concepts(found).tolist() == [0, 3]
    assert polysemanticity(found).tolist() == [2, 1, 0]
    assert unique_concepts(encoded(values, 0.89)).tolist() == [0, 1, 3]
    assert encoded([[0.9 - 1e-16, 0.9 - 1e-9]]).tolist() == [[True, False]]


def test_top_concepts_are_the_best_first_without_nan():
    values = np.array([[0.3, np.nan, 0.9, 0.3, 0.5]])
    assert top_concepts(values, 0).tolist() == [2, 4, 0, 3]
    assert top_concepts(values, 0, count=3).tolist() == [2, 4, 0]
    assert top_concepts(np.full((1, 2), np.nan), 0).tolist() == []


def test_overlap_by_hand():
    table = overlap({"A": [0, 1, 2, 3], "B": [2, 3, 4], "C": [3, 4, 5, 9, 9]})
    assert table == {
        ("A",): 2, ("B",): 0, ("C",): 2, ("A", "B"): 1, ("A", "C"): 0, ("B", "C"): 1,
        ("A", "B", "C"): 1,
    }  # fmt: skip
    flags = {"A": np.arange(6) < 4, "B": np.array([2, 3, 4]), "C": []}
    assert overlap(flags)["A", "B"] == 2
    assert overlap(flags)["A", "B", "C"] == 0
    assert overlap({}) == {}


# Chance


def ranked(n):
    """The exact average precision of every ranking of n positives among 2 n, and its reversal's."""
    for places in combinations(range(1, 2 * n + 1), n):
        back = [2 * n + 1 - place for place in reversed(places)]
        yield tuple(sum(Fraction(j, r) for j, r in enumerate(p, 1)) / n for p in (places, back))


@pytest.mark.parametrize("n", range(1, 7))
def test_chance_is_what_enumeration_counts(n):
    rankings = list(ranked(n))
    for threshold in ("0.6", "0.75", "0.9", "1"):
        reached = [[ap >= Fraction(threshold) for ap in both] for both in rankings]
        probability = chance_encoding_probability(n, float(threshold))
        assert probability == pytest.approx(np.mean(reached, axis=0)[0], rel=1e-12)
        either = chance_encoding_probability(n, float(threshold), "both")
        if float(threshold) >= 0.85:
            assert either == pytest.approx(np.any(reached, axis=1).mean(), rel=1e-12)
        else:
            assert 1 >= either >= np.any(reached, axis=1).mean() - 1e-12


@pytest.mark.parametrize("n", [8, 10])
def test_chance_is_what_enumeration_in_floating_point_counts(n):
    places = np.array(list(combinations(range(1, 2 * n + 1), n)))
    precision = (np.arange(1, n + 1) / places).mean(axis=1)
    counted = (precision >= 0.9 - 1e-12).mean()
    assert chance_encoding_probability(n) == pytest.approx(counted, rel=1e-12)


def test_known_values():
    printed = {5: "3.2e-02", 10: "1.3e-03", 15: "7.6e-05", 20: "4.4e-06"}
    for n, digits in printed.items():
        assert f"{chance_encoding_probability(n):.1e}" == digits
    assert expected_by_chance([10], 1000)[0] == pytest.approx(0.740, abs=5e-4)


@pytest.mark.parametrize(("n", "threshold"), [(10, 0.9), (15, 0.9), (20, 0.8), (40, 0.7)])
def test_chance_against_simulation(n, threshold):
    rng, draws, reached = np.random.default_rng(n), 400_000, 0
    for _ in range(draws // 50_000):
        order = np.argsort(rng.random((50_000, 2 * n), dtype=np.float32), axis=1)
        places = np.nonzero(order < n)[1].reshape(-1, n) + 1
        reached += ((np.arange(1, n + 1) / places).mean(axis=1) >= threshold - 1e-12).sum()
    expected = draws * chance_encoding_probability(n, threshold)
    assert abs(reached - expected) < 4 * math.sqrt(expected) + 1


@pytest.mark.parametrize(("n", "threshold"), [(13, 0.6), (12, 0.7), (15, 0.9), (20, 0.9)])
def test_the_approximation_is_close_where_both_can_be_had(n, threshold):
    budget = (1 - threshold) * n
    exact = concepts._rankings_within(n, budget + 1e-12, 10**8) / math.comb(2 * n, n)
    close = concepts._probability_within(n, budget, concepts.LOSS_BINS)
    assert close == pytest.approx(exact, rel=1e-3)


@pytest.mark.parametrize("threshold", [0.6, 0.75, 0.9, 1.0])
def test_chance_falls_with_the_number_of_positives(threshold):
    values = [chance_encoding_probability(n, threshold) for n in (8, 16, 24, 32, 48, 64)]
    assert (np.diff(values) < 0).all()
    assert chance_encoding_probability(20_000, threshold) == values[-1]


def test_chance_over_many_directions():
    positives = np.array([0, 1, 10, 10_000])
    found = expected_by_chance(positives, 1000)
    p = chance_encoding_probability(10)
    assert found[0] == 0 and found[1] == 1
    assert found[2] == pytest.approx(1 - (1 - p) ** 1000)
    assert 0 < found[3] < 1e-12
    assert (expected_by_chance(positives, 0) == 0).all()
    certain = beyond_chance([True, True, True, False], [0.5, 0.05, 1e-9, 1e-9])
    assert certain.tolist() == [False, True, True, False]


def test_unrelated_scores_encode_as_often_as_chance_says():
    labels = scipy.sparse.csr_array(np.arange(400)[:, None] < [5, 5, 5, 5, 6])
    scores = np.random.default_rng(10).normal(size=(400, 4000)).astype(np.float32)
    found = encoded(balanced_average_precision(scores, labels, seed=0)).sum(axis=0)
    for concept, n in enumerate([5, 5, 5, 5, 6]):
        expected = 4000 * chance_encoding_probability(n)
        assert abs(found[concept] - expected) < 4 * math.sqrt(expected)


def test_random_directions_are_unit_and_seeded():
    found = random_directions(200, 16, seed=3)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1)
    np.testing.assert_array_equal(found, random_directions(200, 16, seed=3))
    assert (found != random_directions(200, 16, seed=4)).all()
    np.testing.assert_allclose(found.T @ found / 200, np.eye(16) / 16, atol=0.03)


def test_projection(tmp_path, monkeypatch):
    rng = np.random.default_rng(11)
    features, directions = rng.normal(size=(50, 12)).astype(np.float16), random_directions(3, 12, 0)
    wide = features.astype(np.float64)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    np.save(tmp_path / "h.npy", features)
    mapped = np.load(tmp_path / "h.npy", mmap_mode="r")
    for blocks in (2**20, 7 * 8 * 12):
        monkeypatch.setattr("analysis.metrics.outliers.BLOCK_BYTES", blocks)
        plain = project(mapped, directions, normalise=False)
        assert plain.dtype == np.float32
        np.testing.assert_allclose(plain, wide @ directions.T, rtol=1e-6, atol=1e-6)
        cosines = project(mapped, directions, normalise=True)
        np.testing.assert_allclose(cosines, wide @ directions.T / lengths, rtol=1e-6, atol=1e-6)
    out = np.zeros((50, 3), dtype=np.float32)
    assert project(features, directions, normalise=False, out=out) is out
    np.testing.assert_array_equal(out, plain)


# Bad input


def sparse(rows, columns):
    return scipy.sparse.csr_array(np.ones((rows, columns)))


def with_value(value, kind=np.float64):
    scores = np.ones((4, 3), dtype=kind)
    scores[2, 1] = value
    return scores


ERRORS = [
    (lambda: average_precision(np.ones((4, 3)), sparse(5, 2)), "4 images but labels for 5"),
    (lambda: average_precision(np.ones(4), sparse(4, 2)), r"\(images, directions\).*\(4,\)"),
    (lambda: average_precision(np.ones((0, 3)), sparse(0, 2)), "at least one image"),
    (lambda: average_precision(np.ones((4, 3), int), sparse(4, 2)), "float64, got int64"),
    (lambda: average_precision(np.ones((4, 3)), np.ones((4, 2))), "sparse matrix.*got ndarray"),
    (lambda: average_precision(np.ones((4, 3)), sparse(4, 2) * np.nan), "labels hold NaN"),
    (lambda: average_precision(np.ones((4, 3)), sparse(4, 2), engine="c"), "unknown engine 'c'"),
    (lambda: average_precision(np.ones((4, 3)), sparse(4, 2), signs="any"), "unknown signs 'any'"),
    (lambda: average_precision(np.ones((4, 3)), sparse(4, 2), threads=0), "cannot work with 0"),
    (lambda: average_precision(np.ones((4, 3)), sparse(4, 2), memory=9), "budget of 9 bytes"),
    (lambda: balanced_sample(np.ones((4, 2)), 0), "sparse matrix.*got ndarray"),
    (lambda: balanced_sample(sparse(4, 2), 0, keys=[1]), "each of 2 concepts"),
    (lambda: balanced_sample(sparse(4, 2), 0, keys=[1, -1]), "not negative"),
    (
        lambda: average_precision_on(np.ones((4, 3)), balanced_sample(sparse(5, 2), 0)),
        "4 images but the sample was drawn from 5",
    ),
    (lambda: unique_concepts(np.ones((4, 2))), "take what `encoded` returns"),
    (lambda: polysemanticity(np.array([True])), "take what `encoded` returns"),
    (lambda: overlap({"A": [0.5]}), "the set 'A' must be"),
    (lambda: chance_encoding_probability(0), "asked for 0 positives"),
    (lambda: chance_encoding_probability(5, 0.5), "threshold from 0.6 to 1"),
    (lambda: expected_by_chance([1.5], 10), "whole numbers, one per concept"),
    (lambda: expected_by_chance([-1], 10), "whole numbers, one per concept"),
    (lambda: beyond_chance([1, 0], [0.1, 0.2]), "one truth value per concept"),
    (lambda: beyond_chance([True], [0.1, 0.2]), "one truth value per concept"),
    (
        lambda: project(np.ones((4, 3)), np.ones((1, 2)), normalise=True),
        "3 components but the directions 2",
    ),
    (lambda: project(np.zeros((4, 3)), np.ones((1, 3)), normalise=True), "row 0.*is zero"),
    (lambda: project(with_value(np.nan), np.ones((1, 3)), normalise=False), "row 2.*NaN"),
    (
        lambda: project(np.ones((4, 3)), np.ones((1, 3)), normalise=False, out=np.ones((4, 2))),
        r"out has the shape \(4, 2\)",
    ),
]


@pytest.mark.parametrize(("call", "message"), ERRORS)
def test_errors_say_what_was_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("value", [np.nan, np.copysign(np.nan, -1), np.inf, -np.inf])
@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_scores_must_be_finite(engine, value, kind):
    with pytest.raises(ValueError, match="score of image 2 along direction 1 is"):
        average_precision(with_value(value, kind), sparse(4, 2), engine=engine, threads=2)


# Memory, and where compiled code is kept


@pytest.mark.parametrize("threads", [1, 2])
def test_a_mapped_file_is_read_within_the_budget(tmp_path, threads):
    images, directions, memory = 20_000, 256, 6 * 2**20
    labels = broden_like(images, 50, per_image=5)
    scores = np.lib.format.open_memmap(
        tmp_path / "s.npy", mode="w+", dtype=np.float32, shape=(images, directions)
    )
    scores[:] = np.random.default_rng(12).normal(size=(images, directions))
    mapped = np.load(tmp_path / "s.npy", mmap_mode="r")
    sample = balanced_sample(labels, 0)
    members = sample.rows.nbytes * 8  # what sorting them by image takes for a moment
    calls = {
        0: lambda: average_precision(mapped, labels, memory=memory, threads=threads),
        members: lambda: average_precision_on(mapped, sample, memory=memory, threads=threads),
    }
    for beside, call in calls.items():
        tracemalloc.start()
        result = call()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < max(memory, beside) + result.nbytes + labels.data.nbytes * 12 + 2**18
        assert scores.nbytes > 3 * memory


PEAK = """
import sys, threading
import numpy as np
from analysis.metrics.average_precision import average_precision, average_precision_on, balanced_sample
from benchmarks.concepts import broden_like

def anonymous():
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024

labels, scores = broden_like(), np.load(sys.argv[1], mmap_mode="r")
sample = balanced_sample(labels, 0)
way = (lambda s: average_precision(s, labels, memory=64 * 2**20)) if sys.argv[2] == "all" else (
    lambda s: average_precision_on(s, sample, memory=64 * 2**20))
way(np.asarray(scores[:, :2]))  # what compiling and loading take once
start, peak, done = anonymous(), [0.0], threading.Event()

def watch():
    while not done.wait(0.005):
        peak[0] = max(peak[0], anonymous() - start)

watcher = threading.Thread(target=watch)
watcher.start()
result = way(scores)
done.set()
watcher.join()
print(peak[0], result.nbytes / 2**20, np.isnan(result).sum())
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_brodens_size_within_the_budget(tmp_path):
    shape = (63_305, 1024)
    scores = np.lib.format.open_memmap(tmp_path / "s.npy", mode="w+", dtype=np.float32, shape=shape)
    rng = np.random.default_rng(13)
    for start in range(0, shape[0], 8192):
        part = scores[start : start + 8192]
        part[:] = rng.normal(size=part.shape)
    scores.flush()
    for way in ("all", "balanced"):
        peak, result, missing = map(float, run_python(PEAK, str(tmp_path / "s.npy"), way).split())
        assert peak < 64 + result + 16  # the allocator's own, and a thread's stack
        assert missing == 0


def test_a_place_that_cannot_be_written_is_no_obstacle(monkeypatch):
    plain = concepts.numba.njit

    def refuse(*arguments, cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return plain(*arguments, **options)

    monkeypatch.setattr(concepts.numba, "njit", refuse)
    assert concepts.compiled(lambda x: x + 1)(1) == 2


def test_processes_may_compile_at_once(tmp_path):
    code = "from analysis.metrics.average_precision import chance_encoding_probability as p; print(p(5) * 252)"
    environment = {"NUMBA_CACHE_DIR": str(tmp_path)}
    with ThreadPoolExecutor(3) as executor:
        found = list(executor.map(lambda _: run_python(code, **environment), range(3)))
    assert [float(each) for each in found] == [8.0] * 3
    assert any(tmp_path.rglob("*.nbi"))


def run_python(code, *arguments, **variables):
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | variables
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout
