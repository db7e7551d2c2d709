"""Quantised features: levels, neighbours that stay, and what theory lets expect."""

import faiss
import numpy as np
import pytest
from tiny import unit

from analysis.metrics import quantisation as q
from analysis.metrics.basis import random_rotation
from companion.claims import ours
from companion.measurements import bits
from companion.measurements.invariance import Judge
from companion.measurements.unread import Texts


@pytest.fixture(scope="module")
def towering():
    """Images near twelve centres, with a large constant in coordinate 7."""
    rng = np.random.default_rng(0)
    labels = np.arange(120) % 12
    centres = rng.standard_normal((12, 64))
    h = centres[labels] + 0.6 * rng.standard_normal((120, 64)) + 40 * np.eye(64)[7]
    return h, centres, labels


# Quantisers, one number after another


def rounded(value, largest, bits):
    """The nearest of the levels, found by trying each."""
    most = 2 ** (bits - 1) - 1
    levels = [k * largest / most for k in range(-most, most + 1)]
    return min(levels, key=lambda level: abs(level - value))


@pytest.mark.parametrize("width", [2, 3, 4, 8])
def test_uniform_takes_the_nearest_level(width):
    h = np.random.default_rng(width).normal(size=(6, 9))
    of_all = np.abs(h).max()
    for scale in ("vector", "tensor"):
        largest = [np.abs(row).max() if scale == "vector" else of_all for row in h]
        expected = [
            [rounded(x, most, width) for x in row] for row, most in zip(h, largest, strict=True)
        ]
        assert q.uniform(h, width, scale) == pytest.approx(np.array(expected))
    assert len(np.unique(q.uniform(h, width, "tensor").round(12))) <= 2**width - 1


def test_a_quantile_clips_what_is_larger():
    row = np.r_[np.linspace(-1, 1, 99), 50]
    clipped = q.uniform(row[None], 8, quantile=0.99)[0]
    assert np.abs(clipped).max() == pytest.approx(np.quantile(np.abs(row), 0.99))
    assert np.abs(clipped[:-1] - row[:-1]).max() < np.abs(q.uniform(row[None], 8)[0] - row).max()
    of_all = q.uniform(np.stack([row, row]), 8, "tensor", quantile=0.99)
    assert np.allclose(of_all, [clipped, clipped], atol=0.01)


def test_cells_are_those_of_faiss():
    h = np.random.default_rng(0).normal(size=(300, 24)).astype(np.float32) + 3 * np.eye(24)[5]
    kinds = {"QT_4bit": (4, "dimension"), "QT_8bit": (8, "dimension")}
    kinds |= {"QT_4bit_uniform": (4, "tensor"), "QT_8bit_uniform": (8, "tensor")}
    for name, (width, of) in kinds.items():
        codec = faiss.ScalarQuantizer(24, getattr(faiss.ScalarQuantizer, name))
        codec.train(h.astype(np.float32))
        theirs = codec.decode(codec.compute_codes(h.astype(np.float32)))
        apart = np.abs(theirs - q.ranged(h.astype(np.float32), width, of))
        cell = np.ptp(h) / (2**width - 1)
        # a number on the border of two cells may fall into either, by float32
        assert (
            np.median(apart) < 1e-5 and (apart > 1e-4).mean() < 1e-3 and apart.max() < 1.01 * cell
        )


def test_cells_of_a_range_by_hand():
    assert q.ranged([[0, 1.0], [3, 1], [1.6, 1]], 2, "dimension")[:, 0].tolist() == [0.5, 3.5, 1.5]
    assert q.ranged([[0, 1.0], [3, 2.2]], 2, "tensor").tolist() == [[0.5, 1.5], [3.5, 2.5]]


def test_product_codes_are_the_nearest_of_few(towering):
    h = towering[0]
    decoded = q.product(h, seed=3)
    again, other = q.product(h, seed=3), q.product(h, seed=4)
    assert np.array_equal(decoded, again) and not np.array_equal(decoded, other)
    for start in range(0, 64, q.PART):
        part, codes = (x[:, start : start + q.PART] for x in (h, decoded))
        different = np.unique(codes, axis=0)
        assert len(different) <= q.CODES
        for row, code in zip(part, codes, strict=True):
            nearest = different[np.argmin([np.linalg.norm(row - some) for some in different])]
            assert nearest == pytest.approx(code)
    assert q.product(h[:, :62]).shape == (120, 62)


