"""Average precision of directions: against scikit-learn, by hand, and bad input."""

import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
import pytest
import scipy.sparse
from conftest import refused
from sklearn.datasets import load_digits
from sklearn.metrics import average_precision_score

from analysis.metrics import average_precision as module
from analysis.metrics.average_precision import (
    average_precision,
    average_precision_on,
    balanced_sample,
    encoded,
    polysemanticity,
    project,
    random_directions,
    top_concepts,
)

RNG = np.random.default_rng(0)
#: (120, 9): rare and common concepts, one without positives and one that all images show.
DENSE = RNG.random((120, 9)) < [0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.9, 0, 1]
DENSE[3, :7] = True
LABELS = scipy.sparse.csr_array(DENSE)
SCORES = RNG.normal(size=(120, 5))


def scikit_learns(scores, dense):
    """Pair by pair; NaN where it would warn that there is no positive."""
    theirs = [
        average_precision_score(concept, direction) if concept.any() else np.nan
        for direction in scores.astype(np.float64).T
        for concept in dense.T
    ]
    return np.reshape(theirs, (scores.shape[1], dense.shape[1]))


def kinds_of_scores():
    rng = np.random.default_rng(2)
    normal = rng.normal(size=(120, 4))
    yield "normal", normal
    yield "float32", normal.astype(np.float32)
    yield "float16", normal.astype(np.float16)
    yield "heavily tied", rng.integers(-2, 3, (120, 4))
    yield "constant", np.full((120, 2), -3.0)
    yield "both zeros", np.where(normal > 0, 0.0, -0.0)
    yield "closer than float32 tells", 1 + normal * 1e-12
    yield "huge and tiny", normal * np.array([1e300, 1e-300, 1e-320, 1])
    bits = rng.integers(0, 2**32, (120, 4), dtype=np.uint32).view(np.float32)
    yield "any single-precision number", np.where(np.isfinite(bits), bits, np.float32(1e-42))
    yield "other byte order", normal.astype(">f4")
    yield "photographs", load_digits().data[:120, 18:24]


@pytest.mark.parametrize("values", [pytest.param(v, id=k) for k, v in kinds_of_scores()])
def test_average_precision_is_scikit_learns(values):
    ours = average_precision(values, LABELS)
    np.testing.assert_allclose(ours, scikit_learns(values, DENSE), atol=1e-12, rtol=0)
    assert np.isnan(ours[:, 7]).all() and (ours[:, 8] == 1).all()


def awkward_labels():
    """The same labels in other clothes."""
    values = np.where(DENSE, -2.5, 0)
    yield scipy.sparse.csr_matrix(values)
    yield scipy.sparse.csc_array(DENSE)
    yield scipy.sparse.coo_array(DENSE.astype(np.uint8))
    everywhere = np.indices(DENSE.shape).reshape(2, -1)
    yield scipy.sparse.coo_array((values.ravel(), everywhere), shape=DENSE.shape).tocsr()
    doubled = np.repeat(LABELS.indices, 2), 2 * LABELS.indptr
    yield scipy.sparse.csr_array((np.ones(2 * LABELS.nnz, bool), *doubled), shape=DENSE.shape)


def test_any_sparse_labels_and_theirs_stay_untouched():
    expected = average_precision(SCORES, LABELS)
    for given in awkward_labels():
        before = given.copy()
        np.testing.assert_array_equal(average_precision(SCORES, given), expected)
        assert given.nnz == before.nnz and given.dtype == before.dtype
        np.testing.assert_array_equal(given.data, before.data)


def test_more_concepts_than_two_bytes_can_name_and_none():
    wide = scipy.sparse.random_array((120, 70_000), density=1e-3, rng=np.random.default_rng(3))
    some = np.flatnonzero(wide.tocsc().sum(axis=0))[-20:]
    ours = average_precision(SCORES, wide)[:, some]
    expected = scikit_learns(SCORES, wide.tocsc()[:, some].toarray() != 0)
    np.testing.assert_allclose(ours, expected, atol=1e-12)
    assert average_precision(SCORES[:, :0], LABELS).shape == (0, 9)
    assert average_precision(SCORES, LABELS[:, :0]).shape == (5, 0)


def test_threads_blocks_and_callers_in_threads_change_nothing(monkeypatch):
    values = np.random.default_rng(4).integers(0, 40, (120, 37)).astype(np.float32)
    sample = balanced_sample(LABELS, 0)
    expected = average_precision(values, LABELS, threads=1)
    on_sample = average_precision_on(values, sample, threads=1)
    for threads, block in ((2, 2**28), (5, 2**28), (3, 30_000), (1, 10), (None, 3000)):
        monkeypatch.setattr(module, "BLOCK_BYTES", block)
        ours = average_precision(values, LABELS, threads=threads)
        np.testing.assert_array_equal(ours, expected)
        ours = average_precision_on(values, sample, threads=threads)
        np.testing.assert_array_equal(ours, on_sample)
    with ThreadPoolExecutor(4) as executor:
        for ours in executor.map(lambda _: average_precision(values, LABELS), range(8)):
            np.testing.assert_array_equal(ours, expected)


