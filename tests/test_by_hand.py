"""What pages work out by hand, on the very arrays that were measured: few classes of many, too."""

from types import SimpleNamespace

import numpy as np
import pytest
from tiny import keep, model

from analysis.base.roots import ROOT
from analysis.families import registry
from analysis.families.registry import Family
from analysis.features.store import Head
from companion import book
from companion.chapters import arrays, measured
from companion.engine import execute
from companion.measurements import from_store, pending, records

N, WIDTH, CLASSES = 60, 24, 40
SOME = ("c31", "c07", "c18")  # the data set's classes, of the head's many
MODEL = model("wide", level="supervised", width=WIDTH)
MINE = Family.model_construct(
    name="mine", title="Mine", edition="reader", order=100, backbone="A net.", models=(MODEL,)
)


@pytest.fixture(autouse=True)
def mine(own_store, tmp_path, monkeypatch):
    """A family whose features are of three of its head's forty classes, some images of none."""
    monkeypatch.setattr(records, "FOLDER", tmp_path / "recorded")
    for module in (registry, measured, book):
        monkeypatch.setattr(module, "load_family", {"mine": MINE}.__getitem__)
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(CLASSES, WIDTH)).astype(np.float32)
    names = tuple(f"c{row:02}" for row in range(CLASSES))
    head = Head(weight, names, bias=rng.normal(size=CLASSES).astype(np.float32))
    labels = np.arange(N) % 4 - 1
    own = np.array([names.index(SOME[label]) for label in labels])
    features = (weight[own] + 2 * rng.normal(size=(N, WIDTH))).astype(np.float32)
    keep(MODEL, "few", features, labels, classes=SOME, head=head)
    for job in pending.jobs(MINE, ["outlier_features", "privileged_directions", "pruning"]):
        records.write_live(from_store.measure(job))
    return features, labels, own, head


def test_arrays_ask_a_head_what_was_measured(mine):
    features, labels, own, _ = mine
    (m,) = records.available("pruning", MINE)
    given = arrays.on_disk([m])
    assert given.measured == m and given.title == measured.model_and_data(m)
    np.testing.assert_array_equal(given.h, features)
    np.testing.assert_array_equal(given.labels, np.where(labels < 0, -1, own))
    assert sorted(given.rows) == [7, 18, 31]
    logits = given.h @ given.W.T + given.b
    right = given.rows[logits[:, given.rows].argmax(axis=1)] == given.labels
    assert m.value("accuracy_importance")[-1] == pytest.approx(right[labels >= 0].mean(), abs=1e-4)
    among_all = (logits.argmax(axis=1) == given.labels)[labels >= 0].mean()
    assert among_all < right[labels >= 0].mean() < 1


def test_other_features_than_the_measured_are_not_shown(mine):
    (m,) = records.available("outlier_features", MINE)
    keep(MODEL, "few", mine[0] + 1)
    assert arrays.on_disk([m]) is None
    given = arrays.gaussian(WIDTH)
    assert given.measured is None and given.title == "Gaussian numbers"
    right = (given.h @ given.W.T)[:, given.rows].argmax(axis=1) == given.labels
    assert right.all()


@pytest.mark.parametrize("chapter", ["outlier_features", "privileged_directions", "pruning"])
def test_what_a_page_works_out_by_hand_is_what_was_measured(chapter):
    notebook = ROOT / "notebooks" / f"{chapter}.py"
    executed = execute.in_this_process(notebook, {"family": "mine"}, SimpleNamespace(on=False))
    outputs = [out for cell in executed.cells for out in cell.get("outputs", ())]
    text = str(outputs)
    (m,) = records.available(chapter, MINE)
    if chapter == "pruning":
        accuracy = m.value("accuracy_importance")
        shown = [f"{100 * accuracy[at - 1]:.1f} %" for at in (len(accuracy), round(0.2 * WIDTH))]
        assert f"with all {len(accuracy)} directions {shown[0]} are" in text
        assert f"most important ones {shown[1]}" in text
    elif chapter == "outlier_features":
        assert f"κ = {m.value('kurtosis_mean'):.3f}" in text
    else:
        assert f"{WIDTH} directions" in text
