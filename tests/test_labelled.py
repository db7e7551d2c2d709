"""Concepts of labelled images, against average precision by its definition."""

import numpy as np
import pytest
import scipy.sparse
from conftest import refused

from analysis.metrics.average_precision import balanced_sample, concepts

RNG = np.random.default_rng(0)
LABELS = RNG.choice(["cat", "dog", "eel"], 120, p=[0.5, 0.3, 0.2])
H = RNG.normal(size=(120, 7))
H[LABELS == "dog", 4] += 4
TURN = np.linalg.qr(RNG.normal(size=(7, 7)))[0]


def by_definition(scores, shows):
    """Mean over positives of the share of positives from the top down to each."""
    order = np.argsort(-scores)
    hits = shows[order]
    return (hits.cumsum() / np.arange(1, len(hits) + 1))[hits].mean()


@pytest.mark.parametrize("directions", [None, TURN])
def test_average_precision_of_each_label_along_each_direction(directions):
    found = concepts(H, LABELS, directions)
    assert found.names == ("cat", "dog", "eel") and found.ap.shape == (7, 3)
    shows = LABELS[:, None] == np.array(found.names)
    assert found.positives.tolist() == shows.sum(axis=0).tolist()
    drawn = balanced_sample(scipy.sparse.csr_array(shows), 0)
    scores = H @ (np.eye(7) if directions is None else directions).T
    for c in range(3):
        part = slice(drawn.starts[c], drawn.starts[c + 1])
        rows, positive = drawn.rows[part], drawn.positive[part]
        for k in range(7):
            expected = by_definition(scores[rows, k], positive)
            assert found.ap[k, c] == pytest.approx(expected, abs=1e-6)
    np.testing.assert_array_equal(found.best, found.ap.max(axis=0))
    np.testing.assert_array_equal(found.direction, found.ap.argmax(axis=0))
    many = concepts(H, shows, directions)  # the same labels as flags
    np.testing.assert_array_equal(many.ap, found.ap)


def test_what_lies_along_a_coordinate_is_found_and_chance_is_not():
    found = concepts(H, LABELS)
    dog = found.names.index("dog")
    assert found.direction[dog] == 4 and found.best[dog] > 0.95 and found.encoded() == 1
    assert (found.chance < 0.8).all() and found.best[dog] > found.chance[dog] + 0.2


@pytest.mark.parametrize(
    "labels, message",
    [
        (LABELS[:-1], r"features are \(120, 7\) and labels 119: one row each"),
        (np.zeros(120), "all images or none show '0.0'"),
        (np.zeros((120, 2)), "all images or none show '0'"),
        (np.zeros((2, 2, 2)), r"\(N,\) or \(N, C\) is expected"),
    ],
)
def test_labels_of_which_nothing_follows(labels, message):
    refused(message, concepts, H, labels)
