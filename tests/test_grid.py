"""The grid: which jobs it comes to, what a dry run says, that only what is missing is done."""

import re
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import miniatures
import numpy as np
import pytest
from conftest import cases, make_project, programs, refused, run_in, start_in
from tiny import save_folder

from analysis.families.registry import load_families
from analysis.features.plan import ExtractionSettings
from analysis.images import imagelist
from companion.cli.main import main
from companion.engine.experiments import RunError
from companion.runs import cluster, dry_run, grid, grid_jobs, sizes
from companion.runs.grid import Grid
from companion.runs.options import Choice
from companion.sources import find, sets

pytestmark = pytest.mark.usefixtures("own_store")
TEXTS, CASES = cases("projects") | programs("projects"), cases("grid")
CHECKPOINTS = "data/pocket/checkpoints"
WEIGHTS = {
    "mine-web": f"{CHECKPOINTS}/pocket-cnn-web-large.safetensors",
    "mine-gone": "gone.safetensors",
}


def family(*names):
    """A family file; the folders of pictures have the classes red, green and blue."""
    head = "name: mine\ntitle: Mine\nedition: reader\norder: 1\nbackbone: Small.\nmodels:\n"
    return head + "".join(TEXTS["model"].format(name=name, weights=WEIGHTS[name]) for name in names)


@pytest.fixture
def published(monkeypatch, tmp_path):
    """The paper's data sets, without an image."""

    def listed(text, accept_counts=False):
        classes = () if text == "broden" else ("a",)
        images = imagelist.ImageList(text, [Path()], ("a",), np.array([len(classes) - 1]), classes)
        images.__dict__["manifest"] = text
        return [images]

    for described in sets.descriptions().values():
        (tmp_path / "data" / described.folders[0]).mkdir(parents=True, exist_ok=True)
    monkeypatch.setattr(find, "find", listed)


def jobs(**choice):
    return [str(job) for job in grid.plan(Grid(**choice)).lacking()]


# The jobs


def names(lacks):
    return {data: [model.name for model in models] for data, models in lacks.items()}


def test_a_job_is_a_familys_models_on_all_data_sets(published):
    whole = grid.plan(Grid(memory=100))
    assert [chosen.name for chosen in whole.families] == list(load_families("paper"))
    assert list(whole.data) == list(sets.GRID)
    assert [job.family for job in whole.lacking()] == list(load_families("paper"))
    for job, lacks in whole.lacking().items():
        of_family = whole.grid.of(load_families("paper")[job.family])
        assert names(lacks) == {key: [m.name for m in of_family] for key in sets.GRID}
    assert whole.unrecorded() == {}  # nothing is there to measure
    assert jobs(families=("rn50",), data=("broden", "imagenet-a", "broden")) == ["features rn50"]
    some = grid.plan(Grid(models=("rn50-openai", "vit_b_32-random"), data=("imagenet",)))
    assert {str(job): names(lacks) for job, lacks in some.lacking().items()} == {
        "features rn50": {"imagenet": ["rn50-openai"]},
        "features vit_b_32": {"imagenet": ["vit_b_32-random"]},
    }


def test_a_job_has_as_many_models_as_memory_holds(published):
    """Each of the ten of ViT-L/14 has 428 million parameters of four bytes."""
    for memory, counts in [(18, [10]), (16, [5, 5]), (5, [2, 3, 2, 3]), (1, [1] * 10)]:
        found = grid.plan(Grid(families=("vit_l_14",), memory=memory)).lacking()
        assert [len(job.models) for job in found] == counts
        together = [name for job in found for name in job.models]
        assert sorted(together) == sorted(
            {m.name for m in load_families()["vit_l_14"].models} & {*together}
        )
    assert str(next(iter(found))) == f"features vit_l_14 {together[0]}"
    assert sizes.parameters(load_families()["pocket_cnn"].models)["pocket-cnn-web-large"] > 1e5


def test_larger_networks_and_more_images_ask_for_more_memory(published):

    def needs(family, **more):
        choice = Choice(families=(family,), data=("imagenet",), memory=100, **more)
        plan = grid.plan(choice.grid())
        ((job, lacks),) = plan.lacking().items()
        return plan.needs(job, lacks)

    small, large = needs("vit_b_32"), needs("vit_l_14")
    # twice the weights of the largest network; on the CPU all of them, and a batch, if it is larger
    assert large.mem_mb - small.mem_mb == pytest.approx(2 * 4 * (427.6 - 151.3), rel=0.01)
    few, many = (needs("vit_l_14", device="cpu", batch_size=n).mem_mb for n in (1, 500))
    beside = (sizes.BASE_CPU - sizes.BASE_GPU) / 1e6
    assert few - large.mem_mb == pytest.approx(9 * 4 * 427.6 + beside, rel=0.01)
    batch = 500 * 224**2 * (sizes.PIXEL + sizes.DECODED) / 1e6
    assert many - few == pytest.approx(batch - 4 * 427.6, rel=0.01)
    assert small.runtime == sizes.MINUTES


