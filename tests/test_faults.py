"""The fault matrix counts what is wrong, and in small finds nothing; whole it runs by hand."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import copy_checkout, python_in

from analysis.families.registry import load_families
from companion.measurements import plausible

FAULTS = Path(__file__).with_name("faults")
sys.path.insert(0, str(FAULTS))

import flips  # noqa: E402
import ground  # noqa: E402
import mutations  # noqa: E402


def test_a_bit_that_is_used_is_counted_and_put_back(tmp_path):
    path = tmp_path / "numbers"
    path.write_bytes(bytes(range(16)))
    assert "used" in flips.used(path, Path.read_bytes, path.read_bytes(), 5)
    assert "UnicodeDecodeError" in flips.used(path, Path.read_text, path.read_text(), 7)
    assert flips.used(path, lambda _: 1, 1, 5) == ""
    assert path.read_bytes() == bytes(range(16))


def test_what_is_left_over_absent_or_different_is_named():
    expected = {"a": "1", "b": "2", "c": "3"}
    found = {"a": "1", "b": "0", "b.part": "4"}
    said = "absent: c; left over: b.part; different: b"
    assert ground.differences(expected, found) == said
    assert ground.differences(expected, dict(expected)) == ""


def test_a_changed_measurement_is_checked_whatever_it_holds(tmp_path):
    """One sentence or none; what is changed so gently that it is sound is some of it."""
    known, sound = load_families(), 0
    for path, how, content in mutations.files(300, 0):
        copy = tmp_path / path.parent.name / path.name
        copy.parent.mkdir(exist_ok=True)
        copy.write_text(json.dumps(content), encoding="utf-8")
        found = plausible.problems(copy, known)
        assert all(path.name in one and "\n" not in one for one in found), (path, how)
        sound += not found
    assert 0 < sound < 150


@pytest.mark.slow
def test_no_sound_measurement_stops_a_page(tmp_path):
    """Thousands of changed files are checked; some that are sound stand in for their originals."""
    project = copy_checkout(tmp_path / "project")
    seed = str(np.random.default_rng().integers(1000))
    done = python_in(project, "tests/faults/mutations.py", "5000", "25", seed)
    assert done.returncode == 0, f"seed {seed}\n{done.stderr[-3000:]}"
    sound, failed = json.loads(done.stdout.splitlines()[-1])
    assert sound > 100 and not failed, f"seed {seed}\n" + "\n".join(failed)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["kills", "pairs", "flips", "texts"])
def test_nothing_is_lost(kind):
    if kind == "kills":
        pytest.importorskip("lightning", reason="training at full size needs the extra `train`")
    line = [sys.executable, str(FAULTS / "matrix.py"), "--only", kind, "--tries", "1"]
    seed = str(np.random.default_rng().integers(1000))  # others each time; said in the output
    done = subprocess.run([*line, "--seed", seed], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"seed {seed}\n{done.stdout}{done.stderr[-3000:]}"
