"""What outdates runs in tables that all of them open: the entries that a run reads, and no more."""

import pytest
from conftest import ROOT

from analysis.base.files import looks
from companion.engine import experiments, fingerprints
from companion.measurements import quantities
from companion.runs import entries, project
from companion.sources import sets

RUNS = experiments.all_runs()
SET = """
  - name: new-set
    title: A new set
    published: new_set
    images: 10
    classes: 2
    layout: name
    folders: [new-set]
    origin: https://example.org
    terms: free
    citation: russakovsky2015imagenet
"""


@pytest.fixture
def outdated(tmp_path, monkeypatch):
    """The runs that a change to a copy of one of the two tables outdates."""

    def found(name, change):
        before = made_from()
        copy = tmp_path / name.rpartition("/")[2]
        copy.write_text(change((ROOT / name).read_text()))
        module, attribute = (sets, "SETS") if "sets" in name else (quantities, "FILE")
        with monkeypatch.context() as patch:
            patch.setattr(module, attribute, copy)
            forget()
            after = made_from()
        forget()
        return {run for run, parts in after.items() if parts != before[run]}

    return found


def made_from():
    listed = fingerprints._listed
    return {str(run): project.PROJECT.entries(run, listed) for run in RUNS}


def forget():
    cached = (quantities.declared, quantities.units, entries._kind, entries._sets)
    for function in (*cached, sets._table, sets.descriptions, sets._titles):
        function.cache_clear()


def reading(kind):
    return {str(run) for run in RUNS if kind in run.experiment.measurements}


@pytest.mark.parametrize("name", entries.FILES)
def test_a_comment_outdates_no_run(name, outdated):
    assert outdated(name, lambda text: f"# a note\n{text}\n# another\n") == set()
    for run in RUNS:  # nor are the files as a whole what a run is made from
        files = {path.relative_to(ROOT).as_posix() for path in fingerprints.declared_files(run)}
        assert name not in files - {*run.experiment.reads}


def test_a_new_data_set_outdates_no_run_but_those_of_published_accuracies(outdated):
    described = SET.replace("    published: new_set\n", "")
    assert (
        outdated(entries.FILES[0], lambda t: t.replace("sets:\n", f"sets:{described}", 1)) == set()
    )
    found = outdated(entries.FILES[0], lambda t: t.replace("sets:\n", f"sets:{SET}", 1))
    every = {
        str(run) for run in RUNS if any("data/published" in name for name in experiments.reads(run))
    }
    assert found == every and 0 < len(found) < len(RUNS) / 2


def test_a_set_that_is_named_otherwise_outdates_what_shows_it(outdated):
    found = outdated(
        entries.FILES[0], lambda text: text.replace("plants_164: 164", "plants_164: some")
    )
    assert "outlier_features/vit_b_16" in found and not any("pocket_lab" in run for run in found)
    assert len(outdated(entries.FILES[0], lambda text: text.replace("50000", "50001"))) == len(RUNS)


def test_a_new_quantity_outdates_what_reads_its_experiment(outdated):
    of = "    kurtosis_mean: {unit: kurtosis}\n"
    new = "    of_this_test: {unit: fraction, optional: true, column: Hoyer, means: sparsity}\n"
    found = outdated(entries.FILES[1], lambda text: text.replace(of, of + new, 1))
    assert found == reading("outlier_features") and 0 < len(found) < len(RUNS) / 2
    unit = outdated(
        entries.FILES[1],
        lambda text: text.replace("correlation: {least: -1", "correlation: {least: -2"),
    )
    assert unit == reading("image_by_image")


def test_what_numbers_are_held_against_outdates_none(outdated):
    def change(text):
        return text.replace(", same_as: accuracy.top1", "").replace(", choice: true", "")

    assert outdated(entries.FILES[1], change) == set()


def test_what_python_keeps_does_not_say_that_the_store_changed(own_store, tmp_path, monkeypatch):
    """A script that was started below data/ leaves a folder of compiled modules there."""
    monkeypatch.setattr(project, "ROOT", tmp_path)
    (tmp_path / "data/pocket/__pycache__").mkdir(parents=True)
    (tmp_path / "data/pocket/a.csv").write_text("1")
    before = project.state_of_store(["rn50"])
    (tmp_path / "data/pocket/__pycache__/make.cpython-312.pyc").write_bytes(b"1")
    assert project.state_of_store(["rn50"]) == before
    (tmp_path / "data/pocket/a.csv").write_text("2")
    assert project.state_of_store(["rn50"]) != before


def test_whatever_a_run_is_made_from_decides_whether_a_build_looks_at_it(monkeypatch):
    looked = []
    monkeypatch.setattr(project, "looks", lambda *places: looked.extend(looks(*places)))
    assert project.PROJECT.knowledge()
    known = {path for path, *_ in looked}
    assert {str(path) for run in RUNS for path in fingerprints.inputs(run)} <= known