# Neighbours


def test_neighbours_kept_as_a_loop_counts_them(towering):
    h, *_ = towering
    coarse = h + 0.3 * np.random.default_rng(1).normal(size=h.shape)
    rows = [0, 5, 119]
    found = q.nearest(h, rows)
    counted = []
    for row, near in zip(rows, found, strict=True):
        before, after = (unit(x) @ unit(x)[row] for x in (h, coarse))
        before[row] = after[row] = -2
        assert {*near} == {*np.argsort(-before)[:10]}
        counted.append(len({*near} & {*np.argsort(-after)[:10]}) / 10)
    assert q.kept(found, coarse, rows) == pytest.approx(counted)
    assert (q.kept(found, h, rows) == 1).all()


@pytest.mark.parametrize(
    ("scheme", "some"),  # of 3 bits all are nearly the same, as all have the same large number
    [(q.sign, True), (lambda h: q.uniform(h, 3), False), (lambda h: q.uniform(h, 8), True)],
)
def test_single_precision_decides_only_what_it_can(towering, scheme, some, monkeypatch):
    h, rows = towering[0], np.arange(120)
    found, decoded = q.nearest(h, rows), scheme(h)
    fast = q.kept(found, decoded, rows)
    _, clear = q._clearly_kept(found, unit(decoded), rows)
    monkeypatch.setattr(q, "_clearly_kept", lambda *_: (np.empty(120), np.zeros(120, dtype=bool)))
    assert clear.any() == some and np.array_equal(q.kept(found, decoded, rows), fast)


def test_equal_cosines_count_by_chance(towering):
    h, *_ = towering
    rows = q.evenly(120, 1000)
    assert len(rows) == 120
    found = q.nearest(h, rows)
    constant = np.tile([1.0, 2.0], (120, 1))
    assert q.kept(found, constant, rows) == pytest.approx(10 / 119)
    assert q.kept(found, np.zeros((120, 2)), rows) == pytest.approx(10 / 119)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: q.nearest(np.eye(10), [0]), "10 images have no 10 neighbours each; give more"),
        (lambda: q.uniform(np.eye(3), 1), "needs 2 bits or more and a quantile in"),
        (lambda: q.uniform(np.eye(3), 4, quantile=0), "needs 2 bits or more and a quantile in"),
        (lambda: q.sign([[np.nan, 1]]), "row 0 of the features holds NaN or infinity"),
    ],
)
def test_bad_input_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()


# Why


def test_error_is_what_the_crest_factor_lets_expect():
    h = np.random.default_rng(1).normal(size=(400, 256)) + 4 * np.eye(256)[3]
    expected = q.expected_error(q.crest(h), 6).mean()
    assert q.relative_error(h, q.uniform(h, 6)).mean() == pytest.approx(expected, rel=0.02)


def test_kurtosis_bounds_the_crest_factor():
    rng = np.random.default_rng(2)
    for h in (rng.normal(size=(50, 32)), rng.standard_t(2, (50, 32)), 9 * np.eye(32) + 1):
        kappa = 32 * (h**4).sum(axis=1) / (h**2).sum(axis=1) ** 2
        low, high = np.sqrt(kappa), (32 * kappa) ** 0.25
        assert (low <= q.crest(h) + 1e-12).all() and (q.crest(h) <= high + 1e-12).all()


# Measured


