"""Importance and pruning: against a literal transcription of the equations, and for bad input."""

import numpy as np
import pytest
import scipy.linalg

from analysis.metrics import directions
from analysis.metrics.directions import (
    accuracy_without_each,
    decompose,
    importance,
    mean_absolute_cosine,
    paired_difference,
    privileged,
    prune,
    pruning_curve,
    pruning_order,
    right_at_every_step,
)


@pytest.fixture
def head():
    return np.random.default_rng(0).normal(size=(12, 20)) + 0.5


@pytest.fixture
def features():
    return np.random.default_rng(1).normal(size=(60, 20)) + 0.3


@pytest.fixture
def labels():
    return np.random.default_rng(2).integers(0, 12, 60)


def literal_importance(features, head):
    """The equation with loops, on scipy's decomposition."""
    _, sigma, right = scipy.linalg.svd(head, lapack_driver="gesvd")
    values = []
    for i, s in enumerate(sigma):
        cosines = [abs(right[i] @ h) / np.sqrt(h @ h) / np.sqrt(right[i] @ right[i])
                   for h in features]  # fmt: skip
        values.append(s / sum(sigma) * sum(cosines) / len(features))
    return values


def literal_accuracy(features, labels, head, order, keep, bias=0.0):
    """Rebuild the head from the kept terms, classify afresh."""
    u, s, vt = scipy.linalg.svd(head, full_matrices=False)
    rebuilt = sum(s[i] * np.outer(u[:, i], vt[i]) for i in order[:keep])
    guesses = [np.argmax(rebuilt @ h + bias) for h in features]
    return np.mean(np.array(guesses) == labels)


def test_decomposition_rebuilds_the_head(head):
    parts = decompose(head)
    rebuilt = parts.left * parts.singular_values @ parts.directions
    np.testing.assert_allclose(rebuilt, head, atol=1e-12)
    np.testing.assert_allclose(parts.directions @ parts.directions.T, np.eye(12), atol=1e-12)
    assert (np.diff(parts.singular_values) <= 0).all()


def test_signs_are_settled(head):
    rows = decompose(head).directions
    largest = np.abs(rows).argmax(axis=1)
    assert (rows[np.arange(12), largest] > 0).all()
    np.testing.assert_allclose(decompose(-head).directions, rows, atol=1e-10)


def test_directions_without_weight_are_left_out(head):
    low = head[:, :5] @ np.random.default_rng(3).normal(size=(5, 20))
    assert decompose(low).rank == 5
    assert decompose(np.vstack([head, head])).rank == 12
    assert decompose(head.astype(np.float16)).rank == 12


def test_importance_is_the_equation(features, head):
    expected = literal_importance(features, head)
    np.testing.assert_allclose(importance(features, head), expected, rtol=1e-10)


def test_hand_worked():
    # Two axes, weights 3 and 1; the images lie on the first axis and on the diagonal.
    found = importance([[2.0, 0.0], [5.0, 5.0]], [[3.0, 0.0], [0.0, -1.0]])
    half = np.sqrt(0.5)
    np.testing.assert_allclose(found, [0.75 * (1 + half) / 2, 0.25 * half / 2])


def test_scale_and_rotation_change_nothing(features, head):
    expected = importance(features, head)
    rng = np.random.default_rng(4)
    rotation = np.linalg.qr(rng.normal(size=(20, 20)))[0]
    lengths = rng.uniform(0.01, 100, (60, 1))
    np.testing.assert_allclose(importance(features, -40 * head), expected)
    np.testing.assert_allclose(importance(features * lengths, head), expected)
    np.testing.assert_allclose(importance(features @ rotation, head @ rotation), expected)
    mixed = np.linalg.qr(rng.normal(size=(12, 12)))[0]
    np.testing.assert_allclose(importance(features, mixed @ head), expected)


def test_importance_is_bounded(features, head):
    found = importance(features, head)
    parts = decompose(head)
    share = parts.singular_values / parts.singular_values.sum()
    assert (found >= 0).all() and (found <= share).all()
    np.testing.assert_allclose(found / share, mean_absolute_cosine(features, parts.directions))