# The paper's protocol


def members(sample, concept):
    part = slice(sample.starts[concept], sample.starts[concept + 1])
    return sample.rows[part], sample.positive[part]


@pytest.mark.parametrize("tied", [False, True])
def test_balanced_is_scikit_learn_on_the_same_draw(tied):
    values = SCORES.round() if tied else SCORES
    sample = balanced_sample(LABELS, seed=5)
    ours = average_precision_on(values, sample)
    for concept in range(7):
        rows, truth = members(sample, concept)
        expected = scikit_learns(values[rows], truth[:, None])[:, 0]
        np.testing.assert_allclose(ours[:, concept], expected, atol=1e-12)
    assert np.isnan(ours[:, 7:]).all()


def test_a_draw_is_balanced_and_holds_what_it_says():
    sample, positives = balanced_sample(LABELS, seed=6), DENSE.sum(axis=0)
    np.testing.assert_array_equal(sample.pairs, np.minimum(positives, 120 - positives))
    for concept in range(9):
        rows, truth = members(sample, concept)
        assert len(np.unique(rows)) == len(rows) == 2 * truth.sum()
        np.testing.assert_array_equal(DENSE[rows, concept], truth)
        if positives[concept] <= 60:
            np.testing.assert_array_equal(rows[truth], np.flatnonzero(DENSE[:, concept]))


def test_a_draw_depends_on_the_seed_and_not_on_other_concepts():
    rows = balanced_sample(LABELS, seed=7).rows
    np.testing.assert_array_equal(rows, balanced_sample(LABELS, seed=7).rows)
    assert (rows != balanced_sample(LABELS, seed=8).rows).any()
    fewer = balanced_sample(LABELS[:, :4], seed=7).rows
    np.testing.assert_array_equal(fewer, rows[: len(fewer)])


# What is encoded, and scores


def test_counting_by_hand():
    values = np.array([[0.95, 0.2, np.nan, 0.9], [0.1, 0.89, np.nan, 0.91], [0.5, 0.5, np.nan, 0]])
    ours = encoded(values)
    np.testing.assert_array_equal(
        ours, [[True, False, False, True], [False, False, False, True], [False] * 4]
    )
    assert polysemanticity(ours).tolist() == [2, 1, 0]
    assert encoded([[0.9 - 1e-16, 0.9 - 1e-9]]).tolist() == [[True, False]]
    values = np.array([[0.3, np.nan, 0.9, 0.3, 0.5]])
    assert top_concepts(values, 0).tolist() == [2, 4, 0, 3]
    assert top_concepts(values, 0, count=3).tolist() == [2, 4, 0]
    assert top_concepts(np.full((1, 2), np.nan), 0).tolist() == []


def test_a_projection_is_a_product_or_a_cosine(tmp_path, monkeypatch):
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


# Bad input

FOUR = np.ones((4, 3))


def ones(rows, columns=2):
    return scipy.sparse.csr_array(np.ones((rows, columns)))


@pytest.mark.parametrize("shape, images", [((4, 3), 5), ((4,), 4), ((0, 3), 0)])
def test_scores_and_labels_that_do_not_fit_are_refused(shape, images):
    for call in (
        lambda: average_precision(np.ones(shape), ones(images)),
        lambda: average_precision_on(np.ones(shape), balanced_sample(ones(images), 0)),
    ):
        refused(rf"do not fit the labels of {images} images", call)


@pytest.mark.parametrize("value", [np.nan, np.copysign(np.nan, -1), np.inf, -np.inf])
@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_scores_that_are_no_numbers_are_refused(value, kind):
    scores = FOUR.astype(kind)
    scores[2, 1] = value
    refused("along direction 1 hold NaN or infinity", average_precision, scores, ones(4))


# Memory, and where compiled code is kept


def test_a_mapped_file_is_read_in_blocks(tmp_path, monkeypatch):
    images, directions = 20_000, 256
    monkeypatch.setattr(module, "BLOCK_BYTES", 2**20)
    labels = scipy.sparse.csr_array(RNG.random((images, 50)) < 0.1)
    scores = np.lib.format.open_memmap(
        tmp_path / "s.npy", mode="w+", dtype=np.float32, shape=(images, directions)
    )
    scores[:] = np.random.default_rng(12).normal(size=(images, directions)).round(3)
    mapped, sample = np.load(tmp_path / "s.npy", mmap_mode="r"), balanced_sample(labels, 0)
    for call in (
        lambda: average_precision(mapped, labels),
        lambda: average_precision_on(mapped, sample),
    ):
        call()  # what compiling takes once
        tracemalloc.start()
        call()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 0.6 * scores.nbytes


def test_a_place_that_cannot_be_written_is_no_obstacle(monkeypatch):
    plain = numba.njit

    def refuse(*arguments, cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return plain(*arguments, **options)

    monkeypatch.setattr(numba, "njit", refuse)
    assert module.compiled(lambda x: x + 1)(1) == 2
