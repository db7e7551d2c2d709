"""What a rotation changes of features, and what it leaves: analysis.metrics.basis."""

import numpy as np
import pytest
import scipy
from conftest import refused
from tiny import unit

from analysis.metrics import basis, outliers
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
    drawn = scipy.stats.ortho_group.rvs(64, random_state=np.random.default_rng(3))
    assert (drawn == matrix).all()  # what recorded numbers were measured with


def test_gaussian_draws_have_the_two_moments(spiked):
    h = basis.at_length_one(spiked)
    drawn = basis.gaussian(spiked, 50_000, seed=2)
    assert drawn.mean(axis=0) == pytest.approx(h.mean(axis=0), abs=2e-3)
    assert np.cov(drawn.T, bias=True) == pytest.approx(np.cov(h.T, bias=True), abs=6e-4)


def test_gaussian_draws_in_blocks_are_those_of_the_whole(spiked, monkeypatch):
    h = basis.at_length_one(spiked)
    noise = np.random.default_rng(2).standard_normal((1000, len(h)))
    whole = h.mean(axis=0) + noise @ (h - h.mean(axis=0)) / np.sqrt(len(h))
    monkeypatch.setattr(basis, "BLOCK_BYTES", 8 * len(h) * 70)  # 70 rows of noise at a time
    blocks = list(basis.gaussian_blocks(spiked, 1000, seed=2))
    assert {len(block) for block in blocks} == {70, 1000 % 70}
    assert np.concatenate(blocks) == pytest.approx(whole, abs=1e-14)


def test_gaussian_of_many_images_needs_no_row_of_noise_as_long_as_they_are(spiked, monkeypatch):
    monkeypatch.setattr(basis, "SUMMED", len(spiked) - 1)
    monkeypatch.setattr(basis, "BLOCK_BYTES", 8 * spiked.shape[1] * 70)
    assert [len(block) for block in basis.gaussian_blocks(spiked, 100, seed=2)] == [70, 30]
    test_gaussian_draws_have_the_two_moments(spiked)


def test_the_basis_is_measured_in_blocks(spiked, monkeypatch):
    whole, sizes = invariance.basis(spiked), set()
    monkeypatch.setattr(outliers, "BLOCK_BYTES", 8 * spiked.shape[1] * 70)
    plain = outliers.standardised
    monkeypatch.setattr(
        outliers, "standardised", lambda h, first=0: (sizes.add(len(h)), plain(h, first))[1]
    )
    blocks = invariance.basis(spiked)
    assert max(sizes - {len(spiked)}) == 70  # but for the draws of the Gaussian
    for name, value in whole.items():
        assert blocks[name] == pytest.approx(value, rel=1e-9), name


@pytest.mark.parametrize("call", [basis.less_mean, basis.effective_rank])
def test_one_image_or_equal_images_are_refused(call):
    refused("give", call, np.ones((1 if call is basis.less_mean else 3, 4)) + np.arange(4))


def test_measured_as_the_formulas_say(spiked):
    result = invariance.basis(spiked)
    assert set(result) == set(declared()["basis"].quantities)
    h = unit(spiked)
    mean = h.mean(axis=0)
    assert result["kurtosis"] == pytest.approx(kurtosis(spiked).mean())
    assert result["kurtosis_less_mean"] == pytest.approx(kurtosis(h - mean).mean())
    assert result["mean_coordinate"] == 7
    assert result["mean_coordinate_share"] == pytest.approx((mean**2).max() / (mean**2).sum())
    assert result["kurtosis_gaussian"] == pytest.approx(result["kurtosis"], rel=0.05)
    assert len(result["kurtosis_rotated"]) == 10 and max(result["kurtosis_rotated"]) < 5


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
    result = invariance.interventions(
        spiked, invariance.Judge(head[:6], bias, np.array(owners), labels)
    )
    assert set(result) == set(declared()["interventions"].quantities)
    assert result["accuracy_whole"] == result["accuracy_rotated"] == pytest.approx(0.9)
    assert result["changed_rotated"] == 0 and not any(result["changed_shifted"])
    assert result["kurtosis_shifted"][0] == pytest.approx(result["kurtosis_rotated"])
    assert result["kurtosis_shifted"][-1] > 40 > 5 > result["kurtosis_rotated"]
    h = unit(spiked)
    seen = h if bias is None else spiked
    mean = seen.mean(axis=0)
    less = predicted(seen - mean)
    assert result["changed_less_mean"] == 0 < (less != predicted(seen)).sum()
    assert result["accuracy_less_mean"] == pytest.approx((less == labels).mean())
    assert result["kurtosis_less_mean"] == pytest.approx(kurtosis(seen - mean).mean())
    cosines = (unit(h) @ unit(h).T)[~np.eye(300, dtype=bool)].mean()
    assert result["cosine_whole"] == pytest.approx(cosines) == result["cosine_rotated"]
    assert result["cosine_less_mean"] < 0.1 < 0.9 < result["cosine_shifted"]
    assert result["eigenframe_rotated"] == pytest.approx(result["eigenframe_whole"])
    assert (
        result["eigenframe_less_mean"] < result["eigenframe_whole"] < result["eigenframe_shifted"]
    )
    m = unit(h.mean(axis=0))
    sigma, v = np.linalg.svd(head[:6])[1:]
    others = (sigma[:, None] * np.abs(v[:6] @ h.T)).mean(axis=1).mean()
    importance = np.linalg.norm(head[:6] @ m) * np.abs(h @ m).mean()
    assert result["mean_importance"] == pytest.approx(importance / others)
    assert result["leader"] == 7
    without, ablated = spiked.copy(), seen.copy()
    without[:, 7], ablated[:, 7] = 0, mean[7]
    for name, changed in (("without_leader", without), ("leader_at_mean", ablated)):
        right = (predicted(changed) == labels).mean()
        assert result[f"accuracy_{name}"] == pytest.approx(right)
        assert result[f"difference_{name}"] == pytest.approx(right - 0.9)
    assert result["kurtosis_leader_at_mean"] == pytest.approx(kurtosis(ablated).mean())
    assert len(result["accuracy_other_at_mean"]) == len(result["accuracy_without_other"]) == 20


