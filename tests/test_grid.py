"""The grid: which jobs it comes to, what an estimate says, that only what is missing is done."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from tiny import save_folder

from analysis import broden, cli, datasets, grid, imagenet, miniatures, paper_sets, store
from analysis.cli import main
from analysis.grid import Choice, Job
from analysis.registry import load_families
from analysis.runs import RunError

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
    monkeypatch.setattr(paper_sets, "CONFIG", tmp_path / "no-configuration.yaml")
    for cached in (grid._data, grid._listed, grid._key, grid._models):
        cached.cache_clear()


@pytest.fixture
def published(monkeypatch):
    """The paper's data sets in their published sizes, without an image."""

    def find(text, accept_counts=False):
        one = paper_sets.descriptions()[text]
        count = (one.used or one).images
        classes = () if text == "broden" else ("a",)
        labels = np.full(count, len(classes) - 1)
        keys = tuple(map(str, range(count)))
        images = datasets.ImageList(text, [Path()] * count, keys, labels, classes)
        images.__dict__["manifest"] = text
        return [images]

    monkeypatch.setattr(grid, "_why_absent", lambda text: "")
    monkeypatch.setattr(datasets, "find", find)


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
    plan = grid.plan(Choice(edition="pocket", shards=3, shard_size=200))
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
    ],
)
def test_a_wrong_choice_is_refused_in_a_sentence(choice, message):
    with pytest.raises(RunError, match=message):
        grid.plan(grid.choice_from(choice))


# Data sets that are absent or wrong


def test_an_absent_data_set_is_named_and_the_others_go_on(tmp_path, monkeypatch):
    made = miniatures.save(tmp_path / "data", "imagenet-a")
    expect(monkeypatch, made)
    plan = grid.plan(Choice(edition="paper", families=("rn50", "vit_b_32")))
    assert [images.name for images in plan.data] == ["imagenet-a"]
    assert [one.name for one in plan.absent] == [n for n in paper_sets.GRID if n != "imagenet-a"]
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
    every = {**paper_sets.descriptions(), made.name: made}
    for module in (paper_sets, imagenet, grid):
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
    assert broden.IMAGES > 12


# The estimate


def test_a_dry_run_prints_jobs_images_time_and_disk(monkeypatch, capsys):
    pytest.importorskip("open_clip", reason="extraction is not installed")
    estimate = grid.estimate
    monkeypatch.setattr(grid, "estimate", lambda plan: estimate(plan, seconds=1))
    data = ["pocket-noto-test", "imagenet-r"]
    arguments = ["grid", "--edition", "pocket", "--families", "pocket_cnn", "--device", "cpu"]
    assert main([*arguments, "--data", *data, "--dry-run"]) == 0
    printed = capsys.readouterr()
    assert printed.err.startswith("left out: imagenet-r. ImageNet-R is not in")
    assert "2 jobs, 0 done, 2 to do (1 features, 1 measure)" in printed.out
    rows = {line.split()[1]: line for line in printed.out.splitlines() if line.startswith("pocket")}
    # six models of 128 float32 components, and a label and a row number of 8 bytes each
    assert f"{484 * 6 * (128 * 4 + 16) / 1e6:.1f} MB" in rows["pocket-noto-test"]
    assert "30,000" in rows["imagenet-r"] and f"{30_000 * 6 * 528 / 1e6:.1f} MB" in printed.out
    assert "imagenet-r counted as published, though not here" in printed.out
    assert "weights drawn at random" in printed.out
    assert "generated images: decoding, and resizing in 1 way, " in printed.out


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
    command = [sys.executable, "-m", "analysis.cli", "grid", "--edition", "reader", "--data", *data,
               "--device", "cpu", "--workers", "1", *more]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": str(project), "COMPANION_STORE": str(project / "st")}
    return subprocess.Popen(
        command, cwd=project, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def finished_jobs(errors):
    return [line.split("finished ")[1] for line in errors.splitlines() if "finished" in line]


def stamps(project):
    """Features and measurements with their times."""
    found = [*(project / "st" / "mine-web").glob("*.safetensors"),
             *(project / "data" / "measurements").rglob("*.json")]  # fmt: skip
    return {path.name: path.stat().st_mtime_ns for path in found}


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
    time.sleep(1.5)  # its jobs notice
    left = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
    assert not [x for x in left.splitlines() if "analysis.cli step" in x and "mine" in x]
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
    assert recorded == sorted(["outlier_features", "privileged_directions", "pruning"] * 2)
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
    from analysis.registry import load_family

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


def test_other_weights_or_images_or_precision_are_other_keys(project, monkeypatch):
    choice = Choice(edition="pocket", data=("pocket-noto-test",))

    def keys(choice, data="pocket-noto-test"):
        grid._key.cache_clear()
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