def test_squared_cosines_sum_to_one_over_a_basis(features):
    basis = np.linalg.qr(np.random.default_rng(5).normal(size=(20, 20)))[0]
    one = mean_absolute_cosine(features[:1], basis)
    assert (one**2).sum() == pytest.approx(1)


def test_a_common_part_of_images_and_head_is_privileged():
    rng = np.random.default_rng(6)
    common = rng.normal(size=128) * 4
    head, features = rng.normal(size=(100, 128)), rng.normal(size=(200, 128))
    assert len(privileged(importance(features, head))) == 0
    np.testing.assert_array_equal(privileged(importance(features + common, head + common)), [0])


def test_privileged_by_its_rule():
    values = np.array([1.0, 40, 1, 20, 1, 1] + [1.0] * 50)
    np.testing.assert_array_equal(privileged(values, threshold=5), [1, 3])
    np.testing.assert_array_equal(privileged(values, threshold=15), [1])


def test_orders():
    values = np.array([0.3, 0.5, 0.1, 0.5])
    assert pruning_order(values, "importance").tolist() == [1, 3, 0, 2]
    assert pruning_order(values, "reversed").tolist() == [2, 0, 3, 1]
    assert pruning_order(values, "singular_value").tolist() == [0, 1, 2, 3]
    many = np.arange(100.0)
    first = pruning_order(many, "random", seed=3)
    np.testing.assert_array_equal(first, pruning_order(many, "random", seed=3))
    assert (first != pruning_order(many, "random", seed=4)).any()
    np.testing.assert_array_equal(np.sort(first), np.arange(100))


def test_pruning_keeps_the_first_terms(features, head):
    order = pruning_order(importance(features, head), "importance")
    u, s, vt = scipy.linalg.svd(head, full_matrices=False)
    expected = sum(s[i] * np.outer(u[:, i], vt[i]) for i in order[:4])
    np.testing.assert_allclose(prune(head, order, 4), expected, atol=1e-12)
    np.testing.assert_allclose(prune(head, order, 12), head, atol=1e-12)
    np.testing.assert_array_equal(prune(head, order, 0), np.zeros((12, 20)))


@pytest.mark.parametrize("kind", ["importance", "singular_value", "reversed", "random"])
def test_the_curve_is_every_step_computed_afresh(features, labels, head, kind):
    order = pruning_order(importance(features, head), kind, 7 if kind == "random" else None)
    expected = [literal_accuracy(features, labels, head, order, k) for k in range(1, 13)]
    np.testing.assert_allclose(pruning_curve(features, labels, head, order), expected)


def test_the_curve_with_a_bias(features, labels, head):
    bias = np.random.default_rng(8).normal(size=12) * 5
    order = np.arange(12)
    expected = [literal_accuracy(features, labels, head, order, k, bias) for k in range(1, 13)]
    found = pruning_curve(features, labels, head, order, bias=bias)
    np.testing.assert_allclose(found, expected)


def test_a_class_subset_restricts_who_competes(features, labels, head):
    subset = [1, 4, 5, 10]
    of_subset = np.isin(labels, subset)
    order = np.arange(12)[::-1]
    found = pruning_curve(features[of_subset], labels[of_subset], head, order, subset)
    u, s, vt = scipy.linalg.svd(head, full_matrices=False)
    for keep in (1, 6, 12):
        kept = order[:keep]
        logits = features[of_subset] @ ((u[:, kept] * s[kept]) @ vt[kept]).T
        guess = np.array(subset)[logits[:, subset].argmax(axis=1)]
        assert found[keep - 1] == pytest.approx((guess == labels[of_subset]).mean())


def test_blocks_and_memory_maps_change_nothing(features, labels, head, monkeypatch, tmp_path):
    order = np.arange(12)
    expected = importance(features, head), pruning_curve(features, labels, head, order)
    np.save(tmp_path / "h.npy", features)
    monkeypatch.setattr(directions, "BLOCK_BYTES", 7 * 8 * 20)
    mapped = np.load(tmp_path / "h.npy", mmap_mode="r")
    np.testing.assert_allclose(importance(mapped, head), expected[0], rtol=1e-12)
    np.testing.assert_array_equal(pruning_curve(mapped, labels, head, order), expected[1])


