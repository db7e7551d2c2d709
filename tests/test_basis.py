"""What a rotation changes of features, and what it leaves: analysis.metrics.basis."""

import numpy as np
import pytest

from analysis.metrics import basis
from analysis.metrics.outliers import kurtosis, persistence
from companion.measurements import invariance
from companion.measurements.quantities import declared

rng = np.random.default_rng(0)


@pytest.fixture(scope="module")
def spiked():
    """Images with one coordinate far above the others, as CLIP's have."""
    features = rng.standard_normal((300, 64)) * rng.uniform(0.2, 1, 64)
    features[:, 7] += 12
    return features


def unit(features):
    return features / np.linalg.norm(features, axis=1, keepdims=True)


def test_a_rotation_takes_the_outlier_away_and_leaves_the_statements(spiked):
    turned = spiked @ basis.random_rotation(64, 1)
    assert kurtosis(spiked).mean() > 25 and persistence(spiked).fraction == 1
    assert kurtosis(turned).mean() < 4 and persistence(turned).fraction < 0.9
    for statement in (
        basis.mean_share,
        basis.effective_rank,
        lambda h: kurtosis(basis.eigenframe(h)).mean(),
        lambda h: np.linalg.norm(basis.less_mean(h)),
    ):
        assert statement(turned) == pytest.approx(statement(spiked), rel=1e-9)
    assert kurtosis(basis.eigenframe(turned)).mean() > 25


def test_statements_are_their_formulas(spiked):
    share = np.linalg.norm(unit(spiked).mean(axis=0)) ** 2
    assert basis.mean_share(spiked) == pytest.approx(share)
    for features in (spiked, spiked[:20]):  # the latter has fewer images than components
        values = np.linalg.eigvalsh(np.cov(unit(features).T))
        rank = values.sum() ** 2 / (values**2).sum()
        assert basis.effective_rank(features) == pytest.approx(rank)
    matrix = basis.random_rotation(64, 3)
    assert matrix @ matrix.T == pytest.approx(np.eye(64), abs=1e-12)
    assert (basis.random_rotation(64, 3) == matrix).all()


def test_gaussian_draws_have_the_two_moments(spiked):
    h = basis.at_length_one(spiked)
    drawn = basis.gaussian(spiked, 200_000, seed=2)
    assert drawn.mean(axis=0) == pytest.approx(h.mean(axis=0), abs=1e-3)
    assert np.cov(drawn.T, bias=True) == pytest.approx(np.cov(h.T, bias=True), abs=3e-4)


@pytest.mark.parametrize("call", [basis.less_mean, basis.effective_rank])
def test_one_image_or_equal_images_are_refused(call):
    with pytest.raises(ValueError, match="give"):
        call(np.ones((1 if call is basis.less_mean else 3, 4)) + np.arange(4))


def test_measured_as_the_formulas_say(spiked):
    found = invariance.basis(spiked)
    assert set(found) == set(declared()["basis"].quantities)
    h = unit(spiked)
    mean = h.mean(axis=0)
    assert found["kurtosis"] == pytest.approx(kurtosis(spiked).mean())
    assert found["kurtosis_less_mean"] == pytest.approx(kurtosis(h - mean).mean())
    assert found["mean_coordinate"] == 7
    assert found["mean_coordinate_share"] == pytest.approx((mean**2).max() / (mean**2).sum())
    assert found["kurtosis_gaussian"] == pytest.approx(found["kurtosis"], rel=0.05)
    assert len(found["kurtosis_rotated"]) == 10 and max(found["kurtosis_rotated"]) < 5


@pytest.mark.parametrize("with_bias", [False, True])
def test_what_the_head_undoes_changes_no_prediction(spiked, with_bias):
    head = rng.standard_normal((12, 64))
    bias = rng.standard_normal(6) if with_bias else None
    owners = [0, 1, 2, 3, 3, 4]  # the first six rows compete, two of them for one class

    def predicted(features):
        logits = features @ head[:6].T + (0 if bias is None else bias)
        return np.array(owners)[logits.argmax(axis=1)]

    labels = predicted(spiked)
    labels[:30] = (labels[:30] + 1) % 5
    found = invariance.interventions(spiked, labels, head[:6], bias, owners)
    assert set(found) == set(declared()["interventions"].quantities)
    assert found["accuracy_whole"] == found["accuracy_rotated"] == pytest.approx(0.9)
    assert found["changed_rotated"] == 0 and not any(found["changed_shifted"])
    assert found["kurtosis_shifted"][0] == pytest.approx(found["kurtosis_rotated"])
    assert found["kurtosis_shifted"][-1] > 40 > 5 > found["kurtosis_rotated"]
    h = unit(spiked)
    seen = h if bias is None else spiked
    mean = seen.mean(axis=0)
    less = predicted(seen - mean)
    assert found["changed_less_mean"] == 0 < (less != predicted(seen)).sum()
    assert found["accuracy_less_mean"] == pytest.approx((less == labels).mean())
    assert found["kurtosis_less_mean"] == pytest.approx(kurtosis(seen - mean).mean())
    cosines = (unit(h) @ unit(h).T)[~np.eye(300, dtype=bool)].mean()
    assert found["cosine_whole"] == pytest.approx(cosines) == found["cosine_rotated"]
    assert found["cosine_less_mean"] < 0.1 < 0.9 < found["cosine_shifted"]
    assert found["eigenframe_rotated"] == pytest.approx(found["eigenframe_whole"])
    assert found["eigenframe_less_mean"] < found["eigenframe_whole"] < found["eigenframe_shifted"]
    m = h.mean(axis=0) / np.linalg.norm(h.mean(axis=0))
    sigma, v = np.linalg.svd(head[:6])[1:]
    others = (sigma[:, None] * np.abs(v[:6] @ h.T)).mean(axis=1).mean()
    assert found["mean_importance"] == pytest.approx(
        np.linalg.norm(head[:6] @ m) * np.abs(h @ m).mean() / others
    )
    without = spiked.copy()
    without[:, found["leader"]] = 0
    now = predicted(without) == labels
    assert found["leader"] == 7
    assert found["accuracy_without_leader"] == pytest.approx(now.mean())
    assert found["difference_without_leader"] == pytest.approx(now.mean() - 0.9)
    ablated = seen.copy()
    ablated[:, 7] = mean[7]
    now = predicted(ablated) == labels
    assert found["accuracy_leader_at_mean"] == pytest.approx(now.mean())
    assert found["difference_leader_at_mean"] == pytest.approx(now.mean() - 0.9)
    assert found["kurtosis_leader_at_mean"] == pytest.approx(kurtosis(ablated).mean())
    assert len(found["accuracy_other_at_mean"]) == len(found["accuracy_without_other"]) == 20


def test_at_its_mean_a_constant_coordinate_costs_nothing_and_zeroed_it_does():
    """A coordinate that is large, equal in all images, and read by the head."""
    h = np.eye(8)[np.arange(400) % 4] + rng.normal(0, 0.05, (400, 8))
    h[:, 5] = 6
    h /= np.linalg.norm(h, axis=1, keepdims=True)
    head = np.eye(8)[:4] - 0.5 * np.arange(4)[:, None] * np.eye(8)[5]
    bias = 0.5 * np.arange(4) * h[:, 5].mean()
    labels = np.arange(400) % 4
    found = invariance.interventions(h, labels, head, bias)
    assert found["leader"] == 5 and found["accuracy_whole"] > 0.9
    assert found["difference_without_leader"] < -0.3
    assert abs(found["difference_leader_at_mean"]) < 0.05 and found["changed_less_mean"] == 0
