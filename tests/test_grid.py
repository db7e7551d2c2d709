"""The grid: which jobs it comes to, what an estimate says, that only what is missing is done."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import miniatures
import numpy as np
import pytest
from conftest import ROOT
from tiny import save_folder

from analysis.families.registry import load_families
from analysis.features import store
from analysis.images import imagelist, imagenet, sets
from companion import cli
from companion.cli import main
from companion.runs import estimate, grid
from companion.runs.experiments import RunError
from companion.runs.grid import Choice, Job

#: Experiments that features, labels and a head of noise allow: all but concepts.
ON_NOISE = 4
#: One model of the pocket lab; its folders of pictures have the classes red, green and blue.
FAMILY = """name: mine
title: Mine
edition: reader
order: 1
backbone: Small.
models:
  - name: mine-web
    level: zero_shot
    library: open_clip
    architecture: pocket-cnn
    weights: data/pocket/checkpoints/pocket-cnn-web-large.safetensors
    pretraining: Emoji captions
    width: 128
    preprocessing:
      {size: 32, interpolation: box, mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5]}
"""


@pytest.fixture(autouse=True)
def nothing_here(tmp_path, monkeypatch):
    """No data set and no features of this machine's."""
    monkeypatch.setenv("COMPANION_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("COMPANION_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("COMPANION_DATA_CONFIG", raising=False)
    monkeypatch.setattr(sets, "CONFIG", tmp_path / "no-configuration.yaml")
    for cached in (grid._data, grid._listed, grid._keys, grid.models_of):
        cached.cache_clear()


@pytest.fixture
def published(monkeypatch):
    """The paper's data sets in their published sizes, without an image."""

    def find(text, accept_counts=False):
        one = sets.descriptions()[text]
        count = (one.used or one).images
        classes = () if text == "broden" else ("a",)
        labels = np.full(count, len(classes) - 1)
        keys = tuple(map(str, range(count)))
        images = imagelist.ImageList(text, [Path()] * count, keys, labels, classes)
        images.__dict__["manifest"] = text
        return [images]

    monkeypatch.setattr(grid, "_why_absent", lambda text: "")
    monkeypatch.setattr(grid.finder, "find", find)


# The jobs


def test_the_papers_grid_has_the_jobs_that_were_counted_by_hand(published):
    whole = grid.plan(Choice(edition="paper"))
    assert [family.name for family in whole.families] == list(load_families("paper"))
    assert len(whole.families) == 5 and len(whole.data) == 7
    assert len(whole.jobs) == 5 * 7 * 2  # one extraction and one measuring each
    sharded = grid.plan(Choice(edition="paper", shards=4))
    # 4,096 images a shard: ImageNet 13, R 8, Sketch 13, ObjectNet (18,574) 5, Broden 16 shards,
    # so 4 parts each; V2 has 3 shards, A has 2
    parts = 5 * (4 + 3 + 4 + 4 + 4 + 2 + 4)
    assert len(sharded.jobs) == parts + 5 * 7 * 2
    assert len(grid.plan(Choice(edition="paper", measure=False)).jobs) == 35
    some = grid.plan(Choice(families=("rn50",), data=("broden", "imagenet-a", "broden")))
    assert [str(job) for job in some.jobs] == [
        "features rn50 broden", "measure rn50 broden",
        "features rn50 imagenet-a", "measure rn50 imagenet-a",
    ]  # fmt: skip


def test_the_pocket_edition_has_ten_styles():
    plan = grid.plan(Choice(edition="pocket", shards=3, shard_size=200, record=True))
    # about 484 images a style: batches of 128 make shards of 256, so two parts and no third
    assert len(plan.jobs) == 2 * 10 * (2 + 2)
    assert {grid.parts(plan.choice, images) for images in plan.data} == {2}


def test_what_is_measured_where():
    assert grid.experiments("imagenet") == (
        "outlier_features", "privileged_directions", "pruning", "accuracy",
    )  # fmt: skip
    assert grid.experiments("objectnet") == ("accuracy", "pruning")
    assert grid.experiments("broden") == ("concepts",)
    assert len(grid.experiments("pocket-noto-test")) == 5


def test_concepts_wait_for_a_head(published):
    def needed(*data):
        paths = grid.needed_features({"data": data, "families": "rn50"}, "rn50", "broden")
        return [Path(path).parent.name for path in paths]

    assert needed("broden", "imagenet-r", "imagenet") == ["broden", "imagenet"]
    assert needed("broden", "imagenet-r") == ["broden", "imagenet-r"]
    with pytest.raises(RunError, match=r"no head of rn50-openai, .*: extract imagenet, too"):
        grid.step(Choice(), Job("measure", "rn50", "broden"))


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"families": ["rn5"]}, r"the edition paper has no family 'rn5': .*did you mean 'rn50'"),
        ({"families": "pocket_cnn"}, "the edition paper has no family 'pocket_cnn'"),
        ({"edition": "reader"}, "the edition reader has no"),
        ({"edition": "papr"}, "the grid's configuration: edition: input should be"),
        ({"shard": 3}, "the grid's configuration: shard: .*; known are edition, families"),
        ({"shards": 0}, "shards: input should be greater than or equal to 1"),
        ({"data": ["absent-folder"]}, "absent-folder is not a folder of images"),
        (
            {"models": "rn50-opena"},
            "of the edition paper have no model 'rn50-opena': the nearest .* are rn50-openai",
        ),
        (
            {"families": ["rn101"], "models": ["rn50-openai"]},
            "the families rn101 have no model 'rn50-openai'",
        ),
        (
            {"families": ["rn50", "rn101"], "models": ["rn50-openai"]},
            "the family rn101 has none of the models rn50-openai: leave it out",
        ),
        ({"models": ["rn50-captions"]}, "rn50-captions has no public weights"),
        ({"record": True, "measure": False}, "is to record measurements and not to take any"),
    ],
)
def test_a_wrong_choice_is_refused_in_a_sentence(choice, message):
    with pytest.raises(RunError, match=message):
        grid.plan(grid.choice_from(choice))