def test_measured_as_independent_code_says(towering):
    h, centres, labels = towering
    judge = Judge(centres, None, np.arange(12), labels)
    texts = Texts(centres * (np.arange(64) != 7))
    found = bits.quantisation(h, texts, judge)
    four = list(bits.SCHEMES).index(("vector", 4))
    h = unit(h)
    turns = [random_rotation(64, seed) for seed in range(bits.ROTATIONS)]
    near = q.nearest(h, np.arange(120))
    by_turn = [q.kept(near, q.uniform(h @ turn, 4), np.arange(120)) for turn in turns]
    written = q.kept(near, q.uniform(h, 4), np.arange(120))
    assert found["kept_written"][four] == pytest.approx(written.mean())
    assert found["kept_rotated"][2][four] == pytest.approx(by_turn[2].mean())
    won = np.mean(by_turn, axis=0) - written
    assert found["won"][four] == pytest.approx(won.mean())
    assert found["won_error"][four] == pytest.approx(won.std(ddof=1) / np.sqrt(120))
    right = [((q.uniform(h @ t, 4) @ (centres @ t).T).argmax(1) == labels).mean() for t in turns]
    assert found["accuracy_rotated"][four] == pytest.approx(np.mean(right))
    mean = h.mean(0)  # off, with its bias
    biased = q.uniform(h - mean, 4) @ centres.T + centres @ mean
    assert found["accuracy_less_mean"][four] == (biased.argmax(1) == labels).mean()
    whole = ((h @ centres.T).argmax(1) == labels).mean()
    assert found["accuracy_whole"] == [whole]
    assert found["difference_written"][four] == pytest.approx(
        found["accuracy_written"][four] - whole
    )
    # the constant costs bits, its removal and a rotation give them back
    assert found["kurtosis_written"] > 15 > 4 > found["kurtosis_removed"][0]
    assert found["kept_written"][four] < 0.4 < 0.8 < min(r[four] for r in found["kept_rotated"])
    assert found["kept_removed"][four] > 0.7


def test_without_texts_and_head_there_is_less(towering):
    found = bits.quantisation(towering[0])
    empty = {name for name, value in found.items() if np.size(value) == 0}
    assert {name.split("_")[0] for name in empty} == {
        "accuracy",
        "difference",
        *["kept", "kurtosis", "crest"],
    }
    assert all(
        "removed" in name for name in empty if name.startswith(("kept", "kurtosis", "crest"))
    )
    assert found["queries"] == 120 and len(found["bits"]) == len(bits.names())


# A claim of ours


def test_an_encoder_is_predicted_by_the_line_through_all_others():
    x, y = np.log([3, 4, 9, 30, 80, 90]), np.array([0.1, 0.05, 0.3, 0.3, 0.5, 0.6])
    lines = (np.polyfit(np.delete(x, i), np.delete(y, i), 1) for i in range(6))
    expected = [np.polyval(line, x[i]) for i, line in enumerate(lines)]
    assert ours.left_out(x, y) == pytest.approx(np.array(expected))
    found = ours.kappa_predicts(np.exp(x), y, "abcdef")
    assert found.error == pytest.approx(np.abs(y - expected).mean())
    assert found.predicted == pytest.approx(np.array(expected))
    others = [np.delete(y, i).mean() for i in range(6)]
    assert found.error_without == pytest.approx(np.abs(y - others).mean())


def test_a_family_is_left_out_whole_and_counts_once():
    """Seven encoders of one family are one value, their medians; none of them predicts another."""
    kurtosis = np.r_[np.geomspace(3, 90, 6), np.geomspace(40, 50, 6)]
    loss = np.log(kurtosis) / 6
    loss[6:] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    found = ours.kappa_predicts(kurtosis, loss, "abcdefffffff")
    assert found.families == 6
    line = np.polyfit(np.log(kurtosis[:5]), loss[:5], 1)
    assert found.predicted[5:] == pytest.approx(np.polyval(line, np.log(kurtosis[5:])))


def test_the_rule_holds_fails_and_is_undecided():
    kurtosis, family = np.geomspace(3, 90, 12), "abcdefghijkl"
    noise = np.random.default_rng(3).uniform(-0.03, 0.03, 12)
    for loss, result in (
        (np.log(kurtosis) / 6 + noise, "holds"),
        (10 * noise, "undecided"),
        (-np.log(kurtosis) / 6 + noise, "fails"),
    ):
        assert ours.kappa_predicts(kurtosis, loss, family).result == result
    four_families = ours.kappa_predicts(kurtosis, np.log(kurtosis), "aaabbbcccddd")
    assert four_families.result == "undecided"


@pytest.mark.parametrize("alike", [0.0, 0.5, 0.9])
def test_noise_passes_as_often_as_is_said(alike):
    """With families of several encoders that are alike, in κ and in what is lost."""
    rate = ours.false_rate("aaaaaabbbbbcddefg", alike, trials=200, seed=5)
    assert rate <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 200)
    assert {*ours.load()} == {"B-4-bits"}
