"""Runs in a small project of real modules: what is executed when, and what a failure leaves."""

import json
import os
import pkgutil
import re
import shutil
import signal
import time

import pytest
from conftest import (
    ROOT,
    cases,
    companion,
    companion_in,
    make_project,
    programs,
    python_in,
    run_in,
    start_in,
    wait_until_nobody_works_in,
)

from companion.engine import experiments

TEXTS, CASES = programs("projects"), cases("runs")
PER_FAMILY, OVER_ALL = TEXTS["per_family"], TEXTS["over_all"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A project of two families and two notebooks with all its runs up to date."""
    folder = make_project(
        tmp_path_factory.mktemp("project"),
        families={"rn50": None, "vit_b_32": None},
        notebooks={"per_family": PER_FAMILY, "over_all": OVER_ALL},
        files={"data/number.txt": "1"},
    )
    made = run_in(folder, "companion.cli.main", "build", "--runs")
    assert made.returncode == 0, made.stderr
    assert "3 runs executed, 3 up to date." in made.stdout
    return folder


@pytest.fixture
def project(finished, tmp_path):
    """A copy of it to change; contents and times are kept."""
    return shutil.copytree(finished, tmp_path / "project", symlinks=True)


def update(project):
    """Bring the runs up to date, one at a time, and say which ones were executed."""
    before = {path: stamp(path) for path in outputs(project)}
    (status, _, errors), listed = companion_in(
        project, ["build", "--runs", "--jobs", "1"], ["status", "--json"]
    )
    assert status == 0 and not outdated(listed[1]), errors
    return {name(path) for path in outputs(project) if stamp(path) != before.get(path)}


def stamp(path):
    """Differs once a file was written anew (an inode alone may be given out again)."""
    return path.stat().st_ino, path.stat().st_mtime_ns


def outputs(project):
    return sorted((project / "book" / "runs").rglob("*.ipynb"))


def name(path):
    return f"{path.parent.name}/{path.stem}"


def stale(project):
    """Why each run that is not up to date is not."""
    return outdated(run_in(project, "companion.cli.main", "status", "--json").stdout)


def outdated(answer):
    """The same, of what `companion status --json` prints."""
    rows = json.loads(answer)
    return {f"{s['experiment']}/{s['family']}": s["why"] for s in rows if s["why"]}


def append(path, text):
    path.write_text(path.read_text() + text)


PER_FAMILY_RUNS = {"per_family/rn50", "per_family/vit_b_32"}
EVERY_RUN = PER_FAMILY_RUNS | {"over_all/paper"}


def test_a_readers_family_makes_only_what_shows_it_stale(project):
    """An edition's page sees none of them, unless it says that it shows them."""
    notebook = project / "notebooks/over_all.py"
    notebook.write_text(notebook.read_text().replace("f(edition)", "f()"))
    assert update(project) == {"over_all/paper"}
    text = (project / "families/rn50.yaml").read_text()
    mine = text.replace("name: rn50", "name: mine").replace("edition: paper", "edition: reader")
    (project / "families/mine.yaml").write_text(re.sub(r"order: \d+", "order: 100", mine))
    assert update(project) == {"per_family/mine"}
    assert "mine" not in (project / "book/runs/over_all/paper.ipynb").read_text()
    shows = notebook.read_text().replace("scope: edition", "scope: edition\n#     readers: true")
    notebook.write_text(shows)
    assert update(project) == {"over_all/paper"}
    assert "'mine'" in (project / "book/runs/over_all/paper.ipynb").read_text()


def test_a_family_without_evidence_is_not_run_until_there_is_some(project):
    notebook, table = project / "notebooks/per_family.py", project / "data/shown.csv"
    asked = "    reads: [data/number.txt]\n#     evidence: [data/shown.csv, pruning--folder]"
    notebook.write_text(notebook.read_text().replace("    reads: [data/number.txt]", asked))
    table.write_text("model,number\nrn50-openai,1\n")
    made = run_in(project, "companion.cli.main", "build", "--runs", "--jobs", "1")
    assert "1 runs executed, 2 up to date." in made.stdout
    assert [name(path) for path in outputs(project)] == ["over_all/paper", "per_family/rn50"]
    listed, run = companion_in(project, ["status", "--json"], ["run", "per_family", "vit_b_32"])
    rows = json.loads(listed[1])
    states = {f"{s['experiment']}/{s['family']}": (s["state"], s["why"]) for s in rows}
    lacking = "its models lack features; use `companion extract vit_b_32 --data folder`"
    assert states["per_family/vit_b_32"] == ("not measured", lacking)
    assert states["per_family/rn50"][0] == "up to date"
    assert run[0] == 1 and run[2].splitlines()[-1] == (
        f"companion: there is nothing to show of per_family for vit_b_32: {lacking}."
    )
    live = project / "store/vit_b_32-openai/measurements/pruning--folder.json"
    live.parent.mkdir(parents=True)
    live.write_text("{}")  # its name counts: a page says what is wrong with it
    run, built = companion_in(project, ["run", "per_family", "vit_b_32"], ["build", "--runs"])
    assert run[0] == 0, run
    assert "3 up to date." in built[1]


@pytest.mark.slow
def test_an_edit_with_an_old_time_outdates_exactly_the_dependents(project):
    for file, text, expected in CASES["edits"]:
        path = project / file
        before, old = path.read_bytes(), path.stat()
        append(path, text)
        os.utime(path, ns=(old.st_atime_ns, old.st_mtime_ns))
        why = stale(project)
        assert " ".join(sorted(why)) == expected, (file, text)
        assert all(f"changed: {file}" in reason for reason in why.values())
        path.write_bytes(before)
    # A definition that is reached only by way of another one counts, wherever it is imported.
    helper = project / "analysis" / "helper.py"
    helper.write_text("FACTOR = 1\n")
    later = "def logit(x):\n    from analysis.helper import FACTOR\n\n    return FACTOR * x\n"
    append(project / "analysis" / "metrics" / "robustness.py", later)
    for file in ("analysis/helper.py", "analysis/metrics/robustness.py", "data/number.txt"):
        os.utime(project / file, (4e9, 4e9))  # of the future: the clock decides nothing
    assert update(project) == PER_FAMILY_RUNS  # the dependents are executed, and no others
    append(helper, "FACTOR = 2\n")
    assert {*stale(project)} == PER_FAMILY_RUNS


def test_a_run_has_one_hash_of_a_folder_and_tells_which_of_its_files_is_another(project):
    run, family = project / "book/runs/over_all/paper.ipynb", project / "families/rn50.yaml"
    made_from = json.loads(run.read_text())["metadata"]["companion"]["made_from"]
    assert [part for part in made_from if part.startswith("families/")] == ["families/*"]
    append(family, "# another\n")
    assert "changed: families/rn50.yaml" in stale(project)["over_all/paper"]
    family.unlink()
    assert "gone: families/rn50.yaml" in stale(project)["over_all/paper"]
    shutil.rmtree(project / ".companion/folders")  # as where the runs came from another machine
    assert "families/*" in stale(project)["over_all/paper"]


def test_runs_that_were_damaged_edited_or_lost_are_made_again_as_they_were(finished, project):
    first, other = (project / f"book/runs/{run}.ipynb" for run in sorted(PER_FAMILY_RUNS))
    first.write_text(first.read_text()[:300])
    other.write_text(other.read_text().replace("ViT", "ViD"))
    (project / "book/runs/over_all/paper.ipynb").unlink()
    assert update(project) == EVERY_RUN
    for path in outputs(finished):
        again = project / path.relative_to(finished)
        assert again.read_bytes() == path.read_bytes()
        assert str(finished) not in path.read_text()


def test_what_was_up_to_date_is_looked_through_again_after_a_change_alone(project):
    """Also where a file keeps its size and date."""
    kept, number = project / ".companion/runs.json", project / "data/number.txt"
    assert update(project) == set()
    noted = stamp(kept)
    assert update(project) == set() and stamp(kept) == noted
    date, other = number.stat().st_mtime_ns, number.with_name("other.txt")
    other.write_text("2")
    os.utime(other, ns=(date, date))
    other.replace(number)
    first = update(project)
    assert first and update(project) == set() and stamp(kept) != noted
    outputs(project)[0].unlink()
    assert update(project) == {name(outputs(project)[0])}


def test_a_long_path_of_temporary_files_stops_nothing(project, tmp_path):
    """It would not fit into the address of a socket."""
    place = tmp_path / ("long" * 20)
    place.mkdir()
    command = ("-m", "companion.cli.main", "run", "per_family", "rn50", "-o", "run.ipynb")
    done = python_in(project, *command, TMPDIR=str(place))
    assert done.returncode == 0 and (project / "run.ipynb").is_file(), done.stderr


def test_failing_notebooks_are_named_and_the_others_finish(project):
    """One that raises for a family, and two that read what they do not declare."""
    kept = (project / "book/runs/per_family/rn50.ipynb").read_bytes()
    bad = PER_FAMILY.replace("print(", 'assert family != "rn50", "no RN50 today"\nprint(')
    (project / "notebooks/per_family.py").write_text(bad)
    append(project / "notebooks/over_all.py", "x = 1\n")
    (project / "data/other.txt").write_text("2")
    for hidden, code in (
        ("a_file", 'open(ROOT / "data/other.txt").read()'),
        ("a_list", 'os.listdir(ROOT / "data")'),
    ):
        text = OVER_ALL.replace(
            "print(", f"import os\nfrom analysis.base.roots import ROOT\n{code}\nprint("
        )
        (project / f"notebooks/{hidden}.py").write_text(text)
    done = run_in(project, "companion.cli.main", "build", "--runs", "--jobs", "1")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert [message for message in CASES["failed"] if message not in done.stderr] == []
    assert "Traceback" in (project / ".companion/logs/per_family-rn50.log").read_text()
    why = stale(project)
    assert "no RN50 today" in why["per_family/rn50"]
    assert not {"per_family/vit_b_32", "over_all/paper"} & {*why}
    assert (project / "book/runs/per_family/rn50.ipynb").read_bytes() == kept


@pytest.mark.parametrize(("change", "message"), CASES["wrong"])
def test_a_notebook_that_is_wrong_is_refused_in_a_sentence(project, change, message):
    notebook = project / "notebooks/per_family.py"
    notebook.write_text(notebook.read_text().replace(*change))
    done = run_in(project, "companion.cli.main", "build", "--runs")
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_the_checks_of_parameters_that_headers_name_are_there():
    found = 0
    for experiment in experiments.load_experiments().values():
        source = experiment.notebook.read_text()
        for name, check in experiment.refused:
            assert re.search(rf"^{name}: ", source, re.M) and callable(pkgutil.resolve_name(check))
            found += 1
    assert found


BY_GROUP = (pytest.param(s, marks=pytest.mark.slow) for s in (signal.SIGINT, signal.SIGTERM))
SIGNALS = [signal.SIGKILL, *BY_GROUP]


@pytest.mark.parametrize("signal_number", SIGNALS)
def test_a_build_that_is_stopped_leaves_nothing_half_written_and_goes_on(project, signal_number):
    waits = TEXTS["slow_but_for_the_first"].format(folder=project)
    slow = PER_FAMILY.replace("print(", f"{waits}print(")
    (project / "notebooks/per_family.py").write_text(slow)
    process = start_in(project, "build", "--runs", "--jobs", "1")
    begun = 0
    for line in process.stderr:
        begun += "running" in line
        if begun == 2:  # the second has begun, so the first is done, noted or not yet
            break
    time.sleep(1.5)
    if signal_number == signal.SIGKILL:
        process.send_signal(signal_number)
    else:  # as a terminal and `timeout` do it: to the whole group
        os.killpg(process.pid, signal_number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == (-9 if signal_number == signal.SIGKILL else 130)
    assert "Traceback" not in errors
    wait_until_nobody_works_in(project)
    for path in outputs(project):
        json.loads(path.read_text())
    (project / "go on").mkdir()
    done = run_in(project, "companion.cli.main", "build", "--runs", "--jobs", "1")
    assert done.returncode == 0, done.stderr
    assert "1 runs executed" in done.stdout
    assert not list((project / "book/runs").rglob("*.part"))


def test_what_changes_while_a_run_reads_it_is_read_again(project):
    """As when features are extracted beside a build. To look a module up lists folders, and is no
    reading.
    """
    looks = "import sys, importlib.util as u\nsys.path.append(str(ROOT / 'data'))\n"
    changes = f'{looks}u.find_spec("nowhere")\n(ROOT / "data/number.txt").write_text("2")\nprint('
    notebook = project / "notebooks/per_family.py"
    notebook.write_text(notebook.read_text().replace("print(", changes))
    assert update(project) == PER_FAMILY_RUNS
    assert "0.0 2" in (project / "book/runs/per_family/rn50.ipynb").read_text()


def test_unknown_parameters_experiments_and_families_are_answered_with_the_known(project):
    answers = companion_in(project, *(["run", *words.split()] for words, _ in CASES["refused"]))
    for (words, message), (status, _, said) in zip(CASES["refused"], answers, strict=True):
        assert (status, message in said) == (1, True), (words, said)
        listed = re.search(r"share: float = 0\.5 +a share", said)
        assert bool(listed) == (" must be " in said or " no parameter " in said)
    assert not (project / "runs").exists()


def test_a_run_by_hand_with_parameters_leaves_the_book_alone(project):
    """It may read a file that a parameter names."""
    asked = PER_FAMILY.replace("# a switch", '# a switch\nfile: str = ""  # a file')
    asked = asked.replace('"data/number.txt"', "file")
    (project / "notebooks/per_family.py").write_text(asked)
    (project / "mine.txt").write_text("from mine")
    before = [path.read_bytes() for path in outputs(project)]
    given = "-p share 1e-3 -p file mine.txt -o trial.ipynb"
    companion(project, "run", "per_family", "rn50", *given.split())
    assert "RN50 -6.9067" in (project / "trial.ipynb").read_text()
    assert "from mine" in (project / "trial.ipynb").read_text()
    assert [path.read_bytes() for path in outputs(project)] == before


def test_two_builds_at_once_wait_for_each_other_and_both_succeed(project):
    """A run is executed once; the old one stays until the new one is there."""
    notebook = project / "notebooks/per_family.py"
    notebook.write_text(PER_FAMILY.replace("print(", "import time; time.sleep(1)\nprint("))
    builds = [start_in(project, "build", "--runs") for _ in range(2)]
    there = True
    while any(build.poll() is None for build in builds):
        there &= len(outputs(project)) == 3
        time.sleep(0.02)
    answers = [build.communicate() for build in builds]
    assert [build.returncode for build in builds] == [0, 0], answers
    assert sorted(out.split()[0] for out, _ in answers) == ["0", "2"]
    assert any("waiting for a build of the book (process " in errors for _, errors in answers)
    assert there


@pytest.mark.slow
def test_snakemake_itself_runs_the_same_graph(project):
    """Called directly, it finds all up to date, sees an edit by its time, and calls the command."""
    command = ["snakemake", "--snakefile", "profiles/Snakefile", "--cores", "1"]
    assert "Nothing to be done" in run_in(project, *command, "--dry-run").stdout
    append(project / "notebooks/over_all.py", "x = 1\n")
    done = run_in(project, *command)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^run +1$", done.stderr, re.M) and not stale(project)


THREADS = """
import os, json
from companion.engine import processes, threads
names = "threadpoolctl:threadpool_info", "companion.engine.threads:share"
info, cores = (processes.result(*processes.start(n, *a, jobs=j)) for n, a, j in
               zip(names, [(), (1,)], [10**6, 1]))
threads.limit()
print(json.dumps([[entry["num_threads"] for entry in info], cores, dict(os.environ)]))
"""
GIVEN = """
import json, os
from companion.engine import threads
threads.limit()
print(json.dumps([threads.of_a_job(10**6), dict(os.environ)]))
"""
LIBRARIES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


@pytest.fixture
def nothing_given(monkeypatch):
    for name in (*LIBRARIES, "COMPANION_JOBS"):
        monkeypatch.delenv(name, raising=False)


def test_processes_share_the_cores(nothing_given):
    done = python_in(ROOT, "-c", THREADS)
    in_a_job, cores, own = json.loads(done.stdout)
    assert in_a_job and {*in_a_job} == {1}, done.stderr
    assert cores == len(os.sched_getaffinity(0))
    assert own["OPENBLAS_NUM_THREADS"] == str(max(1, cores // 2))
    assert "OMP_NUM_THREADS" not in own


def test_a_readers_own_number_of_threads_holds_in_all_processes(nothing_given):
    given = str(len(os.sched_getaffinity(0)) + 1)
    done = python_in(ROOT, "-c", GIVEN, OPENBLAS_NUM_THREADS=given)
    of_a_job, own = json.loads(done.stdout)
    assert of_a_job == dict.fromkeys(LIBRARIES, "1") | {"OPENBLAS_NUM_THREADS": given}
    assert own["OPENBLAS_NUM_THREADS"] == given and "OMP_NUM_THREADS" not in own