def test_some_models_are_some_families_and_notes_of_their_own(published):
    whole = grid.plan(Choice(models=("rn50-openai", "vit_b_32-openai"), data=("imagenet",)))
    assert [str(job) for job in whole.jobs] == [
        "features rn50 imagenet", "measure rn50 imagenet",
        "features vit_b_32 imagenet", "measure vit_b_32 imagenet",
    ]  # fmt: skip
    every = grid.plan(Choice(data=("imagenet",)))
    assert not {job.note for job in whole.jobs} & {job.note for job in every.jobs}
    turned = grid.plan(Choice(models=("vit_b_32-openai", "rn50-openai"), data=("imagenet",)))
    assert {job.note for job in whole.jobs} == {job.note for job in turned.jobs}
    config = {"models": ["rn50-openai"], "data": "imagenet"}
    (target,) = [p for p in grid.targets(config) if "measure" in p]
    assert target == str(
        Job("measure", "rn50", "imagenet", which=grid.choice_from(config).which).note
    )


@pytest.mark.parametrize(
    ("given", "records"),
    [
        ({"edition": "paper"}, True),
        ({"edition": "paper", "record": False}, False),
        ({"edition": "paper", "measure": False}, False),
        ({"edition": "pocket"}, False),
        ({"edition": "reader"}, False),
        ({"edition": "reader", "record": True}, True),
    ],
)
def test_only_the_papers_measurements_are_recorded_unasked(given, records):
    assert grid.choice_from(given).records is records
    plan = grid.plan(Choice(edition="pocket", data=("pocket-noto-test",)))
    assert {job.kind for job in plan.jobs} == {"features"}


# Data sets that are absent or wrong


def test_an_absent_data_set_is_named_and_the_others_go_on(tmp_path, monkeypatch):
    made = miniatures.save(tmp_path / "data", "imagenet-a")
    expect(monkeypatch, made)
    plan = grid.plan(Choice(edition="paper", families=("rn50", "vit_b_32")))
    assert [images.name for images in plan.data] == ["imagenet-a"]
    assert [one.name for one in plan.absent] == [n for n in sets.GRID if n != "imagenet-a"]
    assert "ImageNet-R is not in" in plan.absent[2].why and len(plan.jobs) == 4
    named = grid.plan(Choice(data=("imagenet-a", "broden"), families=("rn50",)))
    assert [one.name for one in named.absent] == ["broden"]
    with pytest.raises(RunError, match=r"none of the grid's data sets is here: ImageNet-R is not"):
        grid.run(grid.plan(Choice(data=("imagenet-r",))))


