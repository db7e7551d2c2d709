"""Importance of directions: against a literal transcription of the equation, and for bad input."""

import numpy as np
import pytest
import scipy.linalg
from conftest import refuses
from sklearn.metrics.pairwise import cosine_similarity
from tiny import unit

from analysis.metrics import directions, outliers
from analysis.metrics.directions import decompose, importance, privileged
from companion.measurements import measures

HEAD = np.random.default_rng(0).normal(size=(12, 20)) + 0.5
FEATURES = np.random.default_rng(1).normal(size=(60, 20)) + 0.3


def literal_importance(features, head):
    """The equation, on scipy's decomposition and scikit-learn's cosines."""
    _, sigma, right = scipy.linalg.svd(head, full_matrices=False, lapack_driver="gesvd")
    return sigma / sigma.sum() * np.abs(cosine_similarity(right, features)).mean(axis=1)


def test_decomposition_rebuilds_the_head_with_settled_signs():
    parts = decompose(HEAD)
    rebuilt = parts.left * parts.singular_values @ parts.directions
    np.testing.assert_allclose(rebuilt, HEAD, atol=1e-12)
    np.testing.assert_allclose(parts.directions @ parts.directions.T, np.eye(12), atol=1e-12)
    assert (np.diff(parts.singular_values) <= 0).all()
    assert parts.shares.sum() == pytest.approx(1)
    largest = np.abs(parts.directions).argmax(axis=1)
    assert (parts.directions[np.arange(12), largest] > 0).all()
    np.testing.assert_allclose(decompose(-HEAD).directions, parts.directions, atol=1e-10)


def test_directions_without_weight_are_left_out():
    low = HEAD[:, :5] @ np.random.default_rng(3).normal(size=(5, 20))
    with_mean = np.vstack([HEAD, HEAD.mean(axis=0)])  # which rounding makes a thirteenth direction
    assert decompose(low).rank == 5
    assert decompose(np.diag([1.0, 1e-4]).astype(np.float32)).rank == 2
    assert decompose(np.array([[3, 0], [0, 1]])).rank == 2
    for dtype in (np.float64, np.float32, np.float16):  # the mean row is not one of the head's type
        stored = with_mean.astype(dtype)
        assert decompose(stored).rank == decompose(HEAD.astype(dtype)).rank == 12
        assert decompose(stored, less_mean=True).rank == 11
        measured = measures.privileged_directions(FEATURES, stored)
        assert len(measured["importance_head_centred"]) == 11


def test_importance_is_the_equation():
    expected = literal_importance(FEATURES, HEAD)
    np.testing.assert_allclose(importance(FEATURES, HEAD), expected, rtol=1e-10)
    stored = FEATURES.astype(np.float16), HEAD.astype(np.float16)  # computed in double precision
    expected = literal_importance(stored[0].astype(float), stored[1].astype(float))
    np.testing.assert_allclose(importance(*stored), expected, rtol=1e-10)


def test_a_common_part_of_images_and_head_is_privileged():
    rng = np.random.default_rng(6)
    common = rng.normal(size=128) * 4
    head, features = rng.normal(size=(100, 128)), rng.normal(size=(200, 128))
    assert len(privileged(importance(features, head))) == 0
    assert privileged(importance(features + common, head + common)).tolist() == [0]
    values = np.array([1.0, 40, 1, 20, 1, 1] + [1.0] * 50)
    assert privileged(values, 5).tolist() == [1, 3] and privileged(values, 15).tolist() == [1]


def test_blocks_and_memory_maps_change_nothing(monkeypatch, tmp_path):
    expected = importance(FEATURES, HEAD)
    np.save(tmp_path / "h.npy", FEATURES)
    monkeypatch.setattr(outliers, "BLOCK_BYTES", 7 * 8 * 20)
    mapped = np.load(tmp_path / "h.npy", mmap_mode="r")
    np.testing.assert_allclose(importance(mapped, HEAD), expected, rtol=1e-12)


test_bad_input_is_named = refuses(
    (lambda: importance(FEATURES[:, :9], HEAD), "9 components but the head reads 20"),
    (lambda: importance(FEATURES[0], HEAD), r"shape \(images, components\)"),
    (lambda: importance(np.zeros((2, 20)), HEAD), "row 0 of the features is zero"),
    (lambda: decompose(HEAD * 0), "zero everywhere"),
    (lambda: decompose(HEAD[:1], less_mean=True), "the same in every row"),
    (lambda: decompose(HEAD[0]), r"got \(20,\)"),
    (lambda: decompose(HEAD * np.inf), "must be finite"),
    (lambda: privileged([1.0, 2.0], 0.5), "give a number above 1"),
)


def test_controls_change_one_thing_each():
    mean = 4 * np.eye(20)[3]
    head, features = HEAD + mean, FEATURES + mean  # what both share makes the largest importance
    controls = directions.controls(features, head)
    literal = literal_importance(unit(features) - unit(features).mean(axis=0), head)
    assert controls.centred_features == pytest.approx(literal.max() / literal.mean())
    whole = literal_importance(features, head)
    assert whole.max() / whole.mean() > max(controls)
    assert 1 < controls.random_both < controls.random_features
    assert directions.controls(features, head) == controls
