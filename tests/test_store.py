"""The store: what is written is read, and nothing damaged or half-written is used."""

import errno
import json
import os
import platform
import re
import struct
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import programs, python_in, refused
from safetensors import SafetensorError
from safetensors.numpy import save_file
from tiny import model

from analysis.base.files import sealed, sha256_of, temporary_folder, write_text
from analysis.base.roots import ROOT
from analysis.features import store
from analysis.features.store import Head, StoreError

PROGRAMS = programs("programs")
N, D = 12, 5
KEYS = [f"{i}.png" for i in range(N)]
ROWS = store.row_numbers(KEYS)


def features(dtype="float32"):
    return np.random.default_rng(0).normal(size=(N, D)).astype(dtype)


def write(path, array=None, **changes):
    array = features() if array is None else array
    sidecar = {"model": store.describe(model(), "f00"), "data": {"classes": ["a", "b"]}}
    arguments = {"labels": np.arange(N) % 2, "rows": ROWS} | changes
    store.write_features(path, array, sidecar=sidecar, **arguments)
    return array


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_what_is_written_is_read(tmp_path, dtype):
    path = tmp_path / "m" / "d.safetensors"
    array = write(path, features(dtype))
    read = store.read_features(path, model())
    np.testing.assert_array_equal(read.features, array)
    assert read.features.dtype == dtype
    assert isinstance(read.features, np.memmap) and not read.features.flags.writeable
    assert read.labels.tolist() == [0, 1] * 6
    assert read.classes == ("a", "b")
    assert (read.sidecar["N"], read.sidecar["d"], read.sidecar["dtype"]) == (N, D, dtype)
    assert sorted(p.name for p in path.parent.iterdir()) == ["d.json", "d.safetensors"]


def put(path, without="", about=(), **changes):
    """Features of another program, which seals them as ours does."""
    tensors, sidecar = store.read(path)
    tensors = {k: v for k, v in ({**tensors} | changes).items() if v is not None}
    save_file({k: np.array(v) for k, v in tensors.items()}, path)
    written = {"bytes": path.stat().st_size, "sha256": sha256_of(path)} | dict(about)
    kept = {k: v for k, v in (sidecar | written).items() if k not in ("digest", without)}
    store.sidecar_of(path).write_text(json.dumps(sealed(kept)))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-4]), "bytes in format 1, its sidecar"),
        (lambda path: store.sidecar_of(path).unlink(), "was not finished: run `companion extract`"),
        (lambda path: store.sidecar_of(path).write_text("{"), "sidecar of .* is not what was"),
        (lambda path: store.sidecar_of(path).write_text("[" * 99999), "sidecar of .* is not what"),
        (lambda path: put(path, labels=np.arange(N) + 1), "of 2 classes, which do not go together"),
        (lambda path: put(path, labels=np.zeros(3, int)), "which do not go together"),
        (lambda path: put(path, features=features()[:, 0]), "which do not go together"),
        (lambda path: put(path, rows=None), "which do not go together"),
        (lambda path: put(path, without="sha256"), "the sidecar of m/d.safetensors lacks sha256"),
        (lambda path: put(path, about={"model": ["rn50"]}), "lacks model, or has it of another"),
        (lambda path: put(path, about={"N": "60"}), "lacks N, or has it of another type"),
        (Path.unlink, "does not exist, or its extraction was not finished"),
    ],
)
def test_damaged_features_are_refused(tmp_path, damage, message):
    path = tmp_path / "m" / "d.safetensors"
    write(path)
    damage(path)
    refused(message, store.read_features, path)
    assert "companion extract" in store.problem(path)


