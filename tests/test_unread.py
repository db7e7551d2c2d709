"""Images without the directions that texts do not vary along: measured, fetched, shown."""

import numpy as np
import pytest
from tiny import unit

from analysis.families.registry import load_family
from analysis.features import store
from analysis.metrics.basis import random_rotation
from analysis.metrics.outliers import kurtosis
from companion.measurements import pending, unread
from companion.measurements.invariance import Judge


@pytest.fixture(scope="module")
def clip():
    """Texts that vary in 24 of 32 directions, and images near them with a constant in another."""
    rng = np.random.default_rng(0)
    turn = random_rotation(32, 3)
    scales = np.r_[np.geomspace(0.03, 1, 24), np.zeros(8)]
    texts = (rng.standard_normal((90, 32)) * scales + 0.5 * np.eye(32)[0]) @ turn
    labels = np.arange(120) % 90
    h = texts[labels] + 0.2 * rng.standard_normal((120, 32))
    constant = turn[28]  # along which no text varies
    return texts, h + 30 * constant, labels


def naive(h, texts, share, labels, head):
    """The same by eigenvectors of the covariance, one image after another."""
    values, vectors = np.linalg.eigh(np.cov(unit(texts).T))
    values = np.where(values > 1e-12, values, 0)
    k = int((np.cumsum(values) / values.sum() <= share).sum())
    projector = vectors[:, k:] @ vectors[:, k:].T
    left = np.array([projector @ image for image in unit(h)])
    right = np.array([np.argmax(head @ image) for image in left]) == labels
    energy = 1 - (np.linalg.norm(left, axis=1) ** 2).mean()
    return k, kurtosis(left).mean(), right.mean(), energy


def test_measured_as_independent_code_says(clip):
    texts, h, labels = clip
    judge = Judge(texts, None, np.arange(90), labels)
    result = unread.unread(h, [unread.Texts(texts), unread.Texts(texts[:30])], judge)
    for place, rows in enumerate((texts, texts[:30])):
        for at, share in enumerate(unread.SHARES):
            k, kappa, right, energy = naive(h, rows, share, labels, texts)
            assert result["dropped"][place][at] == k
            assert result["kurtosis_without"][place][at] == pytest.approx(kappa)
            assert result["accuracy_without"][place][at] == pytest.approx(right)
            assert result["energy"][place][at] == pytest.approx(energy)
    assert result["spanned"] == [24, 24] and result["text_rows"] == [90, 30]
    assert result["judged_by_itself"] == [0, 0]
    # the constant is what texts do not vary along: it is dropped, random directions leave it
    assert result["energy"][0][0] > 0.9 and result["mean_inside"][0][0] > 0.9
    whole = ((h @ texts.T).argmax(axis=1) == labels).mean()
    assert result["curve_accuracy"][0][0] == pytest.approx(whole)
    assert result["difference_without"][0] == pytest.approx(result["accuracy_without"][0] - whole)
    assert result["text_variance"].sum() == pytest.approx(result["image_energy"].sum()) == 1


def test_without_a_head_other_texts_judge(clip):
    texts, h, _ = clip
    first, second = unread.Texts(texts), unread.Texts(texts[10:])
    result = unread.unread(h, [first, second])
    assert np.shape(result["accuracy_without"]) == (1, 0) and result["curve_accuracy_random"] == []
    assert result["judged_by_itself"] == [0, 0]
    assert unread.unread(h, [first])["judged_by_itself"] == [1]
    labels = (h @ unit(texts[10:]).T).argmax(axis=1)
    same = naive(h, texts, unread.SHARES[3], labels, unit(texts[10:]))[2]
    assert result["equal_without"][0][3] == pytest.approx(same)


def test_a_head_with_a_bias_sees_images_at_their_length(clip):
    texts, h, labels = clip
    bias = np.linspace(-3, 3, 90)
    judge = Judge(texts, bias, np.arange(90), labels)
    result = unread.unread(h, [unread.Texts(texts, at_length=False, judge=True)], judge)
    right = ((h @ texts.T + bias).argmax(axis=1) == labels).mean()
    assert result["curve_accuracy"][0][0] == pytest.approx(right)
    assert result["judged_by_itself"] == [1]


# What is recorded, and public files


def test_texts_enter_the_store_and_head_no_data_set(artefacts, own_store):
    family = load_family("rn50")
    artefacts["into_store"](family)
    model = family.model("rn50-openai")
    (job,) = [j for j in pending.jobs(family, ["unread"]) if j.data == "imagenet_100_classes_500"]
    names = [path.name.split(".")[0] for path in job.texts()]
    assert names == ["texts_lvis_1230", "texts_openimages_500", "imagenet_100_classes_500"]
    head = store.read_head(job.texts()[0], model)
    assert head.weight.shape == (1230, 1024) and head.normalize
    assert len(store.read_sidecar(pending.largest_head(model))["classes"]) == 1000
    (other,) = [j for j in pending.jobs(family, ["unread"]) if j.data == "caltech101_val"]
    assert other.head() is None and len(other.texts()) == 3