@pytest.mark.parametrize(("architecture", "count", "size", "batch", "peak"), CASES["peaks"])
def test_a_job_asks_for_more_memory_than_such_jobs_took(architecture, count, size, batch, peak):
    """And for less than three times as much."""
    first = load_families()["rn50"].models[0]
    look = first.preprocessing.model_copy(update={"size": size})
    about = {"architecture": architecture, "preprocessing": look}
    models = [first.model_copy(update={"name": f"one-{n}", **about}) for n in range(count)]
    settings = ExtractionSettings(device="cpu", batch_size=batch)
    assert peak < sizes.extracting(models, 256, settings).mem_mb < 3 * peak


@pytest.mark.parametrize(("choice", "message"), CASES["wrong"])
def test_a_wrong_choice_is_refused_in_a_sentence(choice, message):
    refused(message, lambda: grid.plan(Choice(**choice).grid()))


@pytest.mark.parametrize(("given", "records"), CASES["records"])
def test_only_the_papers_measurements_are_recorded_unasked(given, records):
    assert Choice(**given).grid().records is records


# Data sets that are absent or wrong


def test_an_absent_data_set_is_named_and_the_others_go_on(tmp_path, monkeypatch, answer, capsys):
    made = miniatures.save(tmp_path / "data", "imagenet-a")
    miniatures.expect(monkeypatch, {"imagenet-a": made})
    plan = grid.plan(Grid(families=("rn50", "vit_b_32")))
    assert list(plan.data) == ["imagenet-a"] and len(plan.lacking()) == 2
    assert list(plan.absent) == [name for name in sets.GRID if name != "imagenet-a"]
    assert "ImageNet-R is not in" in plan.absent["imagenet-r"]
    pytest.importorskip("torch", reason="the command itself needs the extra `extract`")
    line = ["grid", "--families", "rn50", "--no-measure", "--data"]
    said = "none of the grid's data sets is here: imagenet-r. ImageNet-R is not"
    assert said in answer(*line, "imagenet-r", fails=True)
    monkeypatch.setattr(grid_jobs, "run", lambda *_: 0)
    said = answer(*line, "imagenet-a")
    assert "0 jobs done, the grid is complete: 1 families on 1 data" in said
    assert main([*line, "imagenet-a", "imagenet-r"]) == 1
    assert "the grid is complete but for what is absent: 1 fam" in capsys.readouterr().out


def test_wrong_counts_stop_the_grid(tmp_path, answer):
    made = miniatures.save(tmp_path / "data", "imagenet-a")
    said = answer("grid", "--families", "rn50", "--data", "imagenet-a", "imagenet-r", fails=True)
    assert f"ImageNet-A: {made.images} images where 7,500 were published" in said
    plan = grid.plan(Grid(data=("imagenet-a",), accept_counts=True, families=("rn50",)))
    assert "NOT the published set" in plan.data["imagenet-a"][0].what


# The dry run


def test_a_dry_run_says_jobs_images_and_disk(capsys):
    arguments = ["grid", "--edition", "pocket", "--families", "pocket_cnn", "--dry-run"]
    assert main([*arguments, "--data", "pocket-noto-test", "imagenet-r"]) == 0
    printed = capsys.readouterr()
    assert printed.err.startswith("left out: imagenet-r. ImageNet-R is not in")
    assert "1 jobs to extract and 0 to measure" in printed.out
    assert printed.out.strip().endswith("weights of 5 models, 5 of them are here")
    assert re.search(r"up to 0.1 GB more for each job's shards.*; [\d.,]+ GB are fr", printed.out)
    # six models of 128 float32 components, and a label and a row number of 8 bytes each
    images, row = 484 + 30_000, printed.out.splitlines()[2].split()
    assert row[1:] == ["2", "6", f"{images:,}", f"{images * 6 * 528 / 1e6:,.0f}"]


