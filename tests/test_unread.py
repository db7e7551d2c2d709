"""Images without the directions that texts do not vary along: measured, fetched, shown."""

import numpy as np
import pytest

from analysis.families.registry import load_family
from analysis.features import store
from analysis.metrics.basis import random_rotation
from analysis.metrics.outliers import kurtosis
from companion.measurements import pending, unread
from companion.measurements.invariance import Judge
from companion.measurements.records import read_all
from companion.publish import unread as shown


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
    t = texts / np.linalg.norm(texts, axis=1, keepdims=True)
    values, vectors = np.linalg.eigh(np.cov(t.T))
    values = np.where(values > 1e-12, values, 0)
    k = int((np.cumsum(values) / values.sum() <= share).sum())
    u = h / np.linalg.norm(h, axis=1, keepdims=True)
    projector = vectors[:, k:] @ vectors[:, k:].T
    left = np.array([projector @ one for one in u])
    right = np.array([np.argmax(head @ one) for one in left]) == labels
    energy = 1 - (np.linalg.norm(left, axis=1) ** 2).mean()
    return k, kurtosis(left).mean(), right.mean(), energy


def test_measured_as_independent_code_says(clip):
    texts, h, labels = clip
    judge = Judge(texts, None, np.arange(90), labels)
    found = unread.unread(h, [unread.Texts(texts), unread.Texts(texts[:30])], judge)
    for place, rows in enumerate((texts, texts[:30])):
        for at, share in enumerate(unread.SHARES):
            k, kappa, right, energy = naive(h, rows, share, labels, texts)
            assert found["dropped"][place][at] == k
            assert found["kurtosis_without"][place][at] == pytest.approx(kappa)
            assert found["accuracy_without"][place][at] == pytest.approx(right)
            assert found["energy"][place][at] == pytest.approx(energy)
    assert found["spanned"] == [24, 24] and found["text_rows"] == [90, 30]
    assert found["judged_by_itself"] == [0, 0]
    # the constant is what texts do not vary along: it is dropped, random directions leave it
    assert found["energy"][0][0] > 0.9 and found["mean_inside"][0][0] > 0.9
    whole = ((h @ texts.T).argmax(axis=1) == labels).mean()
    assert found["curve_accuracy"][0][0] == pytest.approx(whole)
    assert found["difference_without"][0] == pytest.approx(found["accuracy_without"][0] - whole)
    assert found["text_variance"].sum() == pytest.approx(found["image_energy"].sum()) == 1


def test_without_a_head_other_texts_judge(clip):
    texts, h, _ = clip
    one, two = unread.Texts(texts), unread.Texts(texts[10:])
    found = unread.unread(h, [one, two])
    assert np.shape(found["accuracy_without"]) == (1, 0) and found["curve_accuracy_random"] == []
    assert found["judged_by_itself"] == [0, 0]
    assert unread.unread(h, [one])["judged_by_itself"] == [1]
    unit = texts / np.linalg.norm(texts, axis=1, keepdims=True)
    u = unit - unit.mean(axis=0)
    values, rows = np.linalg.svd(u)[1:]
    values = np.r_[values, np.zeros(32 - len(values))] ** 2
    k = int((np.cumsum(values[::-1]) / values.sum() <= 0.01).sum())
    kept = h - h @ rows[::-1][:k].T @ rows[::-1][:k]
    by = texts[10:] / np.linalg.norm(texts[10:], axis=1, keepdims=True)
    same = ((kept @ by.T).argmax(axis=1) == (h @ by.T).argmax(axis=1)).mean()
    assert found["equal_without"][0][3] == pytest.approx(same)


def test_a_head_with_a_bias_sees_images_at_their_length(clip):
    texts, h, labels = clip
    bias = np.linspace(-3, 3, 90)
    judge = Judge(texts, bias, np.arange(90), labels)
    found = unread.unread(h, [unread.Texts(texts, at_length=False, judge=True)], judge)
    right = ((h @ texts.T + bias).argmax(axis=1) == labels).mean()
    assert found["curve_accuracy"][0][0] == pytest.approx(right)
    assert found["judged_by_itself"] == [1]


# What is recorded, and public files


def test_texts_enter_the_store_and_head_no_data_set(artefacts, own_store):
    family = load_family("rn50")
    artefacts["into_store"](family)
    model = family.model("rn50-openai")
    (job,) = [j for j in pending.jobs(family, ["unread"]) if j.data == "imagenet_100_classes_500"]
    names = [path.name.split(".")[0] for path in job.texts()]
    assert names == ["texts_lvis_1230", "texts_openimages_500", "imagenet_100_classes_500"]
    found = store.read_head(job.texts()[0], model)
    assert found.weight.shape == (1230, 1024) and found.normalize
    assert len(store.read_sidecar(pending.largest_head(model))["classes"]) == 1000
    (other,) = [j for j in pending.jobs(family, ["unread"]) if j.data == "caltech101_val"]
    assert other.head() is None and len(other.texts()) == 3


# What pages show


def test_rows_say_what_judges_and_which_texts_are_too_few():
    m = next(m for m in read_all("unread") if m.file_name.startswith("vit_b_16-openai--coco"))
    pairs = shown.pairs([m])
    assert pairs["in_sample"].tolist() == [False] * (len(pairs) - 1) + [True]
    assert pairs["enough"].tolist() == [True] * (len(pairs) - 1) + [False]
    first, *_, last = pairs.to_dict("records")
    assert last["few"] == " (too few)" and last["sampled"] == ", in sample"
    assert first["sampled"] == ""
    assert pairs["kurtosis_without"].iloc[:-1].min() < 10 < pairs["kurtosis"].iloc[0]
