"""Images without the directions that texts do not vary along: measured, fetched, shown."""

import numpy as np
import pytest
from tiny import unit

from analysis.families.registry import load_family
from analysis.features import store
from analysis.metrics.basis import random_rotation
from analysis.metrics.outliers import kurtosis
from companion.chapters import unread_figures as shown
from companion.measurements import pending, records, unread
from companion.measurements.intervals import Interval
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
    assert result["judged_by_itself"] == [0, 0] and result["classified"] == 120
    # the constant is what texts do not vary along: it is dropped, random directions leave it
    assert result["energy"][0][0] > 0.9 and result["mean_inside"][0][0] > 0.9
    whole = ((h @ texts.T).argmax(axis=1) == labels).mean()
    assert result["curve_accuracy"][0][0] == pytest.approx(whole)
    assert result["difference_without"][0] == pytest.approx(result["accuracy_without"][0] - whole)
    assert [result[n].sum() for n in ("text_variance", "image_energy")] == pytest.approx([1, 1])


def test_one_vector_and_its_controls_as_independent_code_says(clip):
    """The same by pseudo-inverses, image by image, from what the tables say was taken off."""
    texts, h, labels = clip
    judge = Judge(texts, None, np.arange(90), labels)
    result = unread.unread(h, [unread.Texts(texts), unread.Texts(texts[:60])], judge)
    h, mean = unit(h), unit(h).mean(axis=0)
    before = (h @ texts.T).argmax(axis=1)

    def off(images, *vectors):
        columns = np.array(vectors).T.reshape(h.shape[1], -1)
        return images - (columns @ np.linalg.pinv(columns) @ images.T).T

    def agrees(name, place, at, images):
        now = (images @ texts.T).argmax(axis=1)
        form = name if "{}" in name else "{}_" + name
        change = (now == labels).mean() - (before == labels).mean()
        for what, expected in {
            "kurtosis": kurtosis(images).mean(),
            "equal": (now == before).mean(),
            "difference": change,
        }.items():
            assert result[form.format(what)][place][at] == pytest.approx(expected, abs=1e-9)

    for place, rows in enumerate((texts, texts[:60])):
        least = np.linalg.eigh(np.cov(unit(rows).T))[1].T
        for at in range(len(unread.SHARES)):
            part = mean - off(mean[None], *least[: result["dropped"][place][at]])[0]
            agrees("one_vector", place, at, off(h, part))
            agrees("constant", place, at, h - part)
        k = result["dropped"][place][unread.SHARES.index(unread.SHARE)]
        few = result["controlled"][place]
        assert k == few > 1
        varying, energy = (np.linalg.eigh(x.T @ x)[1].T for x in (h - mean, h))
        random = random_rotation(32, 0)[:k]
        tallest = np.argsort(-np.abs((h - h.mean(1)[:, None]) / h.std(1)[:, None]).mean(0))[:k]
        leader, at_zero, at_mean = result["leader"], h.copy(), h.copy()
        at_zero[:, tallest], at_mean[:, tallest] = 0, mean[tallest]
        expected = [
            off(h, mean - off(mean[None], *random)[0]),
            off(h, mean),
            off(h, mean - unit(rows).mean(axis=0)),
            off(h, *varying[-few:]),
            off(h, *varying[:few]),
            off(h, *energy[-few:]),
            off(h, np.eye(32)[leader]),
            np.where(np.arange(32) == leader, mean, h),
            at_zero,
            at_mean,
        ]
        for r in unread.ORTHOGONAL:  # of 32 directions, all but one at most
            most = varying[-min(r, 31) :]
            expected.append(off(h, off(mean[None], *most)[0]))
        by_size = np.argsort(-np.abs(mean))
        for n in unread.LARGEST:
            expected.append(off(h, np.where(np.isin(np.arange(32), by_size[:n]), mean, 0)))
        at = len(expected)
        assert result["control_kurtosis"][place][at] == pytest.approx(kurtosis(h - mean).mean())
        assert result["control_equal"][place][at] == 1
        assert result["control_difference"][place][at] == 0
        expected.append(None)
        for at, (images, _) in enumerate(zip(expected, unread.CONTROLS, strict=True)):
            if images is not None:
                agrees("control_{}", place, at, images)