def test_the_papers_weights_are_counted_once_and_their_bytes_told(published, capsys):
    whole = dry_run.describe(grid.plan(Grid(families=("vit_b_32",), data=("imagenet",))))
    # nine models, of which one is drawn and two are others before the projection
    assert re.search(r"weights of 6 models, at most 3\.6 GB to download$", whole)


def test_a_reason_why_data_sets_are_absent_is_said_once(monkeypatch, tmp_path, capsys):
    monkeypatch.delenv("COMPANION_DATA", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))  # no configuration
    main(["grid", "--dry-run", "--families", "rn50"])
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith("left out: imagenet, imagenet-v2,") and said.count("COMPANION_DATA") == 1
    some = {"imagenet-r": "ImageNet-R is not in /data.", **dict.fromkeys("ab", sets.UNSET)}
    assert [line.partition(".")[0] for line in grid.absences(some)] == ["imagenet-r", "a, b"]
    monkeypatch.setenv("COMPANION_DATA_CONFIG", "nowhere.yaml")
    (said,) = grid.absences(grid.plan(Grid()).absent)
    assert "COMPANION_DATA_CONFIG names nowhere.yaml" in said


def test_each_model_can_be_a_job(published):
    asked = {"families": ("rn50",), "data": ("imagenet",), "each_model": True}
    plan = grid.plan(Grid(**asked))
    found = {str(job): names(lacks) for job, lacks in plan.lacking().items()}
    assert found["features rn50 rn50-openai"] == {"imagenet": ["rn50-openai"]}
    assert len(found) == len(plan.grid.of(plan.families[0])) > 3


# Doing it


def with_pictures(folder):
    """A project with one model, no notebook, and two folders of pictures."""
    files, data = {"notebooks/.keep": ""}, ["data/pocket", "data/emoji"]
    make_project(folder, {"mine": family("mine-web")}, files=files, data=data)
    for name, count in (("one", 30), ("two", 45)):
        save_folder(folder / name, count)
    return folder


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    pytest.importorskip("open_clip", reason="extraction is not installed")
    return with_pictures(tmp_path_factory.mktemp("grid") / "a project")


@pytest.fixture
def project(template, tmp_path):
    return shutil.copytree(template, tmp_path / "a project")


def words(*more, data=("one", "two")):
    how = ("--device", "cpu", "--workers", "1", "--record")
    return ["grid", "--edition", "reader", "--data", *data, *how, *more]


def start(project, *more, data=("one", "two")):
    """Start `companion grid` there, on the folders named."""
    return start_in(project, *words(*more, data=data), COMPANION_STORE=str(project / "st"))


def done(project, monkeypatch, *more, data=("one",)):
    """Do a grid; its exit status, the jobs that were finished, and all that it said."""
    monkeypatch.setenv("COMPANION_STORE", str(project / "st"))
    ran = run_in(project, "companion.cli.main", *words(*more, data=data))
    return ran.returncode, finished_jobs(ran.stderr), ran.stdout + ran.stderr


def finished_jobs(errors):
    return [line.split("finished ")[1] for line in errors.splitlines() if "finished " in line]


def stamps(project):
    """Features and recorded measurements with their times."""
    paths = [*(project / "st").glob("mine-*/*.safetensors")]
    paths += (project / "data" / "measurements").rglob("*.json")
    return {f"{path.parent.name}/{path.name}": path.stat().st_mtime_ns for path in paths}


@pytest.mark.slow
def test_damaged_images_are_one_sets_failure_and_the_book_gets_the_others(project, monkeypatch):
    """And a model without weights is left out. What is not recorded is measured live."""
    (project / "notebooks/chapter.py").write_text(TEXTS["chapter"])
    (project / "families/mine.yaml").write_text(family(*WEIGHTS))
    next((project / "one" / "red").iterdir()).write_bytes(b"")
    more = ("--no-record", "--jobs", "1")
    status, jobs, said = done(project, monkeypatch, *more, data=("one", "two"))
    assert status == 1 and re.search(r"mine, left out: mine-web: one-\w+: 1 images cannot be", said)
    assert "mine-gone: there are no weights at" in said
    measured = {job.split()[2].split("-")[0] for job in jobs if job.startswith("measure")}
    assert "features mine" in jobs and measured == {"two"}
    arrays = [name for name in stamps(project) if ".head." not in name]
    assert len(arrays) == 1 and "two-" in arrays[0]
    live = [p.name.split("--") for p in (project / "st").glob("mine-web/measurements/*.json")]
    assert sorted(live) == [[name, f"{Path(arrays[0]).stem}.json"] for name in CASES["on_noise"]]
    assert not (project / "data/measurements").exists()


