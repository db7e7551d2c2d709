"""CLIP's axes, chosen again: the start, the gradient by hand, and what is measured at the end."""

from copy import deepcopy

import numpy as np
import pytest
import torch

from analysis.metrics import basis
from training import origin, relearn
from training.relearn import Pairs, RelearnSettings

WIDTH, CLASSES = 16, 40


@pytest.fixture(scope="module")
def pairs():
    """Two images of each class with a common vector, the second held out; and a text each."""
    rng = np.random.default_rng(0)
    texts = rng.normal(size=(CLASSES, WIDTH))
    labels = np.repeat(np.arange(CLASSES), 2)
    images = texts[labels] + 0.5 * rng.normal(size=(2 * CLASSES, WIDTH)) + 2 * np.eye(WIDTH)[3]
    held_out = np.arange(2 * CLASSES) % 2 == 1
    both = map(basis.at_length_one, (images, texts))
    return Pairs(*both, labels, held_out, np.arange(CLASSES))


def settings(**own):
    return RelearnSettings(**{"width": WIDTH, "batch": 20, "steps": 12} | own)


def test_a_turned_start_is_the_model_itself_in_axes_common_to_both_sides(pairs):
    begun = relearn.begin(pairs, settings(), seed=0)
    images, head = relearn.features(begun.own, begun.locked)
    unit = basis.at_length_one(images)
    np.testing.assert_allclose(
        unit @ head.T, pairs.images[pairs.held_out] @ pairs.texts.T, atol=1e-5
    )
    leading = np.abs(pairs.images.mean(axis=0)).argmax()
    assert leading == 3 and np.abs(unit.mean(axis=0)).max() < 0.9 * pairs.images.mean(axis=0)[3]


def test_centred_inputs_have_no_common_vector_but_a_constant(pairs):
    begun = relearn.begin(pairs, settings(centred=True), seed=0)
    inputs = begun.locked.images
    assert inputs.shape[1] == WIDTH + 1 and (inputs[:, -1] == 1).all()
    assert basis.mean_share(inputs[:, :-1].numpy()) < 0.05 < basis.mean_share(pairs.images)
    assert not begun.own.image[-1].any()


@pytest.mark.parametrize("scale", [100.0, None])
def test_the_gradient_by_hand_is_the_differentiated_one(pairs, scale):
    begun = relearn.begin(pairs, settings(start="random"), seed=1)
    own, other = begun.own.double(), deepcopy(begun.own.double())
    own.log_scale.data -= 1
    other.log_scale.data -= 1
    groups = torch.arange(20) // 2  # two of each
    batch = begun.locked.images[:20].double(), begun.locked.texts[:20, 0].double(), scale, groups
    assert relearn.written_out(own, *batch) == pytest.approx(origin.differentiated(other, *batch))
    for name, weight in own.named_parameters():
        expected = dict(other.named_parameters())[name].grad
        if expected is None:
            assert weight.grad is None
        else:
            torch.testing.assert_close(weight.grad, expected)


def test_the_path_and_the_end_do_not_depend_on_common_axes(pairs):
    begun = relearn.begin(pairs, settings(), seed=0)
    grown = origin.grow(
        begun.locked, settings(second_moment="shared"), 0, deepcopy(begun.own), None,
        relearn.written_out,
    )  # fmt: skip
    ends = relearn.ended(begun, grown, pairs.answers, [0.1])
    assert 0.001 < relearn.path(grown, begun.own) < 1
    turn = torch.tensor(basis.random_rotation(WIDTH, 9).copy(), dtype=torch.float32)
    start, end = deepcopy(begun.own), deepcopy(grown)
    for own in (start, end):
        own.image.data @= turn
        own.text.data @= turn
    assert relearn.path(end, start) == pytest.approx(relearn.path(grown, begun.own), rel=1e-4)
    turned = relearn.ended(relearn.Begun(begun.locked, start), end, pairs.answers, [0.1])
    for name in ("mean_share", "accuracy", "mean_share_texts", "accuracy_less_vector_0.1"):
        assert turned[name] == pytest.approx(ends[name], abs=1e-4)
    assert turned["kurtosis"] != pytest.approx(ends["kurtosis"], abs=1e-3)


def test_the_one_vector_is_the_mean_where_texts_hardly_vary():
    rng = np.random.default_rng(0)
    texts, images = rng.normal(size=(50, 32)), rng.normal(size=(30, 32))
    texts[:, 5], images[:, 5] = 0, 20  # texts do not vary there, images share it
    answers = (basis.at_length_one(images) @ texts.T).argmax(axis=1)
    found = relearn.less_vector(images, images, texts, answers, 1e-6)
    assert found["dropped"] == 1 and found["mean_inside"] > 0.99
    assert found["kurtosis"] < 4 < relearn.described(images, texts, answers)["kurtosis"]
    assert found["accuracy"] == found["equal"] == 1
