"""Every experiment of made-up features gives the numbers that are kept, from store to JSON."""

import copy

import golden
import pytest

from companion.measurements.quantities import declared


@pytest.fixture(scope="module")
def now(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COMPANION_STORE", str(tmp_path_factory.mktemp("store")))
        golden.fill()
        return golden.measured()


def test_what_is_measured_is_what_is_kept_or_its_version_is_another(now):
    kept = golden.kept()
    assert kept.keys() == now.keys(), "run python tests/golden.py"
    found = {name: [*golden.differences(kept[name], now[name])] for name in now}
    said = "raise the versions of these experiments in data/quantities.yaml, then run golden.py"
    assert not {name: lines for name, lines in found.items() if lines}, said
    assert {n: k["version"] for n, k in kept.items()} == {n: k["version"] for n, k in now.items()}


def test_every_experiment_and_every_quantity_that_must_be_there_is_measured(now):
    experiments = {name.partition("--")[0] for name in now}
    assert experiments == declared().keys() - {"probe"}
    for experiment in experiments:
        names = [n for n in now if n.startswith(f"{experiment}--")]
        kind = declared()[experiment]
        values = {value for name in names for value in now[name]["values"]}
        assert {n for n, of in kind.quantities.items() if not of.optional} <= values, experiment


def test_the_numbers_tell(now):
    """No list is all zero or all one but of what none of the made-up images has."""
    accuracy = now["accuracy--golden"]["values"]["top1"]["value"]
    assert 0.3 < accuracy < 0.95
    counts = now["outlier_features--golden"]
    scenes = counts["values"]["scenes"]["value"]
    distinct = counts["values"]["distinct_images"]["value"]
    assert scenes < distinct < counts["counts"]["images"]
    best = now["concepts--pocket"]["values"]["best"]["value"]
    assert min(best) < 0.7 and max(best) > 0.8


def test_nothing_is_kept_while_the_version_of_other_numbers_stands(now, tmp_path, monkeypatch):
    monkeypatch.setattr(golden, "KEPT", tmp_path)
    golden.write(now)
    assert golden.kept() == now
    other = copy.deepcopy(now)
    value = other["accuracy--golden"]["values"]["top1"]
    value["value"] *= 1 + 1e-5
    with pytest.raises(ValueError, match="the numbers of accuracy changed: raise `version`"):
        golden.write(other)
    assert golden.kept() == now
    other["accuracy--golden"]["version"] += 1
    golden.write(other)
    assert golden.kept() == other


def test_a_new_quantity_is_no_difference_and_one_that_is_gone_is(now):
    whole = now["basis--golden"]
    values = dict(whole["values"])
    name, value = values.popitem()
    fewer = {**whole, "values": values}
    assert [*golden.differences(fewer, whole)] == []
    assert [*golden.differences(whole, fewer)] == [f"{name}: {value['unit']} → None"]