@pytest.mark.slow
def test_with_a_profile_snakemake_does_the_jobs(project, monkeypatch):
    """Here one for this machine: a data set that fails is named, and the others are done."""
    (project / "profiles/mine").mkdir()
    (project / "profiles/mine/config.yaml").write_text("cores: 2\n")
    next((project / "one" / "red").iterdir()).write_bytes(b"")
    given = ("--profile", "mine")
    status, jobs, said = done(project, monkeypatch, *given, data=("one", "two"))
    assert status == 1 and re.search(r"mine, left out: mine-web: one-\w+: 1 images cannot be", said)
    assert jobs[0] == "features mine" and [job.split()[0] for job in jobs[1:]] == ["measure"]
    assert jobs[1].split()[2].startswith("two-")
    assert not list((project / "st").glob(".receipts*"))


def test_the_names_of_sixty_thousand_jobs_are_on_no_command_line(tmp_path):
    names = [tmp_path / f"features/family-{n}/data.json" for n in range(60_000)]
    words = cluster.command(tmp_path, names, cluster.PROFILES / "slurm", 16, {"gpu": 1})
    assert sum(map(len, words)) < 1000
    assert (tmp_path / "receipts.txt").read_text().split("\n") == [*map(str, names)]


def test_of_many_reasons_why_models_are_left_out_few_are_said(monkeypatch):
    reasons = {f"set{n} has classes that the head does not know": ["a", "b"] for n in range(30)}
    monkeypatch.setattr(grid_jobs, "do_all", lambda *_: {"features rn50": reasons})
    task = {grid.Task("features", "rn50"): None}
    said = grid_jobs._do("grid", task, Choice(device="cpu").grid(), 1, None)
    assert len(said) == grid.NAMED + 1
    assert said[0].startswith("features rn50, left out: a, b: set0 has classes")
    assert said[-1] == f"features rn50, left out: {30 - grid.NAMED} more such reasons"


def test_a_profile_without_snakemake_says_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(RunError, match=r'pip install "interpreting-clip-companion\[grid\]"'):
        cluster.do_all("grid", [], cluster.PROFILES / "slurm", None, {}, [])


def test_two_jobs_on_one_machine_get_different_gpus(monkeypatch, tmp_path):
    torch = pytest.importorskip("torch", reason="extraction is not installed")
    from analysis.features import devices

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(devices.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a,3")
    pool = ThreadPoolExecutor(1)
    with devices.gpu("auto") as first:
        with devices.gpu("cuda") as other:
            assert {first, other} == {"cuda:0", "cuda:1"}

            def third():
                with devices.gpu("auto") as device:
                    return device

            waiting = pool.submit(third)
            time.sleep(0.6)
            assert not waiting.done()
        assert waiting.result(10) == other
        with devices.gpu("cuda:1") as named, devices.gpu("cpu") as cpu:
            assert (named, cpu) == ("cuda:1", "cpu")


@pytest.mark.parametrize("gpus, cores, at_once", [(0, 16, 2), (1, 64, 1), (1, 2, 1), (4, 16, 3)])
def test_as_many_extractions_go_on_as_there_are_gpus(monkeypatch, tmp_path, gpus, cores, at_once):
    """Three jobs share the cores; a second one waits for a single GPU."""
    torch = pytest.importorskip("torch", reason="extraction is not installed")
    from analysis.features import devices

    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(devices.tempfile, "gettempdir", lambda: str(tmp_path))
    seen = []
    monkeypatch.setattr(grid_jobs, "do_all", lambda *given: seen.append(given) or {})
    monkeypatch.setattr(grid_jobs, "read_failure", lambda name: {})
    tasks = dict.fromkeys((grid.Task("features", name) for name in "abc"), sizes.Needs())
    grid_jobs._do("grid", tasks, Grid(), cores, None)
    ((_, calls, places),) = seen
    assert places == at_once
    workers = {call.arguments[0]["settings"]["workers"] for call in calls}
    assert workers == {max(1, cores // at_once) if gpus else 8}
    assert grid_jobs._shared(Choice(workers=3).grid(), cores, 3)[1].settings.workers == 3
    if gpus == 1:
        with devices.gpu("auto") as first:
            waiting = ThreadPoolExecutor(1).submit(next, devices.gpu("cuda").gen)
            time.sleep(0.3)
            assert first == "cuda:0" and not waiting.done()
        assert waiting.result(10) == "cuda:0"
