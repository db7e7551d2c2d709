"""The grid on a real SLURM of one node: `make test-slurm`. Not collected by `make test`.

A miniature grid, of one model of the pocket lab. It skips, with a sentence, where such a
cluster cannot be set up: not root, no apt-get, or a machine that belongs to another cluster.
"""

import importlib.util
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from test_grid import finished_jobs, stamps, start, with_pictures
from tiny import save_folder

CLUSTER = Path(__file__).with_name("cluster.sh")
PATIENCE = 300


@pytest.fixture(scope="module", autouse=True)
def cluster(tmp_path_factory):
    if importlib.util.find_spec("snakemake_executor_plugin_slurm") is None:
        pytest.skip("Snakemake's plugin is not installed: pip install -e '.[slurm]'")
    folder = tmp_path_factory.mktemp("slurm")
    started = subprocess.run([CLUSTER, "start", folder], stderr=subprocess.PIPE, text=True)
    if started.returncode == 3:
        pytest.skip(started.stderr.strip())
    assert started.returncode == 0, started.stderr
    yield
    slurm("scancel", "--user=root")
    subprocess.run([CLUSTER, "stop", folder], check=True)


@pytest.fixture(scope="module")
def project(tmp_path_factory, cluster):
    """A project whose profile is the one for clusters, with less patience and memory."""
    folder = with_pictures(tmp_path_factory.mktemp("grid") / "project")
    save_folder(folder / "three", 12)
    profile = (folder / "profiles" / "slurm" / "config.yaml").read_text()
    for old, new in [
        ("mem_mb=16000", "mem_mb=500"),
        ("mem_mb=32000", "mem_mb=500\n  - features:mem_mb=500"),
        ("checks: 10", "checks: 1"),
        ("latency-wait: 60", "latency-wait: 10"),
    ]:
        assert old in profile
        profile = profile.replace(old, new)
    (folder / "profiles" / "test").mkdir()
    (folder / "profiles" / "test" / "config.yaml").write_text(
        profile + "seconds-between-status-checks: 2\n"
    )
    return folder


def grid(project, *more, data=("one", "two")):
    return start(project, "--profile", "test", "--batch-size", "8", *more, data=data)


def slurm(*command):
    done = subprocess.run(list(command), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def wait_for(what, state):
    """Wait until SLURM has a job in a state; return the numbers of all such."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        numbers = slurm("squeue", "--noheader", "--format=%i", f"--states={state}")
        if numbers:
            return numbers
        time.sleep(0.3)
    raise AssertionError(f"no job was {state.lower()} ({what})")


def finish(process):
    out, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, out + errors
    assert "the grid is complete" in out
    return finished_jobs(errors)


def test_a_job_that_is_killed_is_tried_again(project):
    running = grid(project, data=["one"])
    number = wait_for("the first job", "RUNNING")[0]
    time.sleep(1)
    slurm("scancel", number)
    done = finish(running)
    assert sorted(job.split()[0] for job in done) == ["features", "measure"]
    logs = [p for p in (project / ".snakemake" / "slurm_logs").rglob(f"{number}.log")]
    assert logs, "the killed job was one of Snakemake's"


def test_a_grid_that_is_killed_goes_on_with_what_is_missing(project):
    before = stamps(project)
    running = grid(project)
    for line in running.stderr:
        if "finished features" in line:
            break
    while len(slurm("squeue", "--noheader", "--format=%i")) > 1:
        time.sleep(0.3)  # the features are there, their job is about to end
    running.send_signal(signal.SIGKILL)
    running.communicate(timeout=60)
    slurm("scancel", "--user=root")
    again = finish(grid(project))
    assert 1 <= len(again) <= 3  # the features of one data set were done
    assert {name: at for name, at in stamps(project).items() if name in before} == before


def test_a_grid_waits_for_a_drained_node_and_goes_on(project):
    (node,) = slurm("sinfo", "--noheader", "--format=%n")
    slurm("scontrol", "update", f"nodename={node}", "state=drain", "reason=test")
    before = stamps(project)
    running = grid(project, "--no-record", "--no-measure", data=["one", "two", "three"])
    wait_for("a drained node", "PENDING")
    time.sleep(5)
    assert slurm("squeue", "--noheader", "--format=%i", "--states=RUNNING") == []
    assert running.poll() is None and stamps(project) == before
    slurm("scontrol", "update", f"nodename={node}", "state=resume")
    assert [job.split()[0] for job in finish(running)] == ["features"]


def test_a_complete_grid_submits_nothing(project):
    before = stamps(project)
    assert finish(grid(project)) == [] and stamps(project) == before