@pytest.mark.parametrize(
    "header",
    [
        b"\xff" * 8,
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 62) + b'{"features":{"dtype":"F32","shape":[9],"data_offsets":[0,36]}} ',
        struct.pack("<Q", 62) + b'{"features":{"dtype":"BF9","shape":[9],"data_offsets":[0,36]}} ',
    ],
)
def test_a_file_that_is_not_sound_safetensors_is_refused(tmp_path, header):
    path = tmp_path / "d.safetensors"
    path.write_bytes(header)
    refused("not a sound safetensors file", store.map_tensors, path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": np.zeros(3)}, r"labels \(N,\)"),
        ({"array": np.zeros(N)}, r"features \(N, d\)"),
        ({"array": np.where(np.eye(N, D) > 0, np.nan, 1)}, "5 images are not finite, .* row 0"),
    ],
)
def test_features_are_checked_before_they_are_written(tmp_path, changes, message):
    refused(message, write, tmp_path / "d.safetensors", **changes)
    assert not list(tmp_path.iterdir())


FULL = "No space left on device"


@pytest.mark.parametrize(
    ("place", "error"),
    [
        ("os.fsync", OSError(errno.ENOSPC, FULL)),
        ("analysis.features.store.save_file", SafetensorError(f"I/O error: {FULL} (os error 28)")),
    ],
)
def test_a_full_disk_is_named_and_leaves_the_old_features(tmp_path, monkeypatch, place, error):
    path = tmp_path / "d.safetensors"
    write(path)

    def full(*_):
        raise error

    monkeypatch.setattr(place, full)
    with pytest.raises(OSError, match=f"{FULL}.*{re.escape(str(path))}"):
        write(path, features() + 1)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["d.json", "d.safetensors"]
    np.testing.assert_array_equal(store.read_features(path).features, features())


def test_what_killed_processes_left_goes(tmp_path, monkeypatch):
    dead = subprocess.Popen(["true"])
    dead.wait()
    here, elsewhere = f"{platform.node()}.{dead.pid}", f"elsewhere.{dead.pid}"
    others = [f".x.json.{elsewhere}.part", f"companion.{platform.node()}.{os.getpid()}.b",
              f"companion.{elsewhere}.c"]  # fmt: skip
    for name in (f".x.json.{here}.part", others[0]):
        (tmp_path / name).touch()
    for name in (f"companion.{here}.a", *others[1:]):
        (tmp_path / name / "x").mkdir(parents=True)
    write_text(tmp_path / "y.json", "")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with temporary_folder() as folder:
        assert folder.parent == tmp_path and folder.is_dir()
    assert {path.name for path in tmp_path.iterdir()} == {*others, "y.json"}


def test_a_head_by_hand(tmp_path):
    head = Head(
        weight=np.array([[1, 0], [0, 2], [1, 1]], dtype=np.float32),
        bias=np.array([0, 0, 10], dtype=np.float32),
        classes=("x", "y", "z"),
        normalize=True,
    )
    np.testing.assert_allclose(head.logits(np.array([[3.0, 4.0]])), [[0.6, 1.6, 11.4]], rtol=1e-6)
    path = tmp_path / "m" / "d.head.safetensors"
    store.write_head(path, head, {"model": store.describe(model(), "f00")})
    read = store.read_head(path, model())
    np.testing.assert_array_equal(read.weight, head.weight)
    assert (read.classes, read.normalize, read.bias.tolist()) == (head.classes, True, [0, 0, 10])
    for wrong in ({"classes": ("x",)}, {"bias": np.zeros(2, np.float32)}):
        refused("a head needs one row, and one bias, per class", replace, head, **wrong)
    with pytest.raises(StoreError, match="a head of 3 classes has numbers that are not finite"):
        replace(head, bias=np.array([0, np.nan, 0], np.float32))


def test_reading_needs_no_torch_and_about_a_second(tmp_path):
    path = tmp_path / "m" / "d.safetensors"
    write(path)
    done = python_in(ROOT, "-c", PROGRAMS["read"], path)
    assert done.stdout == "(12, 5) True\n", done.stderr


def test_a_lock_makes_others_wait(tmp_path):
    paths = [tmp_path / "m" / f"{name}.safetensors" for name in "ba"]
    with store.locked(paths):
        line = [sys.executable, "-c", PROGRAMS["lock"], paths[0]]
        other = subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert other.stdout is not None and other.stdout.readline() == "started\n"
        with pytest.raises(subprocess.TimeoutExpired):
            other.wait(timeout=0.3)
    assert other.communicate(timeout=20)[0] == "held\n"
