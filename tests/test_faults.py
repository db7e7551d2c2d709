"""The fault matrix counts what is wrong, and in small finds nothing; whole it runs by hand."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

FAULTS = Path(__file__).with_name("faults")
sys.path.insert(0, str(FAULTS))

import flips  # noqa: E402
import ground  # noqa: E402


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


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["kills", "pairs", "flips", "texts"])
def test_nothing_is_lost(kind):
    if kind == "kills":
        pytest.importorskip("lightning", reason="training at full size needs the extra `train`")
    line = [sys.executable, str(FAULTS / "matrix.py"), "--only", kind, "--tries", "1"]
    seed = str(np.random.default_rng().integers(1000))  # others each time; said in the output
    done = subprocess.run([*line, "--seed", seed], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"seed {seed}\n{done.stdout}{done.stderr[-3000:]}"