@pytest.mark.parametrize(("named", "status"), [((), 0), (("imagenet-a", "broden"), 1)])
def test_what_was_asked_for_by_name_and_is_absent_makes_the_exit_status_1(
    tmp_path, monkeypatch, capsys, named, status
):
    made = miniatures.save(tmp_path / "data", "imagenet-a")
    expect(monkeypatch, made)
    monkeypatch.setattr(grid, "run", lambda *_: 0)
    words = ["grid", "--edition", "paper", "--families", "rn50", "--no-measure"]
    assert cli.main([*words, *(["--data", *named] if named else [])]) == status
    assert "but for what is absent" in capsys.readouterr().out


def expect(monkeypatch, made):
    every = {**sets.descriptions(), made.name: made}
    for module in (sets, imagenet, grid):
        monkeypatch.setattr(module, "descriptions", lambda: every)


def test_wrong_counts_stop_the_grid(tmp_path, capsys):
    made = miniatures.save(tmp_path / "data", "imagenet-a")
    arguments = ["grid", "--families", "rn50", "--data", "imagenet-a", "imagenet-r"]
    assert main(arguments) == 1
    assert (
        f"{made.images} of 7,500 images: this copy of ImageNet-A is inc" in capsys.readouterr().err
    )
    plan = grid.plan(Choice(data=("imagenet-a",), accept_counts=True, families=("rn50",)))
    assert "NOT the published set" in plan.data[0].what


def test_an_incomplete_broden_stops_the_grid(tmp_path):
    from broden_miniature import save

    save(tmp_path / "data" / "broden1_224")
    with pytest.raises(RunError, match="12"):
        grid.plan(Choice(data=("broden",)))
    assert len(grid.plan(Choice(data=("broden",), accept_counts=True)).data[0]) == 12


# The estimate


def test_a_dry_run_prints_jobs_images_time_and_disk(monkeypatch, capsys):
    pytest.importorskip("open_clip", reason="extraction is not installed")
    measured = estimate.estimate
    monkeypatch.setattr(estimate, "estimate", lambda plan: measured(plan, seconds=1))
    data = ["pocket-noto-test", "imagenet-r"]
    arguments = ["grid", "--edition", "pocket", "--families", "pocket_cnn", "--device", "cpu"]
    assert main([*arguments, "--data", *data, "--dry-run"]) == 0
    printed = capsys.readouterr()
    assert printed.err.startswith("left out: imagenet-r. ImageNet-R is not in")
    assert "1 jobs, 0 done, 1 to do (1 features)" in printed.out
    rows = {line.split()[1]: line for line in printed.out.splitlines() if line.startswith("pocket")}
    # six models of 128 float32 components, and a label and a row number of 8 bytes each
    assert f"{484 * 6 * (128 * 4 + 16) / 1e6:.1f} MB" in rows["pocket-noto-test"]
    assert "30,000" in rows["imagenet-r"] and f"{30_000 * 6 * 528 / 1e6:.1f} MB" in printed.out
    assert "imagenet-r counted as published, though not here" in printed.out
    assert "weights drawn at random" in printed.out
    assert "generated images: decoding, and resizing in 1 way, " in printed.out


