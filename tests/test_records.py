"""Measurement files: what `companion check` refuses, what differs, what is old, the export."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, cases, copy_checkout, python_in, refused
from markdown_it import MarkdownIt
from tiny import accuracy

from analysis.families.registry import load_families, load_family
from companion.chapters import measured, notes
from companion.checks import plausible
from companion.cli import main as cli
from companion.engine import cells, execute, experiments, style
from companion.measurements import quantities, records
from companion.measurements.measurement import Measurement
from companion.measurements.records import (
    FOLDER,
    STYLES_BY_ROLE,
    VERSION,
    differences,
    is_older,
    read,
)
from companion.sources import sets

RECORDED = sorted(FOLDER.glob("*/*.json"))
FAMILIES = load_families()
CLIP = {
    path.parent.name: path
    for path in RECORDED
    if path.stem.startswith("vit_b_16-openai--") and path.stem.endswith("coco_500_images")
}
CLIP["concepts"] = FOLDER / "concepts" / "vit_b_32-openai--textures.json"
IMAGES = CLIP["outlier_features"]


FREE = ("importance_head_centred", "sample")
ON_A = ("vit_b_16-openai", "imagenet-a")


@pytest.fixture
def edited(tmp_path):
    """A recorded measurement, or an accuracy, with something else at some places; its path.

    A place is as in `cases/measurement_faults.yaml`.
    """

    def edit(experiment, *changes):
        made = accuracy(*ON_A) if experiment == "accuracy" else read(CLIP[experiment])
        path = records.write(made, tmp_path)
        whole = json.loads(path.read_text())
        for where, *new in changes:
            first, *rest = where.split("/")
            quantity = first in whole["values"]
            *fields, last = (*(["values", first, "value"] if quantity else [first]), *rest)
            at = whole
            for field in fields:
                at = at[field]
            last = int(last) if isinstance(at, list) else last
            if new:
                at[last] = new[0]
            else:
                del at[last]
        path.write_text(json.dumps(whole))
        return path

    return edit


def test_recorded_files_are_as_they_are_written(tmp_path):
    for path in RECORDED:
        assert records.to_text(read(path)) == path.read_text(), path
    path = records.write(read(IMAGES), tmp_path)
    assert path == tmp_path / "outlier_features" / IMAGES.name
    assert [p.name for p in path.parent.iterdir()] == [path.name]


# What is refused


def test_a_report_has_a_line_for_a_file_whatever_it_is_called(tmp_path):
    copied = shutil.copy(IMAGES, tmp_path / "a\n2 of 2 measurement files are sound.json")
    lines, wrong = plausible.report([Path(copied)], FAMILIES)
    assert wrong == 1 and not any("\n" in line for line in lines)
    assert lines[0].startswith("a\\n2 of 2")
    refused("^a.n b does not exist: check the path.$", plausible.files, [Path("a\n b")])


@pytest.mark.parametrize(
    ("experiment", "change", "sentence"),
    [
        (kind, fault[:-1], fault[-1])
        for kind, faults in cases("measurement_faults").items()
        for fault in faults
    ],
)
def test_each_fault_is_named_in_one_sentence(edited, experiment, change, sentence):
    path = edited(experiment, change)
    problems = plausible.problems(path, FAMILIES)
    assert any(sentence.lower() in problem.lower() for problem in problems), problems
    assert all(path.name in problem and "\n" not in problem for problem in problems)


def test_text_that_is_no_measurement_is_refused(edited):
    path = edited("pruning")
    text = path.read_text()
    for bad, said in (
        (text[:500], "cannot be read as JSON: "),
        (text.replace("{", '{"format": 1,', 1), "the key 'format' occurs twice"),
        (f"[{text}]", "[Ii]nput should be a valid dictionary"),
    ):
        path.write_text(bad)
        refused(f"^{path.name}.* ?{said}", read, path)


def test_an_accuracy_is_of_the_published_images_or_says_how_it_differs(tmp_path):
    def problems(**about):
        return plausible.problems(records.write(accuracy(*ON_A, **about), tmp_path), FAMILIES)

    assert problems() == []
    (problem,) = problems(images=7463)
    assert "published with 7500 images, this saw 7463" in problem
    assert problems(images=7463, what=f"ImageNet-A; {sets.DIFFERS}: 7,463 images") == []
    assert problems(images=7463, what=f"imagenet-v2, {sets.DIFFERS}: few") == []  # no count


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_no_list_can_be_shorter_than_it_is(tmp_path, path):
    """Cut in half or emptied; what is as long as it wants to be is held against other numbers."""
    content = json.loads(path.read_text())
    copy = tmp_path / path.parent.name / path.name
    copy.parent.mkdir()
    for name, kept in content["values"].items():
        old = kept["value"]
        for length in {0, len(old) // 2} - {len(old)} if isinstance(old, list) else ():
            kept["value"] = old[:length]
            copy.write_text(json.dumps(content))
            free = name.endswith("_within") or (length and name in FREE)
            assert plausible.problems(copy, FAMILIES) or free, (name, length)
        kept["value"] = old


def test_what_came_later_is_not_measured_and_outdates_nothing(edited, monkeypatch, answer):
    """A quantity that is optional may be absent; to read it is an error in a sentence."""
    kinds, before = quantities.declared()["outlier_features"], read(IMAGES).lacks
    later = quantities.Quantity(
        unit="kurtosis", optional=True, column="of sum", means="κ of the sum"
    )
    wider = kinds.model_copy(update={"quantities": kinds.quantities | {"kurtosis_of_sum": later}})
    monkeypatch.setitem(quantities.declared(), "outlier_features", wider)
    old = read(IMAGES)
    assert old.lacks == [*before, "kurtosis_of_sum"] and plausible.problems(IMAGES, FAMILIES) == []
    refused(f"^{IMAGES.name} has no kurtosis_of_sum: take.*", old.value, "kurtosis_of_sum")
    new = edited("outlier_features", ("values/kurtosis_of_sum", {"unit": "kurtosis", "value": 3}))
    assert read(new).lacks == before
    for files, shown in (([old], ["not measured"]), ([old, read(new)], ["not measured", "3.00"])):
        rows = measured.frame(files).assign(title="of one")
        written = cells.written(rows, rows.attrs["more"].cells)
        assert written["of sum"].tolist() == shown
        assert rows.attrs["more"].columns["of sum"] == "κ of the sum"
    assert differences(old, read(new)) == []
    assert differences(read(new), old) == ["kurtosis_of_sum: is no longer measured"]
    said = answer("check", IMAGES, new)
    assert f"{IMAGES.name}: sound, not measured: {', '.join(old.lacks)}\n" in said
    assert f"{1 + bool(before)} lack quantities that were introduced after they" in said
    bad = edited("outlier_features", ("values/kurtosis_of_sum", {"unit": "kurtosis", "value": 0}))
    assert "kurtosis_of_sum is 0, which is impossible" in plausible.problems(bad, FAMILIES)[0]


def test_whatever_reading_raises_is_one_sentence(edited, monkeypatch):
    path = edited("outlier_features")

    def fails(*_):
        raise ZeroDivisionError("deep inside")

    monkeypatch.setattr(records, "misfits", fails)
    assert plausible.problems(path, FAMILIES) == [
        f"{path.name} cannot be read as a measurement (ZeroDivisionError)."
    ]


def test_what_is_said_of_a_file_on_a_page_is_no_markup(edited):
    """A sentence may quote the file: its fields, and its name."""
    path = edited("pruning", ("values/<b onload=P>", {"unit": "x", "value": 1}))
    path = path.rename(path.with_name(f"{path.stem}&lt;i&gt;.json"))
    (said,) = plausible.problems(path, FAMILIES)
    assert "<b onload=P>" in said and "&lt;i&gt;" in said
    html = MarkdownIt().render(style.unusable([said]))
    assert not re.search(r"<(?!/?(p|ul|li|pre|code)\b)", html)
    html = MarkdownIt().render(style.unusable([said]).split("\n", 1)[1])
    assert "&lt;b onload=P&gt;" in html and "&amp;lt;i&amp;gt;" in html
    assert "a # more" in MarkdownIt().render(style.unusable(["a\n\n# more"]))


def test_what_is_no_file_is_said_so(tmp_path):
    """A pipe would be waited for."""
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "folder.json").mkdir()
    for name, said in (("pipe", "is no file"), ("folder", "is no file"), ("gone", "is not there")):
        (problem,) = plausible.problems(tmp_path / f"{name}.json", FAMILIES)
        assert said in problem and f"{name}.json" in problem


def test_the_command_says_how_many_are_sound(edited, tmp_path, answer, capsys):
    assert "no measurement file" in answer("check", tmp_path, fails=True)
    shutil.copytree(FOLDER, tmp_path, dirs_exist_ok=True)
    said = answer("check", tmp_path)
    assert f"{len(RECORDED)} of {len(RECORDED)} measurement files are sound." in said
    bad = edited("pruning", ("random_orders", -1))
    assert cli.main(["check", str(bad.parent)]) == 1
    said, count = capsys.readouterr().out, len([*bad.parent.iterdir()])
    assert f"{bad.name}: random_orders is -1" in said and f"{count - 1} of {count}" in said


def test_a_deleted_file_is_missed_where_others_of_its_experiment_are(tmp_path, monkeypatch):
    folder = tmp_path / "data" / "measurements" / "pruning"
    folder.mkdir(parents=True)
    for model in ("a", "b"):
        shutil.copy2(IMAGES, folder / f"{model}.json")
    monkeypatch.setattr(records, "ROOT", tmp_path)
    monkeypatch.setattr(records, "FOLDER", folder.parent)
    assert not any("deleted" in problem for problem in records.unsound(["pruning"]))  # no checkout
    for command in (["init", "-q"], ["add", "data"]):
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True)
    (folder / "a.json").unlink()
    name = "data/measurements/pruning/a.json"
    said = f"{name} was deleted: git restore {name} brings it back."
    assert records.unsound(["pruning"])[-1] == said
    assert records.unsound(["basis"]) == []
    (folder / "b.json").unlink()  # nothing is left to build a page of
    assert records.unsound(["pruning"]) == []


# What a sound file says, and which are taken


def test_what_is_not_the_whole_published_set_says_so(edited):
    what = "500 images, NOT the published set, taken as it is"
    partial = read(edited("outlier_features", ("data/what", what)))
    assert partial.data.title.endswith(", not the published set")
    assert what in notes.cautions([partial, read(IMAGES)])
    assert notes.cautions([read(IMAGES)]) == ""
    relu = read(edited("outlier_features", ("negative_share", 0.0)))
    assert "behind a ReLU" in notes.cautions([relu])
    styles = [
        relu.model_copy(update={"data": relu.data.model_copy(update={"name": name})})
        for name in STYLES_BY_ROLE["unseen"]
    ]
    assert measured.by_style(styles[:2])["styles_unseen"].tolist() == [2]
    assert measured.by_style(styles)["styles_unseen"].isna().all()


def test_other_weights_and_what_is_broken_are_not_taken(edited, own_store, tmp_path, monkeypatch):
    """Joined by the checksum of the weights where both have one; the broken one is named."""
    family = load_family("vit_b_16")
    monkeypatch.setattr(records, "FOLDER", tmp_path)
    for noted, taken, count in ((None, None, 1), ("a", None, 1), (None, "b", 1), ("a", "b", 0)):
        edited("outlier_features", ("provenance/weights_sha256", taken and taken * 64))
        sha256 = {"weights_sha256": noted and noted * 64}
        model = family.model("vit_b_16-openai").model_copy(update=sha256)
        described = family.model_copy(update={"models": (model,)})
        assert len(records.available("outlier_features", described)) == count
        assert records.broken("outlier_features", described) == []
    edited("outlier_features", ("profile", [1.0]))
    assert records.available("outlier_features", family) == []
    (problem,) = records.broken("outlier_features", family)
    assert "values.profile has 1 numbers for 512 components" in problem


@pytest.mark.parametrize(("where", "new", "said"), cases("measurements")["differ"])
def test_differences_are_more_than_rounding(edited, where, new, said):
    assert differences(read(IMAGES), read(edited("outlier_features", (where, new)))) == said


def test_every_recorded_file_is_of_its_experiments_version_and_names_no_code():
    """Else its pages say so: take it again."""
    measured = {f"{p.parent.name}/{p.name}": read(p) for p in RECORDED}
    assert not [name for name, m in measured.items() if is_older(m)]
    ours = ("analysis.", "base.", "companion.")
    assert not [
        n for n, m in measured.items() for of in m.provenance.made_from if of.startswith(ours)
    ]


def test_an_earlier_version_of_an_experiment_is_shown(edited, tmp_path, monkeypatch):
    """On the page of every run that shows such a file, whatever its notebook publishes."""
    older = [("provenance/version", "0.0.9"), (f"provenance/made_from/{VERSION}", "0")]
    assert is_older(read(edited("outlier_features", *older)))
    monkeypatch.setattr(records, "FOLDER", tmp_path)
    for experiment, boxes in (("outlier_features", 1), ("pruning", 0)):
        run = experiments.find_run(experiment, "vit_b_16")
        _, *added = execute._canonical(run, a_notebook())["cells"]
        assert len(added) == boxes
        for cell in added:
            assert cell["source"].startswith(":::{admonition} Older code\n")
            said = "`outlier_features`: 1 of 1 (vit_b_16-openai)"
            assert said in cell["source"]


def a_notebook():
    return {"cells": [{"cell_type": "markdown", "metadata": {}, "source": "# A title"}]}


def test_the_published_schema_is_that_of_the_code():
    kept = json.loads((ROOT / "data/measurements.schema.json").read_text())
    assert kept == Measurement.model_json_schema()


def test_an_export_writes_where_it_is_told_to(tmp_path, monkeypatch, answer, capsys):
    """Into a device or a pipe, which stay; through a link, which stays one."""
    monkeypatch.setattr(records, "FOLDER", tmp_path)
    monkeypatch.setattr(
        "companion.measurements.export.everything", lambda _: pd.DataFrame({"model": ["a"]})
    )
    assert cli.main(["export", "-"]) == 0
    assert capsys.readouterr() == ("model\na\n", "-: 1 numbers of 1 models\n")
    answer("export", "/dev/null")
    assert Path("/dev/null").is_char_device()
    (tmp_path / "link.csv").symlink_to(tmp_path / "far.csv")
    for _ in range(2):
        answer("export", tmp_path / "link.csv")
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "far.csv").read_text() == "model\na\n"
    with pytest.raises(SystemExit):
        cli.main(["export", ""])
    assert "file is empty: give it" in capsys.readouterr().err


def test_every_number_is_exported_once_with_what_it_is(tmp_path, answer):
    file = tmp_path / "all.csv"
    said = answer("export", file)
    table = pd.read_csv(file, keep_default_na=False)
    assert f"{len(table):,} numbers" in said
    assert not table.duplicated(["experiment", "model", "data", "quantity", "place"]).any()
    clip = read(IMAGES)
    rows = table[(table["model"] == clip.model) & (table["data"] == clip.data.name)]
    (mean,) = rows[rows["quantity"] == "kurtosis_mean"].to_dict("records")
    assert mean["value"] == clip.value("kurtosis_mean") and mean["n"] == 500
    places = rows[(rows["experiment"] == "outlier_features") & (rows["quantity"] == "sample")]
    assert places["place"].iloc[-1] == "{} {}".format(*(n - 1 for n in clip.value("sample").shape))
    assert set(table[table["model"] == "rn101-openai"]["inferred"]) != {""}


def test_a_parquet_file_has_a_row_for_each_quantity(tmp_path, answer, monkeypatch):
    parquet = pytest.importorskip("pyarrow.parquet")
    file, clip = tmp_path / "all.parquet", read(IMAGES)
    said = answer("export", file)
    table = pd.read_parquet(file)
    assert f"{len(table):,} quantities" in said
    key = ["experiment", "model", "data", "quantity"]
    assert not table.duplicated(key).any() and table["data"].is_monotonic_increasing
    assert parquet.ParquetFile(file).num_row_groups > 1
    own = [("model", "==", clip.model), ("data", "==", clip.data.name)]
    rows = pd.read_parquet(file, filters=own).query("experiment == @clip.experiment")
    assert sorted(rows["quantity"]) == sorted(clip.values)
    for row in rows.itertuples():
        expected = np.asarray(clip.values[row.quantity].value, dtype=float)
        np.testing.assert_array_equal(np.reshape(row.values, row.shape), expected)
        assert (row.n, row.unit) == (500, clip.values[row.quantity].unit)
    folder = tmp_path / "sets"
    assert said.partition(":")[2] == answer("export", folder).partition(":")[2]
    assert {path.stem for path in folder.iterdir()} == {*table["data"]}
    assert {*pd.read_parquet(folder / f"{clip.data.name}.parquet")["data"]} == {clip.data.name}
    whole = pd.read_parquet(folder).sort_values("data", kind="stable", ignore_index=True)
    pd.testing.assert_frame_equal(whole, table)
    (tmp_path / "file").touch()
    assert "give a name that ends so" in answer("export", tmp_path / "file", fails=True)
    (folder / "gone.parquet").touch()
    said = answer("export", folder, fails=True)
    assert "has gone.parquet, which is of no data set here" in said
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    said = answer("export", tmp_path / "other.parquet", fails=True)
    assert "pip install pyarrow" in said and not (tmp_path / "other.parquet").exists()


@pytest.mark.parametrize(
    ("slip", "says"),
    [
        ("\n- {x: [\n", "quantities.yaml: line [0-9]+: the file is not readable as YAML"),
        ("\nmore: {head: 1}\n", "data/quantities.yaml: more.*: "),
    ],
)
def test_a_slip_in_what_is_declared_is_one_sentence_and_no_verdict(slip, says, tmp_path):
    """Not every measurement left out, with verdicts as if nothing had been measured."""
    checkout = tmp_path / "it"
    copy_checkout(checkout)
    file = checkout / "data/quantities.yaml"
    file.write_text(file.read_text() + slip)
    where = {"PYTHONPATH": str(checkout), "COMPANION_ROOT": str(checkout)}
    done = python_in(checkout, "-m", "companion.cli.main", "claims", **where)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert re.match(f"companion: {says}", line)