def test_at_its_mean_a_constant_coordinate_costs_nothing_and_zeroed_it_does():
    """A coordinate that is large, equal in all images, and read by the head."""
    h = np.eye(8)[np.arange(400) % 4] + rng.normal(0, 0.05, (400, 8))
    h[:, 5] = 6
    h /= np.linalg.norm(h, axis=1, keepdims=True)
    head = np.eye(8)[:4] - 0.5 * np.arange(4)[:, None] * np.eye(8)[5]
    bias = 0.5 * np.arange(4) * h[:, 5].mean()
    labels = np.arange(400) % 4
    result = invariance.interventions(h, invariance.Judge(head, bias, np.arange(4), labels))
    assert result["leader"] == 5 and result["accuracy_whole"] > 0.9
    assert result["difference_without_leader"] < -0.3
    assert abs(result["difference_leader_at_mean"]) < 0.05 and result["changed_less_mean"] == 0


# What texts do not vary along


@pytest.fixture(scope="module")
def texts():
    """200 texts that vary in 20 of 24 directions, by very different amounts, off the origin."""
    scales = np.concatenate([np.zeros(4), np.geomspace(1e-3, 1, 20)])
    drawn = rng.standard_normal((200, 24)) * scales + 3 * np.eye(24)[23]
    return drawn @ basis.random_rotation(24, 5)


def test_text_directions_are_the_eigenvectors_of_the_covariance(texts):
    frame = basis.text_directions(texts)
    assert frame.directions @ frame.directions.T == pytest.approx(np.eye(24), abs=1e-9)
    values = np.linalg.eigvalsh(np.cov(unit(texts).T))  # rising
    assert frame.variance == pytest.approx(values / values.sum(), abs=1e-12)
    for v, share in zip(frame.directions, frame.variance, strict=True):
        assert (unit(texts) @ v).var() / unit(texts).var(axis=0).sum() == pytest.approx(
            share, abs=1e-12
        )
    assert frame.spanned == 20 and frame.texts == 200
    rounded = basis.text_directions(texts.astype(np.float16))  # what rounding made is no variance
    assert rounded.spanned < 20
    few = basis.text_directions(texts[:15])
    other = basis.text_directions(texts[:15][::-1])  # another way to the same null space
    np.testing.assert_allclose(few.directions[:10], other.directions[:10], atol=1e-12)
    assert few.spanned == 14 and (few.variance[:10] < 1e-25).all()
    raw = basis.text_directions(texts * np.arange(1, 201)[:, None], at_length=False)
    assert raw.variance[-1] != pytest.approx(frame.variance[-1], rel=1e-3)


def test_directions_hold_the_share_that_was_asked_for_and_no_more(texts):
    centred = unit(texts) - unit(texts).mean(axis=0)
    whole = (centred**2).sum()
    for share in (0, 1e-5, 1e-3, 0.1):
        kept = basis.least_varying(texts, share)
        assert ((centred @ kept.T) ** 2).sum() / whole <= share + 1e-12
        one_more = basis.text_directions(texts).directions[: len(kept) + 1]
        assert ((centred @ one_more.T) ** 2).sum() / whole > share
    h = rng.standard_normal((50, 24))
    kept = basis.least_varying(texts, 1e-3)
    left = basis.without(h, kept)
    assert left @ kept.T == pytest.approx(np.zeros((50, len(kept))), abs=1e-12)
    projector = np.eye(24) - np.linalg.pinv(kept) @ kept
    assert left == pytest.approx(h @ projector)
    assert len(basis.least_varying(texts, 0)) == 4  # the null space holds nothing


def test_energy_by_text_variance_is_the_same_in_every_basis(texts):
    h = rng.standard_normal((300, 24)) + 5 * basis.text_directions(texts).directions[2]
    along = basis.energy_by_text_variance(h, texts)
    assert along.energy.sum() == pytest.approx(1) and along.energy[:4].sum() > 0.3
    assert along.energy[:4] == pytest.approx(along.energy[:4].mean())
    turn = basis.random_rotation(24, 9)
    turned = basis.energy_by_text_variance(h @ turn, texts @ turn)
    assert turned.energy == pytest.approx(along.energy)
    kept = basis.least_varying(texts, 1e-3)
    inside = ((unit(h) @ kept.T) ** 2).sum(axis=1).mean()
    assert along.energy[: len(kept)].sum() == pytest.approx(inside)


@pytest.mark.parametrize(
    "call, said",
    [
        (lambda t: basis.without(np.ones((3, 24)), t[:2]), "must be orthonormal"),
        (lambda t: basis.text_directions(t[:1]), "vary in no direction; give more"),
        (lambda t: basis.text_directions(np.tile(t[0], (9, 1))), "vary in no direction"),
        (lambda t: basis.least_varying(rng.standard_normal((90, 8)), 1e-6), "give a larger share"),
    ],
)
def test_texts_that_do_not_fit_are_refused_in_a_sentence(texts, call, said):
    with pytest.raises(ValueError, match=said) as error:
        call(texts)
    assert str(error.value).count("\n") == 0