def test_a_dry_run_as_json(monkeypatch, capsys):
    pytest.importorskip("open_clip", reason="extraction is not installed")
    measured = estimate.estimate
    monkeypatch.setattr(estimate, "estimate", lambda plan: measured(plan, seconds=0.5))
    arguments = ["grid", "--edition", "pocket", "--models", "pocket-cnn-captions", "--json",
                 "--data", "pocket-noto-test", "--device", "cpu", "--record"]  # fmt: skip
    assert main(arguments) == 1 and "--json is for --dry-run" in capsys.readouterr().err
    assert main([*arguments, "--dry-run"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["jobs"] == 2 and [job["kind"] for job in found["waiting"]] == [
        "features",
        "measure",
    ]
    assert found["waiting"][0]["models"] == ["pocket-cnn-captions"]
    (row,) = found["estimate"]["rows"]
    assert row["images"] == found["data"]["pocket-noto-test"] == 484
    assert found["estimate"]["bytes"] == row["bytes"] == 484 * (128 * 4 + 16)
    assert found["estimate"]["seconds"] == row["seconds"] > 0


# Doing it


def make_project(folder):
    """Make a project with one model, no notebook, and two folders of pictures."""
    folder.mkdir()
    for name in ("analysis", "profiles"):
        shutil.copytree(ROOT / name, folder / name)
    shutil.copy2(ROOT / "Snakefile", folder)
    (folder / "data").mkdir()
    for path in (ROOT / "data").iterdir():
        if path.name != "measurements":
            (folder / "data" / path.name).symlink_to(path)
    for name in ("families", "notebooks"):
        (folder / name).mkdir()
    (folder / "families" / "mine.yaml").write_text(FAMILY)
    for name, count in (("one", 30), ("two", 45)):
        save_folder(folder / name, count)
    return folder


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return make_project(tmp_path_factory.mktemp("grid") / "a project")


def start(project, *more, data=("one", "two")):
    """Start `companion grid` there, on the folders named."""
    command = [sys.executable, "-m", "companion.cli", "grid", "--edition", "reader", "--data", *data,
               "--device", "cpu", "--workers", "1", "--record", *more]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": str(project), "COMPANION_STORE": str(project / "st")}
    return subprocess.Popen(
        command, cwd=project, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def processes():
    return subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout.splitlines()


def finished_jobs(errors):
    return [line.split("finished ")[1] for line in errors.splitlines() if "finished" in line]


def stamps(project):
    """Features and measurements with their times."""
    found = [*(project / "st").glob("mine-*/*.safetensors"),
             *(project / "data" / "measurements").rglob("*.json")]  # fmt: skip
    return {f"{path.parent.name}/{path.name}": path.stat().st_mtime_ns for path in found}


def test_killed_and_started_again_twice_at_once_does_only_what_is_missing(project):
    pytest.importorskip("open_clip", reason="extraction is not installed")
    killed = start(project, "--jobs", "1")
    for line in killed.stderr:
        if "finished features" in line:
            break
    else:
        pytest.fail(f"nothing was finished: {killed.stdout.read()}")
    killed.send_signal(signal.SIGKILL)
    killed.communicate(timeout=60)
    until = time.monotonic() + 20  # its jobs notice
    while any("companion.cli step" in x and "mine" in x for x in processes()):
        assert time.monotonic() < until
        time.sleep(0.3)
    before = stamps(project)
    assert before and len(before) < 12
    both = [start(project, "--jobs", "2") for _ in range(2)]
    texts = [process.communicate(timeout=300) for process in both]
    assert [process.returncode for process in both] == [0, 0], texts
    for out, errors in texts:
        done = finished_jobs(errors)
        assert len(done) <= 3 and "the grid is complete" in out
    assert {name: time for name, time in stamps(project).items() if name in before} == before
    recorded = sorted(p.parent.name for p in (project / "data" / "measurements").rglob("*.json"))
    measured = ["outlier_features", "privileged_directions", "pruning", "accuracy"]
    assert recorded == sorted(measured * 2)
    after = stamps(project)
    again = start(project)
    out, errors = again.communicate(timeout=60)
    assert again.returncode == 0 and out.startswith("0 jobs done"), errors
    assert finished_jobs(errors) == [] and stamps(project) == after


def test_features_that_are_gone_are_made_again_in_parts(project, monkeypatch):
    """In this process, by the steps that Snakemake calls; after the test above or alone."""
    pytest.importorskip("open_clip", reason="extraction is not installed")
    monkeypatch.setattr(grid, "ROOT", project)
    monkeypatch.setattr(grid, "load_family", lambda name: mine)
    monkeypatch.setattr(grid, "load_families", lambda edition: {"mine": mine})
    from analysis.families.registry import load_family

    mine = load_family("mine", project / "families")
    choice = Choice(
        edition="reader", data=(str(project / "one"),), device="cpu", batch_size=4, shard_size=8,
        shards=3, measure=False, workers=1,
    )  # fmt: skip
    plan = grid.plan(choice)
    assert [job.kind for job in plan.waiting()] == ["part", "part", "part", "features"]
    *parts, whole = plan.jobs
    grid.step(choice, parts[0])
    with pytest.raises(RunError, match=r"mine-web on one-.*: 2 of 4 shards are not there"):
        grid.step(choice, whole)
    assert "2 of 4 shards" in whole.failure.read_text()
    for part in parts[1:]:
        grid.step(choice, part)
    grid.step(choice, whole)
    assert plan.waiting() == [] and not whole.failure.exists()
    (path,) = [store.features_path("mine-web", images.name) for images in plan.data]
    assert len(store.read_features(path).features) == 30
    path.unlink()
    grid.remove_outdated(plan)
    assert plan.waiting() == list(plan.jobs) and not any(job.note.exists() for job in plan.jobs)


ANOTHER = """  - name: {name}
    level: zero_shot
    library: open_clip
    architecture: pocket-cnn
    weights: {weights}
    pretraining: Emoji captions
    width: 128
    preprocessing:
      {{size: 32, interpolation: box, mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5]}}
"""


@pytest.fixture
def three(tmp_path, monkeypatch):
    """A family of three models; the weights of one, `gone`, are not there yet.

    Jobs are done in this process, in the order and under the conditions of the Snakefile, and
    measurements are recorded in a folder of the test's own.
    """
    pytest.importorskip("open_clip", reason="extraction is not installed")
    from analysis.families.registry import load_family
    from companion.measurements import records as measurements
    from companion.runs import engine

    weights = {"mine-captions": "data/pocket/checkpoints/pocket-cnn-captions.safetensors",
               "mine-gone": tmp_path / "gone.safetensors"}  # fmt: skip
    text = FAMILY + "".join(ANOTHER.format(name=n, weights=w) for n, w in weights.items())
    (tmp_path / "families").mkdir()
    (tmp_path / "families" / "mine.yaml").write_text(text)
    family = load_family("mine", tmp_path / "families")
    save_folder(tmp_path / "one", 12)
    monkeypatch.setattr(grid, "load_family", lambda name: family)
    monkeypatch.setattr(grid, "load_families", lambda edition: {"mine": family})
    monkeypatch.setattr(grid, "ROOT", tmp_path)
    write = measurements.write
    monkeypatch.setattr(measurements, "write", lambda m: write(m, tmp_path / "measurements"))
    monkeypatch.setattr(engine, "exit_with_parent", lambda: None)
    done = []

    def do(choice, waiting, command, sink):
        for job in waiting:
            before = [
                Path(p) for p in grid.needed_features(choice.model_dump(), job.family, job.data)
            ]
            if job.kind != "measure" or all(path.is_file() for path in before):
                done.append(str(job).split()[0])
                given = ["--part", f"{job.number}/{job.of}"] if job.kind == "part" else []
                given += ["--choice", grid.to_json(choice.model_dump())]
                main(["step", job.kind, job.family, job.data, *given])

    monkeypatch.setattr(grid, "_watch", do)
    monkeypatch.setattr(grid, "LOGS", tmp_path / "logs")
    return tmp_path, done


def chosen(folder, *models, **more):
    return Choice(edition="reader", data=(str(folder / "one"),), device="cpu", batch_size=4,
                  shard_size=4, workers=1, record=True, models=models, **more)  # fmt: skip


def made(folder):
    """Features and measurements, with their times."""
    found = [*(folder / "store").glob("mine*/*.safetensors"),
             *(folder / "measurements").rglob("*.json")]  # fmt: skip
    return {path.relative_to(folder).as_posix(): path.stat().st_mtime_ns for path in found}


def obtain(folder):
    """Put the weights there, as between two commands: their content is part of the keys."""
    grid._keys.cache_clear()
    shutil.copy(ROOT / "data/pocket/checkpoints/pocket-cnn-captions.safetensors",
                folder / "gone.safetensors")  # fmt: skip


@pytest.mark.parametrize("shards", [1, 2])
def test_a_model_that_cannot_be_had_does_not_stop_its_family(three, shards):
    folder, done = three
    choice = chosen(folder, shards=shards)
    plan = grid.plan(choice)
    with pytest.raises(grid.IncompleteError) as caught:
        grid.run(plan)
    extraction = ["part"] * shards * (shards > 1) + ["features"]
    assert done == [*extraction, "measure"]
    first, *reasons = str(caught.value).splitlines()
    assert f"{len(done)} of {len(done)} jobs of the grid are not done, or not for all" in first
    assert len(reasons) == 2 and "more wait for others" in reasons[1]
    assert ", left out: mine-gone: there are no weights at" in reasons[0]
    before = made(folder)
    assert {name.split("/")[1] for name in before if "store" in name} == {
        "mine-web",
        "mine-captions",
    }
    recorded = [name for name in before if "measurements" in name]
    assert len(recorded) == 2 * ON_NOISE and not [name for name in recorded if "mine-gone" in name]
    assert [m.name for m in grid.missing(choice, plan.jobs[-1])] == ["mine-gone"]
    done.clear()
    with pytest.raises(grid.IncompleteError):  # tried again, in vain
        grid.run(plan)
    assert made(folder) == before
    obtain(folder)
    done.clear()
    assert grid.run(plan) == len(extraction) + 1 and done == [*extraction, "measure"]
    after = made(folder)
    assert {name: after[name] for name in before} == before  # only what was missing
    assert len(after) == len(before) * 3 // 2
    assert grid.run(plan) == 0


def test_a_model_that_another_choice_obtained_is_no_longer_left_out(three):
    folder, _ = three
    every = grid.plan(chosen(folder))
    with pytest.raises(grid.IncompleteError):
        grid.run(every)
    assert [list(job.left_out) for job in every.jobs] == [["mine-gone"]] * 2
    obtain(folder)
    assert grid.run(grid.plan(chosen(folder, "mine-gone"))) == 2
    assert grid.run(every) == 0
    assert [job.left_out for job in every.jobs] == [{}, {}]


def test_no_model_can_be_had(three):
    folder, done = three
    with pytest.raises(
        grid.IncompleteError, match=r"features .*: no model is left: mine-gone: ther"
    ):
        grid.run(grid.plan(chosen(folder, "mine-gone")))
    assert done == ["features"] and made(folder) == {}  # Snakemake does not measure then


def test_the_command_names_the_model_and_brings_the_book_up_to_date(three, monkeypatch, capsys):
    from companion.runs import engine

    folder, _ = three
    built = []
    monkeypatch.setattr(engine, "bring_up_to_date", lambda: built.append(1) or 0)
    command = ["grid", "--edition", "reader", "--data", str(folder / "one"), "--device", "cpu"]
    assert main(command) == 1
    assert "left out: mine-gone: there are no weights at" in capsys.readouterr().err
    assert built == [1] and not (folder / "measurements").exists()  # not asked to record
    assert main([*command, "--models", "mine-web"]) == 0
    assert capsys.readouterr().out.startswith("0 jobs done, the grid is complete")


@pytest.mark.parametrize("shards", [1, 2])
def test_some_models_then_all_then_some(three, shards):
    folder, done = three
    obtain(folder)
    extraction = ["part"] * shards * (shards > 1) + ["features"]
    some = grid.plan(chosen(folder, "mine-web", shards=shards))
    assert grid.run(some) == len(extraction) + 1
    before = made(folder)
    assert len([name for name in before if "measurements" in name]) == ON_NOISE
    every = grid.plan(chosen(folder, shards=shards))
    (job,) = [job for job in every.waiting() if job.kind == "features"]
    assert [m.name for m in grid.missing(every.choice, job)] == ["mine-captions", "mine-gone"]
    assert grid.run(every) == len(extraction) + 1
    after = made(folder)
    assert {name: after[name] for name in before} == before and len(after) == 3 * len(before)
    done.clear()
    for names in (("mine-web",), ("mine-gone", "mine-captions"), ()):
        plan = grid.plan(chosen(folder, *names, shards=shards))
        assert grid.run(plan) == 0
        grid.remove_outdated(plan)  # what a grid does before Snakemake looks
        assert all(job.note.is_file() for job in plan.jobs)
    assert done == [] and made(folder) == after


def test_features_of_one_model_that_are_damaged_or_not_measurable(three, monkeypatch):
    from companion.measurements import take
    from companion.measurements.records import MeasurementError

    folder, _ = three
    obtain(folder)
    measure = take.measure

    def fails(job):
        if job.model.name == "mine-captions":
            raise MeasurementError("a number is not finite.")
        return measure(job)

    monkeypatch.setattr(take, "measure", fails)
    with pytest.raises(
        grid.IncompleteError, match=r"measure .*, left out: mine-captions: a number is"
    ):
        grid.run(grid.plan(chosen(folder)))
    assert len([name for name in made(folder) if "measurements" in name]) == 2 * ON_NOISE


def test_damaged_images_are_the_jobs_failure(three):
    folder, done = three
    next((folder / "one" / "red").iterdir()).write_bytes(b"")
    with pytest.raises(grid.IncompleteError, match=r"features mine .*: 1 images cannot be decoded"):
        grid.run(grid.plan(chosen(folder)))
    assert done == ["features"]


def test_two_jobs_on_one_machine_get_different_gpus(monkeypatch, tmp_path):
    torch = pytest.importorskip("torch", reason="extraction is not installed")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(grid.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a,3")
    pool = ThreadPoolExecutor(1)
    with grid._gpu("auto") as one:
        with grid._gpu("cuda") as other:
            assert {one, other} == {"cuda:0", "cuda:1"}

            def third():
                with grid._gpu("auto") as device:
                    return device

            waiting = pool.submit(third)
            time.sleep(0.6)
            assert not waiting.done()
        assert waiting.result(10) == other
        with grid._gpu("cuda:1") as named, grid._gpu("cpu") as cpu:
            assert (named, cpu) == ("cuda:1", "cpu")
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == {"GPU-a", "3"}


@pytest.mark.slow  # a minute: Snakemake and its jobs start six times over
def test_models_through_snakemake(tmp_path):
    """What the tests above do in this process, by the command, the Snakefile and its jobs."""
    pytest.importorskip("open_clip", reason="extraction is not installed")
    project = make_project(tmp_path / "a project")
    weights = {"mine-captions": "data/pocket/checkpoints/pocket-cnn-captions.safetensors",
               "mine-gone": tmp_path / "gone.safetensors"}  # fmt: skip
    text = FAMILY + "".join(ANOTHER.format(name=n, weights=w) for n, w in weights.items())
    (project / "families" / "mine.yaml").write_text(text)

    def grid_of(*more):
        process = start(project, *more, data=("one",))
        out, errors = process.communicate(timeout=300)
        return process.returncode, [job.split()[0] for job in finished_jobs(errors)], out + errors

    assert grid_of("--models", "mine-web")[:2] == (0, ["features", "measure"])
    before = stamps(project)
    status, jobs, said = grid_of()
    assert (status, jobs) == (1, ["features", "measure"]), said
    assert said.count(", WITHOUT mine-gone") == 2
    assert "left out: mine-gone: there are no weights at" in said
    assert {name: at for name, at in stamps(project).items() if name in before} == before
    before = stamps(project)
    assert len([name for name in before if name.endswith(".json")]) == 2 * ON_NOISE
    obtain(tmp_path)
    assert grid_of()[:2] == (0, ["features", "measure"])
    after = stamps(project)
    assert {name: after[name] for name in before} == before
    assert len([name for name in after if name.endswith(".json")]) == 3 * ON_NOISE
    assert grid_of("--models", "mine-gone")[:2] == (0, [])
    more = ("--shards", "2", "--shard-size", "16", "--batch-size", "8", "--precision", "bf16")
    some = grid_of("--models", "mine-gone", "mine-web", *more)
    assert sorted(some[1]) == ["features", "measure", "part", "part"] and some[0] == 0
    assert grid_of("--models", "mine-web", *more)[:2] == (0, [])


def test_other_weights_or_images_or_precision_are_other_keys(project, monkeypatch):
    choice = Choice(edition="pocket", data=("pocket-noto-test",))

    def keys(choice, data="pocket-noto-test"):
        grid._keys.cache_clear()
        return {k: grid._key(choice, k, "pocket_cnn", data) for k in ("features", "measure")}

    before = keys(choice)
    assert keys(choice.model_copy(update={"shards": 9, "workers": 1, "device": "cuda"})) == before
    lower = keys(choice.model_copy(update={"precision": "bf16"}))
    assert lower["features"] != before["features"] and lower["measure"] != before["measure"]
    monkeypatch.setattr(grid.runs, "file_hash", lambda path: "other weights")
    assert keys(choice)["features"] != before["features"]


def test_a_job_says_why_it_failed(capsys):
    job = Job("features", "pocket_cnn", "imagenet-a")
    arguments = ["step", "features", "pocket_cnn", "imagenet-a"]
    assert main([*arguments, "--choice", json.dumps({"data": ["imagenet-a"]})]) == 1
    assert "features pocket_cnn imagenet-a: ImageNet-A is not in" in capsys.readouterr().err
    assert "ImageNet-A is not in" in job.failure.read_text() and not job.note.exists()


def test_a_profile_that_is_not_there_is_named(tmp_path):
    with pytest.raises(RunError, match="no profile 'lokal': known are local, slurm"):
        grid.snakemake_command(Choice(), "lokal", None)
    own = tmp_path / "mine"
    own.mkdir()
    (own / "config.yaml").write_text("jobs: 3\n")
    given = grid.snakemake_command(Choice(shards=2, data=("a b",)), str(own), 4)
    assert given[given.index("--jobs") + 1] == "4" and 'data=["a b"]' in given
    assert "shards=2" in given and "--resources" not in given