def test_a_constant_on_an_axis_is_one_vector_which_texts_point_to(clip):
    texts, h, _ = (x @ random_rotation(32, 3).T if x.ndim > 1 else x for x in clip)
    result = unread.unread(h, [unread.Texts(texts)])
    assert result["kurtosis"] > 25 and result["kurtosis_one_vector"][0][0] < 6
    assert result["equal_one_vector"][0][0] > 0.95


def test_fewer_images_than_directions_leave_controls_that_are_defined(clip):
    texts, h, labels = clip
    judge = Judge(texts, None, np.arange(90), labels[:12])
    result = unread.unread(h[:12], [unread.Texts(texts[:20])], judge)
    dropped = result["dropped"][0][unread.SHARES.index(unread.SHARE)]
    assert dropped > result["controlled"][0] == 11 // 2  # the centred images have rank 11
    assert np.isfinite(result["control_kurtosis"]).all()


def test_without_a_head_other_texts_judge(clip):
    texts, h, _ = clip
    first, second = unread.Texts(texts), unread.Texts(texts[10:])
    result = unread.unread(h, [first, second])
    empty = ("accuracy_without", "difference_one_vector", "control_difference_error")
    assert {np.shape(result[name]) for name in empty} == {(1, 0)}
    assert result["curve_accuracy_random"] == []
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


def test_the_one_vector_of_the_front_page_and_its_controls():
    """As other code found them on the same files; the numbers as they are printed."""
    m = records.read(records.recorded_path("vit_b_32-openai", "imagenet_train_4000", "unread"))
    named = [f"ImageNet's 1,000 classes, {of}" for of in ("one template", "80 templates")]
    dishes = shown.taken_off(m).set_index("name")
    assert m.names["text_rows"] == ["names of 1,098 dishes", *named]
    classes, own = (shown.taken_off(m, place).set_index("name") for place in (1, 2))
    for table, name, kappa, change, margin in (
        (dishes, "without", 4.6526, -0.30, 0.55),
        (dishes, "one_vector", 5.8907, -0.23, 0.55),
        (classes, "without", 4.8748, -0.05, 0.35),
        (classes, "one_vector", 6.1254, 0.05, 0.35),
        (classes, "constant", 6.5930, 0.10, 0.35),
        (own, "without", 4.7102, 0.10, 0.29),
        (classes, "mean", 6.2577, -6.95, 1.16),
        (classes, "leader_at_zero", 7.2881, -4.10, 0.94),
        (classes, "leader_at_mean", 85.2158, 0.15, 0.25),
    ):
        row = table.loc[name]
        assert row["kurtosis"] == pytest.approx(kappa, abs=1e-4)
        assert 100 * row["change"].value == pytest.approx(change, abs=0.006)
        half = (row["change"].high - row["change"].low) / 2
        assert 100 * half == pytest.approx(margin, abs=0.03)  # of a score interval


def test_how_far_intervals_reach():
    narrow, wide = Interval(-0.02, -0.025, -0.015), Interval(0.012, 0.002, 0.022)
    reach = shown.reach([narrow, wide])
    assert reach == {"lowest": -0.025, "highest": 0.022, "widest": narrow}


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


def test_curves_leave_out_accuracy_where_nothing_is_classified():
    every = records.read_all("unread", "vit_b_32")
    judged = [np.size(m.value("curve_accuracy")) > 0 for m in every]
    some = [every[judged.index(False)], every[judged.index(True)]]
    drawing = shown.curves(some)
    panels = drawing.data.groupby(["panel", "quantity"], sort=False).ngroups
    assert panels == 3 and (drawing.data["quantity"] == "κ").any()