def test_leaving_out_each_direction(features, labels, head):
    found = accuracy_without_each(features, labels, head)
    for left_out in (0, 5, 11):
        order = [*np.delete(np.arange(12), left_out), left_out]
        assert found[left_out] == literal_accuracy(features, labels, head, order, 11)


def test_a_shift_of_all_scores_changes_no_prediction(features, labels, head):
    shifted = head + np.random.default_rng(9).normal(size=20) * 30
    plain = right_at_every_step(features, labels, head, np.arange(12))[-1]
    rank = decompose(shifted).rank
    moved = right_at_every_step(features, labels, shifted, np.arange(rank))[-1]
    np.testing.assert_array_equal(plain, moved)


def test_paired_difference_is_mcnemars():
    reference = np.array([1, 1, 1, 0, 0, 1, 0, 1], dtype=bool)
    right = np.array([[1, 0, 1, 1, 0, 0, 0, 1], reference], dtype=bool)
    difference, error = paired_difference(right, reference)
    lost, gained, n = 2, 1, 8
    assert difference[0] == pytest.approx((gained - lost) / n)
    assert error[0] == pytest.approx(np.sqrt(gained + lost - (gained - lost) ** 2 / n) / n)
    assert (difference[1], error[1]) == (0, 0)


def test_float16_is_computed_in_double_precision(features, head):
    stored = features.astype(np.float16), head.astype(np.float16)
    expected = literal_importance(stored[0].astype(float), stored[1].astype(float))
    np.testing.assert_allclose(importance(*stored), expected, rtol=1e-10)


ORDER = np.arange(12)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda h, w, y: importance(h[:, :9], w), "9 components but the head reads 20"),
        (lambda h, w, y: importance(h[0], w), r"shape \(images, components\)"),
        (lambda h, w, y: importance(np.zeros((2, 20)), w), "row 0 of the features is zero"),
        (lambda h, w, y: importance(h * np.nan, w), "row 0 of the features holds NaN"),
        (lambda h, w, y: decompose(w * 0), "zero everywhere"),
        (lambda h, w, y: decompose(w[0]), r"got \(20,\)"),
        (lambda h, w, y: decompose(w * np.inf), "must be finite"),
        (lambda h, w, y: privileged([[1.0]]), "list of numbers that are not negative"),
        (lambda h, w, y: privileged([1.0, -1.0]), "not negative"),
        (lambda h, w, y: privileged([1.0, 2.0], 0.5), "give a number above 1"),
        (lambda h, w, y: pruning_order([1.0], "best"), "unknown order 'best'"),
        (lambda h, w, y: pruning_order([1.0], "random"), "needs a seed"),
        (lambda h, w, y: pruning_order([1.0], "importance", 3), "no other takes one"),
        (lambda h, w, y: prune(w, ORDER, 13), "cannot keep 13 of 12 directions"),
        (lambda h, w, y: prune(w, ORDER[:5], 3), "each of the 12 directions once"),
        (lambda h, w, y: prune(w, ORDER * 0, 3), "each of the 12 directions once"),
        (lambda h, w, y: pruning_curve(h, y[:9], w, ORDER), "60 images but 9 labels"),
        (lambda h, w, y: pruning_curve(h, y + 12, w, ORDER), "none of the 12 classes"),
        (lambda h, w, y: pruning_curve(h, y * 1.0, w, ORDER), "whole numbers"),
        (lambda h, w, y: pruning_curve(h, y, w, ORDER, [0, 1]), "none of the 2 classes"),
        (lambda h, w, y: pruning_curve(h, y, w, ORDER, [0, 40]), "row numbers of the head"),
        (lambda h, w, y: pruning_curve(h, y, w, ORDER, []), "row numbers of the head"),
        (lambda h, w, y: pruning_curve(h, y, w, ORDER, bias=[1.0]), "each of the head's 12"),
    ],
)
def test_bad_input_is_named(features, head, labels, call, message):
    with pytest.raises(ValueError, match=message):
        call(features, head, labels)
